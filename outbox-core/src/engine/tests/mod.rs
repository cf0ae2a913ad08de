//! The engine against a store in memory, with a publisher and a clock that do what a test says.

mod batches;
mod due;
mod failover;
mod handover;
mod hints;
mod memory;
mod once;
mod parked;
mod parts;
mod reach;
mod reads;
mod settles;
mod slow;
mod turns;
mod unreadable;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::simulation::at_once;
use super::{Effect, Engine, EngineConfig, Event};
use crate::event::{Envelope, EventId};
use crate::message::Message;
use crate::publisher::{Outcome, PublishError};
use crate::retry::{RetryPolicy, RetryRules};
use crate::shard::Shard;
use crate::store::{ReadRequest, SettleRequest, Store, StoreError, StoreErrorKind};
use crate::testing::{MemoryStore, message};

const LEASE: Duration = Duration::from_secs(15);
const HOUR: Duration = Duration::from_secs(3_600);

fn config() -> EngineConfig {
    EngineConfig {
        batch_size: 100,
        window: 6_400,
        window_bytes: 1 << 24,
        concurrency: 4,
        lease: LEASE,
        poll: [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5)],
        settle_delay: Duration::from_millis(10),
        drain: Duration::from_secs(20),
        pause: (Duration::from_millis(100), Duration::from_secs(5)),
        most_held: 10_000,
        retry: RetryRules::new(RetryPolicy::fixed(Duration::from_secs(1))),
        once: None,
    }
}

/// So rarely that nothing but what a test is about can be the reason for a look.
fn hardly_polling() -> EngineConfig {
    EngineConfig { poll: [HOUR; 3], lease: 10 * HOUR, ..config() }
}

/// A key whose events are in one of so many shards.
fn key_of(shard: u16, shards: u16) -> String {
    let is_there = |key: &String| Shard::of_key(key, shards).number() == shard;
    (0..).map(|n| format!("key-{n}")).find(is_there).unwrap()
}

/// How many new events a read asks for.
fn asked(read: &ReadRequest) -> u32 {
    read.lanes.iter().map(|lane| lane.limit).sum()
}

fn event(topic: &str, key: &str) -> Envelope {
    Envelope { id: EventId::new(), ..message(topic, Some(key), 1, "{}").envelope }
}

/// An engine, what it has handed to its publisher, and what it asked for.
struct Node {
    engine: Engine,
    with_publisher: Vec<(u64, Arc<Message>)>,
    /// The batches that they came in.
    batches: Vec<Vec<Arc<Message>>>,
    /// The publisher takes no batch before the test says that it has taken the last.
    publisher_is_slow: bool,
    reads: Vec<ReadRequest>,
    settles: Vec<SettleRequest>,
    lease_rounds: usize,
    /// What it told the others about itself last.
    state: String,
    /// How often it asked its publisher whether it reaches the broker, which always says yes.
    checks: usize,
    /// Looks for scheduled events that are due.
    promotes: usize,
    /// Calls for leases are never answered.
    leases_hang: bool,
    /// Settles are answered when the test says so.
    late_answers: Option<Vec<Event>>,
    /// Reads are answered when the test says so.
    late_reads: Option<Vec<Event>>,
    /// Settles fail, so many times so far.
    settles_fail: Option<usize>,
}

/// Engines that share a store. Calls of the store are answered at once, messages when the test says so.
struct Rig {
    store: MemoryStore,
    /// Rows that cannot be understood.
    garbled: HashSet<EventId>,
    now: Instant,
    nodes: Vec<Node>,
    turns: usize,
}

impl Rig {
    fn new(shards: u16) -> Self {
        let (store, garbled) = (MemoryStore::new(shards), HashSet::new());
        Self { store, garbled, now: Instant::now(), nodes: Vec::new(), turns: 0 }
    }

    /// Starts another engine, and returns its number.
    fn start(&mut self, config: EngineConfig) -> usize {
        let n = self.nodes.len();
        let engine = Engine::new(self.now, Uuid::from_u128(n as u128 + 1), format!("node-{n}"), n as u64, config);
        self.nodes.push(Node {
            engine,
            with_publisher: Vec::new(),
            batches: Vec::new(),
            publisher_is_slow: false,
            reads: Vec::new(),
            settles: Vec::new(),
            lease_rounds: 0,
            state: String::new(),
            checks: 0,
            promotes: 0,
            leases_hang: false,
            late_answers: None,
            late_reads: None,
            settles_fail: None,
        });
        self.settle_down();
        n
    }

    fn handle(&mut self, n: usize, event: Event) {
        self.nodes[n].engine.handle(self.now, event);
        self.settle_down();
    }

