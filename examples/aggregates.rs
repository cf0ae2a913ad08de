//! An aggregate that collects its own events. Domain code says what happened; whoever saves the aggregate stages it.
//!
//! The events leave the aggregate when they are staged, and come back with their ids if the transaction does not
//! commit, so that saving it again is enough.

#![allow(clippy::print_stdout, reason = "an example talks to its terminal")]

use std::time::Duration;

use outbox_examples::Result;
use outbox_sea_orm::prelude::*;
use sea_orm::{ConnectionTrait, Database, DbErr};
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "account", topic = "accounts")]
enum AccountEvent {
    Opened {
        #[outbox(aggregate_id)]
        account_id: i64,
        #[outbox(aggregate_version)]
        version: i64,
    },
    Deposited {
        #[outbox(aggregate_id)]
        account_id: i64,
        #[outbox(aggregate_version)]
        version: i64,
        cents: i64,
    },
}

/// The domain: no database, no broker, no transaction.
struct Account {
    id: i64,
    version: i64,
    cents: i64,
    pending: PendingEvents,
}

impl Account {
    fn open(id: i64) -> Self {
        let mut account = Self { id, version: 1, cents: 0, pending: PendingEvents::new() };
        account.pending.record(AccountEvent::Opened { account_id: id, version: 1 });
        account
    }

    fn deposit(&mut self, cents: i64) {
        self.cents += cents;
        self.version += 1;
        self.pending.record(AccountEvent::Deposited { account_id: self.id, version: self.version, cents });
    }
}

impl AggregateRoot for Account {
    fn pending_events(&mut self) -> &mut PendingEvents {
        &mut self.pending
    }
}

/// The repository: the row and whatever happened to it, in the caller's transaction.
async fn save(txn: &OutboxTransaction, account: &mut Account) -> Result<(), DbErr> {
    let Account { id, version, cents, .. } = account;
    txn.execute_unprepared(&format!("REPLACE INTO account (id, version, cents) VALUES ({id}, {version}, {cents})"))
        .await?;
    txn.stage_events_of(account)?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let db = Database::connect("sqlite::memory:").await?;
    Migrator::up(&db, None).await?;
    db.execute_unprepared("CREATE TABLE account (id INTEGER PRIMARY KEY, version INTEGER, cents INTEGER)").await?;
    let outbox = Outbox::new(db);

    let mut account = Account::open(7);
    account.deposit(1000);
    let happened = account.pending.ids();

    let txn = outbox.begin().await?;
    save(&txn, &mut account).await?;
    println!("{} events pending while the transaction is open", account.pending.len());
    txn.rollback().await?;
    println!("{} events pending after it was rolled back, with the same ids", account.pending.len());
    if account.pending.ids() != happened {
        return Err("the events did not come back as they were".into());
    }

    account.deposit(500);
    let txn = outbox.begin().await?;
    save(&txn, &mut account).await?;
    txn.commit().await?;
    println!("{} events pending after the commit", account.pending.len());

    let sent = MemoryPublisher::new();
    let processor = outbox.processor(sent.clone()).spawn()?;
    let messages = sent.wait_for(3, Duration::from_secs(30)).await?;
    processor.shutdown().await?;

    for message in &messages {
        let payload = message.envelope.payload.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        println!("{} {payload}", message.envelope.event_type);
    }
    let versions: Vec<_> = messages.iter().filter_map(|message| message.envelope.aggregate_version).collect();
    let same = messages.iter().take(2).map(|message| message.id()).eq(happened);
    if versions != [1, 2, 3] || !same { Err("the events do not match the commits".into()) } else { Ok(()) }
}
