//! Savepoints: an event lives and dies exactly like a row that is written at the same point.
//!
//! A batch is imported in one transaction. Each line has a savepoint of its own, and a line that cannot be imported
//! takes its row and its event back, and nothing else.

#![allow(clippy::print_stdout, reason = "an example talks to its terminal")]

use std::time::Duration;

use outbox_examples::Result;
use outbox_sea_orm::OutboxError;
use outbox_sea_orm::prelude::*;
use sea_orm::{ConnectionTrait, Database, DbErr, TransactionError};
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "customer", topic = "customers")]
enum CustomerEvent {
    Imported {
        #[outbox(aggregate_id)]
        email: &'static str,
    },
}

async fn import(txn: &OutboxTransaction, email: &'static str) -> Result<(), DbErr> {
    txn.stage_event(&CustomerEvent::Imported { email })?;
    // A second one with this address violates the primary key, after its event was staged.
    txn.execute_unprepared(&format!("INSERT INTO customer (email) VALUES ('{email}')")).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let db = Database::connect("sqlite::memory:").await?;
    Migrator::up(&db, None).await?;
    db.execute_unprepared("CREATE TABLE customer (email TEXT PRIMARY KEY)").await?;
    let outbox = Outbox::new(db);

    let txn = outbox.begin().await?;
    for email in ["ada@example.org", "bob@example.org", "ada@example.org", "cyd@example.org"] {
        match txn.transaction_async(async |savepoint: &OutboxTransaction| import(savepoint, email).await).await {
            Ok(()) => println!("{email}: imported"),
            Err(TransactionError::Transaction(_)) => println!("{email}: skipped"),
            Err(TransactionError::Connection(error)) => return Err(error.into()),
        }
    }
    println!("{} events are staged", txn.staged().len());

    // While a savepoint is open, the transaction around it is out of bounds: the database would take the statement
    // for one of the savepoint. Plain SeaORM lets this pass, and loses the row with the savepoint.
    let savepoint = txn.begin().await?;
    match txn.execute_unprepared("INSERT INTO customer (email) VALUES ('dee@example.org')").await {
        Err(error) if matches!(OutboxError::of(&error), Some(OutboxError::NotInnermost)) => {
            println!("refused: {error}");
        }
        _ => return Err("a statement slipped into a savepoint that is not its own".into()),
    }
    drop(savepoint);
    txn.commit().await?;

    let sent = MemoryPublisher::new();
    let processor = outbox.processor(sent.clone()).spawn()?;
    sent.wait_for(3, Duration::from_secs(30)).await?;
    processor.shutdown().await?;

    let mut keys: Vec<_> = sent.messages().iter().filter_map(|message| message.envelope.key.clone()).collect();
    keys.sort();
    println!("published: {keys:?}");
    if keys != ["ada@example.org", "bob@example.org", "cyd@example.org"] {
        return Err("the events do not match the rows".into());
    }
    Ok(())
}
