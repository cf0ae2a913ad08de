//! Random trees of savepoints: events and rows agree, whatever happens.

use std::pin::Pin;

use outbox_sea_orm::{OutboxTransaction, record};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sea_orm::{ConnectionTrait, DbBackend};

use crate::fixtures::{Db, Seen, Thing, both, early, put};

#[derive(Debug, Clone)]
enum Op {
    /// A row and a staged event.
    Both,
    /// A row and an event that comes through [`record`].
    Record,
    /// A row and an event that is written at once.
    Early,
    Flush,
    /// A statement that fails and whose error is swallowed; not for PostgreSQL, where the level has failed then.
    Fail,
    Nest(Vec<Self>, End),
}

#[derive(Debug, Clone, Copy)]
enum End {
    Commit,
    Rollback,
    Drop,
    /// Fails in the last statement, and is dropped.
    FailAndDrop,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let leaf = prop_oneof![6 => Just(Op::Both), 2 => Just(Op::Record), 1 => Just(Op::Early), 1 => Just(Op::Flush), 1 => Just(Op::Fail)];
    let op = leaf.prop_recursive(4, 24, 5, |op| {
        (prop::collection::vec(op, 0..5), end()).prop_map(|(ops, end)| Op::Nest(ops, end))
    });
    prop::collection::vec(op, 0..7)
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![3 => Just(End::Commit), 1 => Just(End::Rollback), 1 => Just(End::Drop), 1 => Just(End::FailAndDrop)]
}

/// Runs the tree; says what should be left.
fn run<'r>(
    txn: &'r OutboxTransaction,
    ops: &'r [Op],
    next: &'r mut u32,
) -> Pin<Box<dyn Future<Output = Vec<String>> + 'r>> {
    Box::pin(async move {
        let mut left = Vec::new();
        for op in ops {
            let label = next.to_string();
            *next += 1;
            match op {
                Op::Both => {
                    both(txn, &label).await.unwrap();
                    left.push(label);
                }
                Op::Record => {
                    put(txn, &label).await.unwrap();
                    record(txn, &Thing::new(label.clone())).await.unwrap();
                    left.push(label);
                }
                Op::Early => {
                    put(txn, &label).await.unwrap();
                    early(txn, &Thing::new(label.clone())).await.unwrap();
                    left.push(label);
                }
                Op::Flush => txn.flush().await.unwrap(),
                Op::Fail => {
                    if ConnectionTrait::get_database_backend(txn) != DbBackend::Postgres {
                        txn.execute_unprepared("SELECT nothing").await.unwrap_err();
                    }
                }
                Op::Nest(ops, end) => {
                    let inner = txn.begin().await.unwrap();
                    let inside = run(&inner, ops, next).await;
                    match end {
                        End::Commit => {
                            inner.commit().await.unwrap();
                            left.extend(inside);
                        }
                        End::Rollback => inner.rollback().await.unwrap(),
                        End::Drop => drop(inner),
                        End::FailAndDrop => {
                            inner.execute_unprepared("SELECT nothing").await.unwrap_err();
                            drop(inner);
                        }
                    }
                }
            }
        }
        left
    })
}

fn events_follow_rows(db: impl AsyncFnOnce() -> Option<Db>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let Some(db) = runtime.block_on(db()) else { return };
    let (outbox, owner) = (runtime.block_on(db.outbox()), runtime.block_on(db.owner()));
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    runner
        .run(&(ops(), end()), |(ops, end)| {
            runtime.block_on(async {
                for table in ["thing", "outbox_event"] {
                    owner.execute_unprepared(&format!("DELETE FROM {table}")).await.unwrap();
                }
                let txn = outbox.begin().await.unwrap();
                let mut left = run(&txn, &ops, &mut 0).await;
                match end {
                    End::Commit => txn.commit().await.unwrap(),
                    End::Rollback => txn.rollback().await.unwrap(),
                    End::Drop => drop(txn),
                    End::FailAndDrop => {
                        txn.execute_unprepared("SELECT nothing").await.unwrap_err();
                        drop(txn);
                    }
                }
                if !matches!(end, End::Commit) {
                    left.clear();
                }
                let seen = Seen::through(&owner).await;
                prop_assert_eq!(&seen.rows, &left);
                prop_assert_eq!(&seen.events, &left);
                Ok(())
            })
        })
        .unwrap();
    runtime.block_on(async {
        outbox.inner().close_by_ref().await.unwrap();
        owner.close().await.unwrap();
        db.remove().await;
    });
}

#[test]
fn events_follow_rows_on_postgres() {
    events_follow_rows(Db::postgres);
}

#[test]
fn events_follow_rows_on_mariadb() {
    events_follow_rows(Db::mariadb);
}

#[test]
fn events_follow_rows_on_sqlite() {
    events_follow_rows(Db::sqlite);
}

#[test]
fn events_follow_rows_on_sqlite_of_one() {
    events_follow_rows(Db::sqlite_of_one);
}
