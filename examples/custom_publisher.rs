//! A publisher of one's own: events that go to a partner's HTTP API, here a function that answers as one would.
//!
//! Three classes of failure say what the processor does: a *rejected* message is tried again and at last becomes a
//! dead letter; while the destination is *unreachable* or *throttled*, events wait and use up no attempt.
//! [`publish_fn`] keeps the rest of the contract (order, prefix, one outcome each); the trait [`Publisher`] is for
//! clients that batch.

#![allow(clippy::print_stdout, reason = "an example talks to its terminal")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use outbox_examples::Result;
use outbox_sea_orm::prelude::*;
use sea_orm::Database;
use serde::Serialize;
use tokio::time::{Instant, sleep};

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "invoice", topic = "invoices")]
enum InvoiceEvent {
    Issued {
        #[outbox(aggregate_id)]
        number: &'static str,
    },
}

/// The partner: answers 503 to its first request, never takes the invoice "cursed", and keeps what it took.
#[derive(Default)]
struct Partner {
    requests: Mutex<u32>,
    taken: Mutex<HashMap<EventId, String>>,
}

impl Partner {
    /// The id goes along as the idempotency key: delivery is at least once, and the receiver drops repeats.
    async fn post(&self, idempotency_key: EventId, invoice: &str) -> u16 {
        sleep(Duration::from_millis(5)).await;
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests += 1;
        if *requests == 1 {
            return 503;
        }
        if invoice == "cursed" {
            return 422;
        }
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(idempotency_key, invoice.to_owned());
        201
    }

    fn taken(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let db = Database::connect("sqlite::memory:").await?;
    Migrator::up(&db, None).await?;
    let outbox = Outbox::new(db);

    let partner = Arc::new(Partner::default());
    let api = Arc::clone(&partner);
    let publisher = publish_fn(move |message: Arc<Message>| {
        let api = Arc::clone(&api);
        async move {
            let invoice = message.envelope.key.as_deref().unwrap_or_default();
            let status = api.post(message.id(), invoice).await;
            println!("  POST {invoice}: {status}");
            match status {
                200..300 => Ok(()),
                429 => Err(PublishError::throttled("too many requests", None)),
                400..500 => Err(PublishError::rejected(format!("status {status}"))),
                _ => Err(PublishError::unreachable(format!("status {status}"))),
            }
        }
    });
    let retry = RetryPolicy::exponential().base(Duration::from_millis(50)).max_attempts(3);
    let processor = outbox.processor(publisher).retry(retry).spawn()?;

    let txn = outbox.begin().await?;
    for number in ["2026-001", "cursed", "2026-002"] {
        txn.stage_event(&InvoiceEvent::Issued { number })?;
    }
    txn.commit().await?;

    let store = outbox.store();
    let deadline = Instant::now() + Duration::from_secs(30);
    let dead = loop {
        let dead = store.dead_letters(None, 10).await?;
        if partner.taken() == 2 && dead.len() == 1 {
            break dead;
        }
        if Instant::now() > deadline {
            return Err(format!("{} invoices taken, {} dead letters", partner.taken(), dead.len()).into());
        }
        sleep(Duration::from_millis(20)).await;
    };
    processor.shutdown().await?;

    for letter in &dead {
        let (invoice, attempts) = (letter.envelope.key.as_deref().unwrap_or_default(), letter.attempts);
        println!("dead after {attempts} attempts: {invoice}, {}", letter.reason);
    }
    // The 503 was nobody's fault and counts for nobody.
    if dead.iter().all(|letter| letter.attempts == 3) { Ok(()) } else { Err("attempts were miscounted".into()) }
}
