use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use bytestring::ByteString;

use super::{Encoded, EventId, EventOptions, Headers, Limits, OutboxEvent, StageError};

/// What events must share to be delivered in the order of staging. Compared as bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderKey {
    /// The topic.
    pub topic: ByteString,
    /// The partition key.
    pub key: ByteString,
}

impl OrderKey {
    /// Of this topic and partition key.
    pub fn new(topic: impl Into<ByteString>, key: impl Into<ByteString>) -> Self {
        Self { topic: topic.into(), key: key.into() }
    }
}

impl fmt::Debug for OrderKey {
    /// Shows the topic, and of the key, which may be personal data, its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OrderKey({:?}, {} bytes)", self.topic, self.key.len())
    }
}

/// An event, checked and encoded: what a row of the outbox holds and a message carries.
///
/// Its text is shared: copies are cheap, and keep the piece of memory in which all text of an event that was read is,
/// but for its payload and headers.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The dedupe id.
    pub id: EventId,
    /// The kind of aggregate.
    pub aggregate_type: ByteString,
    /// Which aggregate.
    pub aggregate_id: Option<ByteString>,
    /// The aggregate's own version.
    pub aggregate_version: Option<i64>,
    /// The stable name of what happened.
    pub event_type: ByteString,
    /// The version of the payload's schema.
    pub event_version: u32,
    /// The topic.
    pub topic: ByteString,
    /// The partition key; `None` for unordered events.
    pub key: Option<ByteString>,
    /// The payload; `None` is a tombstone.
    pub payload: Option<Bytes>,
    /// The payload's media type.
    pub content_type: ByteString,
    /// Own headers and the well-known ones.
    pub headers: Headers,
    /// When it was staged, by the clock of the staging host, in whole microseconds.
    pub created_at: SystemTime,
    /// How long after its commit it is due.
    pub delay: Option<Duration>,
}

impl Envelope {
    /// Asks `event` for everything, applies `options` and checks the result against `limits`.
    ///
    /// `ambient` are headers of the surroundings, such as the trace context; the event's own replace them, and
    /// those of `options` replace both.
    ///
    /// # Errors
    ///
    /// See [`StageError`]. A panic in one of the event's methods is caught and becomes an error too.
    pub fn encode(
        event: &(impl OutboxEvent + ?Sized),
        options: EventOptions,
        ambient: Headers,
        limits: &Limits,
    ) -> Result<Self, StageError> {
        let event_type = guard("?", "event_type", || text(event.event_type()))?;
        let name = &*event_type;
        let header = |source| StageError::Header { event_type: name.to_owned(), source };
        let mut headers = ambient;
        guard(name, "headers", || event.headers(&mut headers))?.map_err(header)?;
        if let Some(mistake) = options.mistake {
            return Err(header(mistake));
        }
        for (key, value) in options.headers.iter() {
            headers.set(key, value).map_err(header)?;
        }
        let Encoded { payload, content_type } = guard(name, "encode", || event.encode())?
            .map_err(|source| StageError::Encode { event_type: name.to_owned(), source })?;
        let topic = match options.topic {
            Some(topic) => topic.into(),
            None => guard(name, "topic", || text(event.topic()))?,
        };
        let key = match options.key {
            Some(key) => key.map(Into::into),
            None => guard(name, "partition_key", || event.partition_key().map(text))?,
        };
        let envelope = Self {
            id: options.id.unwrap_or_else(EventId::new),
            aggregate_type: guard(name, "aggregate_type", || text(event.aggregate_type()))?,
            aggregate_id: guard(name, "aggregate_id", || event.aggregate_id().map(text))?,
            aggregate_version: guard(name, "aggregate_version", || event.aggregate_version())?,
            event_version: guard(name, "event_version", || event.event_version())?,
            topic,
            key,
            payload,
            content_type: content_type.into(),
            headers,
            created_at: whole_microseconds(SystemTime::now()),
            // What is due at once has its place in the order.
            delay: options.delay.filter(|delay| delay.as_micros() > 0),
            event_type,
        };
        envelope.check(limits)?;
        Ok(envelope)
    }

