//! What the processors say about themselves.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Instant;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use crate::history;
use crate::profile::LEASE;

/// Of a processor's process: everything to its standard error, each line with the time in front.
pub(crate) fn write() {
    let (begun, since) = (real_time().unwrap_or_else(|_| history::now()), Instant::now());
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_timer(Millis { begun, since })
        .init();
}

/// Milliseconds since 1970, whatever this process's own clock says: files are dated by the system.
fn real_time() -> io::Result<i64> {
    let mut file = tempfile::tempfile()?;
    file.write_all(b"now")?;
    Ok(history::millis(file.metadata()?.modified()?))
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

/// What of it can cost repeats, or explains it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// A processor found that others had its shards, all those of one round together.
    pub(crate) lost_leases: Vec<Line>,
    /// A processor gave up shards with events that were still on their way, all those of one round together.
    pub(crate) late_hand_overs: Vec<Line>,
    /// A Kafka producer failed for good, and another one took its place.
    pub(crate) failed_producers: Vec<(Line, Failure)>,
    /// An event was rejected for the last time.
    pub(crate) dead: Vec<Line>,
    /// The database did not answer in time, whatever the reason: a machine that does too much is one.
    pub(crate) unanswered: Vec<Line>,
}

/// When it was said, in milliseconds since 1970, and by the processor in which place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) at: i64,
    pub(crate) place: usize,
}

/// Of a Kafka producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The one for single messages, of which few are under way.
    pub(crate) solo: bool,
    pub(crate) reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The broker refused a message, and so all that came behind it in its batch.
    Refused,
    /// It lost track of what the broker has, as it may when answers get lost.
    LostTrack,
    /// A message had no outcome for `delivery_timeout`.
    Stalled,
    /// Nothing that can happen in the suite.
    Other,
}

/// Reads all logs of a folder.
pub(crate) fn read(folder: &Path) -> io::Result<Said> {
    let mut said = Said::default();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name();
        // As the stage names them: ..-at-<place>.log
        let place = name.to_str().and_then(|name| name.strip_suffix(".log")?.rsplit_once("-at-")?.1.parse().ok());
        let Some(place) = place else { continue };
        said.add(place, &String::from_utf8_lossy(&fs::read(file.path())?));
    }
    Ok(said)
}

impl Said {
    /// One processor's log.
    fn add(&mut self, place: usize, log: &str) {
        // Between two losses there is a round in which leases are taken, and they last for a while.
        let together = i64::try_from((LEASE / 2).as_millis()).unwrap_or(i64::MAX);
        let (mut last_lost, mut last_late) = (None, None);
        for line in log.lines() {
            let Some(at) = line.split_whitespace().next().and_then(|word| word.parse::<i64>().ok()) else { continue };
            let is_new = |last: &mut Option<i64>| {
                let is_new = last.is_none_or(|last| at - last > together);
                is_new.then(|| *last = Some(at)).is_some()
            };
            let said = Line { at, place };
            if line.contains("lost the lease of a shard") {
                if is_new(&mut last_lost) {
                    self.lost_leases.push(said);
                }
            } else if line.contains("could not be handed over in time") {
                if is_new(&mut last_late) {
                    self.late_hand_overs.push(said);
                }
            } else if line.contains("starts over") {
                let solo = line.contains("for single messages starts over");
                self.failed_producers.push((said, Failure { solo, reason: Reason::of(line) }));
            } else if line.contains("rejected for the last time") {
                self.dead.push(said);
            } else if line.contains("the database has not answered for") {
                self.unanswered.push(said);
            }
        }
    }
}

impl Reason {
    fn of(line: &str) -> Self {
        let has = |words| line.contains(words);
        if has("Message size too large") {
            Self::Refused
        } else if has("without an outcome for too long") {
            Self::Stalled
        } else if has("rewound sequence number") || has("out of order sequence number") {
            Self::LostTrack
        } else {
            Self::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_that_go_together_are_one_loss() {
        let mut said = Said::default();
        said.add(
            1,
            "1000 WARN outbox_core: lost the lease of a shard; .. shard=3\n\
             1001 WARN outbox_core: lost the lease of a shard; .. shard=4\n\
             not a line of ours\n\
             1002 WARN outbox_core: a shard could not be handed over in time; .. shard=7\n\
             1003 WARN outbox_core: a shard could not be handed over in time; .. shard=8\n\
             3000 WARN outbox_core: .. failed; trying again soon error=.. the database has not answered for 1s\n\
             4000 WARN outbox_core: lost the lease of a shard; .. shard=3\n\
             4001 WARN outbox_core: a shard could not be handed over in time; .. shard=9\n\
             5000 ERROR outbox_core: an event was rejected for the last time and is dead id=..\n",
        );
        let line = |at| Line { at, place: 1 };
        assert_eq!(said.lost_leases, [1000, 4000].map(line));
        assert_eq!(said.late_hand_overs, [1002, 4001].map(line));
        assert_eq!((said.unanswered, said.dead), (vec![line(3000)], vec![line(5000)]));
    }

    #[test]
    fn a_producers_reason_is_read() {
        let mut said = Said::default();
        said.add(
            0,
            "1 WARN the Kafka producer starts over reason=.. Broker: Message size too large (..): unable to ..\n\
             2 WARN the Kafka producer starts over reason=.. failed with rewound sequence number on broker 1 ..\n\
             3 WARN the Kafka producer starts over reason=a message was without an outcome for too long\n\
             4 WARN the Kafka producer starts over reason=the brokers belong to another cluster than before\n\
             5 WARN the Kafka producer for single messages starts over reason=its thread panicked\n",
        );
        let failures: Vec<_> = said.failed_producers.iter().map(|(line, of)| (line.at, of.solo, of.reason)).collect();
        let expected = [
            (1, false, Reason::Refused),
            (2, false, Reason::LostTrack),
            (3, false, Reason::Stalled),
            (4, false, Reason::Other),
            (5, true, Reason::Other),
        ];
        assert_eq!(failures, expected);
    }

    #[test]
    fn each_log_says_by_its_name_in_which_place_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("processor-7-at-2.log"), "5 lost the lease of a shard").unwrap();
        fs::write(folder.path().join("other.txt"), "6 lost the lease of a shard").unwrap();
        assert_eq!(read(folder.path()).unwrap().lost_leases, [Line { at: 5, place: 2 }]);
    }

    #[test]
    fn the_real_time_is_that_of_the_system() {
        let before = history::now();
        let real = real_time().unwrap();
        // The system dates files by a clock that ticks a few hundred times a second.
        assert!((before - 20..=history::now()).contains(&real), "{real} after {before}");
    }
}
