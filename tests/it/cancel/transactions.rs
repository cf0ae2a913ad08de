//! Beginning, ending and running transactions and savepoints.

use outbox_sea_orm::OutboxTransaction;
use outbox_tests::drop_at;
use sea_orm::{
    AccessMode, ConnectionTrait, DbErr, TransactionError, TransactionOptions, TransactionSession, TransactionTrait,
};

use super::world::{World, both};
use super::{Done, Left};

/// A row and an event in a transaction, if it has begun.
async fn use_it(began: Option<Result<OutboxTransaction, DbErr>>, label: &str) -> Done {
    let done = Done::new(began.as_ref(), Left::Both, Left::Nothing);
    if let Some(txn) = began {
        let txn = txn.unwrap();
        both(&txn, label).await.unwrap();
        txn.commit().await.unwrap();
    }
    done
}

pub(super) async fn begin(world: &World, label: &str, n: usize) -> Done {
    use_it(drop_at(n, world.outbox.begin()).await, label).await
}

pub(super) async fn begin_with_options(world: &World, label: &str, n: usize) -> Done {
    use_it(drop_at(n, world.outbox.begin_with_options(TransactionOptions::default())).await, label).await
}

pub(super) async fn begin_by_trait(world: &World, label: &str, n: usize) -> Done {
    use_it(drop_at(n, TransactionTrait::begin(&world.outbox)).await, label).await
}

pub(super) async fn begin_with_config(world: &World, label: &str, n: usize) -> Done {
    use_it(drop_at(n, world.outbox.begin_with_config(None, Some(AccessMode::ReadWrite))).await, label).await
}

pub(super) async fn begin_with_options_by_trait(world: &World, label: &str, n: usize) -> Done {
    let options = TransactionOptions::default();
    use_it(drop_at(n, TransactionTrait::begin_with_options(&world.outbox, options)).await, label).await
}

/// A transaction with a row and an event.
pub(super) async fn staged(world: &World, label: &str) -> OutboxTransaction {
    let txn = world.outbox.begin().await.unwrap();
    both(&txn, label).await.unwrap();
    txn
}

/// Both if the transaction can still be committed.
pub(super) async fn committed<T>(txn: OutboxTransaction, answer: Option<&T>) -> Done {
    let left = if txn.commit().await.is_ok() { Left::Both } else { Left::Nothing };
    assert!(answer.is_none() || left == Left::Both, "nothing was cancelled");
    Done { completed: answer.is_some(), left }
}

pub(super) async fn commit(world: &World, label: &str, n: usize) -> Done {
    let answer = drop_at(n, staged(world, label).await.commit()).await;
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Both, Left::Both)
}

pub(super) async fn commit_strict(world: &World, label: &str, n: usize) -> Done {
    let txn = staged(world, label).await;
    txn.strict();
    let answer = drop_at(n, TransactionSession::commit(txn)).await;
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Both, Left::Both)
}

pub(super) async fn commit_of_a_savepoint(world: &World, label: &str, n: usize) -> Done {
    let txn = world.outbox.begin().await.unwrap();
    let inner = txn.begin().await.unwrap();
    both(&inner, label).await.unwrap();
    let answer = drop_at(n, inner.commit()).await;
    txn.commit().await.unwrap();
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Both, Left::Both)
}

pub(super) async fn rollback(world: &World, label: &str, n: usize) -> Done {
    let answer = drop_at(n, staged(world, label).await.rollback()).await;
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Nothing, Left::Nothing)
}

pub(super) async fn rollback_of_a_savepoint(world: &World, label: &str, n: usize) -> Done {
    let txn = staged(world, label).await;
    let inner = txn.begin().await.unwrap();
    both(&inner, label).await.unwrap();
    let answer = drop_at(n, TransactionSession::rollback(inner)).await;
    txn.commit().await.unwrap();
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Both, Left::Both)
}

pub(super) async fn flush(world: &World, label: &str, n: usize) -> Done {
    let txn = staged(world, label).await;
    let answer = drop_at(n, txn.flush()).await;
    committed(txn, answer.map(Result::unwrap).as_ref()).await
}

