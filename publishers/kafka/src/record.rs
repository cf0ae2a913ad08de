//! From messages to Kafka records. The form is a contract with consumers: `docs/kafka-record.md`.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use outbox_core::{Message, Origin};
use rdkafka::message::{Header, OwnedHeaders};

/// Names of the headers that every record carries, in the order in which they are written.
pub mod headers {
    /// The event's id, a UUID in text form: consumers drop repeats by it.
    pub const EVENT_ID: &str = "outbox-event-id";
    /// The event's type.
    pub const EVENT_TYPE: &str = "outbox-event-type";
    /// The version of the payload's schema, decimal.
    pub const EVENT_VERSION: &str = "outbox-event-version";
    /// The kind of aggregate.
    pub const AGGREGATE_TYPE: &str = "outbox-aggregate-type";
    /// Which aggregate; absent when the event has none.
    pub const AGGREGATE_ID: &str = "outbox-aggregate-id";
    /// The aggregate's own version, decimal; absent when the event has none.
    pub const AGGREGATE_VERSION: &str = "outbox-aggregate-version";
    /// The event's number in its outbox, decimal.
    pub const SEQ: &str = "outbox-seq";
    /// The payload's media type.
    pub const CONTENT_TYPE: &str = "content-type";
    /// `delayed` or `requeued`, on events that do not stand in the order of staging; absent on all others.
    pub const ORIGIN: &str = "outbox-origin";
}

/// The headers of `message`'s record.
pub(crate) fn owned_headers(message: &Message) -> OwnedHeaders {
    const WRITTEN_BY_US: usize = 9;
    let mut owned = Some(OwnedHeaders::new_with_capacity(WRITTEN_BY_US + message.envelope.headers.len()));
    each_header(message, |key, value| {
        owned = owned.take().map(|headers| headers.insert(Header { key, value: Some(value) }));
    });
    owned.unwrap_or_default()
}

/// The record's timestamp: when the event was staged, in milliseconds since 1970.
///
/// At least 1, because librdkafka takes 0 as "now".
pub(crate) fn timestamp(created_at: SystemTime) -> i64 {
    let since = created_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX).max(1)
}

/// Hands out name and value of every header in the order of the contract.
fn each_header(message: &Message, mut write: impl FnMut(&str, &str)) {
    let envelope = &message.envelope;
    let mut text = String::with_capacity(40);
    let mut number = |name: &str, value: &dyn std::fmt::Display, write: &mut dyn FnMut(&str, &str)| {
        text.clear();
        // Writing to a string fails only if the value's own `Display` does, and these do not.
        if write!(text, "{value}").is_ok() {
            write(name, &text);
        }
    };
    number(headers::EVENT_ID, &envelope.id, &mut write);
    write(headers::EVENT_TYPE, &envelope.event_type);
    number(headers::EVENT_VERSION, &envelope.event_version, &mut write);
    write(headers::AGGREGATE_TYPE, &envelope.aggregate_type);
    if let Some(id) = &envelope.aggregate_id {
        write(headers::AGGREGATE_ID, id);
    }
    if let Some(version) = &envelope.aggregate_version {
        number(headers::AGGREGATE_VERSION, version, &mut write);
    }
    number(headers::SEQ, &message.seq, &mut write);
    write(headers::CONTENT_TYPE, &envelope.content_type);
    match message.origin {
        Origin::Staged => {}
        Origin::Delayed => write(headers::ORIGIN, "delayed"),
        Origin::Requeued => write(headers::ORIGIN, "requeued"),
    }
    for (name, value) in envelope.headers.iter() {
        write(name, value);
    }
}
