//! Rows as somebody may have written them by hand: a processor gets what can be read of each, or that it cannot be
//! read, and so does an operator. On SQLite, which takes any bytes for text, and numbers of 64 bits.

use std::cell::OnceCell;
use std::time::{Duration, SystemTime};

use outbox_core::event::{Envelope, EventId, Headers};
use outbox_core::store::{Admin, LaneRead, Lease, ReadRequest, Store};
use outbox_core::{Origin, Shard};
use outbox_sea_orm::SeaOrmStore;
use outbox_sea_orm::migration::{Options, OutboxMigrator, Payload, TableNames};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement, Value};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::pieces::{Pieces, number};

/// The first line says whether the payload's column holds bytes; `NULL` is what it says.
pub(crate) const SEEDS: &[&[u8]] = &[
    b"0\n3\n7\n0\n2\n[{\"at\":1,\"attempt\":1,\"error\":\"no\"}]\n1700000000000000\nno\norder\no1\n1\norder.placed\n1\norders\no1\n{}\napplication/json\n[[\"a\",\"b\"]]\n1700000000000000\n0\n60000000",
    b"0\n0\n-9223372036854775808\n9\n-1\nnonsense\n9223372036854775807\n\n\n\n-9223372036854775808\n\n-1\n\n\n\n\n{\"a\":1}\n-9223372036854775808\n7\n9223372036854775807",
    b"0\n1\n1\n1\n2147483647\n[]\n0\nx\nx\n\n0\nx\n2147483647\n..\n\0\n[[[[\nx\n[[\"a\",null]]\n9223372036854775807\n-32768\n-1",
    b"1\n3\n7\n1\n2\nNULL\n1\nno\norder\nNULL\nNULL\norder.placed\n1\norders\nNULL\n\xff\0\xfe\napplication/octet-stream\n[]\n1\n1\n0",
    b"1\n3\n7\n1\n2\nNULL\n1\nno\norder\no1\n1\norder.placed\n1\norders\no1\nNULL\nx\n[]\n1\n2\n1",
    b"0\n3\n7\n0\n2\n[]\n1\nno\norder\no1\n1\norder.placed\n1\norders\n\xff\xfe\n{}\nx\n[]\n1\n0\n0",
    b"0\n3\n7\n0\n2\n[]\n1\nno\norder\no1\n1\norder.placed\n1\norders\no1\n\xc3(\nx\n[[\"a\",\"\xff\"]]\n1\n0\n0",
    b"0\n3\n7\n0\n2\n\xff\n1\n\xff\n\xff\n\xff\n1\n\xff\n-1\n\xff\no1\n{}\n\xff\n\xff\n1\n9\n0",
    b"0\n3\n8\n65536\n4294967296\n[]\n1\nno\norder\no1\n1\norder.placed\n4294967296\norders\no1\n{}\nx\n[]\n1\n0\nNULL",
    b"0\n3\n9\n-32769\n-4294967296\n[]\n1\nno\norder\no1\n1\norder.placed\n4294967295\n\xff\no1\n{}\nx\n[]\n1\n65536\nNULL",
];

const ID: Uuid = Uuid::from_u128(7);
const PROCESSOR: Uuid = Uuid::from_u128(8);
/// Most attempts that the other databases can count.
const MOST: i64 = i32::MAX as i64;
/// Microseconds since the epoch, long before and long after now.
const AGES_AGO: i64 = 1_000_000_000_000_000;
const IN_AGES: i64 = 9_000_000_000_000_000;

pub(crate) fn run(data: &[u8]) {
    thread_local!(static DATABASES: OnceCell<Databases> = const { OnceCell::new() });
    let row = Row::of(data);
    DATABASES.with(|databases| {
        let Databases { runtime, text, binary } = databases.get_or_init(Databases::open);
        runtime.block_on(row.check(if row.binary { binary } else { text }));
    });
}

struct Databases {
    runtime: Runtime,
    text: (DatabaseConnection, SeaOrmStore),
    binary: (DatabaseConnection, SeaOrmStore),
}

impl Databases {
    fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (text, binary) = runtime.block_on(async { (open(Payload::Text).await, open(Payload::Binary).await) });
        Self { runtime, text, binary }
    }
}

/// A database in memory whose every shard is of one processor.
async fn open(payload: Payload) -> (DatabaseConnection, SeaOrmStore) {
    let mut options = ConnectOptions::new("sqlite::memory:");
    options.min_connections(1).max_connections(1).idle_timeout(None).max_lifetime(None).sqlx_logging(false);
    let db = Database::connect(options).await.unwrap();
    let options = Options::new(TableNames::default()).shards(1024).unwrap().payload(payload);
    assert!(OutboxMigrator::new(options).up(&db).await.unwrap());
    let text = "UPDATE outbox_shard SET owner = ?, epoch = 1";
    db.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, text, [PROCESSOR.into()])).await.unwrap();
    let store = SeaOrmStore::new(db.clone(), TableNames::default());
    (db, store)
}

