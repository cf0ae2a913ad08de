use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::area::partition_of;
use super::calls::Calls;
use super::check::Violation;
use super::clock::Clock;
use super::repeats::Open;
use super::world::{Action, LEASE, World};
use crate::engine::{Effect, Engine, Event};
use crate::shard::Shard;
use crate::store::{StoreError, StoreErrorKind};

/// A processor's place: its engine lives, dies and is made again.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) engine: Option<Engine>,
    pub(super) life: u64,
    clock: Clock,
    pub(super) paused_until: Duration,
    /// There is no way from here to the broker.
    pub(super) cut: bool,
    /// When the engine wants to be asked again.
    pub(super) poll_at: Option<Duration>,
    /// When it must have stopped.
    deadline: Option<Duration>,
    /// When the last message of each key reaches the broker: a connection keeps order.
    pub(super) last_append: BTreeMap<usize, Duration>,
    /// How many partitions its publisher knows of.
    pub(super) partitions: Arc<AtomicU32>,
    /// The leases of the last round that it heard of.
    pub(super) held: BTreeMap<Shard, i64>,
    pub(super) open: Vec<Open>,
    pub(super) calls: Calls,
}

impl Node {
    /// A place whose clock gains `permille` of what passes.
    pub(super) fn new(base: Instant, permille: u32) -> Self {
        Self {
            engine: None,
            life: 0,
            clock: Clock::new(base, permille),
            paused_until: Duration::ZERO,
            cut: false,
            poll_at: None,
            deadline: None,
            last_append: BTreeMap::new(),
            partitions: Arc::default(),
            held: BTreeMap::new(),
            open: Vec::new(),
            calls: Calls::default(),
        }
    }

    /// What is on its way to the broker, or to the database, stays on its way.
    fn end(&mut self) {
        (self.engine, self.poll_at, self.deadline) = (None, None, None);
        self.life += 1;
        self.held.clear();
    }
}

impl World {
    pub(super) fn restart(&mut self, n: usize) {
        if self.nodes[n].engine.is_some() {
            return;
        }
        let (id, seed) = (Uuid::from_u128(self.random.u128(..)), self.random.u64(..));
        let now = self.nodes[n].clock.at(self.now);
        let engine = Engine::new(now, id, format!("node-{n}"), seed, self.config());
        let (node, partitions) = (&mut self.nodes[n], Arc::new(AtomicU32::new(0)));
        (node.last_append, node.partitions) = (BTreeMap::new(), Arc::clone(&partitions));
        node.engine = Some(engine.with_partitions(move |message| partition_of(message, &partitions)));
        self.will_learn(n);
        self.poll(n);
    }

    pub(super) fn crash(&mut self, n: usize) {
        self.summary.crashes += usize::from(self.nodes[n].engine.is_some());
        let open = self.nodes[n].open.len();
        self.check_window("a crash", open);
        self.excuse(n, |_| true);
        self.nodes[n].end();
        let after = self.random.u64(0..5_000);
        self.after(after, Action::Restart(n));
    }

    pub(super) fn pause(&mut self, n: usize, pause: Duration, machine: bool) {
        self.summary.pauses += 1;
        let until = self.now + pause;
        let node = &mut self.nodes[n];
        node.paused_until = node.paused_until.max(until);
        if machine {
            node.clock.suspend(self.now, node.paused_until);
        }
    }

    /// It goes on at once, and its clock with it.
    pub(super) fn resume(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if self.now < node.paused_until {
            node.clock.suspend(self.now, self.now);
            node.paused_until = self.now;
            node.poll_at = node.poll_at.map(|_| self.now);
        }
    }

    /// Asks a node to stop, as a rolling deploy does, and starts another one in its place later.
    pub(super) fn stop(&mut self, n: usize, wait: Duration) {
        let node = &mut self.nodes[n];
        if node.engine.is_none() || node.deadline.is_some() {
            return;
        }
        self.summary.stops += 1;
        node.deadline = Some(self.now + wait);
        let (deadline, life) = (node.clock.at(self.now) + wait, node.life);
        self.arrive(n, life, Event::Stop { deadline });
    }

