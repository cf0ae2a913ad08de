//! Whole runs of several engines against a store in memory and a broker that fails, on one seed and without a clock.
//!
//! `OUTBOX_TEST_SEED=7` repeats one run, `OUTBOX_TEST_SEEDS=20000` makes more of them.

mod broker;
mod check;
mod nodes;
mod world;
mod writers;

use self::world::World;
use crate::retry::OnDeath;

/// Runs one seed: odd ones park the keys of dead events, even ones let them go on.
fn simulate(seed: u64, faults: bool) -> World {
    let on_death = if seed.is_multiple_of(2) { OnDeath::Continue } else { OnDeath::ParkKey };
    let mut world = World::new(seed, on_death, faults);
    world.run();
    world.check();
    world
}

fn seeds() -> std::ops::Range<u64> {
    let variable = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match variable("OUTBOX_TEST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("OUTBOX_TEST_SEEDS").unwrap_or(500),
    }
}

#[test]
fn every_seed_keeps_every_promise() {
    for seed in seeds() {
        let run = std::panic::catch_unwind(|| simulate(seed, true));
        assert!(run.is_ok(), "seed {seed} fails: repeat it with OUTBOX_TEST_SEED={seed}");
    }
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
        let (one, other) = (simulate(seed, true), simulate(seed, true));
        assert_eq!(one.delivered, other.delivered, "seed {seed}");
    }
}
