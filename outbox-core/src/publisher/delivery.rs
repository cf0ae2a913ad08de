use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::PublishError;
use crate::message::Message;

/// What became of one message.
#[derive(Debug)]
pub enum Outcome {
    /// The broker has it durably.
    Delivered,
    /// The broker does not have it, as far as anybody can know.
    Failed(PublishError),
    /// It was not sent, because an earlier message of its key failed or the publisher had to start over.
    Withheld,
}

/// Where outcomes go. Implemented by processors and by tests of publishers.
pub trait Reports: Send + Sync + 'static {
    /// Takes the outcome of the delivery that was made with `token`. Called once per delivery, from any thread;
    /// must not block or panic.
    fn report(&self, token: u64, outcome: Outcome);
}

/// One message, together with the duty to say what became of it.
///
/// Report exactly once, by [`delivered`](Self::delivered), [`failed`](Self::failed) or [`withheld`](Self::withheld).
/// A delivery that is dropped without a report, by a bug or a panic, counts as rejected.
#[must_use = "a delivery that is dropped counts as rejected"]
pub struct Delivery {
    message: Arc<Message>,
    receipt: Receipt,
}

/// The duty alone, for publishers that part with the message before its outcome is known.
#[must_use = "a receipt that is dropped counts as rejected"]
pub struct Receipt {
    token: u64,
    reports: Option<Arc<dyn Reports>>,
}

impl Delivery {
    /// A delivery whose outcome goes to `reports` under `token`.
    pub fn new(message: impl Into<Arc<Message>>, token: u64, reports: Arc<dyn Reports>) -> Self {
        Self { message: message.into(), receipt: Receipt { token, reports: Some(reports) } }
    }

    /// Takes message and duty apart.
    pub fn into_parts(self) -> (Arc<Message>, Receipt) {
        (self.message, self.receipt)
    }

    /// The broker has the message durably.
    pub fn delivered(self) {
        self.receipt.delivered();
    }

    /// The broker did not take the message.
    pub fn failed(self, error: PublishError) {
        self.receipt.failed(error);
    }

    /// The message was not sent, because of another one.
    pub fn withheld(self) {
        self.receipt.withheld();
    }
}

impl Receipt {
    /// See [`Delivery::delivered`].
    pub fn delivered(self) {
        self.report(Outcome::Delivered);
    }

    /// See [`Delivery::failed`].
    pub fn failed(self, error: PublishError) {
        self.report(Outcome::Failed(error));
    }

    /// See [`Delivery::withheld`].
    pub fn withheld(self) {
        self.report(Outcome::Withheld);
    }

    /// Reports any outcome.
    pub fn report(mut self, outcome: Outcome) {
        if let Some(reports) = self.reports.take() {
            reports.report(self.token, outcome);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(reports) = self.reports.take() {
            let error = PublishError::rejected("the publisher dropped the message without reporting an outcome");
            reports.report(self.token, Outcome::Failed(error));
        }
    }
}

impl Deref for Delivery {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Delivery").field(&self.message).finish()
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receipt").field(&self.token).finish()
    }
}
