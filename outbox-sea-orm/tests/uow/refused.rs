//! Events that are refused, and transactions that go on without them.

use std::borrow::Cow;
use std::error::Error;

use outbox_sea_orm::core::store::{Store, StoreErrorKind};
use outbox_sea_orm::core::testing::{StagedEvents, assert_staged};
use outbox_sea_orm::core::{Encoded, OutboxEvent, StageError};
use outbox_sea_orm::{Outbox, record};
use sea_orm::{DatabaseConnection, DbErr};

use crate::fixtures::{Seen, Thing, both, put};

enum Broken {
    Panics,
    Fails,
    EmptyKey,
    NulInKey,
    LongKey,
    BadTopic,
}

impl OutboxEvent for Broken {
    fn aggregate_type(&self) -> Cow<'_, str> {
        "thing".into()
    }
    fn aggregate_id(&self) -> Option<Cow<'_, str>> {
        Some("1".into())
    }
    fn event_type(&self) -> Cow<'_, str> {
        "thing.broken".into()
    }
    fn topic(&self) -> Cow<'_, str> {
        if matches!(self, Self::BadTopic) { "no topic".into() } else { "things".into() }
    }
    fn partition_key(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::EmptyKey => "".into(),
            Self::NulInKey => "a\0b".into(),
            Self::LongKey => "x".repeat(513).into(),
            _ => "k".into(),
        })
    }
    fn encode(&self) -> Result<Encoded, Box<dyn Error + Send + Sync>> {
        match self {
            Self::Panics => panic!("on purpose"),
            Self::Fails => Err("no such word".into()),
            _ => Encoded::json("x"),
        }
    }
}

const ALL: [(Broken, &str); 6] = [
    (Broken::Panics, "event \"thing.broken\": its encode panicked: on purpose"),
    (Broken::Fails, "event \"thing.broken\": the payload could not be encoded: no such word"),
    (Broken::EmptyKey, "event \"thing.broken\": partition key is empty"),
    (Broken::NulInKey, "event \"thing.broken\": partition key has a control character, such as NUL or a line break"),
    (Broken::LongKey, "event \"thing.broken\": partition key is longer than 512 bytes"),
    (
        Broken::BadTopic,
        "event \"thing.broken\": topic has characters other than letters, digits, '.', '_' and '-', or is '.' or '..'",
    ),
];

on_every_database! {
    async fn a_refused_event_leaves_the_transaction_as_it_was(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        both(&txn, "a").await.unwrap();
        for (event, text) in ALL {
            assert_eq!(txn.stage_event(&event).unwrap_err().to_string(), text);
            assert_eq!(txn.stage_event_with(&event, |options| options.header("a", 1)).unwrap_err().to_string(), text);
            let error = record(&txn, &event).await.unwrap_err();
            assert!(error.to_string().ends_with(text), "{error}");
            let all: [&dyn OutboxEvent; 2] = [&Thing::new("never"), &event];
            assert_eq!(txn.stage_all(all).unwrap_err().to_string(), text);
            // Refused before the connection is asked for anything, of which a pool of one has none left.
            let error = record(outbox.inner(), &event).await.unwrap_err();
            assert!(error.to_string().ends_with(text), "{error}");
        }
        assert_staged!(txn, [Thing::new("a")]);
        both(&txn, "b").await.unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a", "b"]));
    }

    async fn headers_of_a_call_are_refused_by_name(db) {
        let outbox = db.outbox().await;
        let txn = outbox.begin().await.unwrap();
        let long = "x".repeat(8 * 1024 + 1);
        for (name, value) in [("", "1"), ("a\0", "1"), ("outbox-id", "1"), ("a", "1\0"), ("a", &long)] {
            let error = txn.stage_event_with(&Thing::new("a"), |options| options.header(name, value)).unwrap_err();
            assert!(matches!(error.reason(), StageError::Header { .. }), "{name:?}: {error}");
        }
        assert_staged!(txn, []);
        txn.rollback().await.unwrap();
    }

    async fn ambient_headers_that_fail_or_panic_refuse_the_event_and_nothing_else(db) {
        for panics in [true, false] {
            let ambient = move |headers: &mut outbox_sea_orm::core::Headers| {
                assert!(!panics, "on purpose");
                headers.set("outbox-own", 1)
            };
            let outbox = db.builder().await.ambient_headers(ambient).build().unwrap();
            let txn = outbox.begin().await.unwrap();
            put(&txn, "a").await.unwrap();
            let error = txn.stage_event(&Thing::new("a")).unwrap_err();
            match error.reason() {
                StageError::Panicked { text, .. } => assert!(panics && text == "on purpose"),
                StageError::Header { .. } => assert!(!panics),
                other => panic!("{other}"),
            }
            txn.commit().await.unwrap();
            outbox.inner().clone().close().await.unwrap();
        }
        assert_eq!(db.seen().await.rows, ["a", "a"]);
    }

    async fn a_test_sees_what_an_open_transaction_has_staged(db) {
        let outbox = db.outbox().await;
        let checked = outbox.transaction_async(async |txn| {
            both(txn, "a").await?;
            let inner = txn.begin().await?;
            inner.stage_event_with(&Thing::new("b"), |options| options.header("region", "eu")).map_err(DbErr::from)?;
            StagedEvents::of(&inner)
                .event(&Thing::new("a"))
                .event_with(&Thing::new("b"), |options| options.header("region", "eu"))
                .assert();
            inner.rollback().await?;
            // Written early or not, it is what would be committed.
            txn.flush().await?;
            assert_staged!(txn, [Thing::new("a")]);
            let mismatch = StagedEvents::of(txn).event(&Thing::keyed("other", "a")).check().unwrap_err();
            assert!(mismatch.to_string().contains("key: expected \"other\", found \"k\""), "{mismatch}");
            Ok::<_, DbErr>(())
        });
        checked.await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a"]));
    }
}

#[tokio::test]
async fn a_connection_that_was_never_made_is_an_error() {
    let outbox = Outbox::new(DatabaseConnection::default());
    let said = |error: DbErr| assert!(error.to_string().contains("Disconnected"), "{error}");
    said(outbox.check().await.unwrap_err());
    said(outbox.begin().await.unwrap_err());
    let error = outbox.store().open().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
}
