//! What the processors say about themselves.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::history;
use crate::profile::LEASE;

/// The real time at which a process is started, in milliseconds since 1970: its own clock may say something else.
const BEGUN: &str = "OUTBOX_CHAOS_BEGUN";

/// Tells a process when it begins.
pub(crate) fn begin_at(command: &mut Command, now: i64) {
    command.env(BEGUN, now.to_string());
}

/// Of a processor's process: everything to its standard error, each line with the time in front.
pub(crate) fn write() {
    let begun = std::env::var(BEGUN).ok().and_then(|begun| begun.parse().ok()).unwrap_or_else(history::now);
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_timer(Millis { begun, since: Instant::now() })
        .init();
}

/// The real time, whatever the clock says: counted from the beginning.
struct Millis {
    begun: i64,
    since: Instant,
}

impl FormatTime for Millis {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        let since = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        write!(writer, "{}", self.begun.saturating_add(since))
    }
}

/// What of it can cost repeats. Times are milliseconds since 1970.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// A processor found that others had its shards, all those of one round together.
    pub(crate) lost_leases: Vec<i64>,
    /// A Kafka producer failed for good, and another one took its place.
    pub(crate) failed_producers: Vec<i64>,
}

/// Reads all logs of a folder.
pub(crate) fn read(folder: &Path) -> io::Result<Said> {
    let mut said = Said::default();
    for file in fs::read_dir(folder)? {
        said.add(&String::from_utf8_lossy(&fs::read(file?.path())?));
    }
    Ok(said)
}

impl Said {
    /// One processor's log.
    fn add(&mut self, log: &str) {
        // Between two losses there is a round in which leases are taken, and they last for a while.
        let together = i64::try_from((LEASE / 2).as_millis()).unwrap_or(i64::MAX);
        let mut last = None;
        for line in log.lines() {
            let Some(at) = line.split_whitespace().next().and_then(|word| word.parse::<i64>().ok()) else { continue };
            if line.contains("lost the lease of a shard") {
                if last.is_none_or(|last| at - last > together) {
                    self.lost_leases.push(at);
                    last = Some(at);
                }
            } else if line.contains("starts over") {
                self.failed_producers.push(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_that_are_lost_together_are_one_loss() {
        let mut said = Said::default();
        said.add(
            "1000 WARN outbox_core: lost the lease of a shard; .. shard=3\n\
             1001 WARN outbox_core: lost the lease of a shard; .. shard=4\n\
             not a line of ours\n\
             2000 WARN outbox_kafka: the Kafka producer starts over reason=..\n\
             4000 WARN outbox_core: lost the lease of a shard; .. shard=3\n",
        );
        assert_eq!(said, Said { lost_leases: vec![1000, 4000], failed_producers: vec![2000] });
    }
}
