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

#[cfg(test)]
mod tests {
    use outbox_core::{Envelope, Headers, Place, Shard};

    use super::*;

    fn message() -> Message {
        let id: uuid::Uuid = "018f3b2e-7c1a-7e3d-9f42-0a1b2c3d4e5f".parse().unwrap();
        let mut own = Headers::new();
        own.set("traceparent", "00-aa-bb-01").unwrap();
        own.set("empty", "").unwrap();
        let envelope = Envelope {
            id: id.into(),
            aggregate_type: "order".into(),
            aggregate_id: Some("o-ü".into()),
            aggregate_version: Some(-3),
            event_type: "order.placed".into(),
            event_version: 2,
            topic: "orders".into(),
            key: Some("o-ü".into()),
            payload: None,
            content_type: "application/json".into(),
            headers: own,
            created_at: SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456),
            delay: None,
        };
        Message {
            envelope,
            seq: i64::MAX,
            shard: Shard::new(1),
            attempts: 0,
            origin: Origin::Staged,
            place: Place::default(),
        }
    }

    fn written(message: &Message) -> Vec<(String, String)> {
        let mut all = Vec::new();
        each_header(message, |name, value| all.push((name.to_owned(), value.to_owned())));
        all
    }

    fn names(message: &Message) -> Vec<String> {
        written(message).into_iter().map(|(name, _)| name).collect()
    }

    /// A change here breaks consumers.
    #[test]
    fn golden_headers() {
        let expected = [
            ("outbox-event-id", "018f3b2e-7c1a-7e3d-9f42-0a1b2c3d4e5f"),
            ("outbox-event-type", "order.placed"),
            ("outbox-event-version", "2"),
            ("outbox-aggregate-type", "order"),
            ("outbox-aggregate-id", "o-ü"),
            ("outbox-aggregate-version", "-3"),
            ("outbox-seq", "9223372036854775807"),
            ("content-type", "application/json"),
            ("outbox-origin", "delayed"),
            ("traceparent", "00-aa-bb-01"),
            ("empty", ""),
        ];
        let delayed = Message { origin: Origin::Delayed, ..message() };
        assert_eq!(written(&delayed), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_an_event_does_not_have_is_absent() {
        let mut bare = message();
        bare.envelope.aggregate_id = None;
        bare.envelope.aggregate_version = None;
        bare.envelope.headers = Headers::new();
        let expected = [
            headers::EVENT_ID,
            headers::EVENT_TYPE,
            headers::EVENT_VERSION,
            headers::AGGREGATE_TYPE,
            headers::SEQ,
            headers::CONTENT_TYPE,
        ];
        assert_eq!(names(&bare), expected);
    }

    #[test]
    fn the_timestamp_is_in_milliseconds_and_never_taken_for_now() {
        assert_eq!(timestamp(message().envelope.created_at), 1_700_000_000_123);
        assert_eq!(timestamp(SystemTime::UNIX_EPOCH), 1);
        assert_eq!(timestamp(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), 1);
    }
}
