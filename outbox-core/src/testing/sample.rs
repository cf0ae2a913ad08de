use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::event::{Encoded, Envelope, EventId, Headers};
use crate::message::{Message, Origin, Place};
use crate::shard::Shard;

/// A message for the test of a publisher, with a new id and no headers. Change what the test is about.
#[must_use]
pub fn message(topic: &str, key: Option<&str>, seq: i64, payload: impl Into<Bytes>) -> Message {
    let envelope = Envelope {
        id: EventId::new(),
        aggregate_type: "test".into(),
        aggregate_id: key.map(Into::into),
        aggregate_version: None,
        event_type: "test.happened".into(),
        event_version: 1,
        topic: topic.into(),
        key: key.map(Into::into),
        payload: Some(payload.into()),
        content_type: Encoded::JSON.into(),
        headers: Headers::new(),
        created_at: SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456),
        delay: None,
    };
    Message { envelope, seq, shard: Shard::new(0), attempts: 0, origin: Origin::Staged, place: Place::default() }
}
