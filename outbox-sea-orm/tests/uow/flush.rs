//! What is in the tables after a commit.

use std::time::{Duration, SystemTime};

use outbox_sea_orm::core::event::{HeaderError, LimitError};
use outbox_sea_orm::core::{Encoded, EventId, Headers, Limits, OutboxEvent, Shard, StageError};
use outbox_sea_orm::migration::{Options, OutboxMigrator, Payload};
use outbox_sea_orm::{EventOptions, Outbox, OutboxBuildError, OutboxError, OutboxTransaction};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use std::borrow::Cow;
use uuid::Uuid;

use crate::fixtures::{Db, Thing};

/// Every column has a value, and none of them the usual one.
struct Full {
    bytes: Option<Vec<u8>>,
}

impl OutboxEvent for Full {
    fn aggregate_type(&self) -> Cow<'_, str> {
        "order".into()
    }
    fn aggregate_id(&self) -> Option<Cow<'_, str>> {
        Some("id-ü".into())
    }
    fn aggregate_version(&self) -> Option<i64> {
        Some(i64::MAX)
    }
    fn event_type(&self) -> Cow<'_, str> {
        "order.placed".into()
    }
    fn event_version(&self) -> u32 {
        3
    }
    fn topic(&self) -> Cow<'_, str> {
        "orders".into()
    }
    fn partition_key(&self) -> Option<Cow<'_, str>> {
        Some("key'\"\\-ü".into())
    }
    fn headers(&self, headers: &mut Headers) -> Result<(), HeaderError> {
        headers.set("own", "1")
    }
    fn encode(&self) -> Result<Encoded, Box<dyn std::error::Error + Send + Sync>> {
        Ok(match &self.bytes {
            Some(bytes) => Encoded::new(bytes.clone(), "text/x-own"),
            None => Encoded::tombstone(),
        })
    }
}

