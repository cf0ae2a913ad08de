//! The simulation with one part broken at a time: each must be caught, or the simulation is too tame.
//!
//! What is broken is around the engine (the database, the publisher, the loop that carries out effects), so nothing of
//! the engine knows of it. The same seeds pass when nothing is broken: that is the main test.

mod publisher;
mod shell;
mod store;
mod table;

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::world::{Action, World};
use crate::engine::Effect;

/// A part that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// The publisher reports what it has only taken.
    AckBeforeSend,
    /// Events are deleted when they are handed to the publisher.
    SettleBeforeReport,
    /// Reads go on behind the highest number that was seen.
    CursorAtHighestSeen,
    /// Events of a transaction are numbered in the order of their ids.
    OrderById,
    /// What is published together is in the order of its creation, by the clocks of the writers.
    OrderByTime,
    /// Everybody takes whatever rows nobody else has taken, whatever their keys.
    RowsWithoutLanes,
    /// Outcomes are written whoever has the lease.
    NoFence,
    /// Leases run out by the clocks of those who want them, which differ.
    LeaseByOwnClock,
    /// The publisher sends again what found no room, behind what did.
    ReordersWhenFull,
    /// The publisher sends the events behind one that failed.
    SendsBehindFailures,
    /// The publisher reports what it has taken, and does not send it any more when it is told to stop.
    NoFlushOnStop,
    /// Pending events are deleted when they are old.
    CleansByAge,
    /// What cannot reach the broker counts as rejected.
    OutagesCountAsAttempts,
    /// A call that takes too long is dropped, and leaves its connection in a transaction.
    CallsCutOff,
    /// A settle looks at numbers and not at ids.
    SettlesByNumber,
    /// Events are known to consumers by the numbers of their rows.
    NumbersAsIds,
    /// A settle looks whether the lease is there, and then writes without a lock on it.
    FenceWithoutLock,
    /// Numbers count as decided some time after they were given out.
    MarkByTime,
    /// Reads leave out what is not due.
    RetryLetsKeyPass,
    /// Requeueing leaves the generation as it is.
    RequeueWithoutGeneration,
    /// A read that was cut short by its limit does not say so.
    LimitUntold,
    /// A read says that there is more where there is nothing.
    MoreForNothing,
    /// Whoever asks which scheduled event is due next hears that one is.
    DueForNothing,
    /// Rejections are never written, as if there always were a new generation.
    AlwaysRegenerated,
    /// Who is told that there is work, and finds none, looks again only when told again.
    SleepsAfterEmptyHint,
}

/// What broken parts remember.
#[derive(Debug, Default)]
pub(super) struct Tricks {
    /// Numbers that were given out, and when.
    numbers: VecDeque<(Duration, i64)>,
    /// Numbers that consumers have seen.
    seen: HashSet<i64>,
    /// Who took a row, in which life.
    taken: HashMap<i64, (usize, u64)>,
    /// The true time, while the database's clock is somebody's own.
    clock: Option<Duration>,
    /// How much longer the call that is made now takes.
    pub(super) gap: Option<Duration>,
    /// Nodes with a connection that somebody left in a transaction.
    in_transaction: Vec<usize>,
    /// Nodes that were told that there is work, and have not found any since.
    hinted: Vec<usize>,
    asleep: Vec<usize>,
    slept: Vec<(usize, u64, Uuid, Instant, Effect)>,
}

impl World {
    /// Breaks a part.
    pub(super) fn break_with(&mut self, broken: Broken) {
        self.broken = Some(broken);
        if broken == Broken::CleansByAge {
            self.after(1_000, Action::Clean);
        }
    }

    fn is(&self, broken: Broken) -> bool {
        self.broken == Some(broken)
    }
}
