//! A processor in a process of its own, for tests that kill it.
//!
//! Prints `ready`, then a line with the number of delivered events whenever that changes, and at its end `stopped`
//! with its report. SIGTERM stops it gracefully.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "it talks to the test that started it")]

use std::env;
use std::time::Duration;

use outbox_kafka::KafkaPublisher;
use outbox_sea_orm::Outbox;
use sea_orm::{ConnectOptions, Database};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() {
    let mut options = ConnectOptions::new(env::var("DATABASE_URL").expect("DATABASE_URL"));
    options.sqlx_logging(false).max_connections(6);
    let db = Database::connect(options).await.expect("a database");
    let publisher = KafkaPublisher::connect(env::var("KAFKA_BROKERS").expect("KAFKA_BROKERS")).expect("a publisher");
    let outbox = Outbox::new(db);
    let builder = outbox.processor(publisher).from_env().expect("settings");
    let processor = builder.spawn().expect("settings in range");
    let mut terminate = signal(SignalKind::terminate()).expect("a signal handler");
    println!("ready");
    let mut delivered = 0;
    let mut look = tokio::time::interval(Duration::from_millis(50));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = look.tick() => {
                let Some(snapshot) = processor.snapshot().await else { break };
                if snapshot.counts.delivered != delivered {
                    delivered = snapshot.counts.delivered;
                    println!("{delivered}");
                }
            }
        }
    }
    let report = processor.shutdown().await.expect("a processor that could use the tables");
    println!("stopped delivered={} abandoned={}", report.counts.delivered, report.abandoned);
}
