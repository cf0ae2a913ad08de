//! What to do next, decided without doing it.
//!
//! The engine is a state machine: events go in ([`Engine::handle`]), effects come out ([`Engine::poll`]). It has no
//! clock, no source of chance but its seed, and does no I/O, so that a run can be replayed exactly. The processor is
//! the thin shell that carries effects out.

mod destination;
mod dispatch;
mod hash;
mod hold;
mod key;
mod lane;
mod leases;
mod pace;
mod reach;
mod reading;
mod settling;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod topics;
mod traffic;
mod waiting;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use self::destination::Destination;
use self::dispatch::Flight;
use self::hash::Map;
use self::key::Key;
use self::lane::Lane;
use self::leases::Leases;
use self::pace::{Call, Pace};
use self::reach::Standing;
use self::topics::Topics;
use self::window::Window;
use crate::message::Message;
use crate::publisher::{Outcome, Partition, PublishError};
use crate::retry::RetryRules;
use crate::shard::Shard;
use crate::store::{
    Lease, LeaseReply, LeaseRequest, Reach, ReadReply, ReadRequest, SettleReply, SettleRequest, StoreError,
};

/// How an engine works. Checked by whoever makes it.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Most events in a read, and in a batch for the publisher.
    pub batch_size: usize,
    /// Most events published and not settled.
    pub window: usize,
    /// Most bytes with the publisher, beside one more event; half as much again may be read ahead.
    pub window_bytes: usize,
    /// Most calls of the publisher at a time.
    pub concurrency: usize,
    /// How long a lease lasts.
    pub lease: Duration,
    /// Polling intervals: after activity, in calm, idle.
    pub poll: [Duration; 3],
    /// How long settling may wait for company.
    pub settle_delay: Duration,
    /// How long a shard that another processor should have may wait for its events with the publisher.
    pub drain: Duration,
    /// First and longest pause of a topic that does not work.
    pub pause: (Duration, Duration),
    /// Most keys and events remembered as passed over; beyond it, reading waits.
    pub most_held: usize,
    /// When to try again, and when to give up.
    pub retry: RetryRules,
    /// Stop by itself after so many events, or when nothing is due.
    pub once: Option<usize>,
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A lease request, sent at `asked`, was answered.
    Leased {
        /// When it was sent.
        asked: Instant,
        /// The answer.
        answer: Result<LeaseReply, StoreError>,
    },
    /// A read was answered.
    Read(Result<ReadReply, StoreError>),
    /// A settle was answered.
    Settled(Result<SettleReply, StoreError>),
    /// Scheduled events were moved.
    Promoted(Result<Option<Duration>, StoreError>),
    /// The publisher is ready for another batch.
    BatchTaken,
    /// The publisher reported an outcome.
    Reported(u64, Outcome),
    /// The publisher said whether it can reach its broker.
    Checked(Result<(), PublishError>),
    /// Somebody says that there is work.
    Woken,
    /// Stop: drain, but not longer than until `deadline`.
    Stop {
        /// When to give up draining.
        deadline: Instant,
    },
}

/// What to do.
#[derive(Debug)]
pub enum Effect {
    /// Ask the store for leases.
    Lease(LeaseRequest),
    /// Ask the store for events.
    Read(ReadRequest),
    /// Write outcomes back.
    Settle(SettleRequest),
    /// Move scheduled events that are due.
    Promote(Vec<Lease>),
    /// Hand these to the publisher, in this order.
    Publish(Vec<(u64, Arc<Message>)>),
    /// Ask the publisher whether it can reach its broker.
    Check,
}

/// Counts since the engine was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Events delivered and settled.
    pub delivered: u64,
    /// Rejections after which the event will be tried again.
    pub retried: u64,
    /// Events moved to the dead letters.
    pub dead: u64,
    /// Events moved aside because their key is parked.
    pub parked: u64,
}

/// What an engine is doing.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// See [`Counts`].
    pub counts: Counts,
    /// Shards whose lease is held.
    pub shards: usize,
    /// Events published and not settled.
    pub in_flight: usize,
    /// Events read and not yet published.
    pub queued: usize,
    /// Keys that wait for a retry, and single events passed over lately.
    pub held: usize,
    /// Topics that do not work, and why.
    pub paused: Vec<(String, String)>,
    /// Whether anything reaches the broker from here.
    pub reach: Reach,
    /// Whether the database failed the last time it was asked, in one of the ways in which it is asked.
    pub database_fails: bool,
}

/// The state machine of one processor.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    id: Uuid,
    name: String,
    random: fastrand::Rng,
    lanes: BTreeMap<Shard, Lane>,
    next_lane: u64,
    /// How many events of a key are still with the publisher from an earlier, lost lease.
    orphans: BTreeMap<(Shard, Key), usize>,
    flights: Map<u64, Flight>,
    next_token: u64,
    /// How often a batch was made.
    turn: u64,
    calls: usize,
    last_topic: Option<Destination>,
    topics: Topics,
    standing: Standing,
    window: Window,
    leases: Leases,
    pace: Pace,
    reading: reading::Reading,
    settling: settling::Settling,
    stop: Option<Instant>,
    once_left: usize,
    counts: Counts,
}

