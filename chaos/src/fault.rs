//! What can happen.

use std::fmt;
use std::time::Duration;

use outbox_tests::Kind;

use outbox_testkit::Direction;

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
    /// The connections of a processor say nothing any more, for good. New ones work.
    Silence { link: Link },
    /// Nothing passes in one direction for a while, and then it all does.
    OneWay { link: Link, direction: Direction, length: Duration },
    /// Everything takes longer for a while.
    Slow { link: Link, latency: Duration, length: Duration },
    /// Connections are reset after so many bytes, in the middle of a message.
    CutAfter { link: Link, bytes: u64 },
    /// A connection is reset at COMMIT, before or after the database heard it.
    CutCommit { link: Link, heard: bool },
    /// The database never hears a COMMIT of a processor, whose connection says nothing any more.
    SwallowCommit { place: usize },
    /// A response to a Produce request, counted from now, is swallowed.
    DropProduceResponse { place: usize, nth: u32 },
    /// A transaction that has nothing to do with the outbox keeps the database from cleaning up.
    PinVacuum { length: Duration },
    /// A writer stands still between its INSERT and its COMMIT.
    StallWriter { length: Duration },
    /// The wall clock of a processor's process is so many seconds before or behind the real time from now on.
    MoveProcessorsClock { place: usize, ahead: i64 },
    /// The wall clock of the database's server, likewise.
    MoveDatabasesClock { ahead: i64 },
    /// An event that the broker refuses, with others of its key behind it.
    Refuse,
}

/// The names of the kinds of faults.
pub(crate) const KINDS: [&str; 19] = [
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
    "swallowed commit",
    "lost produce response",
    "pinned vacuum",
    "stalled writer",
    "refused event",
    "silent connections",
    "clock of a processor",
    "clock of the database",
];

/// What happens to the database's server alone, or on the way to it.
pub(crate) const OF_A_SERVER: [&str; 4] =
    ["crash the database", "cut at commit", "swallowed commit", "clock of the database"];

/// Whether faults of a kind can happen to this database. SQLite is a file: no server, and nothing on the way to it. Clocks
/// are moved on Linux alone.
pub(crate) fn suits(kind: &str, database: Kind) -> bool {
    let is_there = match database {
        Kind::Postgres | Kind::MariaDb => true,
        Kind::Sqlite => !OF_A_SERVER.contains(&kind),
    };
    is_there && (cfg!(target_os = "linux") || !kind.starts_with("clock of"))
}

impl Fault {
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill a processor",
            Self::Pause { .. } => "pause a processor",
            Self::Roll { .. } => "replace a processor",
            Self::CrashDatabase => "crash the database",
            Self::CrashKafka => "crash kafka",
            Self::Reset { .. } => "reset",
            Self::BlackHole { .. } => "black hole",
            Self::Silence { .. } => "silent connections",
            Self::OneWay { .. } => "one way",
            Self::Slow { .. } => "latency",
            Self::CutAfter { .. } => "cut in a message",
            Self::CutCommit { .. } => "cut at commit",
            Self::SwallowCommit { .. } => "swallowed commit",
            Self::DropProduceResponse { .. } => "lost produce response",
            Self::PinVacuum { .. } => "pinned vacuum",
            Self::StallWriter { .. } => "stalled writer",
            Self::Refuse => "refused event",
            Self::MoveProcessorsClock { .. } => "clock of a processor",
            Self::MoveDatabasesClock { .. } => "clock of the database",
        }
    }

    /// Whether repeats may follow. They never do from what happens to Kafka, to writers, or between Kafka and a
    /// processor.
    pub(crate) const fn can_repeat(self) -> bool {
        match self {
            Self::Kill { .. }
            | Self::Pause { .. }
            | Self::Roll { .. }
            | Self::CrashDatabase
            | Self::Refuse
            | Self::MoveDatabasesClock { .. } => true,
            _ => matches!(self.link(), Some(Link::Database(_))),
        }
    }

    /// On which way it happens.
    pub(crate) const fn link(self) -> Option<Link> {
        match self {
            Self::Reset { link }
            | Self::BlackHole { link, .. }
            | Self::Silence { link }
            | Self::OneWay { link, .. }
            | Self::Slow { link, .. }
            | Self::CutAfter { link, .. }
            | Self::CutCommit { link, .. } => Some(link),
            Self::SwallowCommit { place } => Some(Link::Database(place)),
            Self::DropProduceResponse { place, .. } => Some(Link::Kafka(place)),
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self:?}", self.kind())
    }
}
