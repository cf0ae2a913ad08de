//! From rows to events.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use outbox_core::event::{Envelope, EventId, Headers};
use outbox_core::store::{Rejection, StoreError};
use outbox_core::{Message, Origin, Place, Shard};
#[cfg(feature = "postgres")]
use sea_orm::sqlx::{Decode, Postgres, Row as _, Type, postgres::PgRow};
use sea_orm::{DbErr, QueryResult, TryGetable};
use uuid::Uuid;

use super::error::{broken, during};
use super::text::together;

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

/// Where PostgreSQL has a row of the table called `alias`: the number of a page in four bytes, and of a line on it in two.
pub(super) fn place_of(alias: &str) -> String {
    format!("tidsend({alias}.ctid)")
}

/// Places of rows as PostgreSQL writes an array of them. Those that are unknown, or come from elsewhere, are nowhere.
pub(super) fn places(places: impl Iterator<Item = Place>) -> String {
    let mut list = String::from("{");
    for Place(place) in places {
        if list.len() > 1 {
            list.push(',');
        }
        // Writing to a string cannot fail.
        let _ = write!(list, r#""({},{})""#, u32::try_from(place >> 16).unwrap_or(u32::MAX), place & 0xFFFF);
    }
    list.push('}');
    list
}

/// [`BODY`] as a list, for an INSERT.
pub(super) fn body() -> String {
    BODY.join(", ")
}

/// [`BODY`] as a list, of the table called `alias`.
pub(super) fn body_of(alias: &str) -> String {
    body_with(alias, &format!("{alias}.payload"))
}

/// The same with something else for the payload.
fn body_with(alias: &str, payload: &str) -> String {
    BODY.map(|column| if column == "payload" { payload.to_owned() } else { format!("{alias}.{column}") }).join(", ")
}

/// The columns of [`Cells::message`], of the table called `alias`.
pub(super) fn message_of(alias: &str) -> String {
    message_with(alias, &format!("{alias}.payload"))
}

/// The same with something else for the payload.
pub(super) fn message_with(alias: &str, payload: &str) -> String {
    format!("{alias}.seq, {}, {alias}.origin, {alias}.attempts", body_with(alias, payload))
}

/// Reads the columns of a row one after the other.
///
/// What identifies an event must be readable. All else of it is read as far as it can be, and the first thing that
/// cannot is kept in mind: one row that somebody wrote by hand must not hold up all others.
pub(super) struct Cells<'r> {
    row: &'r QueryResult,
    #[cfg(feature = "postgres")]
    pg: Option<&'r PgRow>,
    next: usize,
    binary: bool,
    doing: &'static str,
    place: Place,
    problem: Option<String>,
}

/// What a cell can be read as.
#[cfg(feature = "postgres")]
pub(super) trait Cell: TryGetable + for<'r> Decode<'r, Postgres> + Type<Postgres> {}
#[cfg(feature = "postgres")]
impl<T: TryGetable + for<'r> Decode<'r, Postgres> + Type<Postgres>> Cell for T {}
#[cfg(not(feature = "postgres"))]
pub(super) trait Cell: TryGetable {}
#[cfg(not(feature = "postgres"))]
impl<T: TryGetable> Cell for T {}

/// An event as it was read, and if it cannot be published as it is, why. That text says nothing of what is in it.
pub(super) struct Read {
    pub(super) message: Arc<Message>,
    pub(super) unreadable: Option<String>,
}

impl<'r> Cells<'r> {
    pub(super) fn new(row: &'r QueryResult, binary: bool, doing: &'static str) -> Self {
        Self {
            row,
            #[cfg(feature = "postgres")]
            pg: row.try_as_pg_row(),
            next: 0,
            binary,
            doing,
            place: Place::default(),
            problem: None,
        }
    }

