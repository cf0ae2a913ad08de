//! Clauses about settling.

use std::sync::Arc;
use std::time::Duration;

use super::Fixture;
use super::support::{LONG, Processor, SHORT, bodies, body, commit_of, dead, order_key, retry};
use crate::event::EventId;
use crate::message::Place;
use crate::store::{DeadState, Fate, Settled};

/// See [`LaneSettle`](crate::store::LaneSettle).
pub async fn settling_twice_is_settling_once(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2", "3", "4"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    for _ in 0..2 {
        assert_eq!(one.settle(&rows[0], Fate::Delivered).await, Settled::Done);
        assert_eq!(one.settle(&rows[1], retry(1, LONG)).await, Settled::Done);
        assert_eq!(one.settle(&rows[2], dead(2, true)).await, Settled::Done);
        assert_eq!(one.settle(&rows[3], Fate::Parked).await, Settled::Done);
        assert_eq!(bodies(&one.read().await), ["2"]);
        let letters = fixture.admin().dead_letters(None, 10).await.unwrap();
        assert_eq!(letters.len(), 2);
        assert_eq!(letters.iter().map(|letter| letter.rejections.len()).sum::<usize>(), 1);
    }
    let pending = fixture.admin().pending(0, 10).await.unwrap();
    assert_eq!((pending[0].attempts, pending[0].rejections.len()), (1, 1));
}

/// See [`Change::id`](crate::store::Change::id).
pub async fn number_and_id_must_both_match(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    let [mut another, mut elsewhere] = [rows[0].clone(), rows[0].clone()];
    Arc::make_mut(&mut another.message).envelope.id = EventId::new();
    Arc::make_mut(&mut elsewhere.message).seq += 1;
    for other in [another, elsewhere] {
        for fate in [Fate::Delivered, retry(1, LONG), dead(1, true), Fate::Parked] {
            assert_eq!(one.settle(&other, fate).await, Settled::Done);
        }
    }
    assert_eq!(one.read().await, rows);
    assert_eq!(fixture.admin().dead_letters(None, 10).await.unwrap(), []);
}

/// See [`Place`].
pub async fn a_place_is_only_a_hint(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2", "3", "4"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    let seen_at = |n: usize, place: Place| {
        let mut row = rows[n].clone();
        Arc::make_mut(&mut row.message).place = place;
        row
    };
    one.settle(&seen_at(0, rows[1].message.place), Fate::Delivered).await;
    assert_eq!(bodies(&one.read().await), ["2", "3", "4"], "something else is there");
    for (n, place) in [(1, Place(u64::MAX)), (2, Place::default())] {
        one.settle(&seen_at(n, place), Fate::Delivered).await;
    }
    assert_eq!(bodies(&one.read().await), ["4"], "nothing can be there, and nothing is known");
    one.settle(&rows[3], retry(1, LONG)).await;
    one.settle(&rows[3], Fate::Delivered).await;
    assert_eq!(one.read().await, [], "it may have been moved");
}

/// See [`Fate::Retry`].
pub async fn a_rejected_event_waits_and_remembers(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    one.settle(&rows[0], retry(1, SHORT)).await;
    let waiting = one.read().await;
    assert_eq!(bodies(&waiting), ["1", "2"], "it keeps its place");
    assert!(waiting[0].retry_in.is_some_and(|wait| wait <= SHORT), "{:?}", waiting[0].retry_in);
    assert_eq!(waiting[0].message.attempts, 1);
    assert_eq!((waiting[1].retry_in, waiting[1].message.attempts), (None, 0));
    fixture.pass(SHORT).await;
    assert_eq!(one.read().await[0].retry_in, None);

    one.settle(&rows[0], retry(2, LONG)).await;
    let pending = fixture.admin().pending(0, 10).await.unwrap();
    assert_eq!(pending[0].attempts, 2);
    assert!(pending[0].retry_in.is_some_and(|wait| wait <= LONG));
    let rejections: Vec<(u32, &str)> =
        pending[0].rejections.iter().map(|rejection| (rejection.attempt, rejection.error.as_str())).collect();
    assert_eq!(rejections, [(1, "error 1"), (2, "error 2")]);
    assert!(pending[0].rejections[0].at > 0 && pending[0].rejections[0].at < pending[0].rejections[1].at);

    // Somebody else sees the same.
    let waiting = one.read().await;
    assert!(waiting[0].retry_in.is_some_and(|wait| wait > SHORT));
    // A delay that no clock can add.
    one.settle(&rows[0], retry(3, Duration::MAX)).await;
    assert_eq!(one.read().await[0].message.attempts, 3);
}

/// A settle whose connection was lost may still be carried out, after the one that was sent instead of it and others.
pub async fn a_retry_that_is_written_late_takes_nothing_back(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    for attempts in [1, 2, 1] {
        one.settle(&rows[0], retry(attempts, LONG)).await;
    }
    let pending = fixture.admin().pending(0, 10).await.unwrap();
    let rejections: Vec<u32> = pending[0].rejections.iter().map(|rejection| rejection.attempt).collect();
    assert_eq!((pending[0].attempts, rejections), (2, vec![1, 2]));
}

/// See [`DeadLetter::rejections`](crate::store::DeadLetter::rejections).
pub async fn ten_rejections_are_kept(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    for attempt in 1..=11 {
        one.settle(&rows[0], retry(attempt, Duration::ZERO)).await;
    }
    one.settle(&rows[0], dead(12, false)).await;
    let letter = fixture.admin().dead_letter(rows[0].message.id()).await.unwrap();
    let attempts: Vec<u32> = letter.rejections.iter().map(|rejection| rejection.attempt).collect();
    assert_eq!(attempts, (3..=12).collect::<Vec<_>>());
    assert_eq!(letter.attempts, 12);
}