    /// Topic and partition key, unless the event is unordered.
    #[must_use]
    pub fn order_key(&self) -> Option<OrderKey> {
        self.key.as_ref().map(|key| OrderKey { topic: self.topic.clone(), key: key.clone() })
    }

    /// Bytes that the event takes in memory and on the wire, roughly.
    #[must_use]
    pub fn size(&self) -> usize {
        const FIXED: usize = 256;
        FIXED
            + self.payload.as_ref().map_or(0, Bytes::len)
            + self.headers.size()
            + self.topic.len()
            + self.key.as_ref().map_or(0, |text| text.len())
            + self.aggregate_id.as_ref().map_or(0, |text| text.len())
            + self.event_type.len()
    }

    fn check(&self, limits: &Limits) -> Result<(), StageError> {
        const TEN_YEARS: Duration = Duration::from_secs(10 * 366 * 24 * 3600);
        let bad = |field, problem| StageError::Field { event_type: self.event_type.to_string(), field, problem };
        let text = |field, text: &str, most, too_long| {
            if text.is_empty() {
                Err(bad(field, "is empty"))
            } else if text.len() > most {
                Err(bad(field, too_long))
            } else if text.chars().any(char::is_control) {
                Err(bad(field, "has a control character, such as NUL or a line break"))
            } else {
                Ok(())
            }
        };
        text("event type", &self.event_type, Limits::NAME_BYTES, "is longer than 255 bytes")?;
        text("aggregate type", &self.aggregate_type, Limits::NAME_BYTES, "is longer than 255 bytes")?;
        text("content type", &self.content_type, Limits::CONTENT_TYPE_BYTES, "is longer than 127 bytes")?;
        text("topic", &self.topic, Limits::TOPIC_BYTES, "is longer than 249 bytes")?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        if !self.topic.bytes().all(allowed) || self.topic == "." || self.topic == ".." {
            return Err(bad("topic", "has characters other than letters, digits, '.', '_' and '-', or is '.' or '..'"));
        }
        if let Some(id) = &self.aggregate_id {
            text("aggregate id", id, Limits::KEY_BYTES, "is longer than 512 bytes")?;
        }
        if let Some(key) = &self.key {
            text("partition key", key, Limits::KEY_BYTES, "is longer than 512 bytes")?;
        }
        if self.event_version > i32::MAX as u32 {
            return Err(bad("event version", "is larger than 2,147,483,647"));
        }
        let bytes = self.payload.as_ref().map_or(0, Bytes::len);
        if bytes > limits.payload_bytes {
            let event_type = self.event_type.to_string();
            return Err(StageError::PayloadTooLarge { event_type, bytes, limit: limits.payload_bytes });
        }
        if self.delay.is_some_and(|delay| delay > TEN_YEARS) {
            return Err(StageError::Delay { event_type: self.event_type.to_string() });
        }
        Ok(())
    }
}

impl fmt::Debug for Envelope {
    /// Shows what an operator needs to find the event, and nothing of what is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("id", &self.id)
            .field("event_type", &self.event_type)
            .field("topic", &self.topic)
            .field("payload_bytes", &self.payload.as_ref().map(Bytes::len))
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

fn text(text: Cow<'_, str>) -> ByteString {
    text.into_owned().into()
}

/// Rows hold microseconds, so the envelope does too: what is read back equals what was staged.
fn whole_microseconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::new(since.as_secs(), since.subsec_micros() * 1000)
}

/// User code runs in the middle of a transaction; its panic must not unwind through our bookkeeping.
fn guard<T>(event_type: &str, method: &'static str, call: impl FnOnce() -> T) -> Result<T, StageError> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| StageError::panicked(event_type, method, panic))
}
