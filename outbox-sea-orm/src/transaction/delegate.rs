//! Statements: every method of SeaORM's traits goes to the transaction inside, in its turn.

use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures_util::Stream;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, Statement, StatementBuilder,
    StreamTrait, TransactionStream,
};

use super::OutboxTransaction;
use super::session::Turn;
use crate::outbox::Outbox;
use crate::record;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ConnectionTrait for OutboxTransaction {
    fn get_database_backend(&self) -> DbBackend {
        self.outbox.backend
    }

    async fn execute_raw(&self, stmt: Statement) -> Result<ExecResult, DbErr> {
        self.take_recorded()?;
        self.session.run(|txn| async move { txn.execute_raw(stmt).await }).await
    }

    async fn execute<S: StatementBuilder>(&self, stmt: &S) -> Result<ExecResult, DbErr> {
        let stmt = self.outbox.backend.build(stmt);
        self.session.run(|txn| async move { txn.execute_raw(stmt).await }).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let sql = sql.to_owned();
        self.session.run(|txn| async move { txn.execute_unprepared(&sql).await }).await
    }

    async fn query_one_raw(&self, stmt: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.session.run(|txn| async move { txn.query_one_raw(stmt).await }).await
    }

    async fn query_one<S: StatementBuilder>(&self, stmt: &S) -> Result<Option<QueryResult>, DbErr> {
        let stmt = self.outbox.backend.build(stmt);
        self.session.run(|txn| async move { txn.query_one_raw(stmt).await }).await
    }

    async fn query_all_raw(&self, stmt: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.take_recorded()?;
        self.session.run(|txn| async move { txn.query_all_raw(stmt).await }).await
    }

    async fn query_all<S: StatementBuilder>(&self, stmt: &S) -> Result<Vec<QueryResult>, DbErr> {
        let stmt = self.outbox.backend.build(stmt);
        self.session.run(|txn| async move { txn.query_all_raw(stmt).await }).await
    }

    fn support_returning(&self) -> bool {
        match self.session.open() {
            Ok(open) => open.txn.support_returning(),
            Err(_) => self.outbox.backend.support_returning(),
        }
    }

    fn is_mock_connection(&self) -> bool {
        self.session.open().is_ok_and(|open| open.txn.is_mock_connection())
    }
}

impl OutboxTransaction {
    /// Stages what [`record`](crate::record()) offers with a statement, instead of executing the statement.
    fn take_recorded(&self) -> Result<(), DbErr> {
        match record::take(&self.outbox) {
            Some((event, taken)) => Err(taken.answer(self.stage_recorded(event).map_err(DbErr::from))),
            None => Ok(()),
        }
    }
}

impl Outbox {
    /// The same, on a pool: inserted at once, with what this outbox knows about its tables.
    async fn take_recorded(&self) -> Result<(), DbErr> {
        match record::take(self.shared()) {
            Some((event, taken)) => Err(taken.answer(record::insert(self.shared(), self.inner(), event).await)),
            None => Ok(()),
        }
    }
}

/// Rows of a transaction, one by one. While it lives, every other statement of the transaction waits.
#[derive(Debug)]
pub struct OutboxTransactionStream<'a> {
    rows: TransactionStream<'a>,
    failed: bool,
    turn: Turn,
}

impl Stream for OutboxTransactionStream<'_> {
    type Item = Result<QueryResult, DbErr>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let poll = Pin::new(&mut self.rows).poll_next(cx);
        match &poll {
            Poll::Ready(Some(Err(_))) => self.failed = true,
            // Dropped before this it leaves a doubt: what comes after the last row read may be an error.
            Poll::Ready(None) if !self.failed => self.turn.set_fine(),
            _ => {}
        }
        poll
    }
}

#[deny(clippy::missing_trait_methods)]
impl StreamTrait for OutboxTransaction {
    type Stream<'a> = OutboxTransactionStream<'a>;

    fn get_database_backend(&self) -> DbBackend {
        self.outbox.backend
    }

    fn stream_raw<'a>(
        &'a self,
        stmt: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
        Box::pin(async move {
            let (txn, turn) = self.session.turn().await?;
            let rows = txn.stream_raw(stmt).await?;
            Ok(OutboxTransactionStream { rows, failed: false, turn })
        })
    }

    fn stream<'a, S: StatementBuilder + Sync>(
        &'a self,
        stmt: &S,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
        self.stream_raw(self.outbox.backend.build(stmt))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ConnectionTrait for Outbox {
    fn get_database_backend(&self) -> DbBackend {
        self.inner().get_database_backend()
    }

    async fn execute_raw(&self, stmt: Statement) -> Result<ExecResult, DbErr> {
        self.take_recorded().await?;
        self.inner().execute_raw(stmt).await
    }

    async fn execute<S: StatementBuilder>(&self, stmt: &S) -> Result<ExecResult, DbErr> {
        self.inner().execute(stmt).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.inner().execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, stmt: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.inner().query_one_raw(stmt).await
    }

    async fn query_one<S: StatementBuilder>(&self, stmt: &S) -> Result<Option<QueryResult>, DbErr> {
        self.inner().query_one(stmt).await
    }

    async fn query_all_raw(&self, stmt: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.take_recorded().await?;
        self.inner().query_all_raw(stmt).await
    }

    async fn query_all<S: StatementBuilder>(&self, stmt: &S) -> Result<Vec<QueryResult>, DbErr> {
        self.inner().query_all(stmt).await
    }

    fn support_returning(&self) -> bool {
        self.inner().support_returning()
    }

    fn is_mock_connection(&self) -> bool {
        self.inner().is_mock_connection()
    }
}

#[deny(clippy::missing_trait_methods)]
impl StreamTrait for Outbox {
    type Stream<'a> = <DatabaseConnection as StreamTrait>::Stream<'a>;

    fn get_database_backend(&self) -> DbBackend {
        self.inner().get_database_backend()
    }

    fn stream_raw<'a>(
        &'a self,
        stmt: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
        self.inner().stream_raw(stmt)
    }

    fn stream<'a, S: StatementBuilder + Sync>(
        &'a self,
        stmt: &S,
    ) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
        self.inner().stream(stmt)
    }
}
