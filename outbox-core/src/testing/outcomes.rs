use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::message::Message;
use crate::publisher::{Delivery, Outcome, PublishErrorKind, Reports};

/// Makes deliveries and keeps what is reported about them: the processor's side, for tests of publishers.
///
/// Clones share what they know.
///
/// ```
/// use outbox_core::testing::{Outcomes, Reported, message};
/// use outbox_core::{NoopPublisher, Publisher};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let outcomes = Outcomes::new();
/// NoopPublisher::new().publish(outcomes.deliveries([message("orders", Some("7"), 1, "{}")])).await;
/// assert_eq!(outcomes.all().await, [Reported::Delivered]);
/// # }
/// ```
#[derive(Clone)]
pub struct Outcomes(Arc<Log>);

/// An [`Outcome`], in a form to compare. Errors are their [summary](crate::PublishError::summary).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// The broker has it.
    Delivered,
    /// It is at fault.
    Rejected(String),
    /// The destination is at fault.
    Unreachable(String),
    /// The destination asks for a pause, perhaps of this length.
    Throttled(String, Option<Duration>),
    /// It was not sent.
    Withheld,
}

struct Log(watch::Sender<Vec<Vec<Reported>>>);

impl Outcomes {
    /// Nothing delivered yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Log(watch::Sender::new(Vec::new()))))
    }

    /// One delivery for each message; their outcomes are counted on from those of earlier calls.
    pub fn deliveries<M: Into<Arc<Message>>>(&self, messages: impl IntoIterator<Item = M>) -> Vec<Delivery> {
        let delivery = |message| {
            let mut token = 0;
            self.0.0.send_modify(|reports| {
                token = reports.len() as u64;
                reports.push(Vec::new());
            });
            Delivery::new(message, token, Arc::<Log>::clone(&self.0))
        };
        messages.into_iter().map(delivery).collect()
    }

    /// All outcomes in the order of their messages, as soon as there is one for each.
    ///
    /// # Panics
    ///
    /// When it takes longer than 60 seconds, or when something is reported twice.
    #[track_caller]
    pub fn all(&self) -> impl Future<Output = Vec<Reported>> + Send + use<> {
        let outcomes = self.clone();
        async move {
            const PATIENCE: Duration = Duration::from_secs(60);
            let mut reports = outcomes.0.0.subscribe();
            let complete = reports.wait_for(|reports| reports.iter().all(|reports| !reports.is_empty()));
            let in_time = matches!(tokio::time::timeout(PATIENCE, complete).await, Ok(Ok(_)));
            let now = outcomes.now();
            let missing = now.iter().filter(|outcome| outcome.is_none()).count();
            assert!(in_time, "{missing} of {} messages have no outcome after {PATIENCE:?}", now.len());
            now.into_iter().flatten().collect()
        }
    }

    /// What is known now, in the order of the messages.
    ///
    /// # Panics
    ///
    /// When something was reported twice.
    #[must_use]
    #[track_caller]
    pub fn now(&self) -> Vec<Option<Reported>> {
        let reports = self.0.0.borrow();
        let one = |(token, reports): (usize, &Vec<Reported>)| {
            assert!(reports.len() < 2, "message {token} was reported more than once: {reports:?}");
            reports.first().cloned()
        };
        reports.iter().enumerate().map(one).collect()
    }
}

impl Reports for Log {
    fn report(&self, token: u64, outcome: Outcome) {
        self.0.send_modify(|reports| {
            if let Some(reports) = usize::try_from(token).ok().and_then(|token| reports.get_mut(token)) {
                reports.push(outcome.into());
            }
        });
    }
}

impl From<Outcome> for Reported {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Delivered => Self::Delivered,
            Outcome::Withheld => Self::Withheld,
            Outcome::Failed(error) => match error.kind() {
                PublishErrorKind::Rejected => Self::Rejected(error.summary()),
                PublishErrorKind::Unreachable => Self::Unreachable(error.summary()),
                PublishErrorKind::Throttled => Self::Throttled(error.summary(), error.retry_after()),
            },
        }
    }
}

impl Default for Outcomes {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outcomes").field(&*self.0.0.borrow()).finish()
    }
}
