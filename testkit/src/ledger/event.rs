use std::borrow::Cow;
use std::error::Error;

use outbox_core::event::{HeaderError, Headers};
use outbox_core::{Encoded, OutboxEvent};

/// The event of a ledger row.
#[derive(Debug)]
pub struct Entered {
    /// The topic.
    pub topic: String,
    /// The aggregate.
    pub key: String,
    /// Its version.
    pub version: i64,
}

impl Entered {
    /// Its type, by which the checker knows it: nobody else's events have it.
    pub const EVENT_TYPE: &str = "outbox-testkit.entered";
}

/// What a consumer must find as the value of an entry's record.
#[must_use]
pub fn payload(key: &str, version: i64) -> String {
    format!("{{\"key\":\"{key}\",\"version\":{version}}}")
}

/// The header that every entry's record has.
pub const HEADER: &str = "ledger-entry";

/// What a consumer must find in an entry's [`HEADER`].
#[must_use]
pub fn entry_header(key: &str, version: i64) -> String {
    format!("{key} {version}")
}

impl OutboxEvent for Entered {
    fn aggregate_type(&self) -> Cow<'_, str> {
        "outbox-testkit".into()
    }

    fn aggregate_id(&self) -> Option<Cow<'_, str>> {
        Some(self.key.as_str().into())
    }

    fn aggregate_version(&self) -> Option<i64> {
        Some(self.version)
    }

    fn event_type(&self) -> Cow<'_, str> {
        Self::EVENT_TYPE.into()
    }

    fn topic(&self) -> Cow<'_, str> {
        self.topic.as_str().into()
    }

    fn partition_key(&self) -> Option<Cow<'_, str>> {
        Some(self.key.as_str().into())
    }

    fn headers(&self, headers: &mut Headers) -> Result<(), HeaderError> {
        headers.set(HEADER, entry_header(&self.key, self.version))
    }

    fn encode(&self) -> Result<Encoded, Box<dyn Error + Send + Sync>> {
        Ok(Encoded::new(payload(&self.key, self.version), Encoded::JSON))
    }
}

/// An entry's event that a topic of at most [`Refused::TOPIC_LIMIT`] does not take.
#[derive(Debug)]
pub struct Refused(pub Entered);

impl Refused {
    /// Its type, by which the checker knows it: nobody else's events have it.
    pub const EVENT_TYPE: &str = "outbox-testkit.refused";
    /// What `max.message.bytes` of the topic must be, in bytes: small enough to refuse these, large enough for batches
    /// of all others.
    pub const TOPIC_LIMIT: &str = "262144";
    /// Random, so that no compression helps, and within what a producer takes by default.
    const PAYLOAD: usize = 400_000;
}

impl OutboxEvent for Refused {
    fn aggregate_type(&self) -> Cow<'_, str> {
        self.0.aggregate_type()
    }

    fn aggregate_id(&self) -> Option<Cow<'_, str>> {
        self.0.aggregate_id()
    }

    fn aggregate_version(&self) -> Option<i64> {
        self.0.aggregate_version()
    }

    fn event_type(&self) -> Cow<'_, str> {
        Self::EVENT_TYPE.into()
    }

    fn topic(&self) -> Cow<'_, str> {
        self.0.topic()
    }

    fn partition_key(&self) -> Option<Cow<'_, str>> {
        self.0.partition_key()
    }

    fn encode(&self) -> Result<Encoded, Box<dyn Error + Send + Sync>> {
        let random: String = (0..Self::PAYLOAD).map(|_| fastrand::alphanumeric()).collect();
        Ok(Encoded::new(random, "text/plain"))
    }
}