struct Row {
    binary: bool,
    shard: i16,
    seq: i64,
    state: i64,
    attempts: i64,
    errors: Option<Vec<u8>>,
    died_at: i64,
    reason: Vec<u8>,
    aggregate_type: Vec<u8>,
    aggregate_id: Option<Vec<u8>>,
    aggregate_version: Option<i64>,
    event_type: Vec<u8>,
    event_version: i64,
    topic: Vec<u8>,
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    content_type: Vec<u8>,
    headers: Vec<u8>,
    created_at: i64,
    origin: i64,
    next_attempt_at: Option<i64>,
}

impl Row {
    fn of(data: &[u8]) -> Self {
        let mut pieces = Pieces::of(data);
        Self {
            binary: pieces.number() & 1 == 1,
            shard: (pieces.number() as i16) & 1023,
            // SQLite counts on from it.
            seq: (pieces.number() & (i64::MAX >> 1)).max(1),
            state: pieces.number(),
            attempts: pieces.number(),
            errors: unless_null(pieces.bytes()),
            died_at: pieces.number(),
            reason: pieces.bytes(),
            aggregate_type: pieces.bytes(),
            aggregate_id: unless_null(pieces.bytes()),
            aggregate_version: unless_null(pieces.bytes()).as_deref().map(number),
            event_type: pieces.bytes(),
            event_version: pieces.number(),
            topic: pieces.bytes(),
            key: unless_null(pieces.bytes()),
            payload: unless_null(pieces.bytes()),
            content_type: pieces.bytes(),
            headers: pieces.bytes(),
            created_at: pieces.number(),
            origin: pieces.number(),
            next_attempt_at: unless_null(pieces.bytes()).as_deref().map(number),
        }
    }

    async fn check(&self, (db, store): &(DatabaseConnection, SeaOrmStore)) {
        db.execute_unprepared("DELETE FROM outbox_event; DELETE FROM outbox_dead").await.unwrap();
        self.insert(db, "outbox_event", Vec::new()).await;
        let read = store.read(self.request()).await.unwrap();
        let found = &read.lanes[0].rows[0];
        assert_eq!(found.message.envelope, self.envelope());
        assert_eq!((found.message.seq, i64::from(found.message.attempts)), (self.seq, self.attempts.clamp(0, MOST)));
        assert_eq!(found.message.origin, self.origin());
        assert_eq!(found.unreadable.as_deref().map(of_what), self.problem().as_deref(), "{:?}", found.unreadable);
        match self.next_attempt_at {
            None | Some(..=AGES_AGO) => assert_eq!(found.retry_in, None),
            Some(IN_AGES..) => assert!(found.retry_in.is_some()),
            Some(_) => {}
        }
        let pending = store.pending(self.seq - 1, 1).await.unwrap();
        assert_eq!(pending[0].envelope, found.message.envelope, "the same columns are the same event");

        let of_letter =
            vec![number_of("state", self.state), number_of("died_at", self.died_at), text("reason", &self.reason)];
        self.insert(db, "outbox_dead", of_letter).await;
        let letters = store.dead_letters(None, 1).await.unwrap();
        let letter = &letters[0];
        assert_eq!((letter.seq, &letter.reason), (self.seq, &lossy(&self.reason)));
        assert_eq!(letter.envelope, found.message.envelope);
        assert_eq!(letter.rejections, pending[0].rejections);
        assert!(!format!("{letter:?} {found:?}").is_empty());
        assert_eq!(store.requeue_all(1).await.unwrap(), 1, "it goes back, whatever it says");
    }

