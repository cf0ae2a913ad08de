//! What a publisher owes when something fails.

#![expect(clippy::missing_panics_doc, clippy::panic, reason = "a clause that does not hold panics")]

use std::time::Duration;

use super::clauses::{PATIENCE, delivered, sorted, spread};
use super::{PublisherFixture, Received};
use crate::message::Message;
use crate::publisher::Publisher;
use crate::testing::{Outcomes, Reported, message};

/// Clause 3: behind a rejected message nothing of its key arrives.
pub async fn nothing_of_a_key_passes_a_rejected_message(fixture: impl PublisherFixture) {
    let topic = fixture.topic("prefix").await;
    let mut sent: Vec<_> = (0..6).map(|seq| message(&topic, Some("key"), seq, format!("{seq}"))).collect();
    fixture.spoil(&mut sent[2]);
    let (outcomes, publisher) = (Outcomes::new(), fixture.publisher());
    publisher.publish(outcomes.deliveries(sent.clone())).await;
    publisher.flush(PATIENCE).await;
    let outcomes = outcomes.all().await;
    let rejected = outcomes.iter().position(|outcome| matches!(outcome, Reported::Rejected(_)));
    assert!(rejected.is_none_or(|rejected| rejected == 2), "an innocent message was rejected: {outcomes:?}");
    let good = outcomes.iter().take_while(|outcome| **outcome == Reported::Delivered).count();
    assert!(good <= 2, "a message was delivered that the destination must reject: {outcomes:?}");
    assert!(outcomes.iter().skip(good).all(|outcome| *outcome != Reported::Delivered), "not a prefix: {outcomes:?}");
    let arrived: Vec<_> = fixture.received(&topic).await.iter().map(|received| received.id).collect();
    assert_eq!(arrived, sent[..good].iter().map(Message::id).collect::<Vec<_>>());
}

/// Clause 4: a rejection makes no message of another key fail, and what it withholds can be delivered.
pub async fn a_rejection_makes_no_other_key_fail(fixture: impl PublisherFixture) {
    const ROUNDS: usize = 20;
    let topic = fixture.topic("independence").await;
    let mut sent = spread(&topic, 60, 6);
    fixture.spoil(&mut sent[12]); // of key 0
    let (mut left, publisher) = (sent.clone(), fixture.publisher());
    let mut rejections = 0;
    for _ in 0..ROUNDS {
        let outcomes = Outcomes::new();
        publisher.publish(outcomes.deliveries(left.clone())).await;
        publisher.flush(PATIENCE).await;
        let outcomes = outcomes.all().await;
        let mut next = Vec::new();
        for (mut message, outcome) in left.into_iter().zip(outcomes) {
            match outcome {
                Reported::Delivered => assert_ne!(message.id(), sent[12].id(), "a spoiled message was delivered"),
                Reported::Withheld => next.push(message),
                failed => {
                    assert_eq!(message.id(), sent[12].id(), "an innocent message failed: {failed:?}");
                    rejections += usize::from(matches!(failed, Reported::Rejected(_)));
                    message.attempts += 1;
                    next.push(message);
                }
            }
        }
        left = next;
    }
    assert!(rejections > 0, "the spoiled message was never rejected");
    let key = sent[12].envelope.key.as_deref();
    let innocent = left.iter().filter(|message| message.envelope.key.as_deref() != key).count();
    assert_eq!(innocent, 0, "messages of other keys were still withheld after {ROUNDS} rounds");
    let expected: Vec<_> = sent.iter().filter(|message| !left.iter().any(|other| other.id() == message.id())).collect();
    let expected = expected.into_iter().map(Received::from).collect();
    assert_eq!(sorted(fixture.received(&topic).await), sorted(expected), "each of them once");
}

