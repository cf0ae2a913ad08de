#![expect(clippy::missing_panics_doc, reason = "a clause that does not hold panics")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{PublisherFixture, Received};
use crate::event::{EventId, Headers, Limits, OrderKey};
use crate::message::Message;
use crate::publisher::Publisher;
use crate::testing::{Outcomes, Reported, message};

pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Clause 1: every delivery has one outcome, and what is delivered is there.
pub async fn every_message_has_one_outcome(fixture: impl PublisherFixture) {
    let topic = fixture.topic("one-outcome").await;
    let sent = spread(&topic, 50, 7);
    delivered(&fixture.publisher(), &sent).await;
    assert_eq!(sorted(fixture.received(&topic).await), sorted(sent.iter().map(Received::from).collect()));
}

/// Clause 2: messages of one key arrive in the order of the batch.
pub async fn messages_of_a_key_arrive_in_order(fixture: impl PublisherFixture) {
    let topic = fixture.topic("order").await;
    let sent = spread(&topic, 200, 5);
    delivered(&fixture.publisher(), &sent).await;
    assert_order(&sent, &fixture.received(&topic).await);
}

/// An empty payload arrives as an empty one, a tombstone as none at all.
pub async fn empty_payloads_and_tombstones_differ(fixture: impl PublisherFixture) {
    let topic = fixture.topic("empty").await;
    let (empty, mut tombstone) = (message(&topic, Some("empty"), 1, ""), message(&topic, Some("tombstone"), 2, ""));
    tombstone.envelope.payload = None;
    delivered(&fixture.publisher(), &[empty.clone(), tombstone.clone()]).await;
    let expected = vec![Received::from(&empty), Received::from(&tombstone)];
    assert_eq!(sorted(fixture.received(&topic).await), sorted(expected));
}

/// Id, key, payload and headers arrive byte by byte as they were.
pub async fn id_key_payload_and_headers_arrive_unchanged(fixture: impl PublisherFixture) {
    let topic = fixture.topic("unchanged").await;
    let mut sent = message(&topic, Some("kéy/ 7 \u{1f600}"), 1, "{\"name\": \"J\u{fc}rgen \\u0000\",\n \"n\": 1.0}");
    for (name, value) in [("x-last", "z"), ("x-first", "a"), ("x-empty", ""), ("x-text", "\u{fc}n\u{ef}code\tand tab")]
    {
        assert_eq!(sent.envelope.headers.set(name, value), Ok(()));
    }
    delivered(&fixture.publisher(), std::slice::from_ref(&sent)).await;
    assert_eq!(fixture.received(&topic).await, [Received::from(&sent)]);
}

/// The longest key, and the most and longest headers that can be staged, arrive as they are.
pub async fn the_longest_key_and_headers_arrive(fixture: impl PublisherFixture) {
    let topic = fixture.topic("longest").await;
    let mut sent = message(&topic, Some(&"\u{e9}".repeat(Limits::KEY_BYTES / 2)), 1, "{}");
    for n in 0..Headers::MOST {
        let (name, value) = (format!("{n:0>width$}", width = Headers::NAME_BYTES), "v".repeat(Headers::VALUE_BYTES));
        assert_eq!(sent.envelope.headers.set(name, value), Ok(()));
    }
    delivered(&fixture.publisher(), std::slice::from_ref(&sent)).await;
    assert_eq!(fixture.received(&topic).await, [Received::from(&sent)]);
}

/// A message without a key arrives without one.
pub async fn unordered_messages_have_no_key(fixture: impl PublisherFixture) {
    let topic = fixture.topic("unordered").await;
    let sent: Vec<_> = (0..20).map(|seq| message(&topic, None, seq, format!("{seq}"))).collect();
    delivered(&fixture.publisher(), &sent).await;
    assert_eq!(sorted(fixture.received(&topic).await), sorted(sent.iter().map(Received::from).collect()));
}

