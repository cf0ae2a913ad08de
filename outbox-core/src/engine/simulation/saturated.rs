//! Hardly anything of what is passed over may be remembered.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::area::Area;
use super::seeds::{Seeds, run_all};
use super::world::{Action, World};
use super::{faulty, simulate};

/// All faults, and half of the runs have a topic that says nothing for a while, with all that there is of it.
fn saturated(seed: u64) -> World {
    let mut world = faulty(seed);
    world.most_held = usize::try_from(seed % 4).unwrap() + 1;
    if seed % 8 < 4 {
        world.after(2_000, Action::Silence(Area::Topic, Duration::from_secs(40)));
    }
    world
}

/// Reading waits then, and what is held can still go.
#[test]
fn who_can_remember_no_more_forgets_nothing_and_goes_on() {
    let (seeds, often) = (Seeds::one_in(10, "saturated", 50), AtomicUsize::new(0));
    run_all(&seeds, |seed| {
        let world = simulate(seeds.watch(saturated(seed)));
        often.fetch_add(world.saturated, Ordering::Relaxed);
    });
    assert!(often.into_inner() >= 10 * seeds.len(), "no run, or hardly any, has remembered all that it may");
}
