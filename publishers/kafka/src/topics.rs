//! Which topics exist, and how many partitions they have.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::Metadata;
use rdkafka::producer::Producer as _;

use crate::error::code_of;
use crate::pipeline::Pipeline;
use crate::session::{Lane, Session};
use crate::solo::Solo;

/// Longest wait for an answer; messages of a topic that nobody answers for go alone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks about topics that the session does not know yet.
///
/// A message is pipelined only to a topic that exists: librdkafka fails messages for a missing one as they come, and
/// if it is created meanwhile, later messages pass earlier ones.
pub(crate) async fn learn(session: &Arc<Session<Pipeline>>, mut topics: BTreeSet<String>) {
    topics.retain(|topic| !session.lane.knows(topic) && session.lane.may_ask(topic));
    if topics.is_empty() {
        return;
    }
    let session = Arc::clone(session);
    let asking = tokio::task::spawn_blocking(move || {
        for topic in topics {
            match ask(&*session.lane, Some(&topic), PATIENCE) {
                Ok(metadata) => match partitions(&metadata, &topic) {
                    Some(partitions) => session.lane.learn(&topic, partitions),
                    None => session.lane.did_not_learn(&topic),
                },
                // Nobody answers, so it would be the same for the other topics.
                Err(_) => return session.lane.did_not_learn(&topic),
            }
        }
    });
    if let Err(error) = asking.await {
        tracing::error!(%error, "topics could not be looked up");
    }
}

/// Asks about topics that did not exist when the session last tried them; librdkafka takes note of the answer.
pub(crate) async fn find<'a>(session: &Arc<Session<Solo>>, topics: impl Iterator<Item = &'a str>) {
    let missing = session.lane.missing(topics.collect::<BTreeSet<_>>());
    if missing.is_empty() {
        return;
    }
    let session = Arc::clone(session);
    let asking = tokio::task::spawn_blocking(move || {
        for topic in missing {
            match ask(&*session.lane, Some(&topic), PATIENCE) {
                Ok(metadata) if partitions(&metadata, &topic).is_some() => session.lane.found(&topic),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    });
    if let Err(error) = asking.await {
        tracing::error!(%error, "topics could not be looked up");
    }
}

/// Fetches metadata about `topic` or all topics. Blocks up to `patience`.
pub(crate) fn ask<L: Lane>(lane: &L, topic: Option<&str>, patience: Duration) -> Result<Metadata, RDKafkaErrorCode> {
    let producer = lane.gate().producer().ok_or(RDKafkaErrorCode::DestroyBroker)?;
    producer.client().fetch_metadata(topic, patience).map_err(|error| code_of(&error))
}

fn partitions(metadata: &Metadata, topic: &str) -> Option<usize> {
    let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none())?;
    Some(found.partitions().len()).filter(|partitions| *partitions > 0)
}
