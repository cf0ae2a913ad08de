use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::event::{Encoded, Envelope, EventId, Headers};
use crate::message::{Message, Origin};
use crate::shard::Shard;

/// A message for the test of a publisher, with a new id and no headers. Change what the test is about.
#[must_use]
pub fn message(topic: &str, key: Option<&str>, seq: i64, payload: impl Into<Bytes>) -> Message {
    let envelope = Envelope {
        id: EventId::new(),
        aggregate_type: "test".to_owned(),
        aggregate_id: key.map(str::to_owned),
        aggregate_version: None,
        event_type: "test.happened".to_owned(),
        event_version: 1,
        topic: topic.to_owned(),
        key: key.map(str::to_owned),
        payload: Some(payload.into()),
        content_type: Encoded::JSON.to_owned(),
        headers: Headers::new(),
        created_at: SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456),
        delay: None,
    };
    Message { envelope, seq, shard: Shard::new(0), attempts: 0, origin: Origin::Staged }
}
