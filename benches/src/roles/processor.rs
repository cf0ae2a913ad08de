use anyhow::Context;
use outbox_kafka::KafkaPublisher;
use outbox_sea_orm::Outbox;
use serde::{Deserialize, Serialize};

use super::complaints::Complaints;
use super::{DONE, READY, own_usage, told_to_stop};
use crate::machine::Usage;
use crate::servers::connect;

/// A processor as a program of its own would run it: with defaults, and the `OUTBOX_*` variables.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Relay {
    pub(crate) database: String,
    pub(crate) brokers: String,
}

/// What a processor did.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Processed {
    pub(crate) usage: Usage,
    pub(crate) delivered: u64,
    pub(crate) abandoned: usize,
    /// Lines of log.
    pub(crate) warnings: u64,
    pub(crate) errors: u64,
}

impl Relay {
    pub(super) async fn play(self) -> anyhow::Result<()> {
        let complaints = Complaints::count()?;
        // SeaORM's own number of connections; it opens them as they are needed.
        let outbox = Outbox::new(connect(&self.database, 10).await?);
        // Whatever the environment says, no other broker gets these events.
        let publisher =
            KafkaPublisher::builder(&self.brokers).from_env()?.set("bootstrap.servers", &self.brokers).build()?;
        let processor = outbox.processor(publisher).from_env()?.spawn()?;
        println!("{READY}");
        told_to_stop().await;
        let report = processor.shutdown().await.context("the processor could not go on")?;
        let done = Processed {
            usage: own_usage(),
            delivered: report.counts.delivered,
            abandoned: report.abandoned,
            warnings: complaints.warnings(),
            errors: complaints.errors(),
        };
        println!("{DONE} {}", serde_json::to_string(&done)?);
        Ok(())
    }
}
