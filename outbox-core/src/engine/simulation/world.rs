use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::area::{Area, Silence};
use super::broken::{Broken, Tricks};
use super::check::Violation;
use super::facts::Facts;
use super::nodes::Node;
use super::queue::Queue;
use super::repeats::Right;
use super::seeds::say;
use super::summary::Summary;
use super::writers::Transaction;
use crate::engine::{Effect, EngineConfig, Event};
use crate::message::Message;
use crate::publisher::Outcome;
use crate::retry::{OnDeath, RetryPolicy, RetryRules};
use crate::shard::Shard;
use crate::store::SettleRequest;
use crate::testing::MemoryStore;
use crate::testing::memory_faults::{Image, Kept};

pub(super) const KEYS: usize = 12;
/// The last keys stand for unordered events.
pub(super) const ORDERED: usize = KEYS - 2;
/// Of the even keys, and of the odd ones.
pub(super) const TOPICS: [&str; 2] = ["steady", SHAKY];
pub(super) const SHAKY: &str = "shaky";
pub(super) const WINDOW: usize = 20;
pub(super) const LEASE: Duration = Duration::from_secs(3);
/// How long a shard that another should have may wait for its events with the publisher.
pub(super) const DRAIN: Duration = Duration::from_secs(4);
/// When all faults end, and how long a run may take from its start.
pub(super) const HEALED: Duration = Duration::from_secs(30);
const DRAINED: Duration = Duration::from_secs(120);
/// When all runs begin, so that they can be compared.
static BASE: OnceLock<Instant> = OnceLock::new();

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Action {
    /// A call of a node reaches the store. Nobody waits for its answer any more unless it `answers`.
    Call {
        node: usize,
        life: u64,
        id: Uuid,
        effect: Effect,
        asked: Instant,
        patience: Option<Duration>,
    },
    /// Something reaches a node.
    Arrive(usize, u64, Event),
    /// A message reaches the broker, which may append it, and answers after `report`.
    Append {
        node: usize,
        life: u64,
        token: u64,
        message: Arc<Message>,
        outcome: Outcome,
        persist: bool,
        report: Duration,
    },
    /// A writer begins a transaction.
    Write,
    /// A writer ends the transaction of this number.
    End(u64),
    Crash(usize),
    Restart(usize),
    /// A node's process stands still, or its whole machine with its clock.
    Pause {
        node: usize,
        pause: Duration,
        machine: bool,
    },
    /// A node is asked to stop, and ends at the deadline at the latest.
    Stop(usize, Duration),
    /// The broker cannot be reached, as far as this is concerned.
    Outage(Option<Area>),
    Silence(Area, Duration),
    /// The topic that is shaky has another number of partitions.
    Divide(u32),
    /// A publisher hears of it.
    Learn(usize, u64),
    /// A node loses its way to the broker, or finds it again.
    Cut(usize, bool),
    /// The database crashes, and is away for so long.
    CrashDatabase(Duration),
    /// The tables are copied to another server, which takes over later.
    Image,
    FailOver,
    /// An operator requeues keys.
    Requeue,
    /// An operator gives up an event.
    GiveUp,
    /// What made the broker refuse events is mended, and rows that nobody could read.
    Mend,
    /// A broken part does something late: see [`Tricks`].
    Late(usize, u64, SettleRequest),
    Clean,
}

