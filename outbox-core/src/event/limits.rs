use thiserror::Error;

/// What staging accepts. The defaults fit Kafka's and the tables' own limits.
///
/// ```
/// # use outbox_core::Limits;
/// let limits = Limits::new().payload_bytes(250_000).events_per_transaction(500);
/// assert!(limits.check().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest payload in bytes. Default 1,000,000, at most 16 MiB; keep it below what the broker takes.
    pub payload_bytes: usize,
    /// Most events in one transaction. Default 10,000, at least 1.
    pub events_per_transaction: usize,
}

/// A limit that is out of its own range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("limit {limit} is {value}, which is not {range}")]
#[non_exhaustive]
pub struct LimitError {
    /// Which one, by the name of its setter.
    pub limit: &'static str,
    /// As it was given.
    pub value: usize,
    /// What it may be.
    pub range: &'static str,
}

impl Limits {
    /// Longest topic name in bytes (Kafka's limit).
    pub const TOPIC_BYTES: usize = 249;
    /// Longest partition key and aggregate id in bytes: longer ones do not fit MariaDB's index.
    pub const KEY_BYTES: usize = 512;
    /// Longest aggregate type and event type in bytes.
    pub const NAME_BYTES: usize = 255;
    /// Longest media type in bytes.
    pub const CONTENT_TYPE_BYTES: usize = 127;
    /// Ceiling of [`payload_bytes`](Self::payload_bytes).
    pub const MOST_PAYLOAD_BYTES: usize = 16 * 1024 * 1024;

    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Largest payload in bytes, at most 16 MiB. Default 1,000,000.
    #[must_use]
    pub fn payload_bytes(self, bytes: usize) -> Self {
        Self { payload_bytes: bytes, ..self }
    }

    /// Most events in one transaction, at least 1. Default 10,000.
    #[must_use]
    pub fn events_per_transaction(self, events: usize) -> Self {
        Self { events_per_transaction: events, ..self }
    }

    /// Whether every limit is in its range. Who takes limits calls it; setting them checks nothing.
    ///
    /// # Errors
    ///
    /// The first one that is not.
    pub fn check(&self) -> Result<(), LimitError> {
        let bad = |limit, value, range| Err(LimitError { limit, value, range });
        if self.payload_bytes > Self::MOST_PAYLOAD_BYTES {
            return bad("payload_bytes", self.payload_bytes, "at most 16,777,216");
        }
        if self.events_per_transaction == 0 {
            return bad("events_per_transaction", 0, "at least 1");
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { payload_bytes: 1_000_000, events_per_transaction: 10_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_out_of_its_range_is_named() {
        assert_eq!(Limits::new().check(), Ok(()));
        assert_eq!(Limits::new().payload_bytes(Limits::MOST_PAYLOAD_BYTES).events_per_transaction(1).check(), Ok(()));
        let error = Limits::new().payload_bytes(Limits::MOST_PAYLOAD_BYTES + 1).check().unwrap_err();
        assert_eq!(error.to_string(), "limit payload_bytes is 16777217, which is not at most 16,777,216");
        let error = Limits::new().events_per_transaction(0).check().unwrap_err();
        assert_eq!(error.to_string(), "limit events_per_transaction is 0, which is not at least 1");
    }
}
