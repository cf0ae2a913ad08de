//! SeaORM's own machinery on top of an outbox: hooks and nested saves.

use std::sync::Arc;

use outbox_sea_orm::{Outbox, OutboxError, record};
use sea_orm::{ActiveModelTrait, ConnectionTrait, DbBackend, EntityTrait, TransactionTrait};
use tokio::sync::Notify;

use crate::fixtures::{Db, Thing, number, texts};

tokio::task_local! {
    /// The line that is refused waits for it.
    static OTHER: Arc<Notify>;
}

#[allow(unreachable_pub, reason = "the macro makes it so")]
mod purchase {
    use sea_orm::entity::prelude::*;

    use super::{Thing, record};

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "purchase")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub name: String,
        #[sea_orm(has_many)]
        pub lines: HasMany<super::line::Entity>,
    }

    #[async_trait::async_trait]
    impl ActiveModelBehavior for ActiveModel {
        async fn after_save<C: ConnectionTrait>(model: Model, db: &C, _insert: bool) -> Result<Model, DbErr> {
            record(db, &Thing::new(model.name.clone())).await?;
            // A hook may wait for something else than the database: here others come in between, also where `join!`
            // polls this one first in the next round.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            Ok(model)
        }
    }
}

#[allow(unreachable_pub, reason = "the macro makes it so")]
mod line {
    use sea_orm::entity::prelude::*;

    use super::{Arc, OTHER, Thing, record};

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "line")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub purchase_id: i64,
        pub text: String,
        #[sea_orm(belongs_to, from = "purchase_id", to = "id")]
        pub purchase: HasOne<super::purchase::Entity>,
    }

    #[async_trait::async_trait]
    impl ActiveModelBehavior for ActiveModel {
        async fn after_save<C: ConnectionTrait>(model: Model, db: &C, _insert: bool) -> Result<Model, DbErr> {
            record(db, &Thing::new(model.text.clone())).await?;
            if model.text == "refused" {
                if let Ok(other) = OTHER.try_with(Arc::clone) {
                    other.notified().await;
                }
                return Err(DbErr::Custom("refused".to_owned()));
            }
            Ok(model)
        }
    }
}

async fn outbox(db: &Db) -> Outbox {
    let outbox = db.outbox().await;
    let number = match outbox.inner().get_database_backend() {
        DbBackend::Postgres => "bigserial PRIMARY KEY",
        DbBackend::MySql => "BIGINT AUTO_INCREMENT PRIMARY KEY",
        _ => "INTEGER PRIMARY KEY AUTOINCREMENT",
    };
    for columns in [("purchase", "name varchar(99)"), ("line", "purchase_id bigint, text varchar(99)")] {
        let create = format!("CREATE TABLE {} (id {number}, {})", columns.0, columns.1);
        outbox.execute_unprepared(&create).await.unwrap();
    }
    outbox
}

async fn recorded(outbox: &Outbox) -> Vec<String> {
    texts(outbox, "SELECT payload FROM outbox_event ORDER BY seq").await
}

fn with_lines(name: &str, lines: &[&str]) -> purchase::ActiveModelEx {
    let mut model = purchase::ActiveModel::builder().set_name(name);
    for text in lines {
        model = model.add_line(line::ActiveModel::builder().set_text(*text));
    }
    model
}

on_every_database! {
    async fn a_hook_records_in_the_transaction_of_its_row(db) {
        let outbox = outbox(db).await;
        let row = || purchase::ActiveModel { name: sea_orm::Set("p".to_owned()), ..Default::default() };
        let txn = outbox.begin().await.unwrap();
        row().insert(&txn).await.unwrap();
        txn.rollback().await.unwrap();
        assert!(recorded(&outbox).await.is_empty());
        let txn = outbox.begin().await.unwrap();
        row().insert(&txn).await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(recorded(&outbox).await, ["\"p\""]);
        assert_eq!(purchase::Entity::find().all(&outbox).await.unwrap().len(), 1);
    }

    async fn nested_saves_are_tracked_savepoints(db) {
        let outbox = outbox(db).await;
        let txn = outbox.begin().await.unwrap();
        with_lines("p", &["one", "two"]).save(&txn).await.unwrap();
        txn.stage_event(&Thing::new("staged")).unwrap();
        // The second line fails, and takes its purchase and all their events along.
        with_lines("q", &["three", "refused"]).save(&txn).await.unwrap_err();
        txn.commit().await.unwrap();
        assert_eq!(recorded(&outbox).await, ["\"p\"", "\"one\"", "\"two\"", "\"staged\""]);
        assert_eq!(number(&outbox, "SELECT COUNT(*) FROM purchase").await, 1);
        assert_eq!(number(&outbox, "SELECT COUNT(*) FROM line").await, 2);
    }

    async fn nested_saves_begin_a_transaction_on_an_outbox(db) {
        let outbox = outbox(db).await;
        with_lines("p", &["one", "two"]).save(&outbox).await.unwrap();
        with_lines("q", &["three", "refused"]).save(&outbox).await.unwrap_err();
        assert_eq!(recorded(&outbox).await, ["\"p\"", "\"one\"", "\"two\""]);
        assert_eq!(number(&outbox, "SELECT COUNT(*) FROM purchase").await, 1);
    }

    async fn nested_saves_under_join(db) {
        let outbox = outbox(db).await;
        let purchases = "SELECT COUNT(*) FROM purchase";
        let saved = Arc::new(Notify::new());
        // Plain: one is saved inside the savepoint of the other, and goes with it, although its save said Ok.
        let txn = outbox.inner().begin().await.unwrap();
        let save_p = async {
            let result = with_lines("p", &["one"]).save(&txn).await;
            saved.notify_one();
            result
        };
        let save_q = with_lines("q", &["refused"]).save(&txn);
        let (p, q) = tokio::join!(save_p, OTHER.scope(Arc::clone(&saved), save_q));
        p.unwrap();
        q.unwrap_err();
        txn.commit().await.unwrap();
        assert_eq!(number(&outbox, purchases).await, 0);

        let txn = outbox.begin().await.unwrap();
        let (p, q) = tokio::join!(with_lines("p", &["one"]).save(&txn), with_lines("q", &["two"]).save(&txn));
        p.unwrap();
        let error = q.unwrap_err();
        assert!(matches!(OutboxError::of(&error), Some(OutboxError::NotInnermost)), "{error}");
        txn.commit().await.unwrap();
        assert_eq!(recorded(&outbox).await, ["\"p\"", "\"one\""]);
        assert_eq!(number(&outbox, purchases).await, 1);
        assert_eq!(number(&outbox, "SELECT COUNT(*) FROM line").await, 1);
    }
}