    async fn insert(&self, db: &DatabaseConnection, table: &str, more: Vec<Cell>) {
        let mut cells = more;
        cells.extend([
            number_of("shard", i64::from(self.shard)),
            number_of("seq", self.seq),
            ("id", "?", ID.into()),
            text("aggregate_type", &self.aggregate_type),
            ("aggregate_id", TEXT, self.aggregate_id.clone().into()),
            ("aggregate_version", "?", self.aggregate_version.into()),
            text("event_type", &self.event_type),
            number_of("event_version", self.event_version),
            text("topic", &self.topic),
            ("partition_key", TEXT, self.key.clone().into()),
            ("payload", if self.binary { "?" } else { TEXT }, self.payload.clone().into()),
            text("content_type", &self.content_type),
            text("headers", &self.headers),
            number_of("created_at", self.created_at),
            number_of("origin", self.origin),
            number_of("attempts", self.attempts),
            ("next_attempt_at", "?", self.next_attempt_at.into()),
            ("errors", TEXT, self.errors.clone().into()),
        ]);
        let columns: Vec<_> = cells.iter().map(|(column, ..)| *column).collect();
        let marks: Vec<_> = cells.iter().map(|(_, mark, _)| *mark).collect();
        let sql = format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), marks.join(", "));
        let values = cells.into_iter().map(|(.., value)| value);
        db.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)).await.unwrap();
    }

    fn request(&self) -> ReadRequest {
        let lease = Lease { shard: Shard::new(self.shard.unsigned_abs()), epoch: 1 };
        let (after, known, revisit) = (self.seq - 1, Vec::new(), None);
        let lane = LaneRead { lease, after, known, limit: 1, bytes: 1, revisit };
        ReadRequest { processor: PROCESSOR, lanes: vec![lane] }
    }

    /// What there is to read.
    fn envelope(&self) -> Envelope {
        let as_column = |payload: &[u8]| if self.binary { payload.to_vec() } else { lossy(payload).into_bytes() };
        Envelope {
            id: EventId::from(ID),
            aggregate_type: lossy(&self.aggregate_type).into(),
            aggregate_id: self.aggregate_id.as_deref().map(lossy).map(Into::into),
            aggregate_version: self.aggregate_version,
            event_type: lossy(&self.event_type).into(),
            event_version: self.event_version.try_into().unwrap_or(0),
            topic: lossy(&self.topic).into(),
            // No other key may stand for it.
            key: self.key.clone().and_then(|key| String::from_utf8(key).ok()).map(Into::into),
            payload: self.payload.as_deref().map(|payload| as_column(payload).into()),
            content_type: lossy(&self.content_type).into(),
            headers: Headers::from_json(&lossy(&self.headers)).unwrap_or_default(),
            created_at: SystemTime::UNIX_EPOCH + Duration::from_micros(self.created_at.try_into().unwrap_or(0)),
            delay: None,
        }
    }

    fn origin(&self) -> Origin {
        match self.origin {
            1 => Origin::Delayed,
            2 => Origin::Requeued,
            _ => Origin::Staged,
        }
    }

    /// Why it must not be published: the first column that says so.
    fn problem(&self) -> Option<String> {
        let no_text = |column: &str, bytes: Option<&[u8]>| {
            let wrong = bytes.is_some_and(|bytes| std::str::from_utf8(bytes).is_err());
            wrong.then(|| format!("{column} is not UTF-8 text"))
        };
        let version = match self.event_version {
            ..0 => Some("event_version is negative".to_owned()),
            0..=0xffff_ffff => None,
            _ => Some("event_version is too large".to_owned()),
        };
        let payload = if self.binary { None } else { no_text("payload", self.payload.as_deref()) };
        let headers = Headers::from_json(&lossy(&self.headers)).err().map(|_| "headers break at byte".to_owned());
        let origin = (!(0..=2).contains(&self.origin)).then(|| format!("the origin {} is unknown", self.origin));
        no_text("aggregate_type", Some(&self.aggregate_type))
            .or(no_text("aggregate_id", self.aggregate_id.as_deref()))
            .or(no_text("event_type", Some(&self.event_type)))
            .or(version)
            .or(no_text("topic", Some(&self.topic)))
            .or(no_text("partition_key", self.key.as_deref()))
            .or(payload)
            .or(no_text("content_type", Some(&self.content_type)))
            .or(no_text("headers", Some(&self.headers)))
            .or(headers)
            .or(origin)
    }
}

/// A reason without the position in the headers: the rest of it says nothing of what is in the row.
fn of_what(unreadable: &str) -> &str {
    match unreadable.rsplit_once(' ') {
        Some((what, position)) if what.starts_with("headers break") && position.parse::<u32>().is_ok() => what,
        _ => unreadable,
    }
}

/// A column, what stands for its value in a statement, and the value.
type Cell = (&'static str, &'static str, Value);

const TEXT: &str = "CAST(? AS TEXT)";

fn text(column: &'static str, bytes: &[u8]) -> Cell {
    (column, TEXT, bytes.to_vec().into())
}

fn number_of(column: &'static str, value: i64) -> Cell {
    (column, "?", value.into())
}

fn unless_null(piece: Vec<u8>) -> Option<Vec<u8>> {
    (piece != b"NULL").then_some(piece)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
