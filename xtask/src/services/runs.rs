//! Servers that live as long as one run of the tests.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::fleet::Fleet;
use super::state::Lock;
use crate::interrupt::Interrupt;

/// A folder of its own for this run. What runs that were killed left behind is stopped and removed first: their
/// locks went with their processes.
pub(crate) fn begin(cache: &Path, interrupt: Interrupt) -> anyhow::Result<(Fleet, PathBuf)> {
    let runs = cache.join("runs");
    // Until our own folder is locked, so that nobody takes it for one left behind.
    let _beginning = Lock::wait(&runs)?;
    for run in fs::read_dir(&runs).context("cannot list earlier runs")? {
        let run = run?.path();
        if run.is_dir()
            && let Some(lock) = Lock::attempt(&run)?
        {
            println!("removing what an earlier run left in {}", run.display());
            end(Fleet::holding(lock, &run, cache, Interrupt::default())?, &run)?;
        }
    }
    let run = runs.join(std::process::id().to_string());
    Ok((Fleet::open(&run, cache, interrupt)?, run))
}

/// Stops the servers of a run, those that single tests started in its subfolders too, and removes its folder.
pub(crate) fn end(mut fleet: Fleet, run: &Path) -> anyhow::Result<()> {
    fleet.down()?;
    for folder in fs::read_dir(run).with_context(|| format!("cannot list {}", run.display()))? {
        let folder = folder?.path();
        if folder.is_dir() {
            Fleet::open(&folder, &folder, Interrupt::default())?.down()?;
        }
    }
    fs::remove_dir_all(run).with_context(|| format!("cannot remove {}", run.display()))
}
