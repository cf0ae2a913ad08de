//! Rows that somebody has written, or changed, by hand: one of them holds back nothing but itself.

use std::time::Duration;

use outbox_core::event::{EventId, OrderKey};
use outbox_core::store::{Admin, DeadState};
use outbox_core::testing::contract::store::Fixture;
use outbox_core::testing::{Fault, FaultyPublisher};
use outbox_core::{MemoryPublisher, Message, OnDeath, ProcessorHandle, RetryPolicy};
use outbox_sea_orm::Outbox;
use outbox_sea_orm::migration::Migrator;
use outbox_tests::{Kind, Role, TestDatabase, eventually, on_every_database};
use sea_orm::ConnectionTrait;

use super::fixture::{Again, Outboxed, event};
use super::owner::{LONG, Owner};
use crate::delivery::operator;

const DEADLINE: Duration = Duration::from_secs(60);

async fn outbox(db: &TestDatabase) -> Outbox {
    Migrator::up(db.connection(), None).await.unwrap();
    Outbox::new(db.pool(Role::Service).await)
}

async fn stage(outbox: &Outbox, key: &str, bodies: &[&str]) -> Vec<EventId> {
    let txn = outbox.begin().await.unwrap();
    let events: Vec<_> = bodies.iter().map(|body| event(key, body)).collect();
    let ids = events.iter().map(|event| txn.stage_event(&Again(event)).unwrap()).collect();
    txn.commit().await.unwrap();
    ids
}

/// Changes the one row of a table that has this payload.
async fn change(db: &TestDatabase, table: &str, set: &str, body: &str) {
    let sql = format!("UPDATE outbox_{table} SET {set} WHERE payload = '{body}'");
    let changed = db.connection().execute_unprepared(&sql).await.unwrap().rows_affected();
    assert_eq!(changed, 1, "{sql}");
}

fn start(outbox: &Outbox, then: OnDeath) -> (MemoryPublisher, ProcessorHandle) {
    let received = MemoryPublisher::new();
    let rejected = |message: &Message| message.payload_text().is_some_and(|body| body.starts_with("rejected"));
    let publisher = FaultyPublisher::new(received.clone()).when(rejected, Fault::Reject);
    let policy = RetryPolicy::fixed(Duration::from_millis(10)).max_attempts(3).on_death(then);
    (received.clone(), outbox.processor(publisher).retry(policy).spawn().unwrap())
}

/// What has arrived of a key, in the order of arrival.
fn bodies(received: &MemoryPublisher, key: &str) -> Vec<String> {
    let messages = received.messages();
    let of_key = messages.iter().filter(|message| message.key() == Some(key));
    of_key.map(|message| message.payload_text().unwrap().to_owned()).collect()
}

/// What a person can write into a row that nobody can read.
fn mischief(db: &TestDatabase) -> Vec<(&'static str, &'static str)> {
    let mut all = vec![
        ("headers = '{\"a\":1}'", "headers break"),
        ("headers = 'nonsense'", "headers break"),
        ("headers = '[[\"a\", null]]'", "headers break"),
        ("event_version = -1", "event_version is negative"),
        ("origin = 7", "origin 7 is unknown"),
    ];
    // Other databases have no other text, and no larger numbers.
    if db.kind() == Kind::Sqlite {
        all.push(("event_version = 4294967296", "event_version is too large"));
        all.push(("origin = 32768", "origin 32768 is unknown"));
        all.push(("aggregate_type = CAST(x'ff' AS TEXT)", "aggregate_type is not UTF-8"));
        all.push(("partition_key = CAST(x'ff00fe' AS TEXT)", "partition_key is not UTF-8"));
    }
    all
}

const REPAIR: &str =
    "headers = '[]', event_version = 1, origin = 0, aggregate_type = 'thing', partition_key = aggregate_id";

