//! Runs that end by themselves, one after the other.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::area::Area;
use super::nodes::at_once;
use super::seeds::{Seeds, run_all};
use super::world::{Action, World};
use crate::event::{Envelope, EventId};
use crate::retry::OnDeath;
use crate::shard::Shard;
use crate::store::Admin;

/// The longest that a run may take.
const LONGEST: Duration = Duration::from_secs(40);
/// How many runs must be enough.
const RUNS: usize = 60;

/// Events and transactions of some seconds in which nobody delivers anything, of which some will be refused.
fn staged(seed: u64) -> World {
    let on_death = if seed.is_multiple_of(2) { OnDeath::Continue } else { OnDeath::ParkKey };
    let mut world = World::new(seed, on_death, Some(1));
    while world.queue.pop().is_some() {}
    (world.faults, world.left_to_write) = (true, usize::MAX);
    world.after(1, Action::Write);
    world.run_until(Duration::from_secs(10));
    world.left_to_write = 0;
    world.after(0, Action::Restart(0));
    world
}

/// An event that waits, and how often it was tried.
struct Waits {
    event: Envelope,
    shard: Shard,
    attempts: u32,
}

impl World {
    /// What is due, and behind nothing that is not. What was `tried` lately is not. A key that waits after a rejection
    /// waits as a whole, also for what was committed later with a lower number.
    fn ready(&self, tried: impl Fn(&Waits) -> bool) -> Vec<Waits> {
        let pending = at_once(self.store.pending(0, u32::MAX)).unwrap();
        let waits = pending.iter().filter(|event| !event.retry_in.unwrap_or_default().is_zero());
        let mut blocked: HashSet<_> = waits.filter_map(|event| event.envelope.order_key()).collect();
        let mut ready = Vec::new();
        for event in pending {
            let due = event.retry_in.unwrap_or_default().is_zero();
            let waits = Waits { event: event.envelope, shard: event.shard, attempts: event.attempts };
            let key = waits.event.order_key();
            if due && !tried(&waits) && !key.as_ref().is_some_and(|key| blocked.contains(key)) {
                ready.push(waits);
            } else {
                blocked.extend(key);
            }
        }
        let scheduled = at_once(self.store.scheduled(None, u32::MAX)).unwrap().into_iter();
        let due = scheduled.filter(|event| event.due_in.is_none());
        ready.extend(due.map(|event| Waits { event: event.envelope, shard: event.shard, attempts: 0 }));
        ready
    }

    /// Lets the node start and end by itself. Returns what was ready when it began, and is as ready when it comes to its
    /// end, of its shards, and of topics that work as far as it knows.
    fn run_once(&mut self) -> Vec<EventId> {
        let (life, most) = (self.nodes[0].life, self.now + LONGEST);
        self.run_while(most, |world| world.nodes[0].engine.is_none());
        let began: HashMap<EventId, u32> =
            self.ready(|_| false).iter().map(|waits| (waits.event.id, waits.attempts)).collect();
        let mut left = None;
        self.run_while(most, |world| {
            if let Some(engine) = world.nodes[0].engine.as_ref().filter(|engine| engine.is_stopping()) {
                left.get_or_insert_with(|| {
                    let paused = engine.snapshot().paused;
                    let works = |topic: &str| paused.iter().all(|(paused, _)| paused.split('/').next() != Some(topic));
                    let mut ready = world.ready(|waits| began.get(&waits.event.id) != Some(&waits.attempts));
                    ready.retain(|waits| engine.lanes.contains_key(&waits.shard) && works(&waits.event.topic));
                    ready.retain(|waits| began.contains_key(&waits.event.id));
                    ready.iter().map(|waits| waits.event.id).collect::<Vec<_>>()
                });
            }
            world.nodes[0].life == life
        });
        let ended = self.nodes[0].life != life;
        left.filter(|_| ended).unwrap_or_else(|| {
            self.explain();
            panic!("it does not end by {:?}", self.now);
        })
    }
}

/// Makes runs until nothing is left.
fn leaves_nothing_ready(mut world: World, seed: u64) {
    for _ in 0..RUNS {
        let before = world.delivered.len();
        let left = world.run_once();
        let delivered = world.delivered.len() - before;
        let limit = world.once.unwrap_or(usize::MAX);
        if delivered > limit || (limit == usize::MAX && !left.is_empty()) {
            world.explain();
            panic!("seed {seed} at {:?}: {delivered} are delivered, and {left:?} could have gone", world.now);
        }
        if world.store.is_empty() && world.transactions.is_empty() {
            world.check().unwrap_or_else(|violation| panic!("seed {seed}: {violation:?}"));
            return;
        }
        world.outage = None;
    }
    panic!("seed {seed}: {} events are left", world.store.pending_count());
}

#[test]
fn a_run_that_ends_by_itself_leaves_nothing_that_is_ready() {
    let seeds = Seeds::one_in(10, "once", 30);
    run_all(&seeds, |seed| {
        let mut world = seeds.watch(staged(seed));
        world.once = Some(usize::MAX);
        world.faults = seed % 4 < 2;
        world.outage = (seed % 3 == 0).then_some(Area::Topic);
        leaves_nothing_ready(world, seed);
    });
}

#[test]
fn a_run_with_a_limit_publishes_no_more() {
    let seeds = Seeds::one_in(10, "once-limited", 10);
    run_all(&seeds, |seed| {
        let mut world = seeds.watch(staged(seed));
        world.once = Some(world.random.usize(5..30));
        world.faults = false;
        leaves_nothing_ready(world, seed);
    });
}
