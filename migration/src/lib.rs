//! The tables of a transactional outbox, as a SeaORM migration for PostgreSQL, MariaDB and SQLite.
//!
//! ```no_run
//! # async fn run(db: outbox_migration::sea_orm::DatabaseConnection) -> Result<(), outbox_migration::sea_orm::DbErr> {
//! outbox_migration::Migrator::up(&db, None).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | to | use |
//! |---|---|
//! | make the tables when a program starts | [`Migrator::up`] |
//! | choose prefix, schema, number of shards, payload column | [`OutboxMigrator`] with [`Options`] |
//! | have them made by your own migrator | [`migrations`], [`migrations_with`] |
//! | make them from the command line | `outbox-migrate up` (feature `cli`) |
//! | know whether they are there and fit | [`check`] |
//! | write SQL for them | [`TableNames`] |
//!
//! All of these may be mixed, repeated and run at once: tables that are there and fit are left as they are, and
//! tables that do not fit are a typed error and never changed.
//!
//! The features `postgres`, `mysql` and `sqlite` turn on SeaORM's drivers; a program that has them on already needs
//! none. What this crate does not do: it changes no table that an outbox did not make, and it never drops events
//! unless it is told to.

mod error;
mod meta;
mod migration;
mod migrator;
pub mod names;
mod options;
mod run;
mod sql;
mod standard;
mod tables;

pub use sea_orm_migration;
pub use sea_orm_migration::sea_orm;

pub use error::{CheckError, MigrateError, Mismatch};
pub use meta::{SCHEMA_VERSION, SchemaInfo, check};
pub use migration::{migrations, migrations_with};
pub use migrator::{OutboxMigrator, Status};
pub use names::{NameError, Table, TableNames};
pub use options::{Options, OptionsError, Payload};
pub use standard::Migrator;
