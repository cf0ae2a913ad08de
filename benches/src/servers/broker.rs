use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use uuid::Uuid;

use super::{address, local_port};
use crate::machine::listener;

const REQUEST: Duration = Duration::from_secs(20);

/// Partitions of every topic.
pub(crate) const PARTITIONS: i32 = 12;

/// The Kafka server.
#[derive(Debug, Clone)]
pub(crate) struct Broker {
    pub(crate) brokers: String,
    /// The server, when it runs on this machine.
    pub(crate) pid: Option<u32>,
}

impl Broker {
    pub(crate) fn find() -> anyhow::Result<Self> {
        let brokers = address("OUTBOX_TEST_KAFKA_BROKERS")?;
        let pid = local_port(&brokers).and_then(listener);
        Ok(Self { brokers, pid })
    }

    /// A new topic, known to the broker's clients when this returns.
    pub(crate) async fn topic(&self) -> anyhow::Result<String> {
        let admin = self.admin()?;
        let name = format!("outbox-bench-{}", Uuid::now_v7());
        let topic = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1)).set("max.message.bytes", "4194304");
        let options = AdminOptions::new().request_timeout(Some(REQUEST));
        for result in admin.create_topics([&topic], &options).await.context("no answer from the broker")? {
            result.map_err(|(topic, code)| anyhow::anyhow!("cannot create {topic}: {code}"))?;
        }
        let started = Instant::now();
        while started.elapsed() < REQUEST {
            let metadata = admin.inner().fetch_metadata(Some(&name), REQUEST)?;
            let led = metadata.topics().iter().flat_map(|topic| topic.partitions()).filter(|p| p.leader() >= 0);
            if led.count() == PARTITIONS as usize {
                return Ok(name);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the broker does not show the topic that it created")
    }

    /// Frees the disk.
    pub(crate) async fn remove(&self, topic: &str) -> anyhow::Result<()> {
        self.admin()?.delete_topics(&[topic], &AdminOptions::new().request_timeout(Some(REQUEST))).await?;
        Ok(())
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        let mut addresses = self.brokers.to_socket_addrs().with_context(|| self.brokers.clone())?;
        addresses.next().with_context(|| format!("{} is no address", self.brokers))
    }

    fn admin(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        Ok(ClientConfig::new().set("bootstrap.servers", &self.brokers).create()?)
    }
}
