//! Clauses about what events are like.

use std::time::Duration;

use super::support::{LONG, Processor, SHORT, bodies, commit, commit_of, dead, event};
use super::{Fixture, SHARDS};
use crate::event::{Envelope, EventId, Headers};
use crate::message::Origin;
use crate::shard::Shard;

/// See [`Store::promote`](crate::store::Store::promote).
pub async fn delayed_events_take_their_places_when_they_are_due(fixture: &dyn Fixture) {
    let one = Processor::alone(fixture).await;
    let store = fixture.store();
    assert_eq!(store.promote(one.id, &one.held, 10).await.unwrap(), None);
    let delayed = |body: &str, delay| Envelope { delay: Some(delay), ..event(Some("a"), body) };
    let millis = Duration::from_millis;
    commit(fixture, [delayed("later", LONG)]).await;
    let next = store.promote(one.id, &one.held, 10).await.unwrap();
    assert!(next.is_some_and(|wait| wait > millis(1) && wait <= LONG), "{next:?}");
    commit(fixture, [delayed("3", millis(300)), delayed("1", millis(100)), delayed("2", millis(200))]).await;
    assert_eq!(one.read().await, []);
    fixture.pass(millis(400)).await;
    commit_of(fixture, "a", &["0"]).await;
    assert_eq!(store.promote(one.id, &one.held, 0).await.unwrap(), Some(Duration::ZERO));
    assert_eq!(store.promote(one.id, &one.held, 2).await.unwrap(), Some(Duration::ZERO));
    assert_eq!(bodies(&one.read().await), ["0", "1", "2"]);
    let next = store.promote(one.id, &one.held, 2).await.unwrap();
    assert!(next.is_some_and(|wait| wait > millis(1) && wait <= LONG), "{next:?}");
    let rows = one.read().await;
    assert_eq!(bodies(&rows), ["0", "1", "2", "3"]);
    let origins: Vec<Origin> = rows.iter().map(|row| row.message.origin).collect();
    assert_eq!(origins, [Origin::Staged, Origin::Delayed, Origin::Delayed, Origin::Delayed]);
    assert_eq!(rows[1].message.envelope.delay, None);
    one.read_until_decided(rows[3].message.seq).await;
}

/// See [`Store::promote`](crate::store::Store::promote).
pub async fn delayed_events_of_others_stay(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Processor::new(fixture), Processor::new(fixture));
    one.lease(SHORT).await;
    let events =
        (0..20).map(|n| Envelope { delay: Some(Duration::from_millis(1)), ..event(Some(&format!("{n}")), "x") });
    commit(fixture, events).await;
    fixture.pass(SHORT).await;
    other.lease(LONG).await;
    assert_eq!(fixture.store().promote(one.id, &one.held, 100).await.unwrap(), None, "the leases are lost");
    assert_eq!(other.read().await, []);
    let half = &other.held[..4];
    assert_eq!(fixture.store().promote(other.id, half, 100).await.unwrap(), None);
    let rows = other.read().await;
    assert!(!rows.is_empty() && rows.len() < 20);
    assert!(rows.iter().all(|row| half.iter().any(|lease| lease.shard == row.message.shard)));
    fixture.store().promote(other.id, &other.held, 100).await.unwrap();
    assert_eq!(other.read().await.len(), 20);
}

/// Nothing is lost or changed on the way through the tables.
pub async fn every_column_comes_back_as_it_was_written(fixture: &dyn Fixture) {
    let one = Processor::alone(fixture).await;
    let mut headers = Headers::new();
    for (name, value) in [("z", "1"), ("a", "\"quoted\" \\ and ünicode\t😀"), ("empty", "")] {
        headers.set(name, value).expect("a header");
    }
    let full = Envelope {
        aggregate_type: "Bestellung ß".into(),
        aggregate_id: Some("ключ 1 ".into()),
        aggregate_version: Some(i64::MAX),
        event_type: "bestellung.aufgegeben".into(),
        event_version: 7,
        content_type: "application/json; charset=utf-8".into(),
        headers,
        created_at: std::time::SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_999_999),
        ..event(Some("ключ 😀 "), "{\"text\": \"日本語 \\u0000 \\\\ '\"}")
    };
    let events = vec![
        full.clone(),
        Envelope { payload: None, ..event(Some("tombstone"), "") },
        event(Some("empty"), ""),
        Envelope { aggregate_id: None, aggregate_version: Some(-1), ..event(None, "unordered") },
        event(Some("large"), &"x".repeat(1024 * 1024)),
        // These differ in what careless collations take for the same.
        event(Some("A"), "upper"),
        event(Some("a "), "space"),
        event(Some("ä"), "umlaut"),
    ];
    commit(fixture, events.clone()).await;
    let rows = one.read().await;
    let envelopes: Vec<Envelope> = rows.iter().map(|row| row.message.envelope.clone()).collect();
    assert_eq!(envelopes.len(), events.len());
    for (read, written) in envelopes.iter().zip(&events) {
        assert!(read == written, "{read:?} is not {written:?}");
    }
    for row in &rows {
        assert_eq!((row.message.origin, row.message.attempts, row.parked), (Origin::Staged, 0, false));
    }
    // And through the dead letters, and back.
    for row in &rows {
        one.settle(row, dead(1, row.message.seq % 2 == 0)).await;
    }
    assert_eq!(one.read().await, []);
    for (row, written) in rows.iter().zip(&events) {
        let letter = fixture.admin().dead_letter(row.message.id()).await.unwrap();
        assert!(letter.envelope == *written, "{letter:?}");
    }
    assert_eq!(fixture.admin().requeue_all(100).await.unwrap(), 8);
    let mut read: Vec<Envelope> = one.read().await.into_iter().map(|row| row.message.envelope.clone()).collect();
    read.sort_by_key(|envelope| events.iter().position(|event| event.id == envelope.id));
    assert!(read == events);
    // And out of the schedule.
    let delayed = Envelope { id: EventId::new(), delay: Some(Duration::from_millis(1)), ..full };
    commit(fixture, [delayed.clone()]).await;
    fixture.pass(Duration::from_millis(5)).await;
    fixture.store().promote(one.id, &one.held, 10).await.unwrap();
    let rows = one.read().await;
    let row = rows.iter().find(|row| row.message.id() == delayed.id).expect("it is due");
    assert!(row.message.envelope == Envelope { delay: None, ..delayed });
}

/// An event without a key has nothing that could be parked.
pub async fn unordered_events_are_never_parked(fixture: &dyn Fixture) {
    commit(fixture, [event(None, "1"), event(None, "2")]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    for row in &rows {
        assert_eq!(row.message.shard, Shard::of_id(row.message.id(), SHARDS));
        assert_eq!(row.message.order_key(), None);
    }
    one.settle(&rows[0], dead(1, true)).await;
    assert_eq!(fixture.admin().parked_keys(None, 10).await.unwrap(), []);
    let left = one.read().await;
    assert_eq!(bodies(&left), ["2"]);
    assert!(!left[0].parked);
    fixture.admin().requeue(rows[0].message.id()).await.unwrap();
    assert_eq!(bodies(&one.read().await), ["2", "1"]);
}