async fn row(db: &Db, table: &str) -> sea_orm::QueryResult {
    let owner = db.owner().await;
    let statement = Statement::from_string(owner.get_database_backend(), format!("SELECT * FROM {table}"));
    let mut rows = owner.query_all_raw(statement).await.unwrap();
    owner.close().await.unwrap();
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

/// One of three events, which between them have everything and lack everything.
fn stage_nth(txn: &OutboxTransaction, n: usize, delay: Option<Duration>) {
    let set = |options: EventOptions| match delay {
        Some(delay) => options.delay(delay),
        None => options,
    };
    let staged = match n {
        0 => txn.stage_event_with(&Full { bytes: Some(b"{}".to_vec()) }, set),
        1 => txn.stage_event_with(&Full { bytes: None }, set),
        _ => txn.stage_event_with(&Thing { key: None, label: String::new() }, set),
    };
    staged.unwrap();
}

/// What the events in a table are about, the oldest first.
async fn contents(db: &Db, table: &str) -> Vec<String> {
    let owner = db.owner().await;
    let statement = Statement::from_string(owner.get_database_backend(), format!("SELECT * FROM {table} ORDER BY id"));
    let rows = owner.query_all_raw(statement).await.unwrap();
    owner.close().await.unwrap();
    let content = |row: &sea_orm::QueryResult| {
        let texts = ["aggregate_type", "aggregate_id", "event_type", "topic", "partition_key", "payload", "headers"];
        let texts = texts.map(|column| row.try_get::<Option<String>>("", column).unwrap());
        let version = row.try_get::<Option<i64>>("", "aggregate_version").unwrap();
        let content_type = row.try_get::<String>("", "content_type").unwrap();
        let numbers = (version, row.try_get::<i32>("", "event_version").unwrap());
        // Without a key it depends on the id.
        let keyed = texts[4].is_some();
        format!("{texts:?} {content_type} {numbers:?} {:?}", keyed.then(|| row.try_get::<i16>("", "shard").unwrap()))
    };
    rows.iter().map(content).collect()
}

fn micros(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros().try_into().unwrap()
}

on_every_database! {
    async fn every_column_of_a_row(db) {
        let outbox = db.outbox().await;
        let before = micros(SystemTime::now());
        let text = "line one\n\u{0}? 'quoted' \\ \u{1F980}".replace('\u{0}', "");
        let txn = outbox.begin().await.unwrap();
        let id = txn
            .stage_event_with(&Full { bytes: Some(text.clone().into_bytes()) }, |o| o.header("other", "ü").user_id(7))
            .unwrap();
        txn.commit().await.unwrap();
        let row = row(db, "outbox_event").await;
        assert_eq!(row.try_get::<i16>("", "shard").unwrap(), Shard::of_key("key'\"\\-ü", 64).number() as i16);
        assert!(row.try_get::<i64>("", "seq").unwrap() >= 1);
        assert_eq!(row.try_get::<Uuid>("", "id").unwrap(), Uuid::from(id));
        assert_eq!(row.try_get::<String>("", "aggregate_type").unwrap(), "order");
        assert_eq!(row.try_get::<String>("", "aggregate_id").unwrap(), "id-ü");
        assert_eq!(row.try_get::<Option<i64>>("", "aggregate_version").unwrap(), Some(i64::MAX));
        assert_eq!(row.try_get::<String>("", "event_type").unwrap(), "order.placed");
        assert_eq!(row.try_get::<i32>("", "event_version").unwrap(), 3);
        assert_eq!(row.try_get::<String>("", "topic").unwrap(), "orders");
        assert_eq!(row.try_get::<String>("", "partition_key").unwrap(), "key'\"\\-ü");
        assert_eq!(row.try_get::<String>("", "payload").unwrap(), text);
        assert_eq!(row.try_get::<String>("", "content_type").unwrap(), "text/x-own");
        let headers = row.try_get::<String>("", "headers").unwrap();
        assert_eq!(headers, r#"[["own","1"],["other","ü"],["user-id","7"]]"#);
        let created = row.try_get::<i64>("", "created_at").unwrap();
        assert!((before..=micros(SystemTime::now())).contains(&created), "{created}");
        assert_eq!(row.try_get::<i16>("", "origin").unwrap(), 0);
        assert_eq!(row.try_get::<i32>("", "attempts").unwrap(), 0);
        assert_eq!(row.try_get::<Option<i64>>("", "next_attempt_at").unwrap(), None);
        assert_eq!(row.try_get::<Option<String>>("", "errors").unwrap(), None);
    }

    // Literally: what consumers see must not change with a constant.
    async fn what_the_staging_call_sets_comes_first(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        let event = Full { bytes: Some(b"{}".to_vec()) };
        txn.stage_event_with(&event, |options| {
            options.key("k2").topic("t2").correlation_id("basket-7").causation_id("command-9").user_id(7)
        })
        .unwrap();
        txn.commit().await.unwrap();
        let row = row(db, "outbox_event").await;
        assert_eq!(row.try_get::<String>("", "topic").unwrap(), "t2");
        assert_eq!(row.try_get::<String>("", "partition_key").unwrap(), "k2");
        assert_eq!(row.try_get::<i16>("", "shard").unwrap(), 54);
        assert_eq!(row.try_get::<String>("", "aggregate_id").unwrap(), "id-ü");
        assert_eq!(
            row.try_get::<String>("", "headers").unwrap(),
            r#"[["own","1"],["correlation-id","basket-7"],["causation-id","command-9"],["user-id","7"]]"#
        );
    }

    async fn what_is_null_stays_null(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        let id = txn.stage_event(&Thing { key: None, label: String::new() }).unwrap();
        txn.commit().await.unwrap();
        let row = row(db, "outbox_event").await;
        assert_eq!(row.try_get::<i16>("", "shard").unwrap(), Shard::of_id(id, 64).number() as i16);
        for column in ["aggregate_id", "partition_key"] {
            assert_eq!(row.try_get::<Option<String>>("", column).unwrap(), None, "{column}");
        }
        assert_eq!(row.try_get::<Option<i64>>("", "aggregate_version").unwrap(), None);
        assert_eq!(row.try_get::<Option<String>>("", "payload").unwrap().as_deref(), Some("\"\""));
    }

    async fn an_event_alone_is_written_like_one_of_many(db) {
        let outbox = db.outbox().await;
        let delays = [None, Some(Duration::from_secs(3600))];
        for n in 0..3 {
            for delay in delays {
                let txn = outbox.begin().await.unwrap();
                stage_nth(&txn, n, delay);
                txn.commit().await.unwrap();
            }
        }
        let txn = outbox.begin().await.unwrap();
        for n in 0..3 {
            for delay in delays {
                stage_nth(&txn, n, delay);
            }
        }
        txn.commit().await.unwrap();
        for table in ["outbox_event", "outbox_scheduled"] {
            let contents = contents(db, table).await;
            assert_eq!(contents.len(), 6);
            assert_eq!(contents[..3], contents[3..], "{table}");
        }
    }

    async fn a_tombstone_and_an_empty_payload_differ(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        txn.stage_all([Full { bytes: None }, Full { bytes: Some(Vec::new()) }]).unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.number("SELECT COUNT(*) FROM outbox_event WHERE payload IS NULL").await, 1);
        assert_eq!(db.number("SELECT COUNT(*) FROM outbox_event WHERE payload = ''").await, 1);
    }

    async fn the_order_of_staging_is_the_order_of_numbers(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        // Over several statements, both by number and by size.
        let labels: Vec<_> = (0..2600).map(|n| format!("{n:05}")).collect();
        txn.stage_all(labels[..2500].iter().map(|label| Thing::keyed(&label[3..], label.clone()))).unwrap();
        for label in &labels[2500..] {
            let label = format!("{label}{}", "x".repeat(100_000));
            txn.stage_event(&Thing::new(label)).unwrap();
        }
        txn.commit().await.unwrap();
        let stored = db.texts("SELECT payload FROM outbox_event ORDER BY seq").await;
        let stored: Vec<_> = stored.iter().map(|payload| &payload[1..6]).collect();
        assert_eq!(stored, labels);
    }

    async fn a_delayed_event_waits_in_its_own_table(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        let hour = Duration::from_secs(3600);
        let before = micros(SystemTime::now() + hour);
        let id = txn.stage_event_with(&Full { bytes: Some(b"{}".to_vec()) }, |o| o.delay(hour)).unwrap();
        txn.stage_event(&Thing::new("now")).unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.texts("SELECT payload FROM outbox_event").await, ["\"now\""]);
        let row = row(db, "outbox_scheduled").await;
        assert_eq!(row.try_get::<Uuid>("", "id").unwrap(), Uuid::from(id));
        assert_eq!(row.try_get::<i64>("", "aggregate_version").unwrap(), i64::MAX);
        assert_eq!(row.try_get::<String>("", "headers").unwrap(), r#"[["own","1"]]"#);
        let due = row.try_get::<i64>("", "due_at").unwrap();
        // The databases run on this machine; SQLite's clock has milliseconds.
        assert!((before - 1000..=micros(SystemTime::now() + hour)).contains(&due), "{due} {before}");
    }

    async fn a_binary_column_takes_any_bytes(db) {
        let outbox = db.builder().await.table_prefix("bin").build().unwrap();
        let options = Options::default().prefix("bin").unwrap().payload(Payload::Binary).shards(7).unwrap();
        OutboxMigrator::new(options).up(outbox.inner()).await.unwrap();
        let bytes = vec![0, 159, 146, 150, 255, b'\'', b'\\'];
        let txn = outbox.begin().await.unwrap();
        txn.stage_event(&Full { bytes: Some(bytes.clone()) }).unwrap();
        txn.commit().await.unwrap();
        let row = row(db, "bin_event").await;
        assert_eq!(row.try_get::<Vec<u8>>("", "payload").unwrap(), bytes);
        assert_eq!(row.try_get::<i16>("", "shard").unwrap(), Shard::of_key("key'\"\\-ü", 7).number() as i16);
    }

    async fn a_text_column_refuses_other_bytes(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        txn.stage_event(&Full { bytes: Some(vec![255]) }).unwrap();
        // Nobody has looked at the tables yet, so it is the commit that fails.
        let error = txn.commit().await.unwrap_err();
        assert!(matches!(OutboxError::of(&error), Some(OutboxError::Stage(_))), "{error}");
        let refused = outbox_sea_orm::StageError::of(&error).unwrap();
        assert!(matches!(refused.reason(), StageError::PayloadNotText { .. }));
        let txn = outbox.begin().await.unwrap();
        for bytes in [vec![255], b"a\0b".to_vec()] {
            let error = txn.stage_event(&Full { bytes: Some(bytes) }).unwrap_err();
            assert!(matches!(error.reason(), StageError::PayloadNotText { .. }));
        }
        txn.commit().await.unwrap();
    }

    async fn limits_are_checked_at_staging(db) {
        let outbox = db.builder().await.limits(Limits::new().events_per_transaction(2).payload_bytes(10)).build().unwrap();
        let txn = outbox.begin().await.unwrap();
        let error = txn.stage_event(&Thing::new("123456789")).unwrap_err();
        assert!(matches!(error.reason(), StageError::PayloadTooLarge { bytes: 11, limit: 10, .. }));
        let error = txn.stage_all([Thing::new("a"), Thing::new("b"), Thing::new("c")]).unwrap_err();
        assert!(matches!(error.reason(), StageError::TooManyEvents { limit: 2 }));
        let id = EventId::new();
        txn.stage_event_with(&Thing::new("a"), |o| o.id(id)).unwrap();
        let error = txn.stage_event_with(&Thing::new("b"), |o| o.id(id)).unwrap_err();
        assert!(matches!(error.reason(), StageError::DuplicateId { id: twice } if *twice == id));
        txn.commit().await.unwrap();
        assert_eq!(db.number("SELECT COUNT(*) FROM outbox_event").await, 1);

        let error = db.builder().await.limits(Limits::new().events_per_transaction(0)).build().unwrap_err();
        assert!(matches!(error, OutboxBuildError::Limit(LimitError { limit: "events_per_transaction", .. })));
        let error = db.builder().await.table_prefix("a b").build().unwrap_err();
        assert!(matches!(error, OutboxBuildError::Name(_)));
    }
}

on_databases! { [postgres, mariadb]
    async fn tables_can_be_in_another_schema(db) {
        let (conn, schema) = (db.connect().await, format!("s{}", Uuid::now_v7().simple()));
        conn.execute_unprepared(&format!("CREATE SCHEMA {schema}")).await.unwrap();
        let options = Options::default().prefix("Shop").unwrap().schema(&schema).unwrap();
        OutboxMigrator::new(options).up(&conn).await.unwrap();
        let outbox = Outbox::builder(conn).schema(&schema).table_prefix("Shop").strict().build().unwrap();
        let txn = outbox.begin().await.unwrap();
        txn.stage_event(&Thing::new("a")).unwrap();
        txn.stage_event_with(&Thing::new("b"), |o| o.delay(Duration::from_secs(9))).unwrap();
        txn.commit().await.unwrap();
        let backend = outbox.inner().get_database_backend();
        assert_eq!(db.number(&format!("SELECT COUNT(*) FROM {}", outbox.names().event(backend))).await, 1);
        assert_eq!(db.number(&format!("SELECT COUNT(*) FROM {}", outbox.names().scheduled(backend))).await, 1);
        outbox.execute_unprepared(&format!("DROP SCHEMA {schema}{}", if backend == DbBackend::Postgres { " CASCADE" } else { "" })).await.unwrap();
    }
}