/// See [`Fate::Dead`].
pub async fn a_dead_event_moves_aside(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    one.settle(&rows[0], retry(1, Duration::ZERO)).await;
    one.settle(&rows[0], dead(2, false)).await;
    let left = one.read().await;
    assert_eq!(bodies(&left), ["2"]);
    assert!(!left[0].parked, "the key goes on");
    let letters = fixture.admin().dead_letters(None, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(letter.envelope, rows[0].message.envelope);
    assert_eq!((letter.shard, letter.seq), (rows[0].message.shard, rows[0].message.seq));
    assert_eq!((letter.state, letter.attempts, letter.reason.as_str()), (DeadState::Dead, 2, "it broke"));
    let errors: Vec<&str> = letter.rejections.iter().map(|rejection| rejection.error.as_str()).collect();
    assert_eq!(errors, ["error 1", "it broke"]);
    assert!(letter.died_at > std::time::SystemTime::UNIX_EPOCH);
    assert_eq!(fixture.admin().dead_letter(letter.envelope.id).await.unwrap(), *letter);
}

/// Park, move aside, requeue: the key ends up as if nothing had happened.
pub async fn a_parked_key_moves_aside_and_comes_back_in_its_order(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2", "3"]).await;
    commit_of(fixture, "b", &["other"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    let shard = rows[0].message.shard;
    let generation = one.generation(shard).await;
    one.settle(&rows[0], dead(1, true)).await;
    commit_of(fixture, "a", &["4"]).await;
    let now = one.read().await;
    let parked: Vec<(String, bool)> = now.iter().map(|row| (body(row), row.parked)).collect();
    let expected = [("2", true), ("3", true), ("other", false), ("4", true)];
    assert_eq!(parked, expected.map(|(body, parked)| (body.to_owned(), parked)));
    assert_eq!(fixture.admin().parked_keys(None, 10).await.unwrap(), [order_key("a")]);

    // Under the generation of the moment: a store may raise it whenever it has to have everything read again.
    assert_eq!(one.settle(&rows[1], Fate::Parked).await, Settled::Done);
    assert_eq!(one.settle(&rows[2], Fate::Parked).await, Settled::Done);
    let letters = fixture.admin().dead_letters(None, 10).await.unwrap();
    assert_eq!(letters.iter().filter(|letter| letter.state == DeadState::Parked).count(), 2);
    let behind = letters.iter().find(|letter| letter.seq == rows[1].message.seq).expect("2 is among them");
    assert_eq!((behind.attempts, behind.rejections.len()), (0, 0));

    assert_eq!(fixture.admin().requeue_key(&order_key("a")).await.unwrap(), 3);
    let after = one.read().await;
    assert_eq!(bodies(&after), ["1", "2", "3", "other", "4"]);
    for (before, after) in rows.iter().zip(&after) {
        assert_eq!(after.message.seq, before.message.seq, "old places");
        assert_eq!((after.message.attempts, after.retry_in, after.parked), (0, None, false));
        assert_eq!(after.message.envelope, before.message.envelope);
    }
    assert!(one.generation(shard).await > generation);
    assert_eq!(fixture.admin().parked_keys(None, 10).await.unwrap(), []);
    assert_eq!(fixture.admin().dead_letters(None, 10).await.unwrap(), []);
    assert_eq!(fixture.admin().requeue_key(&order_key("a")).await.unwrap(), 0);
}

/// See [`LaneSettle`](crate::store::LaneSettle) on generations.
pub async fn under_an_old_generation_only_deliveries_count(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2", "3"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    let generation = one.generation(rows[0].message.shard).await;
    one.settle(&rows[0], dead(1, true)).await;
    fixture.admin().requeue_key(&order_key("a")).await.unwrap();
    let put_back = one.read().await;
    assert_eq!(bodies(&put_back), ["1", "2", "3"]);

    // The death once more, as if its answer had been lost, and whatever else can be said about an event.
    for fate in [dead(1, true), dead(1, false), retry(1, LONG), Fate::Parked] {
        for row in &rows[..2] {
            assert_eq!(one.settle_as(row, generation, vec![fate.clone()]).await, Settled::Regenerated, "{fate:?}");
            assert_eq!(one.read().await, put_back, "{fate:?}");
        }
    }
    assert_eq!(fixture.admin().dead_letters(None, 10).await.unwrap(), []);
    assert_eq!(fixture.admin().parked_keys(None, 10).await.unwrap(), []);
    let pending = fixture.admin().pending(0, 10).await.unwrap();
    assert!(pending.iter().all(|event| event.rejections.is_empty() && event.attempts == 0), "{pending:?}");

    assert_eq!(one.settle_as(&rows[2], generation, vec![Fate::Delivered]).await, Settled::Regenerated);
    assert_eq!(bodies(&one.read().await), ["1", "2"], "what is delivered is delivered");
    // Whoever knows the new generation goes on as always.
    assert_eq!(one.settle(&rows[0], retry(1, Duration::ZERO)).await, Settled::Done);
    assert_eq!(one.settle(&rows[0], Fate::Delivered).await, Settled::Done);
    assert_eq!(bodies(&one.read().await), ["2"]);
}
