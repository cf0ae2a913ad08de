//! Making and dropping the tables, inside the transaction and under the lock of a [`run`](crate::run).

use std::collections::HashMap;
use std::time::SystemTime;

use sea_orm_migration::sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, TransactionTrait};

use crate::error::MigrateError;
use crate::meta::{self, query};
use crate::migration::name_of;
use crate::names::Table;
use crate::options::Options;
use crate::run::{Job, PATIENCE};
use crate::sql::{self, Step};

/// The order in which they are dropped: the one that says that all is there goes last.
const DROPPED: [Table; 9] = [
    Table::Event,
    Table::Scheduled,
    Table::Dead,
    Table::Parked,
    Table::Shard,
    Table::Processor,
    Table::Lock,
    Table::Gate,
    Table::Meta,
];

pub(crate) async fn perform(db: &DatabaseTransaction, options: &Options, job: Job) -> Result<bool, MigrateError> {
    if let (DbBackend::Sqlite, Some(schema)) = (db.get_database_backend(), options.names().schema()) {
        return Err(MigrateError::NoSchemas { schema: schema.to_owned() });
    }
    let work = Work { db, options, backend: db.get_database_backend() };
    match job {
        Job::Create => work.create().await,
        Job::Up => work.up().await,
        Job::Down => work.down().await,
        Job::Reset => Ok(work.down().await? | work.uninstall().await?),
        Job::Refresh => Ok(work.down().await? | work.up().await?),
        Job::Uninstall => work.uninstall().await,
    }
}

struct Work<'c> {
    db: &'c DatabaseTransaction,
    options: &'c Options,
    backend: DbBackend,
}