/// A batch of 1,000 messages arrives completely and in order.
pub async fn a_thousand_messages_arrive(fixture: impl PublisherFixture) {
    let topic = fixture.topic("thousand").await;
    let sent = spread(&topic, 1_000, 37);
    delivered(&fixture.publisher(), &sent).await;
    let received = fixture.received(&topic).await;
    assert_eq!(received.len(), 1_000);
    assert_order(&sent, &received);
}

/// Batches with different keys may be under way at the same time; further ones of a key follow when its last batch has
/// been reported.
pub async fn batches_with_different_keys_overlap(fixture: impl PublisherFixture) {
    const WRITERS: usize = 4;
    let topic = fixture.topic("overlap").await;
    let (publisher, mut writers) = (Arc::new(fixture.publisher()), Vec::new());
    let mut sent = Vec::new();
    for writer in 0..WRITERS {
        let key = format!("writer-{writer}");
        let messages: Vec<_> = (0..60).map(|seq| message(&topic, Some(&key), seq, format!("{seq}"))).collect();
        sent.extend(messages.clone());
        let publisher = Arc::clone(&publisher);
        writers.push(tokio::spawn(async move {
            for batch in messages.chunks(20) {
                let outcomes = Outcomes::new();
                publisher.publish(outcomes.deliveries(batch.to_vec())).await;
                assert_eq!(outcomes.all().await, vec![Reported::Delivered; 20]);
            }
        }));
    }
    for writer in writers {
        let result = writer.await;
        assert!(result.is_ok(), "{result:?}");
    }
    assert_order(&sent, &fixture.received(&topic).await);
}

/// When a flush returns, everything has been reported.
pub async fn a_flush_returns_when_all_is_reported(fixture: impl PublisherFixture) {
    let topic = fixture.topic("flush").await;
    let sent = spread(&topic, 100, 10);
    let (outcomes, publisher) = (Outcomes::new(), fixture.publisher());
    publisher.publish(outcomes.deliveries(sent)).await;
    publisher.flush(PATIENCE).await;
    assert_eq!(outcomes.now(), vec![Some(Reported::Delivered); 100]);
    publisher.flush(Duration::ZERO).await; // with nothing to do
}

/// The check of a destination that works succeeds.
pub async fn the_check_succeeds(fixture: impl PublisherFixture) {
    let answer = fixture.publisher().check().await;
    assert!(answer.is_ok(), "{answer:?}");
}

/// `count` messages that take turns in `keys` keys.
pub(super) fn spread(topic: &str, count: i64, keys: i64) -> Vec<Message> {
    let one = |seq| message(topic, Some(&format!("key-{}", seq % keys)), seq, format!("{{\"n\":{seq}}}"));
    (0..count).map(one).collect()
}

pub(super) async fn delivered(publisher: &impl Publisher, messages: &[Message]) {
    let outcomes = Outcomes::new();
    publisher.publish(outcomes.deliveries(messages.to_vec())).await;
    let outcomes = outcomes.all().await;
    let failed = outcomes.iter().find(|outcome| **outcome != Reported::Delivered);
    assert_eq!(failed, None, "not everything was delivered");
}

pub(super) fn sorted(mut received: Vec<Received>) -> Vec<Received> {
    received.sort_by_key(|received| Uuid::from(received.id));
    received
}

/// Everything sent arrived once, per key in order.
pub(super) fn assert_order(sent: &[Message], received: &[Received]) {
    let key_of: HashMap<EventId, OrderKey> =
        sent.iter().filter_map(|message| Some((message.id(), message.order_key()?))).collect();
    let per_key = |ids: &mut dyn Iterator<Item = EventId>| {
        let mut keys: BTreeMap<Option<&OrderKey>, Vec<EventId>> = BTreeMap::new();
        ids.for_each(|id| keys.entry(key_of.get(&id)).or_default().push(id));
        keys
    };
    let expected = per_key(&mut sent.iter().map(Message::id));
    assert_eq!(per_key(&mut received.iter().map(|received| received.id)), expected);
}
