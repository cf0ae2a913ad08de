//! Whether something happened that explains what the processors say about themselves.
//!
//! What they say excuses repeats, so it must not be its own excuse: a lease is lost because its owner could not renew
//! it, a producer fails because of what happened on its way to the broker. Where nothing of that kind came before, it
//! is a complaint, and excuses nothing.

use std::time::Duration;

use crate::fault::{Fault, Link};
use crate::history::{Happened, Past};
use crate::logs::{Failure, Line, Reason, Said};
use crate::profile::SHUTDOWN;
use crate::repeats::{AFTER, after};

/// How long after a fault has ended a processor may find that it cost leases: it waits for up to 5 s until it tries the
/// database again, each try may take a second or a lease, and whoever was quicker has its shards by then.
const NOTICED: i64 = 10_000;
/// How long silent connections stay as they are before they are reset: a transaction that they leave open holds its
/// locks for as long, also against other processors.
const SILENT: i64 = 60_000;
/// How long after lost answers a producer may fail: requests time out after 5 s (see the profile), are sent again on a
/// new connection, and may time out again.
const UNANSWERED: i64 = 15_000;
/// How long an error of the suite's own may come after a crash of the database: connections from before it are found
/// to be dead one by one.
const AFTER_A_CRASH: i64 = 10_000;
/// The publisher's default, which the profile leaves as it is.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(300);

/// What of `said` has a reason, and complaints about the rest.
pub(crate) fn explained(said: &Said, happened: &Happened) -> (Said, Vec<String>) {
    let (mut with, mut complaints) = (said.clone(), Vec::new());
    let mut keep = |has_reason: bool, what: &str, line: &Line| {
        if !has_reason {
            complaints.push(format!("place {} at {}: {what}", line.place, line.at));
        }
        has_reason
    };
    with.lost_leases.retain(|line| {
        let has_reason = leases(line, 0, said, happened);
        keep(has_reason, "a lease was lost although nothing happened that costs one", line)
    });
    with.late_hand_overs.retain(|line| {
        let since = millis(SHUTDOWN);
        let has_reason = leases(line, since, said, happened) || broker(line, since + UNANSWERED, happened);
        keep(has_reason, "a shard was not handed over in time although nothing held it up", line)
    });
    with.failed_producers.retain(|(line, Failure { reason, .. })| {
        let has_reason = match reason {
            Reason::Refused => refused(line, said, happened),
            Reason::LostTrack => broker(line, UNANSWERED, happened),
            Reason::Stalled => happened.faults.iter().any(|past| {
                on_the_way_to_the_broker(past.fault, line.place)
                    && past.to - past.from >= millis(DELIVERY_TIMEOUT)
                    && is_recent(past.from, past.to, line.at, UNANSWERED)
            }),
            Reason::Other => false,
        };
        keep(has_reason, &format!("a Kafka producer failed without a reason ({reason:?})"), line)
    });
    let crash = |past: &&Past| past.fault == Fault::CrashDatabase;
    for setback in &happened.setbacks {
        let in_time = |past: &Past| past.from <= setback.to && setback.from <= past.to + AFTER_A_CRASH;
        if !happened.faults.iter().filter(crash).any(in_time) {
            complaints.push(setback.what.clone());
        }
    }
    (with, complaints)
}

/// Whether the leases of this processor may have been lost, or its calls to the database held up, within the time up
/// to then. Not only what happens to this one: whoever stands still in a transaction holds locks that others need.
fn leases(line: &Line, within: i64, said: &Said, happened: &Happened) -> bool {
    let costs = |past: &Past| {
        let to = match past.fault {
            Fault::Pause { .. } | Fault::CrashDatabase | Fault::MoveDatabasesClock { .. } => past.to,
            Fault::Silence { link: Link::Database(_) } | Fault::SwallowCommit { .. } => past.to + SILENT,
            fault if matches!(fault.link(), Some(Link::Database(_))) => past.to,
            _ => return false,
        };
        is_recent(past.from, to, line.at, within + NOTICED)
    };
    let waited = |of: &Line| of.place == line.place && is_recent(of.at, of.at, line.at, within + NOTICED);
    happened.faults.iter().any(costs) || said.unanswered.iter().any(waited)
}

/// Since when a processor that was killed may have been without its leases. It finds out, and says so, when it hears of
/// the database again; before that, others can have taken its shards, and repeated what it had published.
pub(crate) fn cut_off_since(kill: &Line, happened: &Happened) -> i64 {
    let cuts_off = |past: &&Past| {
        let alone = match past.fault {
            Fault::Pause { place, .. } => place == kill.place,
            Fault::MoveDatabasesClock { .. } => true,
            fault => fault.link() == Some(Link::Database(kill.place)),
        };
        alone && is_recent(past.from, past.to, kill.at, NOTICED)
    };
    happened.faults.iter().filter(cuts_off).map(|past| past.from).min().unwrap_or(kill.at)
}

/// Whether answers of the broker may have been lost, or late, on the way to this processor within the time up to then.
fn broker(line: &Line, within: i64, happened: &Happened) -> bool {
    let on_the_way = happened.faults.iter().filter(|past| on_the_way_to_the_broker(past.fault, line.place));
    on_the_way.into_iter().any(|past| is_recent(past.from, past.to, line.at, within))
}

/// Whether a producer may have lost track of the broker because that crashed.
pub(crate) fn of_a_crashed_broker((line, failure): &(Line, Failure), happened: &Happened) -> bool {
    let mut crashes = happened.faults.iter().filter(|past| past.fault == Fault::CrashKafka);
    failure.reason == Reason::LostTrack && crashes.any(|past| is_recent(past.from, past.to, line.at, UNANSWERED))
}

fn on_the_way_to_the_broker(fault: Fault, place: usize) -> bool {
    match fault {
        Fault::CrashKafka => true,
        Fault::Pause { place: paused, .. } => paused == place,
        _ => fault.link() == Some(Link::Kafka(place)),
    }
}

/// Whether there was a message that the broker refuses. It may wait for a while before it is sent, and where whoever
/// tried it is killed each time, it is tried again until it is dead.
fn refused(line: &Line, said: &Said, happened: &Happened) -> bool {
    let soon_after = |at, later: i64| (at..=after(at, AFTER, &happened.faults)).contains(&later);
    let lives = said.dead.iter().any(|dead| soon_after(line.at, dead.at));
    let refused = happened.faults.iter().filter(|past| past.fault == Fault::Refuse && past.from <= line.at);
    refused.into_iter().any(|past| lives || line.at <= past.to || soon_after(past.to, line.at))
}

/// Whether what lasted from then to then was there at most `within` before `at`.
const fn is_recent(from: i64, to: i64, at: i64, within: i64) -> bool {
    from <= at && at <= to + within
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "reasons_tests.rs"]
mod tests;
