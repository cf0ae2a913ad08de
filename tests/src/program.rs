//! What a processor's process does.

use std::env;
use std::time::Duration;

use outbox_core::processor::ProcessorBuilder;
use outbox_kafka::{KafkaPublisher, KafkaPublisherBuilder};
use outbox_sea_orm::Outbox;
use sea_orm::{ConnectOptions, Database};
use tokio::signal::unix::{SignalKind, signal};

/// Runs a processor on `DATABASE_URL` and `KAFKA_BROKERS` until SIGTERM, which stops it gracefully. Neither server
/// needs to be there yet.
///
/// Prints `ready`, then a line with the number of delivered events whenever that changes, and at its end `stopped`
/// with its report.
///
/// # Panics
///
/// When the environment is not complete, a setting is out of range, or the tables cannot be used.
#[expect(clippy::print_stdout, reason = "it talks to the test that started it")]
pub async fn run_processor(assemble: impl FnOnce(&Outbox, KafkaPublisherBuilder) -> ProcessorBuilder) {
    let mut options = ConnectOptions::new(env::var("DATABASE_URL").expect("DATABASE_URL"));
    options.sqlx_logging(false).max_connections(6).connect_lazy(true).acquire_timeout(Duration::from_secs(5));
    let db = Database::connect(options).await.expect("a pool");
    let kafka = KafkaPublisher::builder(env::var("KAFKA_BROKERS").expect("KAFKA_BROKERS"));
    let builder = assemble(&Outbox::new(db), kafka).from_env().expect("settings");
    let mut terminate = signal(SignalKind::terminate()).expect("a signal handler");
    let processor = builder.spawn().expect("settings in range");
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
