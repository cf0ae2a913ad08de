use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::nodes::{Node, at_once};
use crate::engine::{Effect, EngineConfig, Event};
use crate::event::EventId;
use crate::message::Message;
use crate::publisher::Outcome;
use crate::retry::{OnDeath, RetryPolicy, RetryRules};
use crate::shard::Shard;
use crate::store::Admin;
use crate::testing::{MemoryStore, Unsettled};

pub(super) const NODES: usize = 3;
pub(super) const KEYS: usize = 12;
/// The last keys stand for unordered events.
pub(super) const ORDERED: usize = KEYS - 2;
pub(super) const TOPICS: [&str; 2] = ["steady", "shaky"];
pub(super) const WINDOW: usize = 20;
pub(super) const MOST_ATTEMPTS: u32 = 3;
pub(super) const LEASE: Duration = Duration::from_secs(3);
/// When all faults end, and how long a run may take.
pub(super) const HEALED: Duration = Duration::from_secs(30);
const DRAINED: Duration = Duration::from_secs(120);

/// Something that will happen.
pub(super) enum Action {
    /// A call of a node reaches the store.
    Call {
        node: usize,
        life: u64,
        effect: Effect,
        asked: Instant,
    },
    /// Something reaches a node.
    Arrive(usize, u64, Event),
    /// A message reaches the broker, which may append it, and answers.
    Append {
        node: usize,
        life: u64,
        token: u64,
        message: Arc<Message>,
        outcome: Outcome,
        persist: bool,
    },
    /// A node wanted to be woken.
    Poll(usize, u64),
    /// A writer begins a transaction.
    Write,
    /// A writer ends it.
    End {
        key: usize,
        transaction: Box<Unsettled>,
        ids: Vec<EventId>,
        commit: bool,
    },
    Crash(usize),
    Restart(usize),
    Pause(usize, Duration),
    Outage(bool),
    /// The broker takes messages of a topic and says nothing about them for a while.
    Silence(Duration),
    /// A node loses its way to the broker, or finds it again.
    Cut(usize, bool),
    /// An operator requeues keys.
    Requeue,
    /// An operator gives up an event.
    GiveUp,
}

/// Everything there is, and what is known about it.
pub(super) struct World {
    pub(super) random: fastrand::Rng,
    base: Instant,
    pub(super) now: Duration,
    serial: u64,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    actions: HashMap<u64, Action>,
    pub(super) store: MemoryStore,
    pub(super) nodes: Vec<Node>,
    pub(super) faults: bool,
    pub(super) outage: bool,
    pub(super) silent_until: Duration,
    /// The broker answers at once.
    pub(super) fast: bool,
    /// The publishers cannot tell whether they reach the broker, and say that they do.
    pub(super) blind: bool,
    pub(super) on_death: OnDeath,
    /// Keys whose aggregate is locked by an open transaction.
    pub(super) locked: HashSet<usize>,
    pub(super) open: usize,
    pub(super) left_to_write: usize,
    pub(super) key_of: HashMap<EventId, usize>,
    /// In the order of commits, which is the order that consumers must see.
    pub(super) committed: BTreeMap<usize, Vec<EventId>>,
    pub(super) delayed: HashSet<EventId>,
    pub(super) poison: HashSet<EventId>,
    pub(super) was_poison: HashSet<EventId>,
    pub(super) given_up: HashSet<EventId>,
    /// How often the broker has rejected events since they were staged, or requeued.
    pub(super) rejections: HashMap<EventId, u32>,
    pub(super) epochs: BTreeMap<Shard, i64>,
    pub(super) committed_at: HashMap<EventId, Duration>,
    /// The broker's log, all partitions as one.
    pub(super) delivered: Vec<(EventId, usize)>,
    pub(super) wrongly_dead: usize,
    /// Events by which nodes may have lost track of what they published.
    pub(super) excuses: usize,
    /// Whether each settle is held against what is pending, which takes long.
    pub(super) audit: bool,
    /// All that the engines wanted, for those who ask.
    pub(super) trace: Option<Vec<String>>,
}

impl World {
    pub(super) fn new(seed: u64, on_death: OnDeath, faults: bool) -> Self {
        let mut world = Self {
            random: fastrand::Rng::with_seed(seed),
            base: Instant::now(),
            now: Duration::ZERO,
            serial: 0,
            queue: BinaryHeap::new(),
            actions: HashMap::new(),
            store: MemoryStore::new(8),
            nodes: (0..NODES).map(|_| Node::default()).collect(),
            faults,
            outage: false,
            silent_until: Duration::ZERO,
            fast: false,
            blind: false,
            on_death,
            locked: HashSet::new(),
            open: 0,
            left_to_write: 150,
            key_of: HashMap::new(),
            committed: BTreeMap::new(),
            delayed: HashSet::new(),
            poison: HashSet::new(),
            was_poison: HashSet::new(),
            given_up: HashSet::new(),
            rejections: HashMap::new(),
            epochs: BTreeMap::new(),
            committed_at: HashMap::new(),
            delivered: Vec::new(),
            wrongly_dead: 0,
            excuses: 0,
            audit: seed % 4 < 2,
            trace: None,
        };
        for node in 0..NODES {
            world.after(0, Action::Restart(node));
        }
        world.after(1, Action::Write);
        if faults {
            world.plan_faults();
        }
        world
    }

