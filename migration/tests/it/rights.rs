//! Users who may not create tables.

use outbox_migration::sea_orm::DbErr;
use outbox_migration::{MigrateError, OutboxMigrator, Status, TableNames, check};

use crate::support::{Scratch, connect, execute, scratch, tables, unique};

/// Without the tables: a clear error. With them: `up` and `check` need no right but to read.
async fn only_reading(owner: &Scratch, url: &str, grant: &str) {
    let migrator = OutboxMigrator::default();
    let reader = connect(url).await;
    assert_eq!(migrator.status(&reader).await.unwrap(), Status::Missing);
    let error = migrator.up(&reader).await.unwrap_err();
    assert!(matches!(&error, MigrateError::Denied { action, .. } if action.starts_with("create table")), "{error:?}");
    let text = DbErr::from(error).to_string();
    assert!(text.contains("migrate as one who may create tables") && text.contains("denied"), "{text}");
    assert!(tables(&owner.db).await.is_empty());

    migrator.up(&owner.db).await.unwrap();
    execute(&owner.db, grant).await;
    let reader = connect(url).await;
    check(&reader, &TableNames::default()).await.unwrap();
    assert!(!migrator.up(&reader).await.unwrap());
    let error = migrator.down(&reader).await.unwrap_err();
    assert!(matches!(error, MigrateError::Denied { .. }), "{error:?}");
    check(&owner.db, &TableNames::default()).await.unwrap();
}

fn as_user(url: &str, user: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let server = rest.split_once('@').map_or(rest, |(_, server)| server);
    format!("{scheme}://{user}:{user}@{server}")
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    let Some(owner) = scratch("postgres").await else { return };
    let user = unique("reader");
    execute(&owner.db, &format!("CREATE ROLE {user} LOGIN PASSWORD '{user}'")).await;
    execute(&owner.db, "REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    only_reading(
        &owner,
        &as_user(&owner.url, &user),
        &format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb() {
    let Some(owner) = scratch("mariadb").await else { return };
    let user = unique("reader");
    let database = owner.url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    // A user sees a database only with some right in it. By both hosts, or a server's anonymous local user shadows it.
    let (by_any, by_local) = (format!("'{user}'@'%'"), format!("'{user}'@'localhost'"));
    for user_at in [&by_any, &by_local] {
        execute(&owner.db, &format!("CREATE USER {user_at} IDENTIFIED BY '{user}'")).await;
        execute(&owner.db, &format!("GRANT SELECT ON `{database}`.* TO {user_at}")).await;
    }
    let grant = format!("GRANT SELECT ON `{database}`.* TO {by_any}");
    only_reading(&owner, &as_user(&owner.url, &user), &grant).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    let Some(owner) = scratch("sqlite").await else { return };
    let reader = connect(&owner.url.replace("mode=rwc", "mode=ro")).await;
    let error = OutboxMigrator::default().up(&reader).await.unwrap_err();
    assert!(matches!(error, MigrateError::Denied { .. }), "{error:?}");
    OutboxMigrator::default().up(&owner.db).await.unwrap();
    check(&reader, &TableNames::default()).await.unwrap();
}