    /// Reports what the publisher has of these, in the order in which it was handed over.
    fn report(&mut self, n: usize, which: impl Fn(&Message) -> bool, outcome: impl Fn() -> Outcome) -> usize {
        let reported: Vec<u64> = self.nodes[n]
            .with_publisher
            .extract_if(.., |(_, message)| which(message))
            .map(|(token, _)| token)
            .collect();
        for token in &reported {
            self.nodes[n].engine.handle(self.now, Event::Reported(*token, outcome()));
        }
        self.settle_down();
        reported.len()
    }

    /// Lets time pass, and the engines do what they want meanwhile.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let going = self.nodes.iter().filter(|node| !node.engine.is_done(self.now));
            let next = going.filter_map(|node| node.engine.next_poll(self.now)).min();
            let next = next.map_or(end, |next| next.min(end));
            self.store.advance(next - self.now);
            self.now = next;
            self.settle_down();
        }
    }

    fn settle_down(&mut self) {
        for n in 0..self.nodes.len() {
            let turns = self.turns;
            while !self.nodes[n].engine.is_done(self.now) {
                self.turns += 1;
                let effects = self.nodes[n].engine.poll(self.now);
                assert!(self.turns < turns + 10_000, "it does not come to rest");
                if effects.is_empty() {
                    break;
                }
                for effect in effects {
                    self.carry_out(n, effect);
                }
            }
            let next = self.nodes[n].engine.next_poll(self.now);
            let done = self.nodes[n].engine.is_done(self.now);
            assert!(done || next.is_none_or(|next| next > self.now), "there was nothing to do, and yet it is due");
            let (queued, bytes) = self.nodes[n].engine.queued();
            assert_eq!(queued == 0, bytes == 0, "{queued} events have {bytes} bytes");
            assert_eq!(self.nodes[n].engine.awaited(), self.nodes[n].with_publisher.len());
        }
    }

    /// Answers the settles that are to be answered late, and those after them later.
    fn answer_settles(&mut self, n: usize) {
        for answer in std::mem::take(self.nodes[n].late_answers.as_mut().unwrap()) {
            self.handle(n, answer);
        }
    }

    /// The same for reads.
    fn answer_reads(&mut self, n: usize) {
        for answer in std::mem::take(self.nodes[n].late_reads.as_mut().unwrap()) {
            self.handle(n, answer);
        }
    }

    fn shards(&self, n: usize) -> usize {
        self.nodes[n].engine.snapshot().shards
    }

    fn carry_out(&mut self, n: usize, effect: Effect) {
        let (node, store, asked) = (&mut self.nodes[n], &self.store, self.now);
        let event = match effect {
            Effect::Lease(_) if node.leases_hang => return,
            Effect::Lease(request) => {
                node.lease_rounds += 1;
                node.state.clone_from(&request.state);
                Event::Leased { asked, answer: at_once(store.lease(request)) }
            }
            Effect::Read(request) => {
                node.reads.push(request.clone());
                let mut answer = at_once(store.read(request));
                let lanes = answer.iter_mut().flat_map(|reply| &mut reply.lanes);
                for row in lanes.flat_map(|lane| lane.rows.iter_mut().chain(&mut lane.revisited)) {
                    let garbled = self.garbled.contains(&row.message.id());
                    row.unreadable = garbled.then(|| "nonsense".to_owned());
                }
                let answer = Event::Read(answer);
                let Some(late) = &mut node.late_reads else { return node.engine.handle(self.now, answer) };
                late.push(answer);
                return;
            }
            Effect::Settle(_) if node.settles_fail.is_some() => {
                node.settles_fail = node.settles_fail.map(|failed| failed + 1);
                Event::Settled(Err(StoreError::new(StoreErrorKind::Broken, "settling", "permission denied")))
            }
            Effect::Settle(request) => {
                node.settles.push(request.clone());
                let answer = Event::Settled(at_once(store.settle(request)));
                let Some(late) = &mut node.late_answers else { return node.engine.handle(self.now, answer) };
                late.push(answer);
                return;
            }
            Effect::Promote(leases) => {
                node.promotes += 1;
                Event::Promoted(at_once(store.promote(node.engine.id, &leases, 100)))
            }
            Effect::Publish(batch) => {
                node.batches.push(batch.iter().map(|(_, message)| Arc::clone(message)).collect());
                node.with_publisher.extend(batch);
                if node.publisher_is_slow {
                    return;
                }
                Event::BatchTaken
            }
            Effect::Check => {
                node.checks += 1;
                Event::Checked(Ok(()))
            }
        };
        node.engine.handle(self.now, event);
    }
}

fn delivered() -> Outcome {
    Outcome::Delivered
}

fn rejected() -> Outcome {
    Outcome::Failed(PublishError::rejected("poison"))
}

fn unreachable() -> Outcome {
    Outcome::Failed(PublishError::unreachable("away"))
}