impl Work<'_> {
    async fn up(&self) -> Result<bool, MigrateError> {
        let created = self.create().await?;
        self.install().await?;
        let table = self.options.names().migrations(self.backend);
        let name = name_of(self.options);
        let recorded = self.holds_rows(&format!("{table} WHERE version = '{name}'")).await?;
        if !recorded {
            let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
            let sql = format!("INSERT INTO {table} (version, applied_at) VALUES ('{name}', {now})");
            self.step(&Step::new(format!("fill {table}"), sql)).await?;
        }
        Ok(created)
    }

    /// Nothing is executed, and no right is needed but to read, when there is nothing to do.
    async fn create(&self) -> Result<bool, MigrateError> {
        let existing = self.existing(&DROPPED).await?;
        if existing.contains(&Table::Meta) {
            if meta::compare(&self.own_meta().await?, self.options)? {
                return Ok(false);
            }
        } else if let Some(&table) = existing.first() {
            return Err(MigrateError::Foreign { table: self.options.names().sql(table, self.backend) });
        }
        self.create_schema().await?;
        let made_at = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros());
        for step in sql::create(self.options, self.backend, made_at)? {
            self.step(&step).await?;
        }
        tracing::info!(migration = name_of(self.options), "created the outbox's tables");
        Ok(true)
    }

    /// Asks first: `IF NOT EXISTS` wants the right to create one even when it exists.
    async fn create_schema(&self) -> Result<(), MigrateError> {
        let Some(schema) = self.options.names().schema() else { return Ok(()) };
        let (catalog, create) = match self.backend {
            DbBackend::Postgres => (
                format!("pg_catalog.pg_namespace WHERE nspname = '{schema}'"),
                format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\""),
            ),
            _ => (
                format!("information_schema.schemata WHERE schema_name = '{schema}'"),
                format!("CREATE DATABASE IF NOT EXISTS `{schema}` CHARACTER SET utf8mb4"),
            ),
        };
        if self.holds_rows(&catalog).await? {
            return Ok(());
        }
        self.step(&Step::new(format!("create schema {schema}"), create)).await
    }

    async fn down(&self) -> Result<bool, MigrateError> {
        let names = self.options.names();
        let existing = self.existing(&DROPPED).await?;
        let changed = existing.contains(&Table::Meta);
        if changed {
            meta::compare_version(&self.own_meta().await?)?;
            let result = self.drop_all(&existing).await;
            if self.backend == DbBackend::MySql {
                let unlocked = self.step(&Step::new("unlock the tables", "UNLOCK TABLES")).await;
                result.and(unlocked)?;
            } else {
                result?;
            }
            tracing::info!(migration = name_of(self.options), "dropped the outbox's tables");
        }
        if self.exists(Table::Migrations).await? {
            let table = names.migrations(self.backend);
            let sql = format!("DELETE FROM {table} WHERE version = '{}'", name_of(self.options));
            self.step(&Step::new(format!("delete from {table}"), sql)).await?;
        }
        Ok(changed)
    }

    /// From the look for events to the end nobody else can write one: the tables are locked where a transaction alone
    /// does not see to it.
    async fn drop_all(&self, existing: &[Table]) -> Result<(), MigrateError> {
        let names = self.options.names();
        let tables: Vec<(Table, String)> =
            DROPPED.iter().filter(|table| existing.contains(table)).map(|&table| (table, self.name(table))).collect();
        let list = |with: &str| tables.iter().map(|(_, name)| format!("{name}{with}")).collect::<Vec<_>>().join(", ");
        match self.backend {
            DbBackend::Postgres => {
                self.lock_on_postgres(&format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", list(""))).await?;
            }
            DbBackend::MySql => {
                self.step(&Step::new(
                    "lock the tables",
                    format!("LOCK TABLES {} WAIT {}", list(" WRITE"), PATIENCE.as_secs()),
                ))
                .await?;
            }
            _ => {}
        }
        if !self.options.drops_undelivered() {
            for (table, name) in &tables {
                if matches!(table, Table::Event | Table::Scheduled | Table::Dead) && self.holds_rows(name).await? {
                    return Err(MigrateError::Undelivered { table: name.clone() });
                }
            }
        }
        // From here on the tables count as incomplete, should the run be cut short, and as others when they are
        // completed.
        let meta = names.meta(self.backend);
        let sql = format!("DELETE FROM {meta} WHERE name IN ('schema_version', 'made_at')");
        self.step(&Step::new(format!("delete from {meta}"), sql)).await?;
        for (_, name) in &tables {
            self.step(&Step::new(format!("drop table {name}"), format!("DROP TABLE {name}"))).await?;
        }
        Ok(())
    }

    /// Programs that still run take these tables in orders of their own, so they and this can wait for each other: then
    /// one of them has to begin again, and that may be this.
    async fn lock_on_postgres(&self, sql: &str) -> Result<(), MigrateError> {
        const ATTEMPTS: usize = 10;
        let failed = |error| MigrateError::during("lock the tables")(error);
        for _ in 1..ATTEMPTS {
            let savepoint = self.db.begin().await.map_err(failed)?;
            match savepoint.execute_unprepared(sql).await {
                Ok(_) => return savepoint.commit().await.map_err(failed),
                Err(error) if is_deadlock(&error) => savepoint.rollback().await.map_err(failed)?,
                Err(error) => return Err(failed(error)),
            }
        }
        self.step(&Step::new("lock the tables", sql)).await
    }

    async fn install(&self) -> Result<bool, MigrateError> {
        if self.exists(Table::Migrations).await? {
            return Ok(false);
        }
        self.create_schema().await?;
        self.step(&sql::create_migrations(self.options, self.backend)?).await?;
        Ok(true)
    }

    async fn uninstall(&self) -> Result<bool, MigrateError> {
        if !self.exists(Table::Migrations).await? {
            return Ok(false);
        }
        let name = self.name(Table::Migrations);
        self.step(&Step::new(format!("drop table {name}"), format!("DROP TABLE {name}"))).await?;
        Ok(true)
    }

    /// The rows of `outbox_meta`, which must be there and an outbox's: empty only where a run was cut short.
    async fn own_meta(&self) -> Result<HashMap<String, String>, MigrateError> {
        let table = self.name(Table::Meta);
        let rows = meta::read(self.db, self.options.names()).await;
        let rows = rows.map_err(MigrateError::during(format!("read {table}")))?;
        if rows.is_empty() || rows.contains_key("hash") { Ok(rows) } else { Err(MigrateError::Foreign { table }) }
    }

    fn name(&self, table: Table) -> String {
        self.options.names().sql(table, self.backend)
    }

    async fn exists(&self, table: Table) -> Result<bool, MigrateError> {
        Ok(!self.existing(&[table]).await?.is_empty())
    }

    async fn existing(&self, tables: &[Table]) -> Result<Vec<Table>, MigrateError> {
        existing(self.db, self.options, tables).await
    }

    async fn holds_rows(&self, from: &str) -> Result<bool, MigrateError> {
        let rows = query(self.db, format!("SELECT 1 FROM {from} LIMIT 1"));
        Ok(!rows.await.map_err(MigrateError::during(format!("read {from}")))?.is_empty())
    }

    async fn step(&self, step: &Step) -> Result<(), MigrateError> {
        self.db.execute_unprepared(&step.sql).await.map_err(MigrateError::during(step.does.as_str()))?;
        Ok(())
    }
}

/// By its SQLSTATE: the message may be in any language.
fn is_deadlock(error: &DbErr) -> bool {
    format!("{error:?}").contains("\"40P01\"")
}

/// Which of `tables` are there, in the order of `tables`.
pub(crate) async fn existing<C: ConnectionTrait>(
    db: &C,
    options: &Options,
    tables: &[Table],
) -> Result<Vec<Table>, MigrateError> {
    let rows = query(db, sql::existing(options, tables, db.get_database_backend())).await;
    let found = rows
        .and_then(|rows| rows.iter().map(|row| row.try_get::<String>("", "name")).collect::<Result<Vec<_>, _>>())
        .map_err(MigrateError::during("look for the outbox's tables"))?;
    // Some servers keep names in lower case.
    let is_there = |name: String| found.iter().any(|found| found.eq_ignore_ascii_case(&name));
    Ok(tables.iter().copied().filter(|&table| is_there(options.names().bare(table))).collect())
}
