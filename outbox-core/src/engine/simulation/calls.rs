//! How often engines ask for something while nothing happens.

use std::time::Duration;

use super::check::Violation;
use super::world::{Action, World};
use crate::engine::Event;
use crate::publisher::{Outcome, PublishErrorKind};

/// Most calls and batches of an engine while nothing happens: so many, and so many more in each second. After something
/// has happened it looks into its shards, one after the other, ten times a second, then twice, then once.
const AT_FIRST: usize = 250;
const PER_SECOND: usize = 25;

/// What an engine has asked for since something happened.
#[derive(Debug, Default)]
pub(super) struct Calls {
    since: Duration,
    count: usize,
}

impl World {
    /// Something happens that is news: not that a call or a message arrives, that a call is answered, or that a message
    /// could not be sent, which it is again and again while the broker is away.
    pub(super) fn note_change(&mut self, action: &Action) {
        let news = match action {
            Action::Arrive(_, _, Event::Reported(_, outcome)) => match outcome {
                Outcome::Delivered => true,
                Outcome::Failed(error) => error.kind() == PublishErrorKind::Rejected,
                Outcome::Withheld => false,
            },
            Action::Arrive(_, _, event) => matches!(event, Event::Woken | Event::Stop { .. }),
            Action::Call { .. } | Action::Append { .. } => false,
            _ => true,
        };
        if news {
            self.changed = self.now;
        }
    }

    /// An engine asks for something, which has a reason only so many times after something has happened.
    pub(super) fn count_calls(&mut self, n: usize, calls: usize) {
        let (now, changed) = (self.now, self.changed);
        let node = &mut self.nodes[n];
        if node.calls.since != changed {
            node.calls = Calls { since: changed, count: 0 };
        }
        node.calls.count += calls;
        let (still, count) = (now - changed, node.calls.count);
        let most = AT_FIRST + PER_SECOND * usize::try_from(still.as_secs()).expect("less than years");
        if count > most {
            self.violated(Violation::Spinning(format!(
                "node {n} has made {count} calls in {still:?}, and for nothing"
            )));
        }
    }
}
