//! The migrator that needs no options.

use sea_orm_migration::sea_orm::{ConnectionTrait, DbErr, DynIden};
use sea_orm_migration::{
    IntoSchemaManagerConnection, Migration, MigrationTrait, MigratorTrait, MigratorTraitSelf, async_trait,
    seaql_migrations,
};

use crate::migrator::OutboxMigrator;

/// Makes and drops the tables of an outbox with default options: prefix `outbox` in the connection's own schema, 64
/// shards, payloads as text. [`OutboxMigrator`] takes options, and says how both behave.
///
/// ```no_run
/// # async fn run(db: outbox_migration::sea_orm::DatabaseConnection) -> Result<(), outbox_migration::sea_orm::DbErr> {
/// outbox_migration::Migrator::up(&db, None).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Migrator;

/// The calls that most programs need, without an import of the trait.
impl Migrator {
    /// Make the tables, unless they are there. The same as [`MigratorTrait::up`].
    pub async fn up<'c, C: IntoSchemaManagerConnection<'c>>(db: C, steps: Option<u32>) -> Result<(), DbErr> {
        MigratorTraitSelf::up(&standard(), db, steps).await
    }

    /// Drop the tables, unless they hold events. The same as [`MigratorTrait::down`].
    pub async fn down<'c, C: IntoSchemaManagerConnection<'c>>(db: C, steps: Option<u32>) -> Result<(), DbErr> {
        MigratorTraitSelf::down(&standard(), db, steps).await
    }
}

fn standard() -> OutboxMigrator {
    OutboxMigrator::default()
}

/// There is one migration, so any number of `steps` but 0 means all.
#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        standard().migrations()
    }

    fn migration_table_name() -> DynIden {
        standard().migration_table_name()
    }

    async fn install<C: ConnectionTrait>(db: &C) -> Result<(), DbErr> {
        standard().install(db).await
    }

    async fn get_migration_models<C: ConnectionTrait>(db: &C) -> Result<Vec<seaql_migrations::Model>, DbErr> {
        standard().get_migration_models(db).await
    }

    async fn get_migration_with_status_read_only<C: ConnectionTrait>(db: &C) -> Result<Vec<Migration>, DbErr> {
        standard().get_migration_with_status_read_only(db).await
    }

    /// Drop the outbox's own tables, and nobody else's, and make them again.
    async fn fresh<'c, C: IntoSchemaManagerConnection<'c>>(db: C) -> Result<(), DbErr> {
        standard().fresh(db).await
    }

    async fn refresh<'c, C: IntoSchemaManagerConnection<'c>>(db: C) -> Result<(), DbErr> {
        standard().refresh(db).await
    }

    async fn reset<'c, C: IntoSchemaManagerConnection<'c>>(db: C) -> Result<(), DbErr> {
        standard().reset(db).await
    }

    async fn uninstall<'c, C: IntoSchemaManagerConnection<'c>>(db: C) -> Result<(), DbErr> {
        standard().uninstall(db).await
    }

    async fn up<'c, C: IntoSchemaManagerConnection<'c>>(db: C, steps: Option<u32>) -> Result<(), DbErr> {
        Self::up(db, steps).await
    }

    async fn down<'c, C: IntoSchemaManagerConnection<'c>>(db: C, steps: Option<u32>) -> Result<(), DbErr> {
        Self::down(db, steps).await
    }
}
