//! From rows to events.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use outbox_core::event::{Envelope, EventId, Headers};
use outbox_core::store::{Rejection, StoreError};
use outbox_core::{Message, Origin, Shard};
use sea_orm::{QueryResult, TryGetable};
use uuid::Uuid;

use super::error::{broken, during};

/// What an event carries, in the order in which [`Cells::envelope`] reads it.
const BODY: [&str; 12] = [
    "id",
    "aggregate_type",
    "aggregate_id",
    "aggregate_version",
    "event_type",
    "event_version",
    "topic",
    "partition_key",
    "payload",
    "content_type",
    "headers",
    "created_at",
];

/// [`BODY`] as a list, for an INSERT.
pub(super) fn body() -> String {
    BODY.join(", ")
}

/// [`BODY`] as a list, of the table called `alias`.
pub(super) fn body_of(alias: &str) -> String {
    BODY.map(|column| format!("{alias}.{column}")).join(", ")
}

/// The columns of [`Cells::message`], of the table called `alias`.
pub(super) fn message_of(alias: &str) -> String {
    format!("{alias}.seq, {alias}.shard, {}, {alias}.origin, {alias}.attempts", body_of(alias))
}

/// Reads the columns of a row one after the other.
pub(super) struct Cells<'r> {
    row: &'r QueryResult,
    next: usize,
    binary: bool,
    doing: &'static str,
}

impl<'r> Cells<'r> {
    pub(super) fn new(row: &'r QueryResult, binary: bool, doing: &'static str) -> Self {
        Self { row, next: 0, binary, doing }
    }

    pub(super) fn take<T: TryGetable>(&mut self) -> Result<T, StoreError> {
        let at = self.next;
        self.next += 1;
        self.row.try_get_by_index(at).map_err(during(self.doing))
    }

    /// Whether a `CASE` said 1.
    pub(super) fn flag(&mut self) -> Result<bool, StoreError> {
        Ok(self.take::<i32>()? == 1)
    }

    pub(super) fn shard(&mut self) -> Result<Shard, StoreError> {
        let number = self.take::<i16>()?;
        let shard = u16::try_from(number).map_err(|error| broken(self.doing, error.to_string()))?;
        Ok(Shard::new(shard))
    }

    /// A count that the column's type allows to be negative.
    pub(super) fn count(&mut self) -> Result<u32, StoreError> {
        let count = self.take::<i32>()?;
        u32::try_from(count).map_err(|error| broken(self.doing, error.to_string()))
    }

    pub(super) fn envelope(&mut self) -> Result<Envelope, StoreError> {
        let id = self.take::<Uuid>()?;
        let envelope = Envelope {
            id: EventId::from(id),
            aggregate_type: self.take()?,
            aggregate_id: self.take()?,
            aggregate_version: self.take()?,
            event_type: self.take()?,
            event_version: self.count()?,
            topic: self.take()?,
            key: self.take()?,
            payload: self.payload()?,
            content_type: self.take()?,
            headers: self.headers(id)?,
            created_at: time(self.take()?),
            delay: None,
        };
        Ok(envelope)
    }

    /// `None` when the row has no event, which a LEFT JOIN leaves.
    pub(super) fn message(&mut self) -> Result<Option<Message>, StoreError> {
        let Some(seq) = self.take::<Option<i64>>()? else { return Ok(None) };
        let shard = self.shard()?;
        let envelope = self.envelope()?;
        let origin = match self.take::<i16>()? {
            0 => Origin::Staged,
            1 => Origin::Delayed,
            2 => Origin::Requeued,
            other => return Err(broken(self.doing, format!("event {} has the origin {other}", envelope.id))),
        };
        Ok(Some(Message { envelope, seq, shard, attempts: self.count()?, origin }))
    }

    /// A time that is still to come, as microseconds from now.
    pub(super) fn wait(&mut self) -> Result<Option<Duration>, StoreError> {
        let wait = self.take::<Option<i64>>()?.and_then(|wait| u64::try_from(wait).ok());
        Ok(wait.filter(|wait| *wait > 0).map(Duration::from_micros))
    }

    pub(super) fn rejections(&mut self) -> Result<Vec<Rejection>, StoreError> {
        rejections(self.take::<Option<String>>()?.as_deref(), self.doing)
    }

    fn payload(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.binary {
            Ok(self.take::<Option<Vec<u8>>>()?.map(Bytes::from))
        } else {
            Ok(self.take::<Option<String>>()?.map(Bytes::from))
        }
    }

    fn headers(&mut self, id: Uuid) -> Result<Headers, StoreError> {
        let text = self.take::<String>()?;
        // The parser's error may quote a value.
        Headers::from_json(&text).map_err(|error| {
            broken(self.doing, format!("event {id} has headers that break at byte {}", error.column()))
        })
    }
}

/// Reads what [`errors`] wrote.
pub(super) fn rejections(text: Option<&str>, doing: &'static str) -> Result<Vec<Rejection>, StoreError> {
    let Some(text) = text else { return Ok(Vec::new()) };
    serde_json::from_str(text)
        .map_err(|error| broken(doing, format!("the rejections of an event break at byte {}", error.column())))
}

/// The column `errors`.
pub(super) fn errors(rejections: &[Rejection]) -> Option<String> {
    // Numbers and text: nothing that could not be written.
    if rejections.is_empty() { None } else { serde_json::to_string(rejections).ok() }
}

/// Microseconds since the epoch as a time.
pub(super) fn time(micros: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// A shard as its column holds it.
pub(super) fn number(shard: Shard) -> i16 {
    i16::try_from(shard.number()).unwrap_or(i16::MAX) // at most 1,024
}
