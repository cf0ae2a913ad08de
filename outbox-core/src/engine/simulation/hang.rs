//! A topic, a partition or a key says nothing for minutes, while processors join and leave.

use std::time::Duration;

use super::area::{Area, partition};
use super::seeds::{Seeds, run_all};
use super::world::{Action, ORDERED, World};
use crate::retry::OnDeath;

const PARTITIONS: u32 = 3;
const HANGS: Duration = Duration::from_secs(150);
/// How long a processor may take to stop: what hangs keeps it, and its shards with it, for so long.
const STOPS: Duration = Duration::from_secs(8);
/// How late events of others may be: that, until the leases have run out and are taken, and until the new owner has
/// found out that there is something for which it need not wait.
pub(super) const LATE: Duration = Duration::from_secs(STOPS.as_secs() + 12);

fn others_are_on_time(seed: u64, hangs: Area, others: impl Fn(usize) -> bool, seeds: &Seeds) {
    let mut world = seeds.watch(World::new(seed, OnDeath::ParkKey, None));
    (world.fast, world.left_to_write) = (true, usize::MAX);
    world.partitions = if let Area::Partition(_) = hangs { PARTITIONS } else { 0 };
    world.after(2_000, Action::Silence(hangs, HANGS));
    for n in 0..6 {
        let node = world.random.usize(..world.nodes.len());
        // Not before who was held up by the last one has been served.
        let at = 5_000 + 24_000 * n + world.random.u64(0..2_000);
        let action = if world.random.u8(..4) == 0 { Action::Crash(node) } else { Action::Stop(node, STOPS) };
        world.after(at, action);
    }
    let mut now = LATE;
    while now < HANGS {
        now += Duration::from_secs(1);
        world.run_until(now);
        let late = world.undelivered_of(now - LATE, &others);
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
    let seeds = Seeds::one_in(100, "hanging-topic", 6);
    run_all(&seeds, |seed| others_are_on_time(seed, Area::Topic, |key| key.is_multiple_of(2), &seeds));
}

#[test]
fn a_partition_that_hangs_holds_up_no_other_while_processors_come_and_go() {
    let seeds = Seeds::one_in(100, "hanging-partition", 6);
    run_all(&seeds, |seed| {
        let number = u32::try_from(seed).unwrap() % PARTITIONS;
        // Events without a key may be anywhere.
        let others =
            |key: usize| key.is_multiple_of(2) || (key < ORDERED && partition(key, PARTITIONS) != Some(number));
        others_are_on_time(seed, Area::Partition(number), others, &seeds);
    });
}

#[test]
fn a_key_that_hangs_holds_up_no_other_while_processors_come_and_go() {
    let seeds = Seeds::one_in(100, "hanging-key", 6);
    let key = |seed: u64| usize::try_from(seed % 10).unwrap();
    run_all(&seeds, |seed| {
        let hangs = key(seed);
        others_are_on_time(seed, Area::Key(hangs), |key| key != hangs, &seeds);
    });
}