/// Everything there is, and what is known about it.
pub(super) struct World {
    pub(super) random: fastrand::Rng,
    pub(super) now: Duration,
    pub(super) queue: Queue<Action>,
    pub(super) store: MemoryStore,
    /// When the database, which has just crashed, is back.
    pub(super) database_back: Duration,
    /// Deletions that a crash of the database can lose, in the order in which they were committed.
    pub(super) volatile: VecDeque<(Duration, Kept)>,
    /// With how often each event had been rejected then.
    pub(super) image: Option<(Image, Vec<u32>)>,
    pub(super) failed_over: Option<Duration>,
    pub(super) nodes: Vec<Node>,
    pub(super) faults: bool,
    pub(super) outage: Option<Area>,
    pub(super) silence: Option<Silence>,
    /// Of the topic that is shaky; 0 is for a broker that has none, or does not tell.
    pub(super) partitions: u32,
    /// The broker is quick.
    pub(super) fast: bool,
    /// Calls, and what is published, take no time at all if they are well.
    pub(super) instant: bool,
    /// The broker takes its time, and refuses many events, which die at once.
    pub(super) harsh: bool,
    /// The publishers cannot tell whether they reach the broker, and say that they do.
    pub(super) blind: bool,
    pub(super) on_death: OnDeath,
    /// See [`EngineConfig`].
    pub(super) most_held: usize,
    pub(super) once: Option<usize>,
    /// Keys whose aggregate is locked by an open transaction.
    pub(super) locked: [bool; ORDERED],
    pub(super) transactions: BTreeMap<u64, Transaction>,
    pub(super) left_to_write: usize,
    pub(super) facts: Facts,
    pub(super) rights: BTreeMap<Shard, Right>,
    /// Who had which shard, under which epoch, when the last server failed. The new one may not have heard of it.
    pub(super) lost_with_server: BTreeMap<Shard, (Uuid, i64)>,
    /// When something happened last that is news to anybody.
    pub(super) changed: Duration,
    /// Changes of owners.
    pub(super) moves: usize,
    /// The broker's log, all partitions as one.
    pub(super) delivered: Vec<usize>,
    /// Whether each settle is held against what is pending, which takes long.
    pub(super) audit: bool,
    /// Answers after which the memory of an engine could have been looked at, and how often no more fitted in.
    pub(super) answers: usize,
    pub(super) saturated: usize,
    /// All that the engines wanted, for those who ask.
    pub(super) trace: Option<Vec<String>>,
    pub(super) violation: Option<Violation>,
    pub(super) summary: Summary,
    pub(super) broken: Option<Broken>,
    pub(super) tricks: Tricks,
}

