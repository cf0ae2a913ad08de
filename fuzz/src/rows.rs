//! Rows as somebody may have written them by hand: an operator's list shows what can be read of each.

use std::collections::BTreeMap;

use outbox_core::store::Admin;
use outbox_sea_orm::SeaOrmStore;
use outbox_sea_orm::migration::TableNames;
use sea_orm::{DbBackend, MockDatabase, Value};

use crate::pieces::Pieces;

pub(crate) const SEEDS: &[&[u8]] = &[
    b"3\n7\n0\n2\n[{\"at\":1,\"attempt\":1,\"error\":\"no\"}]\n1700000000000000\nno\norder\no1\n1\norder.placed\n1\norders\no1\n{}\napplication/json\n[[\"a\",\"b\"]]\n1700000000000000\n0\n60000000",
    b"0\n-9223372036854775808\n9\n-1\nnonsense\n9223372036854775807\n\n\n\n-9223372036854775808\n\n-1\n\n\n\n\n{\"a\":1}\n-9223372036854775808\n7\n9223372036854775807",
    b"1\n1\n1\n2147483647\n[]\n0\nx\nx\n\n0\nx\n2147483647\n..\n\0\n[[[[\nx\n[[\"a\",null]]\n9223372036854775807\n-32768\n-1",
];

pub(crate) fn run(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let row = Row {
        shard: (pieces.number() as i16) & 1023,
        seq: pieces.number(),
        state: pieces.number() as i16,
        attempts: pieces.number() as i32,
        errors: pieces.text(),
        died_at: pieces.number(),
        reason: pieces.text(),
        aggregate_type: pieces.text(),
        aggregate_id: pieces.text(),
        aggregate_version: pieces.number(),
        event_type: pieces.text(),
        event_version: pieces.number() as i32,
        topic: pieces.text(),
        key: pieces.text(),
        payload: pieces.text(),
        content_type: pieces.text(),
        headers: pieces.text(),
        created_at: pieces.number(),
        origin: pieces.number() as i16,
        wait: pieces.number(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let letters = store(row.letter()).dead_letters(None, 1).await.unwrap();
        let letter = &letters[0];
        assert_eq!((letter.seq, letter.reason.as_str()), (row.seq, row.reason.as_str()));
        assert_eq!(letter.envelope.payload_text(), Some(row.payload.as_str()));
        assert!(!format!("{letter:?}").is_empty());
        let pending = store(row.pending()).pending(0, 1).await.unwrap();
        assert_eq!(pending[0].envelope, letter.envelope, "the same columns are the same event");
    });
}

struct Row {
    shard: i16,
    seq: i64,
    state: i16,
    attempts: i32,
    errors: String,
    died_at: i64,
    reason: String,
    aggregate_type: String,
    aggregate_id: String,
    aggregate_version: i64,
    event_type: String,
    event_version: i32,
    topic: String,
    key: String,
    payload: String,
    content_type: String,
    headers: String,
    created_at: i64,
    origin: i16,
    wait: i64,
}

impl Row {
    fn body(&self) -> Vec<Value> {
        vec![
            uuid::Uuid::from_u128(7).into(),
            self.aggregate_type.clone().into(),
            self.aggregate_id.clone().into(),
            self.aggregate_version.into(),
            self.event_type.clone().into(),
            self.event_version.into(),
            self.topic.clone().into(),
            self.key.clone().into(),
            self.payload.clone().into(),
            self.content_type.clone().into(),
            self.headers.clone().into(),
            self.created_at.into(),
        ]
    }

    /// In the order of the columns that a list of dead letters asks for.
    fn letter(&self) -> Vec<Value> {
        let mut cells: Vec<Value> = vec![
            self.shard.into(),
            self.seq.into(),
            self.state.into(),
            self.attempts.into(),
            self.errors.clone().into(),
            self.died_at.into(),
            self.reason.clone().into(),
        ];
        cells.extend(self.body());
        cells
    }

    /// And one of pending events.
    fn pending(&self) -> Vec<Value> {
        let mut cells: Vec<Value> = vec![self.seq.into(), self.shard.into()];
        cells.extend(self.body());
        cells.extend([self.origin.into(), self.attempts.into(), Value::from(self.errors.clone()), self.wait.into()]);
        cells
    }
}

/// A store whose database answers with good tables, and then with this row. A mock's columns are in the order of their
/// names.
fn store(cells: Vec<Value>) -> SeaOrmStore {
    let named = |cells: Vec<Value>| -> BTreeMap<String, Value> {
        cells.into_iter().enumerate().map(|(n, cell)| (format!("{n:02}"), cell)).collect()
    };
    let meta = [("schema_version", "1"), ("hash", "xxh64-1"), ("shard_count", "1024"), ("payload", "text")];
    let meta = meta.map(|(name, value)| {
        BTreeMap::from([("name".to_owned(), Value::from(name)), ("value".to_owned(), Value::from(value))])
    });
    let db = MockDatabase::new(DbBackend::Sqlite).append_query_results([
        vec![named(vec![1.into()])],
        meta.to_vec(),
        vec![named(cells)],
    ]);
    SeaOrmStore::new(db.into_connection(), TableNames::default())
}