impl Engine {
    /// A new engine for the processor `id`, called `name`. All chance comes from `seed`.
    #[must_use]
    pub fn new(now: Instant, id: Uuid, name: String, seed: u64, config: EngineConfig) -> Self {
        let window = Window::new(config.window, config.window_bytes);
        Self {
            id,
            name,
            random: fastrand::Rng::with_seed(seed),
            lanes: BTreeMap::new(),
            next_lane: 0,
            orphans: BTreeMap::new(),
            flights: Map::default(),
            next_token: 0,
            turn: 0,
            calls: 0,
            last_topic: None,
            topics: Topics::new(config.pause, window.trial(), Box::new(|_| None)),
            standing: Standing::new(config.lease),
            window,
            leases: Leases::new(now, config.lease),
            pace: Pace::new(now, config.poll),
            reading: reading::Reading::default(),
            settling: settling::Settling::default(),
            stop: None,
            once_left: config.once.unwrap_or(usize::MAX),
            counts: Counts::default(),
            config,
        }
    }

    /// Tells it where in their topics messages go, so that a part of a topic that does not work holds up no other.
    #[must_use]
    pub fn with_partitions(self, partition_of: impl Fn(&Message) -> Option<Partition> + Send + Sync + 'static) -> Self {
        let topics = Topics::new(self.config.pause, self.window.trial(), Box::new(partition_of));
        Self { topics, ..self }
    }

    /// Takes note of what happened.
    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Leased { asked, answer } => self.leased(now, asked, answer),
            Event::Read(answer) => self.read(now, answer),
            Event::Settled(answer) => self.settled(now, answer),
            Event::Promoted(answer) => self.promoted(now, answer),
            Event::BatchTaken => self.calls = self.calls.saturating_sub(1),
            Event::Reported(token, outcome) => self.reported(now, token, outcome),
            Event::Checked(answer) => self.checked(now, &answer),
            Event::Woken => {
                self.pace.hinted(now);
                self.reading.woken(now);
            }
            Event::Stop { deadline } => self.stop(deadline),
        }
    }

    /// What to do now. Call it after [`handle`](Self::handle), and at [`next_poll`](Self::next_poll).
    pub fn poll(&mut self, now: Instant) -> Vec<Effect> {
        self.hand_over(now);
        self.tick_topics(now);
        let mut effects = Vec::new();
        self.finish_once(now);
        self.next_batches(now, &mut effects);
        effects.extend(self.next_settle(now).map(Effect::Settle));
        effects.extend(self.next_lease(now).map(Effect::Lease));
        effects.extend(self.next_promote(now).map(Effect::Promote));
        effects.extend(self.next_read(now).map(Effect::Read));
        effects.extend(self.next_check(now));
        effects
    }

    /// When to call [`poll`](Self::poll) again if nothing happens before.
    #[must_use]
    pub fn next_poll(&self, now: Instant) -> Option<Instant> {
        let calls = [
            (Call::Lease, self.lease_due()),
            (Call::Settle, self.settle_due()),
            (Call::Read, self.read_due(now)),
            (Call::Promote, self.promote_due(now)),
        ];
        let due = calls.map(|(call, due)| self.pace.not_before(call).filter(|until| now < *until).or(due));
        [due.into_iter().flatten().min(), self.topics.next_tick(), self.check_due(), self.stop]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether it has stopped: nothing is under way and all leases are given up, or the deadline has passed.
    #[must_use]
    pub fn is_done(&self, now: Instant) -> bool {
        self.leases.left || self.stop.is_some_and(|deadline| now >= deadline)
    }

    /// Whether it is stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// What it is doing.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            counts: self.counts,
            shards: self.lanes.len(),
            in_flight: self.window.used(),
            queued: self.queued().0,
            held: self.lanes.values().map(Lane::held).sum(),
            paused: self.topics.paused(),
            reach: self.standing.reach(),
            database_fails: self.pace.is_failing(),
        }
    }

    /// How many events are with the publisher.
    pub(crate) fn awaited(&self) -> usize {
        self.flights.len()
    }

    fn stop(&mut self, deadline: Instant) {
        self.stop = Some(self.stop.map_or(deadline, |earlier| earlier.min(deadline)));
        for lane in self.lanes.values_mut() {
            lane.draining = true;
            lane.drop_queued();
        }
    }

    /// In the mode that stops by itself: stops when everything due was sent, or the limit is reached.
    fn finish_once(&mut self, now: Instant) {
        if self.config.once.is_none() || self.stop.is_some() || !self.leases.is_settled() {
            return;
        }
        let flows = |destination: &Destination| self.topics.flows(destination);
        let saturated = self.is_saturated();
        let quiet = |lane: &Lane| {
            let waits = lane.is_hungry(saturated) || lane.rests(now) || lane.wants_pass(now, flows);
            !lane.fresh && !waits && lane.queued().0 == 0 && lane.is_drained()
        };
        let drained = self.lanes.values().all(Lane::is_drained);
        let idle = self.reading.is_idle() || self.lanes.is_empty();
        let finished = idle && self.orphans.is_empty() && self.lanes.values().all(quiet);
        if drained && (self.once_left == 0 || finished) {
            self.stop(now + self.config.lease);
        }
    }

    fn queued(&self) -> (usize, usize) {
        let all = self.lanes.values().map(Lane::queued);
        all.fold((0, 0), |sum, lane| (sum.0 + lane.0, sum.1 + lane.1))
    }

    fn tick_topics(&mut self, now: Instant) {
        let lanes = &self.lanes;
        let holders = |destination: &Destination| {
            lanes
                .values()
                .filter(|lane| !lane.draining && lane.holds.has_topic(destination))
                .map(|lane| lane.lease.shard)
                .collect()
        };
        for destination in self.topics.tick(now, holders) {
            for lane in self.lanes.values_mut() {
                lane.hold_topic(&destination);
            }
        }
    }
}
