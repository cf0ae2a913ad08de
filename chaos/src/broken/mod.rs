//! Relays with the mistakes that relays have. The suite must catch every one of them, or it proves nothing.
//!
//! Each is a wrapper around the store or the publisher of a processor that is right.

mod publishers;
mod stores;

use std::time::Duration;

use outbox_core::processor::{Processor, ProcessorBuilder};
use outbox_kafka::KafkaPublisherBuilder;
use outbox_sea_orm::Outbox;

use crate::judge::Verdict;
use crate::profile;
use publishers::{AckEarly, CountsOutages, JoinAll};
use stores::{LAG, Mark, NoFence};

/// A mistake, by the name that `--broken` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Reports events as delivered when it has them, before the broker does.
    AckBeforeSend,
    /// Never looks whether its leases are still its own: reads and settles under whoever's they are.
    NoFence,
    /// Reads behind the highest number that it has seen.
    Cursor,
    /// Reads behind what it saw some time ago, whoever may still be writing below that.
    MarkByTime,
    /// Counts an outage of the broker as the event's fault.
    CountsOutages,
    /// Sends all at once and tries again where the client's queue is full.
    JoinAll,
    /// Reports events as delivered when it has them, and does not wait for the broker when it is told to stop.
    NoFlush,
}

/// How a mistake shows.
pub(crate) struct Trial {
    /// What happens meanwhile.
    pub(crate) kinds: &'static [&'static str],
    /// What must be found, and how to tell.
    pub(crate) shows: &'static str,
    pub(crate) is_found: fn(&Verdict) -> bool,
}

impl Broken {
    pub(crate) const ALL: [Self; 7] = [
        Self::AckBeforeSend,
        Self::NoFence,
        Self::Cursor,
        Self::MarkByTime,
        Self::CountsOutages,
        Self::JoinAll,
        Self::NoFlush,
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|broken| broken.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AckBeforeSend => "ack-before-send",
            Self::NoFence => "no-fence",
            Self::Cursor => "cursor",
            Self::MarkByTime => "mark-by-time",
            Self::CountsOutages => "counts-outages",
            Self::JoinAll => "join-all",
            Self::NoFlush => "no-flush",
        }
    }

    pub(crate) fn trial(self) -> Trial {
        let trial = |kinds, shows, is_found| Trial { kinds, shows, is_found };
        match self {
            Self::AckBeforeSend => trial(&["kill a processor", "latency"], "lost", lost),
            Self::NoFence => trial(&["pause a processor"], "repeats without a cause", repeats),
            // Nothing else: whoever takes a shard over finds what was passed over.
            Self::Cursor | Self::MarkByTime => trial(&["stalled writer"], "lost, stuck or out of order", passed_over),
            Self::CountsOutages => trial(&["crash kafka"], "dead without a reason", dead),
            Self::JoinAll => trial(&["latency"], "out of order", misordered),
            Self::NoFlush => trial(&["replace a processor", "latency"], "lost", lost),
        }
    }

    /// The processor with the mistake.
    pub(crate) fn assemble(self, outbox: &Outbox, kafka: KafkaPublisherBuilder) -> anyhow::Result<ProcessorBuilder> {
        let store = outbox.store();
        Ok(match self {
            Self::AckBeforeSend => outbox.processor(AckEarly::new(profile::kafka(kafka)?, true)),
            Self::NoFlush => outbox.processor(AckEarly::new(profile::kafka(kafka)?, false)),
            Self::CountsOutages => {
                let impatient = kafka.delivery_timeout(Duration::from_secs(1));
                outbox.processor(CountsOutages(profile::kafka(impatient)?))
            }
            Self::JoinAll => outbox.processor(JoinAll::connect(&std::env::var("KAFKA_BROKERS")?)?),
            Self::NoFence => {
                let store = NoFence::new(store, outbox.inner().clone());
                Processor::builder(store, profile::kafka(kafka)?)
            }
            Self::Cursor => Processor::builder(Mark::at_once(store), profile::kafka(kafka)?),
            Self::MarkByTime => Processor::builder(Mark::after(store, LAG), profile::kafka(kafka)?),
        })
    }
}

fn lost(verdict: &Verdict) -> bool {
    !verdict.findings.lost.is_empty()
}

fn dead(verdict: &Verdict) -> bool {
    !verdict.findings.dead.is_empty()
}

fn misordered(verdict: &Verdict) -> bool {
    !verdict.findings.misordered.is_empty()
}

fn passed_over(verdict: &Verdict) -> bool {
    lost(verdict) || misordered(verdict) || verdict.stuck > 0
}

fn repeats(verdict: &Verdict) -> bool {
    !verdict.unexplained.is_empty()
}
