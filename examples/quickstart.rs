//! Orders and their events in SQLite, delivered to Kafka and read back: all in one process, nothing to install.
//!
//! ```sh
//! cargo run --example quickstart
//! ```
//!
//! The Kafka broker is the one that librdkafka brings along for tests. It speaks the real protocol over a socket, and
//! it is taken down and up again while orders come in.

#![allow(clippy::print_stdout, reason = "this program talks to its terminal")]

use outbox_examples::{Events, Inbox, Result};
use outbox_sea_orm::prelude::*;
use rdkafka::mocking::MockCluster;
use sea_orm::{ActiveModelTrait, ConnectionTrait, Database, EntityTrait, PaginatorTrait, Schema, Set};
use serde::Serialize;

/// What the shop tells the world. Everything about delivery is said here, once.
#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
enum OrderEvent {
    Placed {
        #[outbox(aggregate_id)]
        order_id: i64,
        total_cents: i64,
    },
    Paid {
        #[outbox(aggregate_id)]
        order_id: i64,
    },
    Shipped {
        #[outbox(aggregate_id)]
        order_id: i64,
    },
}

/// An ordinary SeaORM entity. It knows nothing of events.
#[allow(unreachable_pub, reason = "SeaORM derives public items")]
mod order {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "shop_order")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub total_cents: i64,
        pub state: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let db = Database::connect(format!("sqlite://{}?mode=rwc", folder.path().join("shop.sqlite").display())).await?;
    Migrator::up(&db, None).await?;
    db.execute(&Schema::new(db.get_database_backend()).create_table_from_entity(order::Entity)).await?;
    let outbox = Outbox::new(db);

    let kafka = MockCluster::new(1)?;
    kafka.create_topic("orders", 3, 1)?;
    let processor = outbox.processor(KafkaPublisher::connect(kafka.bootstrap_servers())?).spawn()?;
    let mut inbox = Inbox::open(&kafka.bootstrap_servers(), "orders", 3)?;

    println!("Two orders are placed, paid and shipped: six transactions, an event in each.");
    let mut committed = Events::new();
    for total_cents in [1999, 4500] {
        sell(&outbox, total_cents, &mut committed).await?;
    }
    inbox.wait_for(&committed).await?;

    println!("One order is rolled back: neither its row nor its event was ever there.");
    let txn = outbox.begin().await?;
    place(&txn, 666).await?;
    txn.rollback().await?;

    println!("The broker goes down. The shop takes two more orders, and does not notice.");
    kafka.broker_down(1)?;
    for total_cents in [250, 12_000] {
        sell(&outbox, total_cents, &mut committed).await?;
    }
    println!("The broker comes back.");
    kafka.broker_up(1)?;
    inbox.wait_for(&committed).await?;

    let report = processor.shutdown().await?;
    inbox.read_to_the_end().await?;

    let rows = order::Entity::find().count(&outbox).await?;
    let staged: usize = committed.values().map(Vec::len).sum();
    let in_order = committed.iter().filter(|(order, events)| inbox.events().get(*order) == Some(*events)).count();
    println!("{rows} orders and {staged} events committed; 1 order rolled back.");
    println!("{} events delivered; {in_order} orders received completely and in order.", report.counts.delivered);
    println!("{} repeats.", inbox.repeats());
    if inbox.events() != &committed || rows != 4 {
        return Err("what was received is not what was committed".into());
    }
    Ok(())
}

/// Three transactions. Each changes a row and says so, or does neither.
async fn sell(outbox: &Outbox, total_cents: i64, committed: &mut Events) -> Result<()> {
    let txn = outbox.begin().await?;
    let (order_id, placed) = place(&txn, total_cents).await?;
    txn.commit().await?;

    let mut ids = vec![placed];
    for (state, event) in [("paid", OrderEvent::Paid { order_id }), ("shipped", OrderEvent::Shipped { order_id })] {
        let txn = outbox.begin().await?;
        let change = order::ActiveModel { id: Set(order_id), state: Set(state.to_owned()), ..Default::default() };
        change.update(&txn).await?;
        ids.push(txn.stage_event(&event)?);
        txn.commit().await?;
    }
    committed.insert(order_id.to_string(), ids);
    Ok(())
}

/// A row and an event, in a transaction that the caller ends.
async fn place(txn: &OutboxTransaction, total_cents: i64) -> Result<(i64, EventId)> {
    let row =
        order::ActiveModel { total_cents: Set(total_cents), state: Set("placed".to_owned()), ..Default::default() };
    let order_id = row.insert(txn).await?.id;
    let event = txn.stage_event(&OrderEvent::Placed { order_id, total_cents })?;
    Ok((order_id, event))
}
