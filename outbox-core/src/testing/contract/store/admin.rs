//! Clauses about [`Admin`](crate::store::Admin).

use std::time::Duration;

use super::support::{LONG, Processor, bodies, body, commit, commit_of, dead, event, order_key};
use super::{Fixture, SHARDS};
use crate::event::{Envelope, EventId};
use crate::message::Origin;
use crate::shard::Shard;
use crate::store::{AdminError, Change, DeadState, Fate, LaneSettle, LeaseRequest, Row, SettleRequest};

/// See [`Admin::give_up`](crate::store::Admin::give_up).
pub async fn giving_up_an_event_by_hand(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    let generation = one.generation(rows[0].message.shard).await;
    let id = rows[0].message.id();
    assert!(fixture.admin().give_up(id, "nobody wants it").await.unwrap());
    assert!(!fixture.admin().give_up(id, "nobody wants it").await.unwrap());
    assert!(!fixture.admin().give_up(EventId::new(), "it is not there").await.unwrap());
    assert_eq!(bodies(&one.read().await), ["2"]);
    assert!(one.generation(rows[0].message.shard).await > generation);
    let letter = fixture.admin().dead_letter(id).await.unwrap();
    assert_eq!((letter.state, letter.reason.as_str()), (DeadState::Dead, "nobody wants it"));
    assert_eq!((letter.attempts, letter.rejections.len(), letter.seq), (0, 0, rows[0].message.seq));
    assert_eq!(fixture.admin().parked_keys(None, 10).await.unwrap(), []);
}

/// See [`Admin::requeue`](crate::store::Admin::requeue).
pub async fn requeueing_an_event_puts_it_last(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    one.settle(&rows[0], dead(5, false)).await;
    let id = rows[0].message.id();
    fixture.admin().requeue(id).await.unwrap();
    assert!(matches!(fixture.admin().requeue(id).await, Err(AdminError::NotFound(missing)) if missing == id));
    let after = one.read().await;
    assert_eq!(bodies(&after), ["2", "1"]);
    assert_eq!(after[1].message.origin, Origin::Requeued);
    assert_eq!((after[1].message.attempts, after[1].retry_in, after[1].parked), (0, None, false));
    assert_eq!(after[1].message.envelope, rows[0].message.envelope);
    let pending = fixture.admin().pending(0, 10).await.unwrap();
    assert_eq!(pending[1].rejections, []);
    assert_eq!(fixture.admin().dead_letters(None, 10).await.unwrap(), []);
    one.read_until_decided(after[1].message.seq).await;
}

