//! What can happen.

use std::fmt;
use std::time::Duration;

use outbox_tests::Kind;

use crate::proxy::Direction;

/// A connection between two of the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// All writers and the database.
    Writers,
    /// A processor, by its place, and the database.
    Database(usize),
    /// A processor, by its place, and Kafka.
    Kafka(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A processor gets SIGKILL, and another one takes its place after a while.
    Kill { place: usize, absent: Duration },
    /// A processor is stopped for longer than its lease, and goes on as if nothing had been.
    Pause { place: usize, length: Duration },
    /// Another processor takes the place of one that gets SIGTERM.
    Roll { place: usize },
    /// The database crashes and is started again.
    CrashDatabase,
    /// Kafka gets SIGKILL and is started again.
    CrashKafka,
    /// Connections are reset.
    Reset { link: Link },
    /// Nothing passes for a while, and then the connections are reset.
    BlackHole { link: Link, length: Duration },
    /// Nothing passes in one direction for a while, and then it all does.
    OneWay { link: Link, direction: Direction, length: Duration },
    /// Everything takes longer for a while.
    Slow { link: Link, latency: Duration, length: Duration },
    /// Connections are reset after so many bytes, in the middle of a message.
    CutAfter { link: Link, bytes: u64 },
    /// A connection is reset at COMMIT, before or after the database heard it.
    CutCommit { link: Link, heard: bool },
    /// A response to a Produce request, counted from now, is swallowed.
    DropProduceResponse { place: usize, nth: u32 },
    /// A transaction that has nothing to do with the outbox keeps the database from cleaning up.
    PinVacuum { length: Duration },
    /// A writer stands still between its INSERT and its COMMIT.
    StallWriter { length: Duration },
    /// An event that the broker refuses, with others of its key behind it.
    Refuse,
}

/// The kinds of faults, by name.
pub(crate) const KINDS: [&str; 15] = [
    "kill a processor",
    "pause a processor",
    "replace a processor",
    "crash the database",
    "crash kafka",
    "reset",
    "black hole",
    "one way",
    "latency",
    "cut in a message",
    "cut at commit",
    "lost produce response",
    "pinned vacuum",
    "stalled writer",
    "refused event",
];

impl Fault {
    pub(crate) const fn kind(self) -> &'static str {
        KINDS[match self {
            Self::Kill { .. } => 0,
            Self::Pause { .. } => 1,
            Self::Roll { .. } => 2,
            Self::CrashDatabase => 3,
            Self::CrashKafka => 4,
            Self::Reset { .. } => 5,
            Self::BlackHole { .. } => 6,
            Self::OneWay { .. } => 7,
            Self::Slow { .. } => 8,
            Self::CutAfter { .. } => 9,
            Self::CutCommit { .. } => 10,
            Self::DropProduceResponse { .. } => 11,
            Self::PinVacuum { .. } => 12,
            Self::StallWriter { .. } => 13,
            Self::Refuse => 14,
        }]
    }

    /// Whether repeats may follow. They never do from what happens to Kafka, to writers, or between Kafka and a
    /// processor.
    pub(crate) const fn can_repeat(self) -> bool {
        match self {
            Self::Kill { .. } | Self::Pause { .. } | Self::Roll { .. } | Self::CrashDatabase | Self::Refuse => true,
            Self::Reset { link }
            | Self::BlackHole { link, .. }
            | Self::OneWay { link, .. }
            | Self::Slow { link, .. }
            | Self::CutAfter { link, .. }
            | Self::CutCommit { link, .. } => matches!(link, Link::Database(_)),
            Self::CrashKafka | Self::DropProduceResponse { .. } | Self::PinVacuum { .. } | Self::StallWriter { .. } => {
                false
            }
        }
    }

    /// Whether it can happen to this database. SQLite is a file: no server, no network, and one writer, for whom all
    /// others wait.
    pub(crate) fn suits(self, database: Kind) -> bool {
        let link = match self {
            Self::Reset { link }
            | Self::BlackHole { link, .. }
            | Self::OneWay { link, .. }
            | Self::Slow { link, .. }
            | Self::CutAfter { link, .. }
            | Self::CutCommit { link, .. } => Some(link),
            _ => None,
        };
        let on_the_way_to_kafka = link.is_none_or(|link| matches!(link, Link::Kafka(_)));
        database != Kind::Sqlite || (on_the_way_to_kafka && self != Self::CrashDatabase)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self:?}", self.kind())
    }
}
