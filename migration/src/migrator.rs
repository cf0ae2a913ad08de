//! The migrator that takes options.

use sea_orm_migration::sea_orm::sea_query::{Alias, IntoIden};
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, DbErr, DynIden, FromQueryResult};
use sea_orm_migration::{
    IntoSchemaManagerConnection, Migration, MigrationTrait, MigratorTraitSelf, async_trait, seaql_migrations,
};

use crate::error::{CheckError, MigrateError};
use crate::meta::{self, SchemaInfo, query};
use crate::migration::migrations_with;
use crate::names::Table;
use crate::options::Options;
use crate::run::{Job, POSTGRES_LOCK, run};
use crate::{sql, tables};

/// How far the tables are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// There are none.
    Missing,
    /// A migration did not come to its end; the next one completes it.
    Incomplete,
    /// They are there.
    Applied(SchemaInfo),
}

/// Makes and drops the tables of one outbox, with [`Options`].
///
/// It remembers in a table of its own (`outbox_migrations`) and touches no table that is not the outbox's, so it
/// lives beside your own migrator, in either order. Any number of migrators may run at once, in any number of
/// processes: one does the work, the others wait for it for up to a minute.
///
/// Give it a pool. In a transaction it works on PostgreSQL and SQLite, and then comes and goes with it; on MariaDB DDL
/// commits the transaction that it is given. A transaction given by value is committed, or rolled back on an error.
///
/// Its own methods have typed errors; as a [`MigratorTraitSelf`] it fits SeaORM's command line.
///
/// # Cancel safety
///
/// Given a pool, a run comes to its end even when its future is dropped. Given a transaction, it ends where it was.
///
/// ```no_run
/// # async fn run(db: &outbox_migration::sea_orm::DatabaseConnection) -> Result<(), Box<dyn std::error::Error>> {
/// use outbox_migration::{Options, OutboxMigrator};
///
/// OutboxMigrator::new(Options::default().prefix("shop")?.shards(128)?).up(db).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboxMigrator {
    options: Options,
}

impl OutboxMigrator {
    /// A migrator with these options.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// Its options.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Make the tables, unless they are there; `true` if this call made them. When they are there no right is needed
    /// but to read.
    ///
    /// # Errors
    ///
    /// [`MigrateError::Mismatch`] when they are there with other options, [`MigrateError::Foreign`] when tables of
    /// these names are somebody else's; both leave everything as it is.
    pub async fn up<'c, C: IntoSchemaManagerConnection<'c>>(&self, db: C) -> Result<bool, MigrateError> {
        run(db.into_database_executor(), &self.options, Job::Up).await
    }

    /// Drop the tables; `true` if there were any. The bookkeeping and the schema stay.
    ///
    /// # Errors
    ///
    /// [`MigrateError::Undelivered`] when there are pending, scheduled, dead or parked events and
    /// [`Options::drop_undelivered`] is not set, [`MigrateError::Mismatch`] when the tables are another version's;
    /// nothing is dropped then.
    pub async fn down<'c, C: IntoSchemaManagerConnection<'c>>(&self, db: C) -> Result<bool, MigrateError> {
        run(db.into_database_executor(), &self.options, Job::Down).await
    }

    /// How far the tables are. It reads only.
    ///
    /// # Errors
    ///
    /// [`CheckError::Mismatch`] when they were made by another version.
    pub async fn status<C: ConnectionTrait>(&self, db: &C) -> Result<Status, CheckError> {
        match meta::check(db, self.options.names()).await {
            Ok(info) => Ok(Status::Applied(info)),
            Err(CheckError::Missing { .. }) => Ok(Status::Missing),
            Err(CheckError::Incomplete { .. }) => Ok(Status::Incomplete),
            Err(error) => Err(error),
        }
    }
}

/// What SeaORM's command line and generic code use. There is one migration, so any number of `steps` but 0 means all.
#[async_trait::async_trait]
impl MigratorTraitSelf for OutboxMigrator {
    fn migrations(&self) -> Vec<Box<dyn MigrationTrait>> {
        migrations_with(self.options.clone())
    }

    fn migration_table_name(&self) -> DynIden {
        Alias::new(self.options.names().bare(Table::Migrations)).into_iden()
    }

    /// Create the table for the bookkeeping.
    async fn install<C: ConnectionTrait>(&self, db: &C) -> Result<(), DbErr> {
        if self.is_installed(db).await? {
            return Ok(());
        }
        let backend = db.get_database_backend();
        let step = sql::create_migrations(&self.options, backend)?;
        let sql = match backend {
            // Two that create one table at once get an error there, even with IF NOT EXISTS. What is sent together is
            // one transaction.
            DbBackend::Postgres => format!("SELECT pg_catalog.pg_advisory_xact_lock({POSTGRES_LOCK}); {}", step.sql),
            _ => step.sql,
        };
        db.execute_unprepared(&sql).await.map_err(MigrateError::during(step.does))?;
        Ok(())
    }

    async fn get_migration_models<C: ConnectionTrait>(&self, db: &C) -> Result<Vec<seaql_migrations::Model>, DbErr> {
        MigratorTraitSelf::install(self, db).await?;
        let table = self.options.names().migrations(db.get_database_backend());
        let rows = query(db, format!("SELECT version, applied_at FROM {table} ORDER BY version")).await?;
        rows.iter().map(|row| seaql_migrations::Model::from_query_result(row, "")).collect()
    }

    async fn get_migration_with_status_read_only<C: ConnectionTrait>(&self, db: &C) -> Result<Vec<Migration>, DbErr> {
        if self.is_installed(db).await? {
            return self.get_migration_with_status(db).await;
        }
        Ok(self.get_migration_files())
    }

    /// Drop the outbox's own tables, and nobody else's, and make them again.
    async fn fresh<'c, C: IntoSchemaManagerConnection<'c>>(&self, db: C) -> Result<(), DbErr> {
        self.job(db, Job::Refresh).await
    }

    async fn refresh<'c, C: IntoSchemaManagerConnection<'c>>(&self, db: C) -> Result<(), DbErr> {
        self.job(db, Job::Refresh).await
    }

    async fn reset<'c, C: IntoSchemaManagerConnection<'c>>(&self, db: C) -> Result<(), DbErr> {
        self.job(db, Job::Reset).await
    }

    async fn uninstall<'c, C: IntoSchemaManagerConnection<'c>>(&self, db: C) -> Result<(), DbErr> {
        self.job(db, Job::Uninstall).await
    }

    async fn up<'c, C: IntoSchemaManagerConnection<'c>>(&self, db: C, steps: Option<u32>) -> Result<(), DbErr> {
        if steps == Some(0) { Ok(()) } else { self.job(db, Job::Up).await }
    }

    async fn down<'c, C: IntoSchemaManagerConnection<'c>>(&self, db: C, steps: Option<u32>) -> Result<(), DbErr> {
        if steps == Some(0) { Ok(()) } else { self.job(db, Job::Down).await }
    }
}

impl OutboxMigrator {
    async fn job<'c, C: IntoSchemaManagerConnection<'c>>(&self, db: C, job: Job) -> Result<(), DbErr> {
        run(db.into_database_executor(), &self.options, job).await?;
        Ok(())
    }

    async fn is_installed<C: ConnectionTrait>(&self, db: &C) -> Result<bool, DbErr> {
        Ok(!tables::existing(db, &self.options, &[Table::Migrations]).await?.is_empty())
    }
}