/// See [`Admin::requeue_key`](crate::store::Admin::requeue_key).
pub async fn requeueing_a_key_that_went_on_puts_it_last(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2", "3"]).await;
    commit_of(fixture, "b", &["other"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    // The later one dies first.
    one.settle(&rows[1], dead(1, false)).await;
    one.settle(&rows[0], dead(1, false)).await;
    one.settle(&rows[3], dead(1, false)).await;
    assert_eq!(fixture.admin().requeue_key(&order_key("a")).await.unwrap(), 2);
    let after = one.read().await;
    assert_eq!(bodies(&after), ["3", "1", "2"]);
    assert_eq!(after[1].message.origin, Origin::Requeued);
    let letters = fixture.admin().dead_letters(None, 10).await.unwrap();
    assert_eq!(letters.len(), 1, "another key's stays");
}

/// See [`AdminError::KeyParked`].
pub async fn a_parked_event_is_not_requeued_alone(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    one.settle(&rows[0], dead(1, true)).await;
    one.settle(&rows[1], Fate::Parked).await;
    for row in &rows {
        let id = row.message.id();
        let refused = fixture.admin().requeue(id).await;
        assert!(matches!(refused, Err(AdminError::KeyParked { key, .. }) if key == order_key("a")));
    }
    assert_eq!(one.read().await, []);
    assert_eq!(fixture.admin().dead_letters(None, 10).await.unwrap().len(), 2);
}

/// What was out of order stays marked so, also when it comes back at its old place.
pub async fn an_event_put_back_keeps_its_mark(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["requeued", "staged"]).await;
    let delay = Some(Duration::from_millis(1));
    commit(fixture, [Envelope { delay, ..event(Some("a"), "delayed") }]).await;
    fixture.pass(Duration::from_millis(1)).await;
    let one = Processor::alone(fixture).await;
    let first = one.read().await;
    one.settle(&first[0], dead(1, false)).await;
    fixture.admin().requeue(first[0].message.id()).await.unwrap();
    fixture.store().promote(one.id, &one.held, 10).await.unwrap();

    let rows = one.read().await;
    let marks = |rows: &[Row]| rows.iter().map(|row| (body(row), row.message.origin)).collect::<Vec<_>>();
    let expected = [("staged", Origin::Staged), ("requeued", Origin::Requeued), ("delayed", Origin::Delayed)];
    let expected = expected.map(|(body, origin)| (body.to_owned(), origin));
    assert_eq!(marks(&rows), expected);
    one.settle(&rows[0], dead(1, true)).await;
    one.settle(&rows[1], Fate::Parked).await;
    one.settle(&rows[2], Fate::Parked).await;
    assert_eq!(one.read().await, []);
    assert_eq!(fixture.admin().requeue_key(&order_key("a")).await.unwrap(), 3);
    assert_eq!(marks(&one.read().await), expected);
}

/// See [`Admin::requeue_all`](crate::store::Admin::requeue_all).
pub async fn everything_is_requeued(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["a1", "a2"]).await;
    commit_of(fixture, "b", &["b1", "b2"]).await;
    commit(fixture, [event(None, "u1"), event(None, "u2")]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    one.settle(&rows[0], dead(1, true)).await;
    one.settle(&rows[1], Fate::Parked).await;
    for row in &rows[2..] {
        one.settle(row, dead(1, false)).await;
    }
    assert_eq!(fixture.admin().requeue_all(0).await.unwrap(), 0);
    assert_eq!(fixture.admin().requeue_all(1).await.unwrap(), 2, "one key");
    assert_eq!(bodies(&one.read().await), ["a1", "a2"]);
    assert_eq!(fixture.admin().requeue_all(100).await.unwrap(), 4);
    assert_eq!(bodies(&one.read().await), ["a1", "a2", "b1", "b2", "u1", "u2"]);
    assert_eq!(fixture.admin().requeue_all(100).await.unwrap(), 0);
    assert_eq!(fixture.admin().parked_keys(None, 10).await.unwrap(), []);
}

/// See [`Admin::delete`](crate::store::Admin::delete).
pub async fn a_deleted_dead_letter_is_gone(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    let id = rows[0].message.id();
    assert!(matches!(fixture.admin().delete(id).await, Err(AdminError::NotFound(_))), "it is not dead");
    one.settle(&rows[0], dead(1, true)).await;
    fixture.admin().delete(id).await.unwrap();
    assert!(matches!(fixture.admin().delete(id).await, Err(AdminError::NotFound(_))));
    assert!(matches!(fixture.admin().dead_letter(id).await, Err(AdminError::NotFound(_))));
    assert_eq!(fixture.admin().parked_keys(None, 10).await.unwrap(), [order_key("a")], "the key stays parked");
    assert_eq!(fixture.admin().requeue_key(&order_key("a")).await.unwrap(), 0);
    assert_eq!(fixture.admin().parked_keys(None, 10).await.unwrap(), []);
    assert_eq!(bodies(&one.read().await), ["2"]);
}

/// Pages have no gaps and no repeats.
pub async fn lists_come_in_pages(fixture: &dyn Fixture) {
    let admin = fixture.admin();
    let keys: Vec<String> = (0..7).map(|n| format!("key-{n}")).collect();
    commit(fixture, keys.iter().map(|key| event(Some(key), key))).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;

    let (mut after, mut pending) = (0, Vec::new());
    loop {
        let page = admin.pending(after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.seq;
        pending.extend(page.into_iter().map(|event| event.envelope.id));
    }
    assert_eq!(pending, rows.iter().map(|row| row.message.id()).collect::<Vec<_>>());

    // Some at the same moment.
    let by_shard = |shard: Shard| rows.iter().filter(move |row| row.message.shard == shard);
    for lease in &one.held {
        let changes = by_shard(lease.shard).map(|row| Change::of(&row.message, dead(1, true)));
        let lane =
            LaneSettle { lease: *lease, generation: one.generation(lease.shard).await, changes: changes.collect() };
        fixture.store().settle(SettleRequest { processor: one.id, lanes: vec![lane] }).await.unwrap();
    }
    let all = admin.dead_letters(None, 100).await.unwrap();
    assert_eq!(all.len(), 7);
    assert!(all.is_sorted_by_key(|letter| (letter.died_at, letter.envelope.id)));
    let (mut after, mut paged) = (None, Vec::new());
    loop {
        let page = admin.dead_letters(after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.envelope.id);
        paged.extend(page);
    }
    assert_eq!(paged, all);

    let (mut after, mut parked) = (None, Vec::new());
    loop {
        let page = admin.parked_keys(after.as_ref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        parked.extend(page);
    }
    assert_eq!(parked, keys.iter().map(|key| order_key(key)).collect::<Vec<_>>());
}

/// See [`Admin::scheduled`](crate::store::Admin::scheduled).
pub async fn delayed_events_are_listed_until_they_are_due(fixture: &dyn Fixture) {
    let admin = fixture.admin();
    let delay = |n: u64| Duration::from_millis(1) + LONG * u32::try_from(n).unwrap();
    let events: Vec<Envelope> =
        (0..5).map(|n| Envelope { delay: Some(delay(n)), ..event(Some("a"), &n.to_string()) }).collect();
    commit(fixture, events.clone()).await;
    commit_of(fixture, "a", &["pending"]).await;

    let (mut after, mut listed) = (None, Vec::new());
    loop {
        let page = admin.scheduled(after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        after = Some(last.envelope.id);
        listed.extend(page);
    }
    let mut expected: Vec<Envelope> = events.iter().map(|event| Envelope { delay: None, ..event.clone() }).collect();
    expected.sort_by_key(|event| event.id);
    assert_eq!(listed.iter().map(|event| event.envelope.clone()).collect::<Vec<_>>(), expected);
    for event in &listed {
        assert_eq!(event.shard, Shard::of_key("a", SHARDS));
        let whole = events.iter().find(|whole| whole.id == event.envelope.id).and_then(|event| event.delay).unwrap();
        assert!(event.due_in.is_none_or(|wait| wait <= whole && wait > whole.saturating_sub(LONG)), "{event:?}");
    }
    assert_eq!(admin.stats().await.unwrap().scheduled_up_to_10_000, 5);

    fixture.pass(Duration::from_millis(1)).await;
    let due = admin.scheduled(None, 10).await.unwrap();
    let due: Vec<EventId> = due.iter().filter(|event| event.due_in.is_none()).map(|event| event.envelope.id).collect();
    assert_eq!(due, [events[0].id]);
    let one = Processor::alone(fixture).await;
    fixture.store().promote(one.id, &one.held, 10).await.unwrap();
    assert_eq!(admin.scheduled(None, 10).await.unwrap().len(), 4);
    let stats = admin.stats().await.unwrap();
    assert_eq!((stats.scheduled_up_to_10_000, stats.pending_up_to_10_000), (4, 2));
}

/// See [`Admin::stats`](crate::store::Admin::stats).
pub async fn stats_count(fixture: &dyn Fixture) {
    let empty = fixture.admin().stats().await.unwrap();
    assert_eq!((empty.pending_up_to_10_000, empty.oldest_pending, empty.processors), (0, None, 0));
    assert_eq!(empty.free_shards, 8);
    commit_of(fixture, "a", &["1", "2", "3"]).await;
    let mut one = Processor::new(fixture);
    one.ask(LeaseRequest { most: 3, ..one.request(LONG) }).await;
    let stats = fixture.admin().stats().await.unwrap();
    assert_eq!((stats.pending_up_to_10_000, stats.processors, stats.free_shards), (3, 1, 5));
    assert!(stats.oldest_pending.is_some());
    one.lease(LONG).await;
    let rows = one.read().await;
    one.settle(&rows[0], dead(1, true)).await;
    let stats = fixture.admin().stats().await.unwrap();
    assert_eq!((stats.pending_up_to_10_000, stats.dead_up_to_10_000, stats.parked_keys_up_to_10_000), (2, 1, 1));
    assert_eq!(stats.free_shards, 0);
}