on_every_database! {
    async fn it_is_a_dead_letter_and_its_key_goes_on(db: TestDatabase) {
        let outbox = outbox(&db).await;
        let mischief = mischief(&db);
        for (n, (done, _)) in mischief.iter().enumerate() {
            stage(&outbox, &format!("bad-{n}"), &[&format!("{n}-1"), &format!("{n}-2"), &format!("{n}-3")]).await;
            stage(&outbox, &format!("good-{n}"), &["1", "2"]).await;
            change(&db, "event", done, &format!("{n}-2")).await;
        }
        let (received, processor) = start(&outbox, OnDeath::Continue);
        received.wait_for(4 * mischief.len(), DEADLINE).await.unwrap();
        let store = operator(&db).await;
        eventually(DEADLINE, || async { store.pending(0, 1).await.unwrap().is_empty() }).await;
        for n in 0..mischief.len() {
            assert_eq!(bodies(&received, &format!("bad-{n}")), [format!("{n}-1"), format!("{n}-3")]);
            assert_eq!(bodies(&received, &format!("good-{n}")), ["1", "2"]);
        }
        let letters = store.dead_letters(None, 100).await.unwrap();
        assert_eq!(letters.len(), mischief.len());
        for (n, (_, problem)) in mischief.iter().enumerate() {
            let letter = letters.iter().find(|letter| letter.envelope.payload_text() == Some(&format!("{n}-2"))).unwrap();
            assert!(letter.reason.contains("cannot be understood") && letter.reason.contains(problem), "{}", letter.reason);
            assert_eq!((letter.state, letter.attempts, letter.rejections.len()), (DeadState::Dead, 1, 1));
            // Who knows better corrects the letter, and requeues it.
            change(&db, "dead", REPAIR, &format!("{n}-2")).await;
            store.requeue(letter.envelope.id).await.unwrap();
        }
        received.wait_for(5 * mischief.len(), DEADLINE).await.unwrap();
        for n in 0..mischief.len() {
            assert_eq!(bodies(&received, &format!("bad-{n}")), [format!("{n}-1"), format!("{n}-3"), format!("{n}-2")]);
        }
        let report = processor.shutdown().await.unwrap();
        assert_eq!(report.counts.dead, mischief.len() as u64);
    }

    /// What stands for such a key could not be looked for.
    async fn all_rows_of_a_key_that_is_no_text_are_dead_letters(db: TestDatabase) {
        if db.kind() != Kind::Sqlite {
            return; // other databases have no other text
        }
        let outbox = outbox(&db).await;
        for then in [OnDeath::Continue, OnDeath::ParkKey] {
            stage(&outbox, "bad", &["1", "2", "3"]).await;
            for body in ["1", "2", "3"] {
                change(&db, "event", "partition_key = CAST(x'ff' AS TEXT)", body).await;
            }
            let (_, processor) = start(&outbox, then);
            let store = operator(&db).await;
            eventually(DEADLINE, || async { store.pending(0, 1).await.unwrap().is_empty() }).await;
            let letters = store.dead_letters(None, 10).await.unwrap();
            assert!(letters.iter().all(|letter| letter.state == DeadState::Dead), "{letters:?}");
            assert_eq!(letters.len(), 3);
            for letter in letters {
                store.delete(letter.envelope.id).await.unwrap();
            }
            processor.shutdown().await.unwrap();
        }
    }

    /// The bytes of a number can be those of a text.
    async fn a_column_of_another_type_is_not_taken_for_text(db: TestDatabase) {
        if db.kind() != Kind::Postgres {
            return; // to other databases a number is a text
        }
        let outboxed = Outboxed::new(db).await;
        outboxed.begin(vec![event("42", "1")]).await.commit().await;
        let alter = "ALTER TABLE {event} ALTER aggregate_id TYPE bigint USING aggregate_id::bigint";
        outboxed.execute(outboxed.db.connection(), alter).await;
        let read = Owner::of(&outboxed.store, LONG).await.read(&outboxed.store).await;
        let problems: Vec<_> = read.lanes.iter().flat_map(|lane| &lane.rows).map(|row| row.unreadable.as_deref()).collect();
        assert_eq!(problems, [Some("aggregate_id is not UTF-8 text")]);
    }

    async fn or_its_key_parks_by_policy(db: TestDatabase) {
        let outbox = outbox(&db).await;
        stage(&outbox, "bad", &["b1", "b2", "b3"]).await;
        stage(&outbox, "good", &["1", "2"]).await;
        change(&db, "event", "headers = 'nonsense'", "b2").await;
        let (received, processor) = start(&outbox, OnDeath::ParkKey);
        let store = operator(&db).await;
        eventually(DEADLINE, || async { store.pending(0, 1).await.unwrap().is_empty() }).await;
        assert_eq!(bodies(&received, "good"), ["1", "2"]);
        // Nothing is wrong with what was before it.
        assert_eq!(bodies(&received, "bad"), ["b1"]);
        let letters = store.dead_letters(None, 10).await.unwrap();
        assert_eq!(letters.len(), 2);
        change(&db, "dead", REPAIR, "b2").await;
        let key = OrderKey::new("topic", "bad");
        assert_eq!(store.requeue_key(&key).await.unwrap(), letters.len() as u64);
        received.wait_for(5, DEADLINE).await.unwrap();
        assert_eq!(bodies(&received, "bad"), ["b1", "b2", "b3"]);
        processor.shutdown().await.unwrap();
    }

    /// Numbers and times that nobody has ever counted or lived.
    async fn absurd_numbers_stop_nothing(db: TestDatabase) {
        let outbox = outbox(&db).await;
        let (most, least) = ("9223372036854775807", "-9223372036854775808");
        let delivered: Vec<(&str, String)> = vec![
            ("n1", "attempts = -5".to_owned()),
            ("n2", "attempts = 2147483647".to_owned()),
            ("n3", format!("next_attempt_at = {least}")),
            ("n4", format!("created_at = {least}")),
            ("n5", format!("created_at = {most}")),
            ("n6", "errors = 'nonsense'".to_owned()),
            ("n7", format!("aggregate_version = {least}")),
            ("n8", "event_type = 'never.heard.of', event_version = 2147483647".to_owned()),
            // Longer than any retry: the clock must have been wrong.
            ("n9", format!("next_attempt_at = {most}")),
        ];
        for (body, set) in &delivered {
            stage(&outbox, body, &[body]).await;
            change(&db, "event", set, body).await;
        }
        let mut rejected = vec![
            ("rejected-1", "attempts = 2147483647"),
            ("rejected-2", "attempts = -2147483648"),
            ("rejected-3", "errors = 'nonsense', attempts = 1"),
        ];
        if db.kind() == Kind::Sqlite {
            rejected.push(("rejected-4", "errors = CAST(x'ff' AS TEXT), attempts = 2147483648"));
        }
        for &(body, set) in &rejected {
            stage(&outbox, body, &[body]).await;
            change(&db, "event", set, body).await;
        }
        let txn = outbox.begin().await.unwrap();
        for body in ["late", "never"] {
            let later = event(body, body);
            txn.stage_event_with(&Again(&later), |options| options.delay(Duration::from_secs(3600))).unwrap();
        }
        txn.commit().await.unwrap();
        change(&db, "scheduled", &format!("due_at = {least}"), "late").await;
        change(&db, "scheduled", &format!("due_at = {most}"), "never").await;

        let (received, processor) = start(&outbox, OnDeath::Continue);
        received.wait_for(delivered.len() + 1, DEADLINE).await.unwrap();
        let store = operator(&db).await;
        eventually(DEADLINE, || async { store.dead_letters(None, 10).await.unwrap().len() == rejected.len() }).await;
        eventually(DEADLINE, || async { store.pending(0, 10).await.unwrap().is_empty() }).await;
        let snapshot = processor.snapshot().await.unwrap();
        assert!(!snapshot.database_fails, "{snapshot:?}");
        assert_eq!(store.scheduled(None, 10).await.unwrap().len(), 1);
        let set = format!("died_at = {most}, attempts = -1, errors = 'nonsense', state = 9");
        change(&db, "dead", &set, "rejected-3").await;
        change(&db, "dead", &format!("died_at = {least}"), "rejected-2").await;
        if db.kind() == Kind::Sqlite {
            let set = "reason = CAST(x'ff' AS TEXT), errors = CAST(x'ff' AS TEXT), state = 32768, attempts = 2147483648";
            change(&db, "dead", set, "rejected-1").await;
        }
        let letters = store.dead_letters(None, 10).await.unwrap();
        assert_eq!(letters.len(), rejected.len());
        assert!(letters.iter().any(|letter| letter.attempts == i32::MAX as u32), "more than the column holds");
        for letter in letters {
            assert_eq!(store.dead_letter(letter.envelope.id).await.unwrap(), letter);
            store.requeue(letter.envelope.id).await.unwrap();
        }
        processor.shutdown().await.unwrap();
        assert_eq!(store.pending(0, 10).await.unwrap().len(), rejected.len());
    }

    /// The id is what an event is known by: consumers take a second one for a repeat.
    async fn two_events_of_one_id_are_both_delivered(db: TestDatabase) {
        let outbox = outbox(&db).await;
        let mut twins = [event("a", "first"), event("b", "second")];
        twins[1].id = twins[0].id;
        for twin in &twins {
            let txn = outbox.begin().await.unwrap();
            txn.stage_event_with(&Again(twin), |options| options.id(twin.id)).unwrap();
            txn.commit().await.unwrap();
        }
        let (received, processor) = start(&outbox, OnDeath::Continue);
        let messages = received.wait_for(2, DEADLINE).await.unwrap();
        assert!(messages.iter().all(|message| message.id() == twins[0].id));
        assert_eq!((bodies(&received, "a"), bodies(&received, "b")), (vec!["first".to_owned()], vec!["second".to_owned()]));
        processor.shutdown().await.unwrap();
        assert!(operator(&db).await.pending(0, 1).await.unwrap().is_empty());
    }
}

/// An id has 16 bytes, or its row could not be told from others.
#[tokio::test(flavor = "multi_thread")]
async fn sqlite_takes_no_id_of_another_length() {
    let db = outbox_tests::sqlite().await;
    let outbox = outbox(&db).await;
    stage(&outbox, "a", &["1"]).await;
    let error = db.connection().execute_unprepared("UPDATE outbox_event SET id = x'00'").await.unwrap_err();
    assert!(error.to_string().contains("CHECK constraint"), "{error}");
}
