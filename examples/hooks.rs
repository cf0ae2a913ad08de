//! Events from the hooks of an entity: every save of a product announces its price, whoever saves it.
//!
//! A hook sees nothing but a `ConnectionTrait`, so it cannot stage. [`record`] writes the event at once, through that
//! connection, into the same transaction or savepoint as the row.

#![allow(clippy::print_stdout, reason = "an example talks to its terminal")]

use std::time::Duration;

use outbox_examples::Result;
use outbox_sea_orm::prelude::*;
use sea_orm::{ActiveModelTrait, ConnectionTrait, Database, IntoActiveModel, Schema, Set};
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "product", topic = "products")]
struct PriceSet {
    #[outbox(aggregate_id)]
    product_id: i64,
    cents: i64,
}

#[allow(unreachable_pub, reason = "SeaORM derives public items")]
mod product {
    use sea_orm::entity::prelude::*;

    use super::{PriceSet, record};

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "product")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub cents: i64,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    #[async_trait::async_trait]
    impl ActiveModelBehavior for ActiveModel {
        /// After the row is written, never before: its lock then keeps other writers of this product, and so their
        /// events, behind this one.
        async fn after_save<C: ConnectionTrait>(model: Model, db: &C, _insert: bool) -> Result<Model, DbErr> {
            record(db, &PriceSet { product_id: model.id, cents: model.cents }).await?;
            Ok(model)
        }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let db = Database::connect("sqlite::memory:").await?;
    Migrator::up(&db, None).await?;
    db.execute(&Schema::new(db.get_database_backend()).create_table_from_entity(product::Entity)).await?;
    let outbox = Outbox::new(db);

    // In a transaction: without one, the row and the event of its hook would be two commits.
    let txn = outbox.begin().await?;
    let product = product::ActiveModel { cents: Set(500), ..Default::default() }.insert(&txn).await?;
    txn.commit().await?;

    // The hook of a change that is rolled back leaves nothing behind.
    let txn = outbox.begin().await?;
    let mut change = product.clone().into_active_model();
    change.cents = Set(1);
    change.update(&txn).await?;
    txn.rollback().await?;

    let txn = outbox.begin().await?;
    let mut change = product.into_active_model();
    change.cents = Set(450);
    change.update(&txn).await?;
    txn.commit().await?;

    let sent = MemoryPublisher::new();
    let processor = outbox.processor(sent.clone()).spawn()?;
    let messages = sent.wait_for(2, Duration::from_secs(30)).await?;
    processor.shutdown().await?;

    for message in &messages {
        let payload = message.envelope.payload.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        println!("{}: {payload}", message.envelope.event_type);
    }
    let prices: Vec<_> = messages.iter().filter_map(|message| message.envelope.payload.as_deref()).collect();
    if prices != [br#"{"product_id":1,"cents":500}"#.as_slice(), br#"{"product_id":1,"cents":450}"#] {
        return Err("the events do not match the commits".into());
    }
    Ok(())
}