/// However often a message is rejected, nothing of its key passes it; once it is given up, the rest follows in order.
pub async fn a_key_goes_on_when_a_rejected_message_is_given_up(fixture: impl PublisherFixture) {
    const ATTEMPTS: u32 = 3;
    const ROUNDS: usize = 40;
    const SPOILED: usize = 40;
    let topic = fixture.topic("given-up").await;
    let mut sent: Vec<_> = (0..100).map(|seq| message(&topic, Some("dense"), seq, format!("{seq}"))).collect();
    fixture.spoil(&mut sent[SPOILED]);
    let (mut left, publisher) = (sent.clone(), fixture.publisher());
    for _ in 0..ROUNDS {
        let outcomes = Outcomes::new();
        publisher.publish(outcomes.deliveries(left.clone())).await;
        publisher.flush(PATIENCE).await;
        let outcomes = outcomes.all().await;
        let good = outcomes.iter().take_while(|outcome| **outcome == Reported::Delivered).count();
        assert!(
            outcomes.iter().skip(good).all(|outcome| *outcome != Reported::Delivered),
            "not a prefix: {outcomes:?}"
        );
        left.drain(..good);
        let (Some(first), Some(outcome)) = (left.first_mut(), outcomes.get(good)) else { break };
        if let Reported::Rejected(reason) = outcome {
            assert_eq!(first.id(), sent[SPOILED].id(), "an innocent message was rejected: {reason}");
            first.attempts += 1;
            if first.attempts == ATTEMPTS {
                left.remove(0);
            }
        }
    }
    assert_eq!(left.len(), 0, "messages were left after {ROUNDS} rounds");
    sent.remove(SPOILED);
    let arrived: Vec<_> = fixture.received(&topic).await.iter().map(|received| received.id).collect();
    assert_eq!(arrived, sent.iter().map(Message::id).collect::<Vec<_>>());
}

/// A topic that cannot be written to is nobody's fault, and keeps no message of another topic from arriving.
pub async fn a_topic_that_cannot_be_written_to_rejects_nobody(fixture: impl PublisherFixture) {
    let (good, bad) = (fixture.topic("reachable").await, fixture.unreachable_topic().await);
    let (reachable, unreachable) = (spread(&good, 20, 4), spread(&bad, 20, 4));
    let both = reachable.iter().zip(&unreachable).flat_map(|(one, other)| [one.clone(), other.clone()]);
    let (outcomes, publisher) = (Outcomes::new(), fixture.publisher());
    publisher.publish(outcomes.deliveries(both)).await;
    for (n, outcome) in outcomes.all().await.into_iter().enumerate() {
        match (n % 2, outcome) {
            (0, outcome) => assert_eq!(outcome, Reported::Delivered),
            (_, Reported::Unreachable(_) | Reported::Throttled(..) | Reported::Withheld) => {}
            (_, outcome) => panic!("a message to an unreachable topic is neither rejected nor delivered: {outcome:?}"),
        }
    }
    assert_eq!(sorted(fixture.received(&good).await), sorted(reachable.iter().map(Received::from).collect()));
}

/// A publisher that is dropped reports what it still holds.
pub async fn a_dropped_publisher_reports_what_it_holds(fixture: impl PublisherFixture) {
    let topic = fixture.topic("dropped").await;
    let sent = spread(&topic, 100, 10);
    let (outcomes, publisher) = (Outcomes::new(), fixture.publisher());
    publisher.publish(outcomes.deliveries(sent.clone())).await;
    drop(publisher);
    let outcomes = outcomes.all().await;
    let rejected = outcomes.iter().find(|outcome| matches!(outcome, Reported::Rejected(_)));
    assert_eq!(rejected, None, "dropping a publisher is not the fault of a message");
    let there = fixture.received(&topic).await;
    for (message, outcome) in sent.iter().zip(outcomes) {
        let arrived = there.iter().any(|received| received.id == message.id());
        assert!(
            arrived || outcome != Reported::Delivered,
            "message {} was called delivered and is not there",
            message.seq
        );
    }
}

/// A flush whose deadline passes reports what is left: nothing stays open, and nothing counts as rejected.
pub async fn a_flush_past_its_deadline_reports_the_rest(fixture: impl PublisherFixture) {
    let topic = fixture.topic("deadline").await;
    let (outcomes, publisher) = (Outcomes::new(), fixture.publisher());
    publisher.publish(outcomes.deliveries(spread(&topic, 100, 10))).await;
    publisher.flush(Duration::ZERO).await;
    let open = outcomes.now().iter().filter(|outcome| outcome.is_none()).count();
    assert_eq!(open, 0, "messages without an outcome after the flush");
    let rejected = outcomes.all().await.into_iter().find(|outcome| matches!(outcome, Reported::Rejected(_)));
    assert_eq!(rejected, None, "a deadline is not the fault of a message");
}

/// A flush does not end a publisher, not even one that gave up: what comes later is delivered.
pub async fn a_publisher_goes_on_after_a_flush(fixture: impl PublisherFixture) {
    let topic = fixture.topic("afterwards").await;
    let publisher = fixture.publisher();
    for deadline in [PATIENCE, Duration::ZERO] {
        let outcomes = Outcomes::new();
        publisher.publish(outcomes.deliveries(spread(&topic, 50, 5))).await;
        publisher.flush(deadline).await;
        delivered(&publisher, &spread(&topic, 50, 5)).await;
    }
}
