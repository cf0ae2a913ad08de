//! The migration itself, for splicing into another migrator.

use sea_orm_migration::sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use crate::options::Options;
use crate::run::{Job, run_on};

/// The outbox's migrations with default options, to append to those of your own migrator.
///
/// ```
/// use outbox_migration::sea_orm_migration::{MigrationTrait, MigratorTrait};
///
/// struct MyMigrator;
///
/// impl MigratorTrait for MyMigrator {
///     fn migrations() -> Vec<Box<dyn MigrationTrait>> {
///         let mut migrations: Vec<Box<dyn MigrationTrait>> = vec![/* your own */];
///         migrations.extend(outbox_migration::migrations());
///         migrations
///     }
/// }
/// ```
#[must_use]
pub fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    migrations_with(Options::default())
}

/// The outbox's migrations with these options. Those of another prefix or schema have other names, so one migrator
/// may hold several outboxes.
#[must_use]
pub fn migrations_with(options: Options) -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(CreateOutbox { name: name_of(&options), options })]
}

/// The name under which a migrator remembers the migration: never changed once released.
pub(crate) fn name_of(options: &Options) -> String {
    let names = options.names();
    let schema = names.schema().map_or_else(String::new, |schema| format!("{schema}."));
    format!("m20261101_000001_create_{schema}{}", names.prefix())
}

struct CreateOutbox {
    name: String,
    options: Options,
}

impl MigrationName for CreateOutbox {
    fn name(&self) -> &str {
        &self.name
    }
}

#[allow(elided_lifetimes_in_paths, reason = "the trait leaves it out, which here makes a difference")]
#[async_trait::async_trait]
impl MigrationTrait for CreateOutbox {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_on(manager.get_connection(), &self.options, Job::Create).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        run_on(manager.get_connection(), &self.options, Job::Down).await?;
        Ok(())
    }
}