    /// `SeaORM` writes a text for each NULL, which is what many cells are: so the driver's own row is asked first. What is
    /// wrong with a cell is still said by `SeaORM`.
    fn get<T: Cell>(&self, at: usize) -> Result<T, DbErr> {
        #[cfg(feature = "postgres")]
        if let Some(Ok(value)) = self.pg.map(|row| row.try_get(at)) {
            return Ok(value);
        }
        self.row.try_get_by_index(at)
    }

    /// The same for text, which the driver's row need not copy.
    fn get_text(&self, at: usize) -> Result<Option<Cow<'r, str>>, DbErr> {
        #[cfg(feature = "postgres")]
        if let Some(Ok(text)) = self.pg.map(|row| row.try_get::<Option<&str>, _>(at)) {
            return Ok(text.map(Cow::Borrowed));
        }
        Ok(self.row.try_get_by_index::<Option<String>>(at)?.map(Cow::Owned))
    }

    /// Bytes of the driver's row.
    #[cfg(feature = "postgres")]
    fn get_bytes(&self, at: usize) -> Option<&'r [u8]> {
        self.pg?.try_get(at).ok().flatten()
    }

    #[cfg(not(feature = "postgres"))]
    #[expect(clippy::unused_self, reason = "there is no such row")]
    fn get_bytes(&self, _: usize) -> Option<&'r [u8]> {
        None
    }

    pub(super) fn take<T: Cell>(&mut self) -> Result<T, StoreError> {
        let at = self.next;
        self.next += 1;
        self.get(at).map_err(during(self.doing))
    }

    /// Whether a `CASE` said 1.
    pub(super) fn flag(&mut self) -> Result<bool, StoreError> {
        Ok(self.take::<i32>()? == 1)
    }

    /// Whether there is a number in a column that holds that of the next row.
    pub(super) fn follows(&mut self) -> Result<bool, StoreError> {
        Ok(self.take::<Option<i64>>()?.is_some())
    }

    /// The size of a payload, if there is one.
    pub(super) fn size(&mut self) -> Result<usize, StoreError> {
        Ok(self.take::<Option<i32>>()?.and_then(|size| usize::try_from(size).ok()).unwrap_or(0))
    }

    /// Where PostgreSQL has the next event, as [`place_of`] says it. A place that cannot be read is unknown.
    pub(super) fn place(&mut self) {
        let bytes = self.get_bytes(self.next).unwrap_or_default();
        self.next += 1;
        self.place = Place(bytes.iter().fold(0, |place, byte| place << 8 | u64::from(*byte)));
    }

    pub(super) fn shard(&mut self) -> Result<Shard, StoreError> {
        let number = self.take::<i16>()?;
        let shard = u16::try_from(number).map_err(|error| broken(self.doing, error.to_string()))?;
        Ok(Shard::new(shard))
    }

    /// A number in a column of a type like `T`, which on SQLite takes larger ones.
    fn number<T: Cell + Into<i64>>(&mut self) -> Result<i64, StoreError> {
        let at = self.next;
        self.next += 1;
        let number = self.get::<T>(at).map(T::into).or_else(|_| self.get(at));
        number.map_err(during(self.doing))
    }

    /// What says something about an event by a small number.
    pub(super) fn kind(&mut self) -> Result<i64, StoreError> {
        self.number::<i16>()
    }

    /// A count that the column's type allows to be negative, which says nothing.
    pub(super) fn count(&mut self) -> Result<u32, StoreError> {
        const MOST: i64 = i32::MAX as i64;
        Ok(u32::try_from(self.number::<i32>()?.clamp(0, MOST)).unwrap_or(0))
    }

    pub(super) fn envelope(&mut self) -> Result<Envelope, StoreError> {
        let id = self.take::<Uuid>()?;
        let (aggregate_type, aggregate_id) = (self.text("aggregate_type"), self.optional("aggregate_id"));
        let aggregate_version = self.take()?;
        let (event_type, event_version) = (self.text("event_type"), self.version()?);
        let (topic, key) = (self.text("topic"), self.key());
        let payload = self.payload()?;
        let content_type = self.text("content_type");
        let [aggregate_type, aggregate_id, event_type, topic, key, content_type] =
            together([Some(aggregate_type), aggregate_id, Some(event_type), Some(topic), key, Some(content_type)]);
        Ok(Envelope {
            id: EventId::from(id),
            aggregate_type: aggregate_type.unwrap_or_default(),
            aggregate_id,
            aggregate_version,
            event_type: event_type.unwrap_or_default(),
            event_version,
            topic: topic.unwrap_or_default(),
            key,
            payload,
            content_type: content_type.unwrap_or_default(),
            headers: self.headers(),
            created_at: time(self.take()?),
            delay: None,
        })
    }

    /// An event of this shard; `None` when the row has none, which a LEFT JOIN leaves.
    pub(super) fn message(&mut self, shard: Shard) -> Result<Option<Read>, StoreError> {
        let Some(seq) = self.take::<Option<i64>>()? else { return Ok(None) };
        let envelope = self.envelope()?;
        let origin = match self.kind()? {
            1 => Origin::Delayed,
            2 => Origin::Requeued,
            0 => Origin::Staged,
            other => {
                self.is_unreadable(format!("the origin {other} is unknown"));
                Origin::Staged
            }
        };
        let message = Arc::new(Message { envelope, seq, shard, attempts: self.count()?, origin, place: self.place });
        Ok(Some(Read { message, unreadable: self.problem.take() }))
    }

    /// The first problem counts.
    fn is_unreadable(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    fn version(&mut self) -> Result<u32, StoreError> {
        let version = self.number::<i32>()?;
        Ok(u32::try_from(version).unwrap_or_else(|_| {
            let what = if version < 0 { "negative" } else { "too large" };
            self.is_unreadable(format!("event_version is {what}"));
            0
        }))
    }

    pub(super) fn text(&mut self, column: &'static str) -> Cow<'r, str> {
        self.optional(column).unwrap_or_default()
    }

    /// None if it cannot be read: what stands for it could not be looked for, nor parked or requeued.
    pub(super) fn key(&mut self) -> Option<Cow<'r, str>> {
        let at = self.next;
        self.next += 1;
        self.get_text(at).unwrap_or_else(|_| {
            self.is_unreadable("partition_key is not UTF-8 text".to_owned());
            None
        })
    }

    /// Text, of which SQLite takes any bytes.
    fn optional(&mut self, column: &'static str) -> Option<Cow<'r, str>> {
        let at = self.next;
        self.next += 1;
        self.get_text(at).unwrap_or_else(|_| {
            self.is_unreadable(format!("{column} is not UTF-8 text"));
            let bytes = self.get::<Option<Vec<u8>>>(at).unwrap_or_default();
            bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned().into())
        })
    }

    /// A time that is still to come, as microseconds from now.
    pub(super) fn wait(&mut self) -> Result<Option<Duration>, StoreError> {
        let wait = self.take::<Option<i64>>()?.and_then(|wait| u64::try_from(wait).ok());
        Ok(wait.filter(|wait| *wait > 0).map(Duration::from_micros))
    }

    /// The column `errors`. It is for people: what cannot be read is not worth an event.
    pub(super) fn errors(&mut self) -> Option<String> {
        let at = self.next;
        self.next += 1;
        self.get(at).unwrap_or_default()
    }

    pub(super) fn rejections(&mut self) -> Vec<Rejection> {
        rejections(self.errors().as_deref())
    }

    fn payload(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.binary {
            Ok(self.take::<Option<Vec<u8>>>()?.map(Bytes::from))
        } else {
            Ok(self.optional("payload").map(|text| Bytes::from(text.into_owned())))
        }
    }

    fn headers(&mut self) -> Headers {
        let text = self.text("headers");
        Headers::from_json(&text).unwrap_or_else(|error| {
            // The parser's error may quote a value.
            self.is_unreadable(format!("headers break at byte {}", error.column()));
            Headers::new()
        })
    }
}

/// Reads what [`errors`] wrote.
fn rejections(text: Option<&str>) -> Vec<Rejection> {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
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
