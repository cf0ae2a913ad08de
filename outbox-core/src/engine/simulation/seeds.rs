//! Which seeds to run, and running them on all cores.
#![allow(clippy::print_stdout, reason = "the figures are what `cargo xtask simulate` is for")]

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// For who reads along.
pub(super) fn say(line: impl std::fmt::Display) {
    println!("{line}");
}

/// Failing seeds after which it is enough.
const ENOUGH: usize = 10;

/// The seeds of a run, in this order.
pub(super) enum Seeds {
    Range(std::ops::Range<u64>),
    List(Vec<u64>),
}

impl Seeds {
    pub(super) fn these(list: Vec<u64>) -> Self {
        Self::List(list)
    }

    /// Those that the environment names, or the first so many.
    pub(super) fn from_environment(default: u64) -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
        };
        match (number("OUTBOX_TEST_SEED"), number("OUTBOX_TEST_SEEDS")) {
            (Some(first), count) => Self::Range(first..first.saturating_add(count.unwrap_or(1))),
            (None, count) => Self::Range(0..count.unwrap_or(default)),
        }
    }

    /// The same, but a tenth of them, and at most five times as many as by default, for runs that take long.
    pub(super) fn a_tenth(default: u64) -> Self {
        match Self::from_environment(10 * default) {
            Self::Range(range) => {
                let tenth = (range.end - range.start).div_ceil(10);
                Self::Range(range.start..range.start + tenth.min(5 * default))
            }
            list @ Self::List(_) => list,
        }
    }

    /// Whether somebody looks at this one.
    pub(super) fn is_one(&self) -> bool {
        matches!(self, Self::Range(range) if range.end - range.start == 1)
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Range(range) => usize::try_from(range.end - range.start).expect("so many seeds"),
            Self::List(list) => list.len(),
        }
    }

    fn get(&self, n: usize) -> Option<u64> {
        match self {
            Self::Range(range) => range.clone().nth(n),
            Self::List(list) => list.get(n).copied(),
        }
    }
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
        println!("seed {seed} fails: repeat it with `cargo xtask simulate --seed {seed}`");
    }
    assert!(failed.is_empty(), "seeds {failed:?} fail");
}
