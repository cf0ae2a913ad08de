//! An event as the columns of a row.

use std::time::SystemTime;

use outbox_core::{Envelope, Shard};
use sea_orm::Value;

/// The columns that `outbox_event` and `outbox_scheduled` share, in the order of [`Row::values`].
pub(super) const COLUMNS: &str = "shard, id, aggregate_type, aggregate_id, aggregate_version, event_type, \
     event_version, topic, partition_key, payload, content_type, headers, created_at";

/// How many these are.
pub(super) const COLUMN_COUNT: usize = 13;

#[derive(Debug)]
pub(super) struct Row<'e> {
    pub(super) event: &'e Envelope,
    shard: Shard,
}

impl<'e> Row<'e> {
    pub(super) fn new(event: &'e Envelope, shard: Shard) -> Self {
        Self { event, shard }
    }

    pub(super) fn shard(&self) -> i16 {
        i16::try_from(self.shard.number()).unwrap_or(i16::MAX) // at most 1,024
    }

    pub(super) fn event_version(&self) -> i32 {
        i32::try_from(self.event.event_version).unwrap_or(i32::MAX) // checked at staging
    }

    pub(super) fn created_at(&self) -> i64 {
        micros(self.event.created_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
    }

    pub(super) fn delay(&self) -> i64 {
        micros(self.event.delay.unwrap_or_default())
    }

    /// The payload for a text column. Staging, or the flush at the latest, has made sure that it is text.
    pub(super) fn text(&self) -> Option<String> {
        self.event.payload.as_ref().map(|payload| String::from_utf8_lossy(payload).into_owned())
    }

    /// The payload for a binary column.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        self.event.payload.as_ref().map(|payload| payload.to_vec())
    }

    pub(super) fn values(&self, binary: bool) -> [Value; COLUMN_COUNT] {
        let event = self.event;
        [
            self.shard().into(),
            (*event.id.as_uuid()).into(),
            (&*event.aggregate_type).into(),
            event.aggregate_id.as_deref().into(),
            event.aggregate_version.into(),
            (&*event.event_type).into(),
            self.event_version().into(),
            (&*event.topic).into(),
            event.key.as_deref().into(),
            if binary { self.bytes().into() } else { self.text().into() },
            (&*event.content_type).into(),
            event.headers.to_json().into(),
            self.created_at().into(),
        ]
    }
}

fn micros(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// `VALUES` lists with one `?` per column.
pub(super) fn placeholders(out: &mut String, count: usize) {
    for n in 0..count {
        out.push_str(if n == 0 { "?" } else { ", ?" });
    }
}