    fn plan_faults(&mut self) {
        for _ in 0..self.random.usize(0..6) {
            let (at, node) = (self.random.u64(100..20_000), self.random.usize(0..NODES));
            let pause = Duration::from_millis(self.random.u64(100..12_000));
            let action = if self.random.bool() { Action::Crash(node) } else { Action::Pause(node, pause) };
            self.after(at, action);
        }
        if self.random.bool() {
            let (from, length) = (self.random.u64(0..10_000), self.random.u64(10..8_000));
            self.after(from, Action::Outage(true));
            self.after(from + length, Action::Outage(false));
        }
        if self.random.u8(..3) == 0 {
            self.blind = self.random.bool();
            let (from, length) = (self.random.u64(0..10_000), self.random.u64(1_000..20_000));
            let node = self.random.usize(0..NODES);
            self.after(from, Action::Cut(node, true));
            self.after(from + length, Action::Cut(node, false));
        }
        if self.random.u8(..3) == 0 {
            let (from, length) = (self.random.u64(0..10_000), self.random.u64(1_000..20_000));
            self.after(from, Action::Silence(Duration::from_millis(length)));
        }
        for _ in 0..4 {
            let at = self.random.u64(1_000..25_000);
            self.after(at, Action::Requeue);
        }
        for _ in 0..self.random.usize(0..3) {
            let at = self.random.u64(1_000..25_000);
            self.after(at, Action::GiveUp);
        }
    }

    pub(super) fn config(&self) -> EngineConfig {
        let policy = RetryPolicy::exponential()
            .base(Duration::from_millis(50))
            .max_delay(Duration::from_millis(400))
            .max_attempts(MOST_ATTEMPTS)
            .on_death(self.on_death);
        EngineConfig {
            batch_size: 8,
            window: WINDOW,
            window_bytes: 100_000,
            concurrency: 2,
            lease: LEASE,
            poll: [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(1)],
            settle_delay: Duration::from_millis(5),
            drain: Duration::from_secs(4),
            pause: (Duration::from_millis(50), Duration::from_millis(500)),
            most_held: 1_000,
            retry: RetryRules::new(policy),
            once: None,
        }
    }

    pub(super) fn after(&mut self, milliseconds: u64, action: Action) {
        self.schedule(self.now + Duration::from_millis(milliseconds), action);
    }

    pub(super) fn schedule(&mut self, at: Duration, action: Action) {
        self.serial += 1;
        self.queue.push(Reverse((at, self.serial)));
        self.actions.insert(self.serial, action);
    }

    pub(super) fn instant(&self) -> Instant {
        self.base + self.now
    }

    /// Lets everything happen, until all writers are done and nothing is pending.
    pub(super) fn run(&mut self) {
        let end = self.now + DRAINED;
        while let Some((at, action)) = self.next(end) {
            self.go_to(at);
            if at > HEALED && self.left_to_write > 0 {
                self.left_to_write = 0;
                self.heal();
            }
            self.step(action);
            if at > HEALED && self.open == 0 && self.store.is_empty() {
                return;
            }
        }
        panic!("not drained: {:?}", at_once(self.store.pending(0, 10)));
    }

    /// Lets everything happen until `end`.
    pub(super) fn run_until(&mut self, end: Duration) {
        while let Some((at, action)) = self.next(end) {
            self.go_to(at);
            self.step(action);
        }
        self.go_to(end);
    }

    fn next(&mut self, end: Duration) -> Option<(Duration, Action)> {
        let at = self.queue.peek().map(|Reverse((at, _))| *at).filter(|at| *at < end)?;
        let Reverse((_, serial)) = self.queue.pop()?;
        Some((at, self.actions.remove(&serial)?))
    }

    fn go_to(&mut self, at: Duration) {
        self.store.advance(at - self.now);
        self.now = at;
    }

    fn heal(&mut self) {
        (self.faults, self.outage) = (false, false);
        for node in 0..NODES {
            self.nodes[node].paused_until = self.now;
            self.nodes[node].cut = false;
            self.after(0, Action::Restart(node));
        }
    }

    fn step(&mut self, action: Action) {
        match action {
            Action::Restart(node) => self.restart(node),
            Action::Crash(node) => self.crash(node),
            Action::Pause(node, pause) => {
                self.excuses += 1;
                self.nodes[node].paused_until = self.now + pause;
            }
            Action::Outage(outage) => self.outage = outage && self.faults,
            Action::Silence(length) => self.silent_until = self.now + length,
            Action::Write => self.write(),
            Action::End { key, transaction, ids, commit } => self.end(key, *transaction, ids, commit),
            Action::Cut(node, cut) => self.nodes[node].cut = cut,
            Action::Requeue => self.requeue(),
            Action::GiveUp => self.give_up(),
            Action::Poll(node, life) => self.poll_if_due(node, life),
            Action::Arrive(node, life, event) => self.arrive(node, life, Some(event)),
            Action::Call { node, life, effect, asked } => self.call(node, life, effect, asked),
            Action::Append { node, life, token, message, outcome, persist } => {
                if persist {
                    self.delivered.push((message.id(), self.key_of[&message.id()]));
                }
                let latency = self.random.u64(0..30);
                self.after(latency, Action::Arrive(node, life, Event::Reported(token, outcome)));
            }
        }
    }
}
