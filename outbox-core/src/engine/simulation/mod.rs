//! Whole runs of several engines against a store in memory and a broker that fails, on one seed and without a clock.
//!
//! `cargo xtask simulate` makes many of them. Without it, `OUTBOX_TEST_SEED=7` repeats one run, `OUTBOX_TEST_SEEDS=1000`
//! makes a thousand, and both together a thousand from the seventh on.

mod broker;
mod check;
mod cut;
mod nodes;
mod seeds;
mod world;
mod writers;

pub(super) use self::nodes::at_once;
use self::seeds::{Seeds, run_all};
use self::world::World;
use crate::retry::OnDeath;

/// Seeds that have failed, one a line. They mean what they meant only for as long as the simulation draws its chances
/// in the same order, so this stays short: what a seed has shown belongs into a check, or a test of its own.
const REGRESSIONS: &str = include_str!("regressions.txt");

/// Odd seeds park the keys of dead events, even ones let them go on.
fn world(seed: u64, faults: bool) -> World {
    let on_death = if seed.is_multiple_of(2) { OnDeath::Continue } else { OnDeath::ParkKey };
    World::new(seed, on_death, faults)
}

fn simulate(seed: u64, faults: bool) -> World {
    let mut world = world(seed, faults);
    world.run();
    world.check();
    world
}

#[test]
fn every_seed_keeps_every_promise() {
    run_all(&Seeds::from_environment(500), |seed| drop(simulate(seed, true)));
}

#[test]
fn seeds_that_once_failed_do_not_fail_again() {
    let seeds = REGRESSIONS.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let seeds = seeds.filter(|seed| !seed.is_empty()).map(|seed| seed.parse().expect("a seed per line"));
    run_all(&Seeds::these(seeds.collect()), |seed| drop(simulate(seed, true)));
}

#[test]
fn without_faults_nothing_is_published_twice() {
    for seed in 0..100 {
        assert_eq!(simulate(seed, false).repeats(), 0, "seed {seed}");
    }
}

#[test]
fn one_seed_is_one_run() {
    for seed in 0..20 {
        let trace = |()| {
            let mut world = world(seed, true);
            world.trace = Some(Vec::new());
            world.run();
            (world.trace.unwrap_or_default(), world.delivered)
        };
        let (one, other) = (trace(()), trace(()));
        assert!(one.0.len() > 100, "seed {seed}: {} effects", one.0.len());
        let differs = one.0.iter().zip(&other.0).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!((one.0.len(), one.1), (other.0.len(), other.1), "seed {seed}");
    }
}
