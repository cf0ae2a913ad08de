//! Stopping without repeating: on SIGTERM or Ctrl-C the processor reads nothing more, waits for what the broker has
//! been given, writes back what was delivered, and hands its shards to whoever comes next.
//!
//! What was not delivered stays in the outbox. Here, the broker is slow, the first processor is stopped in the middle,
//! and a second one does the rest.

#![allow(clippy::print_stdout, reason = "an example talks to its terminal")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outbox_examples::Result;
use outbox_sea_orm::prelude::*;
use sea_orm::Database;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::timeout;

const EVENTS: u64 = 200;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "sensor", topic = "readings")]
struct SensorRead {
    #[outbox(aggregate_id)]
    sensor: u64,
    value: u64,
}

/// SIGTERM is what service managers and orchestrators send; Ctrl-C is for terminals.
async fn signal() -> Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => {}
            pressed = tokio::signal::ctrl_c() => pressed?,
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let db = Database::connect("sqlite::memory:").await?;
    Migrator::up(&db, None).await?;
    let outbox = Outbox::new(db);

    let txn = outbox.begin().await?;
    txn.stage_all((0..EVENTS).map(|n| SensorRead { sensor: n % 20, value: n }))?;
    txn.commit().await?;

    let (published, enough) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let (counter, middle) = (Arc::clone(&published), Arc::clone(&enough));
    let slow = publish_fn(move |_: Arc<Message>| {
        let (counter, middle) = (Arc::clone(&counter), Arc::clone(&middle));
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if counter.fetch_add(1, Ordering::Relaxed) + 1 >= EVENTS / 4 {
                middle.notify_one();
            }
            Ok(())
        }
    });
    // A batch is as much as it will wait for.
    let processor = outbox.processor(slow).window(40).shutdown_deadline(Duration::from_secs(10)).spawn()?;

    // A service waits for the signal alone. This one is also stopped by itself, in the middle.
    tokio::select! {
        received = signal() => received?,
        in_the_middle = timeout(Duration::from_secs(30), enough.notified()) => in_the_middle?,
    }
    let first = processor.shutdown().await?;
    let sent = published.load(Ordering::Relaxed);
    println!("stopped: {} delivered and settled, {} abandoned", first.counts.delivered, first.abandoned);

    let rest = Arc::clone(&published);
    let quick = publish_fn(move |_: Arc<Message>| {
        rest.fetch_add(1, Ordering::Relaxed);
        async { Ok(()) }
    });
    // Publishes what is due and stops, which also suits a scheduled job.
    let second = outbox.processor(quick).build()?.run_once(usize::MAX).await?;
    println!("the next one: {} delivered", second.counts.delivered);

    // Nothing was published twice, and nothing is missing.
    let total = published.load(Ordering::Relaxed);
    println!("{sent} + {} = {total} of {EVENTS} published", total - sent);
    let complete = total == EVENTS && first.abandoned == 0 && first.counts.delivered == sent && sent < EVENTS;
    if complete { Ok(()) } else { Err("the hand-over was not clean".into()) }
}
