//! SeaORM's statements, in a transaction and on an outbox.

use futures_util::{Stream, StreamExt};
use outbox_tests::{Kind, drop_at};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Query};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement, StreamTrait};

use super::transactions::{committed, staged};
use super::world::World;
use super::{Done, Left};

const INSERT: &str = "INSERT INTO loose VALUES ('x')";

/// Different every time: a new text is prepared anew.
fn select(world: &World, n: usize) -> Statement {
    Statement::from_string(world.backend(), format!("SELECT label, {n} FROM thing"))
}

/// One with a parameter.
fn insert(world: &World) -> Statement {
    let sql = if world.backend() == sea_orm::DbBackend::Postgres { "VALUES ($1)" } else { "VALUES (?)" };
    Statement::from_sql_and_values(world.backend(), format!("INSERT INTO loose {sql}"), ["x".into()])
}

fn built() -> sea_orm::sea_query::SelectStatement {
    Query::select().column(Alias::new("label")).from(Alias::new("thing")).and_where(Expr::val(1).eq(1)).take()
}

fn built_insert() -> sea_orm::sea_query::InsertStatement {
    let mut insert = Query::insert();
    insert.into_table(Alias::new("loose")).columns([Alias::new("label")]).values_panic(["x".into()]);
    insert
}

macro_rules! in_a_transaction {
    ($($name:ident: |$txn:ident, $world:ident, $n:ident| $call:expr;)*) => {$(
        pub(super) async fn $name($world: &World, label: &str, $n: usize) -> Done {
            let $txn = staged($world, label).await;
            let answer = drop_at($n, $call).await.map(Result::unwrap);
            committed($txn, answer.map(drop).as_ref()).await
        }
    )*};
}

macro_rules! on_the_pool {
    ($($name:ident: |$outbox:ident, $world:ident, $n:ident| $call:expr;)*) => {$(
        pub(super) async fn $name($world: &World, _label: &str, $n: usize) -> Done {
            let $outbox = &$world.outbox;
            let answer = drop_at($n, $call).await.map(Result::unwrap);
            Done::new(answer.map(drop).as_ref(), Left::Nothing, Left::Nothing)
        }
    )*};
}

in_a_transaction! {
    execute_raw: |txn, world, n| txn.execute_raw(insert(world));
    execute: |txn, world, n| txn.execute(&built_insert());
    execute_unprepared: |txn, world, n| txn.execute_unprepared(INSERT);
    query_one_raw: |txn, world, n| txn.query_one_raw(select(world, n));
    query_one: |txn, world, n| txn.query_one(&built());
    query_all_raw: |txn, world, n| txn.query_all_raw(select(world, n));
    query_all: |txn, world, n| txn.query_all(&built());
}

/// A stream borrows the transaction, so nobody can read it to its end for a caller who is gone. Dropped before its first
/// row it can cost MariaDB's pool the connection, as plain SeaORM's does: there it is not dropped.
fn of_stream(world: &World, n: usize) -> usize {
    if world.db.kind() == Kind::MariaDb { usize::MAX } else { n }
}

async fn read_all<S: Stream<Item = Result<QueryResult, DbErr>> + Unpin>(mut rows: S) -> Result<(), DbErr> {
    while let Some(row) = rows.next().await {
        row?;
    }
    Ok(())
}

pub(super) async fn stream_raw(world: &World, label: &str, n: usize) -> Done {
    let txn = staged(world, label).await;
    let rows = async { read_all(txn.stream_raw(select(world, n)).await?).await };
    let answer = drop_at(of_stream(world, n), rows).await.map(Result::unwrap);
    committed(txn, answer.as_ref()).await
}

pub(super) async fn stream(world: &World, label: &str, n: usize) -> Done {
    let txn = staged(world, label).await;
    let rows = async { read_all(txn.stream(&built()).await?).await };
    let answer = drop_at(of_stream(world, n), rows).await.map(Result::unwrap);
    committed(txn, answer.as_ref()).await
}

on_the_pool! {
    execute_raw_on_the_pool: |outbox, world, n| outbox.execute_raw(insert(world));
    execute_on_the_pool: |outbox, world, n| outbox.execute(&built_insert());
    execute_unprepared_on_the_pool: |outbox, world, n| outbox.execute_unprepared(INSERT);
    query_one_raw_on_the_pool: |outbox, world, n| outbox.query_one_raw(select(world, n));
    query_one_on_the_pool: |outbox, world, n| outbox.query_one(&built());
    query_all_raw_on_the_pool: |outbox, world, n| outbox.query_all_raw(select(world, n));
    query_all_on_the_pool: |outbox, world, n| outbox.query_all(&built());
    stream_raw_on_the_pool: |outbox, world, n| async { read_all(outbox.stream_raw(select(world, n)).await?).await };
    stream_on_the_pool: |outbox, world, n| async { read_all(outbox.stream(&built()).await?).await };
}
