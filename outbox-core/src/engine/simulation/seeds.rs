//! Which seeds to run, and running them on all cores.
#![allow(clippy::print_stdout, reason = "the figures are what `cargo xtask simulate` is for")]

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::world::World;

/// For who reads along.
pub(super) fn say(line: impl std::fmt::Display) {
    println!("{line}");
}

/// Failing seeds after which it is enough.
const ENOUGH: usize = 10;

/// Seeds that have failed, one a line, with the kind of run: `hanging-key 17 # what went wrong`. They mean what they
/// meant only for as long as the simulation draws its chances in the same order, so this stays short: what a seed has
/// shown belongs into a check, or a test of its own.
const KEPT: &str = include_str!("regressions.txt");

/// The kinds of runs.
const KINDS: [&str; 15] = [
    "all-faults",
    "instant",
    "still",
    "zombies",
    "twice",
    "saturated",
    "backlog",
    "hanging-topic",
    "hanging-partition",
    "hanging-key",
    "one-cut-off",
    "all-cut-off",
    "no-topic",
    "once",
    "once-limited",
];

/// The seeds of one kind of run: those that the environment names, and those that have failed.
pub(super) struct Seeds {
    kind: &'static str,
    range: std::ops::Range<u64>,
    kept: Vec<u64>,
}

impl Seeds {
    /// Those that the environment names, or the first so many.
    pub(super) fn of(kind: &'static str, default: u64) -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
        };
        let count = number("OUTBOX_TEST_SEEDS");
        let range = match number("OUTBOX_TEST_SEED") {
            Some(first) => first..first.saturating_add(count.unwrap_or(1)),
            None => 0..count.unwrap_or(default),
        };
        let alone = range.end - range.start == 1;
        Self { kind, range, kept: if alone { Vec::new() } else { kept(kind) } }
    }

    /// The same, but one in so many of them, for runs that take long.
    pub(super) fn one_in(part: u64, kind: &'static str, default: u64) -> Self {
        let seeds = Self::of(kind, part * default);
        let count = (seeds.range.end - seeds.range.start).div_ceil(part);
        Self { range: seeds.range.start..seeds.range.start + count, ..seeds }
    }

    /// With all that happens, if somebody looks at this one.
    pub(super) fn watch(&self, world: World) -> World {
        World { trace: (self.len() == 1).then(Vec::new), ..world }
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len() + usize::try_from(self.range.end - self.range.start).expect("so many seeds")
    }

    fn get(&self, n: usize) -> Option<u64> {
        self.kept.get(n).copied().or_else(|| self.range.clone().nth(n - self.kept.len()))
    }
}

/// The seeds of this kind that have failed.
fn kept(kind: &str) -> Vec<u64> {
    assert!(KINDS.contains(&kind), "{kind} is no kind of run");
    let lines = KEPT.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let entries = lines.filter(|line| !line.is_empty()).map(|line| {
        let (kind, seed) = line.split_once(' ').unwrap_or_else(|| panic!("{line:?} is no kind and seed"));
        assert!(KINDS.contains(&kind), "{kind} is no kind of run");
        (kind, seed.trim().parse().expect("a seed"))
    });
    entries.filter(|(of, _)| *of == kind).map(|(_, seed)| seed).collect()
}

/// Runs every seed, and fails with those that do.
pub(super) fn run_all(seeds: &Seeds, run: impl Fn(u64) + Sync + std::panic::RefUnwindSafe) {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            if catch_unwind(|| run(seed)).is_ok() {
                continue;
            }
            let mut failed = failed.lock().unwrap();
            failed.push(seed);
            if failed.len() >= ENOUGH {
                next.store(seeds.len(), Ordering::Relaxed);
            }
        }
    };
    let (started, cores) = (Instant::now(), std::thread::available_parallelism().map_or(1, usize::from));
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    let mut failed = failed.into_inner().unwrap();
    failed.sort_unstable();
    let (ran, took) = (next.into_inner().min(seeds.len()), started.elapsed());
    println!("{ran} seeds in {took:.1?}, {:.0} seeds/s, {} failed", ran as f64 / took.as_secs_f64(), failed.len());
    for seed in &failed {
        let kind = seeds.kind;
        println!("seed {seed} fails: repeat it with `cargo xtask simulate --seed {seed}`, keep it as `{kind} {seed}`");
    }
    assert!(failed.is_empty(), "seeds {failed:?} fail");
}