    fn end_if_stopped(&mut self, n: usize) {
        let node = &self.nodes[n];
        let now = node.clock.at(self.now);
        if node.engine.as_ref().is_none_or(|engine| !engine.is_done(now)) {
            return;
        }
        let (left, open) = (node.engine.as_ref().is_some_and(|engine| engine.leases.left), node.open.len());
        if left && open > 0 {
            self.violated(Violation::GivenUpEarly(format!("node {n} has stopped, and {open} events are open")));
        }
        self.check_window("a stop", open);
        self.excuse(n, |_| true);
        self.nodes[n].end();
        let after = self.random.u64(0..2_000);
        self.after(after, Action::Restart(n));
    }

    pub(super) fn wake(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if self.now < node.paused_until {
            node.poll_at = Some(node.paused_until);
        } else {
            node.poll_at = None;
            self.poll(n);
        }
    }

    pub(super) fn arrive(&mut self, n: usize, life: u64, event: Event) {
        let node = &mut self.nodes[n];
        if node.life != life || node.engine.is_none() {
            return;
        }
        if self.now < node.paused_until {
            let resumed = node.paused_until;
            self.schedule(resumed, Action::Arrive(n, life, event));
            return;
        }
        if let Event::Leased { answer: Ok(reply), .. } = &event {
            node.held = reply.held.iter().map(|lease| (lease.shard, lease.epoch)).collect();
        }
        self.note_hint(n, &event);
        let tells = matches!(event, Event::Read(Ok(_)) | Event::Settled(Ok(_)));
        let node = &mut self.nodes[n];
        let now = node.clock.at(self.now);
        if let Some(engine) = &mut node.engine {
            engine.handle(now, event);
        }
        self.poll(n);
        if tells {
            self.check_memory(n);
        }
    }

    fn poll(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        let now = node.clock.at(self.now);
        let Some(engine) = &mut node.engine else { return };
        let (id, effects, next) = (engine.id, engine.poll(now), engine.next_poll(now));
        if next.is_some_and(|next| next <= now) && !engine.is_done(now) {
            self.violated(Violation::Spinning(format!("node {n} has done everything, and yet something is due")));
            return;
        }
        node.poll_at = next.map(|next| node.clock.when(next));
        self.note_dropped(n);
        self.count_calls(n, effects.len());
        for effect in effects {
            self.note(|| format!("node {n} {effect:?}"));
            match effect {
                Effect::Publish(batch) => self.publish(n, batch),
                effect => self.ask(n, id, now, effect),
            }
        }
        self.end_if_stopped(n);
    }

    /// Sends a call on its way. One that takes too long is left behind, and nobody knows what became of it.
    fn ask(&mut self, n: usize, id: Uuid, asked: Instant, effect: Effect) {
        let life = self.nodes[n].life;
        let mut patience = match effect {
            Effect::Lease(_) => LEASE / 3,
            _ => LEASE,
        };
        if self.falls_asleep(n, id, asked, &effect) {
            return;
        }
        let late = self.faults && self.random.u8(..150) == 0;
        let latency = if late { self.milliseconds(0..6_000) } else { self.latency(20) };
        let mut answered = Some(patience);
        if latency >= patience {
            self.summary.late_calls += 1;
            let event = failed(&effect, asked).unwrap_or(Event::Checked(Ok(())));
            patience = patience.min(latency);
            self.schedule(self.now + patience, Action::Arrive(n, life, event));
            answered = None;
        }
        let call = Action::Call { node: n, life, id, effect, asked, patience: answered.map(|all| all - latency) };
        self.schedule(self.now + latency, call);
    }
}

/// What the engine hears of a call of the store that failed.
pub(super) fn failed(effect: &Effect, asked: Instant) -> Option<Event> {
    let error = StoreError::new(StoreErrorKind::Unavailable, "simulating", "cut");
    Some(match effect {
        Effect::Lease(_) => Event::Leased { asked, answer: Err(error) },
        Effect::Read(_) => Event::Read(Err(error)),
        Effect::Settle(_) => Event::Settled(Err(error)),
        Effect::Promote(_) => Event::Promoted(Err(error)),
        Effect::Publish(_) | Effect::Check => return None,
    })
}

/// The store in memory never waits.
pub(in crate::engine) fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the store in memory waited"),
    }
}
