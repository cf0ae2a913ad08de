//! A topic, or a key, says nothing for minutes, while processors join and leave.

use std::time::Duration;

use super::seeds::{Seeds, run_all};
use super::world::{Action, World};
use crate::retry::OnDeath;

const HANGS: Duration = Duration::from_secs(150);
/// How long a processor may take to stop: what hangs keeps it, and its shards with it, for so long.
const STOPS: Duration = Duration::from_secs(8);
/// How late events of others may be: that, until the leases have run out and are taken, and until the new owner has
/// found out that there is something for which it need not wait.
const LATE: Duration = Duration::from_secs(STOPS.as_secs() + 12);

fn others_are_on_time(seed: u64, hangs: Option<usize>, trace: bool) {
    let mut world = World::new(seed, OnDeath::ParkKey, None);
    (world.fast, world.left_to_write, world.trace) = (true, usize::MAX, trace.then(Vec::new));
    world.after(2_000, Action::Silence(hangs, HANGS));
    for n in 0..6 {
        let node = world.random.usize(..world.nodes.len());
        // Not before who was held up by the last one has been served.
        let at = 5_000 + 24_000 * n + world.random.u64(0..2_000);
        let action = if world.random.u8(..4) == 0 { Action::Crash(node) } else { Action::Stop(node, STOPS) };
        world.after(at, action);
    }
    let others = |key: usize| hangs.map_or(key % 2 == 0, |hangs| key != hangs);
    let mut now = LATE;
    while now < HANGS {
        now += Duration::from_secs(1);
        world.run_until(now);
        let late = world.undelivered_of(now - LATE, others);
        if !late.is_empty() {
            world.explain();
            panic!("seed {seed} at {now:?}: {late:?}");
        }
    }
    world.left_to_write = 0;
    world.run().unwrap_or_else(|violation| panic!("seed {seed}: {violation:?}"));
}

#[test]
fn a_topic_that_hangs_holds_up_no_other_while_processors_come_and_go() {
    let seeds = Seeds::a_tenth(6);
    run_all(&seeds, |seed| others_are_on_time(seed, None, seeds.is_one()));
}

#[test]
fn a_key_that_hangs_holds_up_no_other_while_processors_come_and_go() {
    let seeds = Seeds::a_tenth(6);
    let key = |seed: u64| usize::try_from(seed % 10).unwrap();
    run_all(&seeds, |seed| others_are_on_time(seed, Some(key(seed)), seeds.is_one()));
}
