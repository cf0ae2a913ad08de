//! A key is parked, and has a backlog of hundreds.

use std::time::Duration;

use super::hang::LATE;
use super::seeds::{Seeds, run_all};
use super::world::{Action, ORDERED, World};
use super::writers::order_key;
use crate::retry::OnDeath;
use crate::store::DeadState;

/// By when all of it must be aside.
const ASIDE: Duration = Duration::from_secs(45);

/// One key dies of its first event, is put back with it, and dies again, while the backlog is moved aside and processors
/// come and go.
fn backlog(seed: u64) -> (World, usize) {
    let mut world = World::new(seed, OnDeath::ParkKey, None);
    (world.fast, world.left_to_write) = (true, usize::MAX);
    let key = world.random.usize(..ORDERED);
    // Nobody else writes to it.
    world.locked[key] = true;
    world.commit_of(key, 1, true);
    for n in 0..3 {
        let node = world.random.usize(..world.nodes.len());
        let at = 5_500 + 8_000 * n + world.random.u64(0..2_000);
        let action = if world.random.bool() { Action::Crash(node) } else { Action::Stop(node, Duration::from_secs(8)) };
        world.after(at, action);
    }
    world.run_until(Duration::from_secs(5));
    (world, key)
}

/// How many events of a key are aside.
fn aside(world: &World, key: usize) -> usize {
    let of_key = |key: usize| Some(order_key(key));
    let letters = world.store.dead();
    letters.iter().filter(|dead| dead.state == DeadState::Parked && dead.envelope.order_key() == of_key(key)).count()
}

#[test]
fn a_parked_backlog_holds_up_nobody_and_comes_back_in_order() {
    let seeds = Seeds::one_in(100, "backlog", 6);
    run_all(&seeds, |seed| {
        let (world, key) = backlog(seed);
        let mut world = seeds.watch(world);
        assert!(world.store.is_parked(&order_key(key)), "seed {seed}: it has not died");
        let count = world.random.usize(200..500);
        world.commit_of(key, count, false);
        let halfway = world.random.usize(1..count);
        world.run_while(ASIDE, |world| aside(world, key) < halfway);
        assert!(aside(&world, key) >= halfway, "seed {seed}: {halfway} of {count} are not aside");
        world.put_back(Some(key));
        let mut now = world.now;
        while now < ASIDE {
            now += Duration::from_secs(1);
            world.run_until(now);
            let late = world.undelivered_of(now.saturating_sub(LATE), |of| of != key);
            assert_eq!(late, [], "seed {seed} at {now:?}");
        }
        assert_eq!(aside(&world, key), count, "seed {seed}");
        world.facts.mend();
        world.put_back(Some(key));
        world.left_to_write = 0;
        world.run().unwrap_or_else(|violation| panic!("seed {seed}: {violation:?}"));
        assert_eq!(world.undelivered_of(ASIDE, |of| of == key), [], "seed {seed}");
    });
}