impl World {
    /// So many nodes, or three to five, all well.
    pub(super) fn new(seed: u64, on_death: OnDeath, nodes: Option<usize>) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let base = *BASE.get_or_init(Instant::now);
        let nodes = nodes.unwrap_or_else(|| random.usize(3..=5));
        let nodes: Vec<Node> = (0..nodes).map(|_| Node::new(base, random.u32(980..=1_020))).collect();
        let mut world = Self {
            random,
            now: Duration::ZERO,
            queue: Queue::new(),
            store: MemoryStore::new(8),
            database_back: Duration::ZERO,
            volatile: VecDeque::new(),
            image: None,
            failed_over: None,
            nodes,
            faults: false,
            outage: None,
            silence: None,
            partitions: 0,
            fast: false,
            instant: false,
            harsh: false,
            blind: false,
            on_death,
            most_held: 1_000,
            once: None,
            locked: [false; ORDERED],
            transactions: BTreeMap::new(),
            left_to_write: 150,
            facts: Facts::default(),
            rights: BTreeMap::new(),
            lost_with_server: BTreeMap::new(),
            changed: Duration::ZERO,
            moves: 0,
            delivered: Vec::new(),
            audit: seed % 4 < 2,
            answers: 0,
            saturated: 0,
            trace: None,
            violation: None,
            summary: Summary::default(),
            broken: None,
            tricks: Tricks::default(),
        };
        for node in 0..world.nodes.len() {
            world.after(0, Action::Restart(node));
        }
        world.after(1, Action::Write);
        world
    }

    pub(super) fn config(&self) -> EngineConfig {
        let policy = RetryPolicy::exponential()
            .base(Duration::from_millis(800))
            .max_delay(Duration::from_secs(2))
            .max_attempts(self.most_attempts())
            .on_death(self.on_death);
        EngineConfig {
            batch_size: 8,
            window: WINDOW,
            window_bytes: 100_000,
            concurrency: 2,
            lease: LEASE,
            poll: [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(1)],
            settle_delay: Duration::from_millis(5),
            drain: DRAIN,
            pause: (Duration::from_millis(50), Duration::from_millis(500)),
            most_held: self.most_held,
            retry: RetryRules::new(policy),
            once: self.once,
        }
    }

    pub(super) fn most_attempts(&self) -> u32 {
        if self.harsh { 1 } else { 3 }
    }

    pub(super) fn after(&mut self, milliseconds: u64, action: Action) {
        self.schedule(self.now + Duration::from_millis(milliseconds), action);
    }

    pub(super) fn schedule(&mut self, at: Duration, action: Action) {
        self.queue.push(at, action);
    }

    /// Lets everything happen, until all writers are done and nothing is pending.
    pub(super) fn run(&mut self) -> Result<(), Violation> {
        let end = self.now + DRAINED;
        while self.step_before(end) {
            if self.now > HEALED && self.left_to_write > 0 {
                self.left_to_write = 0;
                self.heal();
            }
            if let Some(violation) = self.violation.take() {
                return Err(violation);
            }
            if self.now > HEALED && self.transactions.is_empty() && self.store.is_empty() {
                return self.check();
            }
        }
        let mut left = Vec::new();
        self.store.for_each_pending(|seq, event| left.push((seq, event.id)));
        left.truncate(10);
        Err(Violation::Stuck(format!("{left:?}")))
    }

    /// Lets everything happen until `end`.
    pub(super) fn run_until(&mut self, end: Duration) {
        self.run_while(end, |_| true);
        self.go_to(end);
    }

    /// Lets everything happen as long as `lasts`, and until `end` at the latest.
    pub(super) fn run_while(&mut self, end: Duration, mut lasts: impl FnMut(&Self) -> bool) {
        while lasts(self) && self.violation.is_none() && self.step_before(end) {}
        if let Some(violation) = &self.violation {
            self.explain();
            panic!("{violation:?}");
        }
    }

    /// Does what comes next, unless that is later. False when there is nothing left to do.
    fn step_before(&mut self, end: Duration) -> bool {
        let wakes = self.nodes.iter().enumerate().filter_map(|(n, node)| Some((node.poll_at?, n)));
        let (at, node) = match (self.queue.next_at(), wakes.min()) {
            (Some(at), Some((wake, _))) if at <= wake => (at, None),
            (at, None) => (at.unwrap_or(Duration::MAX), None),
            (_, Some((wake, node))) => (wake, Some(node)),
        };
        if at >= end {
            return false;
        }
        self.go_to(at);
        match node {
            Some(node) => self.wake(node),
            None => {
                if let Some(action) = self.queue.pop() {
                    self.step(action);
                }
            }
        }
        true
    }

    pub(super) fn go_to(&mut self, at: Duration) {
        self.store.advance(at - self.now);
        self.now = at;
    }

    pub(super) fn step(&mut self, action: Action) {
        self.note_change(&action);
        match &action {
            Action::Write | Action::End(_) => {}
            action => self.note(|| format!("{action:?}")),
        }
        match action {
            Action::Restart(node) => self.restart(node),
            Action::Crash(node) => self.crash(node),
            Action::Pause { node, pause, machine } => self.pause(node, pause, machine),
            Action::Stop(node, deadline) => self.stop(node, deadline),
            Action::Outage(outage) => self.outage = outage.filter(|_| self.faults),
            Action::Silence(area, length) => self.silence = Some(Silence { area, until: self.now + length }),
            Action::Divide(partitions) => self.divide(partitions),
            Action::Learn(node, life) => self.learn(node, life),
            Action::Write => self.write(),
            Action::End(transaction) => self.end(transaction),
            Action::Cut(node, cut) => self.nodes[node].cut = cut,
            Action::CrashDatabase(away) => self.crash_database(away),
            Action::Image => self.take_image(),
            Action::FailOver => self.fail_over(),
            Action::Requeue => self.requeue(),
            Action::GiveUp => self.give_up(),
            Action::Mend => self.facts.mend(),
            Action::Arrive(node, life, event) => self.arrive(node, life, event),
            Action::Call { node, life, id, effect, asked, patience } => {
                self.call((node, life, id), effect, asked, patience);
            }
            Action::Append { node, life, token, message, outcome, persist, report } => {
                self.append(node, life, &message, persist);
                self.schedule(self.now + report, Action::Arrive(node, life, Event::Reported(token, outcome)));
            }
            Action::Late(node, life, settle) => self.settle_late(node, life, &settle),
            Action::Clean => self.clean_by_age(),
        }
    }

    /// Something to be read by who looks for the cause of a failure.
    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:?} {}", self.now, what()));
        }
    }

    /// Prints all of it.
    pub(super) fn explain(&self) {
        self.trace.iter().flatten().for_each(say);
    }

    pub(super) fn violated(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }
}
