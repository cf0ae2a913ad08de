use std::error::Error;
use std::fmt;
use std::time::Duration;

/// What kind of failure it was, which decides what the processor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublishErrorKind {
    /// The broker, or the publisher, will not take this message. It counts as an attempt.
    Rejected,
    /// Broker, network, permission or topic: nothing is wrong with the message. Never counts as an attempt; the
    /// topic pauses and is probed until it works again.
    Unreachable,
    /// The broker asks for a pause. Never counts as an attempt.
    Throttled,
}

/// Why a message was not published.
pub struct PublishError {
    kind: PublishErrorKind,
    reason: String,
    retry_after: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl PublishError {
    /// This message is at fault: too large, malformed, refused by a policy.
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::new(PublishErrorKind::Rejected, reason)
    }

    /// The message is not at fault: broker, network, permissions, unknown topic.
    pub fn unreachable(reason: impl Into<String>) -> Self {
        Self::new(PublishErrorKind::Unreachable, reason)
    }

    /// The broker asks to wait, for `retry_after` if it says so.
    pub fn throttled(reason: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..Self::new(PublishErrorKind::Throttled, reason) }
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// What the processor does about it.
    #[must_use]
    pub fn kind(&self) -> PublishErrorKind {
        self.kind
    }

    /// The broker's hint, for [throttled](PublishErrorKind::Throttled) errors.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The whole chain of causes in one line of at most 500 characters: what rows and logs keep.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = self.reason.clone();
        let mut source = self.source.as_ref().map(|error| error.as_ref() as &dyn Error);
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
    }

    fn new(kind: PublishErrorKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), retry_after: None, source: None }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            PublishErrorKind::Rejected => "message rejected",
            PublishErrorKind::Unreachable => "destination unreachable",
            PublishErrorKind::Throttled => "destination throttled",
        };
        write!(f, "{kind}: {}", self.reason)
    }
}

impl fmt::Debug for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishError").field("kind", &self.kind).field("summary", &self.summary()).finish()
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|error| error.as_ref() as &(dyn Error + 'static))
    }
}