/// Uses and closes a savepoint, if it has begun.
async fn inside(began: Option<Result<OutboxTransaction, DbErr>>) -> Option<()> {
    let inner = began?.unwrap();
    loose(&inner).await.unwrap();
    inner.commit().await.unwrap();
    Some(())
}

pub(super) async fn savepoint(world: &World, label: &str, n: usize) -> Done {
    let txn = staged(world, label).await;
    let answer = inside(drop_at(n, txn.begin()).await).await;
    committed(txn, answer.as_ref()).await
}

pub(super) async fn savepoint_with_options(world: &World, label: &str, n: usize) -> Done {
    let txn = staged(world, label).await;
    let began = drop_at(n, txn.begin_with_options(TransactionOptions::default())).await;
    let answer = inside(began).await;
    committed(txn, answer.as_ref()).await
}

pub(super) async fn savepoint_by_trait(world: &World, label: &str, n: usize) -> Done {
    let txn = staged(world, label).await;
    let answer = inside(drop_at(n, TransactionTrait::begin(&txn)).await).await;
    committed(txn, answer.as_ref()).await
}

/// A savepoint has no settings of its own, so there are none to give it.
pub(super) async fn savepoint_with_config(world: &World, label: &str, n: usize) -> Done {
    let txn = staged(world, label).await;
    let answer = inside(drop_at(n, txn.begin_with_config(None, None)).await).await;
    committed(txn, answer.as_ref()).await
}

fn ran(answer: Option<Result<(), TransactionError<DbErr>>>) -> Done {
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Both, Left::BothOrNothing)
}

pub(super) async fn transaction(world: &World, label: &str, n: usize) -> Done {
    let label = label.to_owned();
    ran(drop_at(n, world.outbox.transaction(|txn| Box::pin(async move { both(txn, &label).await }))).await)
}

pub(super) async fn transaction_with_config(world: &World, label: &str, n: usize) -> Done {
    let label = label.to_owned();
    let run = world.outbox.transaction_with_config(|txn| Box::pin(async move { both(txn, &label).await }), None, None);
    ran(drop_at(n, run).await)
}

pub(super) async fn transaction_async(world: &World, label: &str, n: usize) -> Done {
    ran(drop_at(n, world.outbox.transaction_async(async |txn: &OutboxTransaction| both(txn, label).await)).await)
}

pub(super) async fn transaction_with_config_async(world: &World, label: &str, n: usize) -> Done {
    let callback = async |txn: &OutboxTransaction| both(txn, label).await;
    ran(drop_at(n, world.outbox.transaction_with_config_async(callback, None, None)).await)
}

pub(super) async fn nested_transaction(world: &World, label: &str, n: usize) -> Done {
    let txn = staged(world, label).await;
    let answer = drop_at(n, txn.transaction(|inner| Box::pin(loose(inner)))).await;
    committed(txn, answer.map(Result::unwrap).as_ref()).await
}

pub(super) async fn nested_transaction_async(world: &World, label: &str, n: usize) -> Done {
    let txn = staged(world, label).await;
    let answer = drop_at(n, txn.transaction_async(async |txn: &OutboxTransaction| loose(txn).await)).await;
    committed(txn, answer.map(Result::unwrap).as_ref()).await
}

pub(super) async fn nested_transaction_with_config(world: &World, label: &str, n: usize) -> Done {
    let txn = staged(world, label).await;
    let answer = drop_at(n, txn.transaction_with_config(|inner| Box::pin(loose(inner)), None, None)).await;
    committed(txn, answer.map(Result::unwrap).as_ref()).await
}

pub(super) async fn nested_transaction_with_config_async(world: &World, label: &str, n: usize) -> Done {
    let txn = staged(world, label).await;
    let callback = async |txn: &OutboxTransaction| loose(txn).await;
    let answer = drop_at(n, txn.transaction_with_config_async(callback, None, None)).await;
    committed(txn, answer.map(Result::unwrap).as_ref()).await
}

pub(super) async fn check(world: &World, _label: &str, n: usize) -> Done {
    let answer = drop_at(n, world.outbox.check()).await;
    Done::new(answer.map(Result::unwrap).as_ref(), Left::Nothing, Left::Nothing)
}

async fn loose(txn: &OutboxTransaction) -> Result<(), DbErr> {
    txn.execute_unprepared("INSERT INTO loose VALUES ('x')").await.map(drop)
}
