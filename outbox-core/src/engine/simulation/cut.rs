//! One processor loses its way to the broker, and the others do not.

use std::time::Duration;

use super::area::Area;
use super::seeds::{Seeds, run_all};
use super::world::{Action, HEALED, LEASE, World};
use crate::retry::OnDeath;
use crate::store::Reach;

/// When the way is lost.
const CUT: Duration = Duration::from_secs(2);
/// How late an event may be: a lease, in which it may still get better, and a few rounds of leases.
const LATE: Duration = Duration::from_secs(3 * LEASE.as_secs() + 1);

fn world(seed: u64, blind: bool, cut: &[usize]) -> World {
    let mut world = World::new(seed, OnDeath::Continue, Some(3));
    (world.blind, world.fast, world.left_to_write) = (blind, true, usize::MAX);
    for node in cut {
        world.schedule(CUT, Action::Cut(*node, true));
    }
    world
}

impl World {
    fn reach(&self, node: usize) -> Reach {
        self.nodes[node].engine.as_ref().map(|engine| engine.snapshot().reach).unwrap_or_default()
    }

    fn shards(&self, node: usize) -> usize {
        self.nodes[node].engine.as_ref().map_or(0, |engine| engine.snapshot().shards)
    }

    /// Writers stop, and everything arrives, once.
    fn end_well(mut self, seed: u64) {
        self.left_to_write = 0;
        self.run().unwrap_or_else(|violation| panic!("seed {seed}: {violation:?}"));
        assert_eq!(self.repeats(), 0, "seed {seed}");
    }
}

#[test]
fn the_others_deliver_for_one_that_is_cut_off_until_it_is_not() {
    run_all(&Seeds::one_in(100, "one-cut-off", 12), |seed| {
        let blind = seed % 3 == 0;
        let mut world = world(seed, blind, &[0]);
        let mut now = LATE;
        while now < HEALED {
            now += Duration::from_millis(500);
            world.run_until(now);
            assert_eq!(world.undelivered_of(now - LATE, |_| true), [], "seed {seed} at {now:?}");
        }
        assert!(world.shards(0) <= 1, "seed {seed}: {} shards", world.shards(0));
        assert_ne!(world.reach(0), Reach::Works, "seed {seed}");
        assert!(world.moves <= 60, "seed {seed}: {} changes of owner", world.moves);

        world.schedule(HEALED, Action::Cut(0, false));
        world.run_until(HEALED + 40 * LEASE);
        assert_eq!(world.reach(0), Reach::Works, "seed {seed}");
        assert!(world.shards(0) >= 2, "seed {seed}: back with {} shards", world.shards(0));
        world.end_well(seed);
    });
}

#[test]
fn if_nobody_reaches_the_broker_nobody_moves() {
    run_all(&Seeds::one_in(100, "all-cut-off", 12), |seed| {
        let mut world = world(seed, seed % 3 == 0, &[0, 1, 2]);
        world.run_until(CUT);
        let before = world.moves;
        world.run_until(HEALED);
        // One that had nothing to try gets the shards of those that had, and gives them back when it has tried.
        assert!(world.moves <= before + 24, "seed {seed}: {} moves", world.moves - before);
        let before = world.moves;
        for node in 0..world.nodes.len() {
            world.schedule(HEALED, Action::Cut(node, false));
        }
        world.run_until(HEALED + 20 * LEASE);
        assert!(world.moves <= before + 24, "seed {seed}: {} moves", world.moves - before);
        assert!(
            (0..world.nodes.len()).all(|node| world.reach(node) == Reach::Works && world.shards(node) >= 2),
            "seed {seed}"
        );
        world.end_well(seed);
    });
}

#[test]
fn a_topic_that_does_not_exist_makes_nobody_dance() {
    run_all(&Seeds::one_in(100, "no-topic", 12), |seed| {
        let mut world = world(seed, true, &[]);
        world.run_until(CUT);
        world.outage = Some(Area::Topic);
        let before = world.moves;
        world.run_until(CUT + 40 * LEASE);
        // A processor may have had nothing but that topic to try for a while.
        assert!(world.moves <= before + 48, "seed {seed}: {} moves", world.moves - before);
        world.outage = None;
        world.end_well(seed);
    });
}
