//! Whole runs of several engines against a store in memory and a broker that fails, on one seed and without a clock.
//!
//! `cargo xtask simulate` makes many of them. Without it, `OUTBOX_TEST_SEED=7` repeats one run, `OUTBOX_TEST_SEEDS=1000`
//! makes a thousand, and both together a thousand from the seventh on.

mod area;
mod backlog;
mod broken;
mod broker;
mod calls;
mod check;
mod clock;
mod contract;
mod cut;
mod database;
mod facts;
mod hang;
mod memory;
mod nodes;
mod once;
mod plan;
mod queue;
mod repeats;
mod saturated;
mod seeds;
mod summary;
mod world;
mod writers;

use std::sync::Mutex;

use self::area::Area;
pub(super) use self::nodes::at_once;
use self::seeds::{Seeds, run_all, say};
use self::summary::Summary;
use self::world::{Action, World};
use crate::retry::OnDeath;

/// Odd seeds park the keys of dead events, even ones let them go on.
fn quiet(seed: u64) -> World {
    let on_death = if seed.is_multiple_of(2) { OnDeath::Continue } else { OnDeath::ParkKey };
    World::new(seed, on_death, None)
}

fn faulty(seed: u64) -> World {
    let mut world = quiet(seed);
    world.plan_faults();
    world
}

/// Nothing but stops, and others that start in their place.
fn deploys(seed: u64) -> World {
    let mut world = quiet(seed);
    (world.fast, world.left_to_write) = (true, usize::MAX);
    world.plan_rolling_deploys();
    world
}

/// Calls take no time.
fn instant(seed: u64) -> World {
    let mut world = faulty(seed);
    (world.instant, world.fast) = (true, true);
    world
}

/// A topic says nothing for so long that nothing happens any more, and then all is well.
fn still(seed: u64) -> World {
    let nodes = usize::try_from(seed % 3 + 1).unwrap();
    let mut world = World::new(seed, OnDeath::ParkKey, Some(nodes));
    let length = world.milliseconds(70_000..90_000);
    world.after(2_000, Action::Silence(Area::Topic, length));
    world
}

/// Processors that lose their leases and do not know it.
fn zombies(seed: u64) -> World {
    let mut world = World::new(seed, OnDeath::ParkKey, None);
    world.plan_zombies();
    world
}

fn simulate(mut world: World) -> World {
    if let Err(violation) = world.run() {
        world.explain();
        panic!("{violation:?}\n{}", world.summary);
    }
    world.summary.records = world.delivered.len();
    world.summary.dead = world.store.dead().len();
    world.summary.moves = world.moves;
    world.summary.repeats = world.repeats();
    world
}

#[test]
fn every_seed_keeps_every_promise() {
    let all = Mutex::new(Summary::default());
    let seeds = Seeds::of("all-faults", 200);
    run_all(&seeds, |seed| {
        let summary = simulate(seeds.watch(faulty(seed))).summary;
        *all.lock().unwrap() += summary;
    });
    say(all.into_inner().unwrap());
}

#[test]
fn without_faults_nothing_is_published_twice() {
    for seed in 0..100 {
        assert_eq!(simulate(quiet(seed)).repeats(), 0, "seed {seed}");
    }
}

#[test]
fn rolling_deploys_repeat_nothing() {
    for seed in 0..50 {
        let world = simulate(deploys(seed));
        assert!(world.summary.stops >= 6, "seed {seed}: {} stops", world.summary.stops);
        assert_eq!((world.repeats(), world.summary.may_repeat), (0, 0), "seed {seed}");
    }
}

#[test]
fn calls_that_take_no_time_come_to_an_end() {
    let seeds = Seeds::one_in(10, "instant", 50);
    run_all(&seeds, |seed| drop(simulate(seeds.watch(instant(seed)))));
}

#[test]
fn who_has_nothing_to_do_asks_seldom() {
    let seeds = Seeds::one_in(10, "still", 20);
    run_all(&seeds, |seed| drop(simulate(seeds.watch(still(seed)))));
}

#[test]
fn who_has_lost_its_lease_neither_reorders_nor_parks() {
    let seeds = Seeds::one_in(10, "zombies", 20);
    run_all(&seeds, |seed| drop(simulate(seeds.watch(zombies(seed)))));
}

#[test]
fn one_seed_is_one_run() {
    run_all(&Seeds::one_in(100, "twice", 40), |seed| {
        let trace = |()| {
            let mut world = faulty(seed);
            world.trace = Some(Vec::new());
            world = simulate(world);
            (world.trace.unwrap_or_default(), world.delivered)
        };
        let (one, other) = (trace(()), trace(()));
        assert!(one.0.len() > 100, "seed {seed}: {} effects", one.0.len());
        let differs = one.0.iter().zip(&other.0).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!((one.0.len(), one.1), (other.0.len(), other.1), "seed {seed}");
    });
}
