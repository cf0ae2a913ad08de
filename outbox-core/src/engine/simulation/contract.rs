//! The model of the broker is a publisher, and keeps the contract of one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use super::area::Area;
use super::facts::{Fact, Facts};
use super::world::{Action, SHAKY, World};
use crate::engine::Event;
use crate::event::OrderKey;
use crate::message::Message;
use crate::publisher::{Delivery, PublishError, Publisher};
use crate::retry::OnDeath;
use crate::testing::contract::publisher::{PublisherFixture, Received};
use crate::testing::{Outcomes, Reported, message, publisher_contract};

const SPOILED: &str = "spoiled";

#[derive(Clone)]
struct Model(Arc<Mutex<Parts>>);

struct Parts {
    world: World,
    /// Everything that was given to it, in the order of the facts about it.
    sent: Vec<Message>,
    keys: HashMap<OrderKey, usize>,
}

impl Model {
    fn new(seed: u64, faults: bool) -> Self {
        let mut world = World::new(seed, OnDeath::Continue, Some(1));
        // Nobody but the test has anything to do here.
        while world.queue.pop().is_some() {}
        (world.faults, world.outage) = (faults, Some(Area::Topic));
        Self(Arc::new(Mutex::new(Parts { world, sent: Vec::new(), keys: HashMap::new() })))
    }

    /// What the broker has, in its order.
    fn log(&self) -> Vec<Message> {
        let model = self.0.lock().unwrap();
        model.world.delivered.iter().map(|index| model.sent[*index].clone()).collect()
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").finish_non_exhaustive()
    }
}

#[async_trait]
impl Publisher for Model {
    async fn publish(&self, batch: Vec<Delivery>) {
        let mut model = self.0.lock().unwrap();
        let Parts { world, sent, keys } = &mut *model;
        let (mut modelled, mut receipts) = (Vec::new(), BTreeMap::new());
        for (token, delivery) in (0..).zip(batch) {
            let (message, receipt) = delivery.into_parts();
            let mut message = Message::clone(&message);
            sent.push(message.clone());
            let next = keys.len();
            let key = message.order_key().map_or(usize::MAX, |key| *keys.entry(key).or_insert(next));
            let poison = message.envelope.event_type == SPOILED;
            message.envelope.id = world.facts.add(0, Fact { key, poison, was_poison: poison, ..Fact::default() });
            assert_eq!(Facts::index(message.id()) + 1, sent.len());
            modelled.push((token, Arc::new(message)));
            receipts.insert(token, receipt);
        }
        world.publish(0, modelled);
        while let Some(at) = world.queue.next_at() {
            world.go_to(at);
            match world.queue.pop() {
                Some(Action::Arrive(_, _, Event::Reported(token, outcome))) => {
                    receipts.remove(&token).expect("one outcome for each").report(outcome);
                }
                Some(append @ Action::Append { .. }) => world.step(append),
                _ => {}
            }
        }
    }

    /// Everything has been reported when a call returns: the time in which it happened is the model's.
    async fn flush(&self, _deadline: Duration) {}

    async fn check(&self) -> Result<(), PublishError> {
        Ok(())
    }
}

#[async_trait]
impl PublisherFixture for Model {
    type Publisher = Self;

    fn publisher(&self) -> Self {
        self.clone()
    }

    async fn received(&self, topic: &str) -> Vec<Received> {
        self.log().iter().filter(|message| message.topic() == topic).map(Received::from).collect()
    }

    fn spoil(&self, message: &mut Message) {
        message.envelope.event_type = SPOILED.into();
    }

    async fn unreachable_topic(&self) -> String {
        SHAKY.to_owned()
    }
}

publisher_contract!(clauses, Model::new(1, false));

/// Whatever the broker does: one outcome for each message, and of each key a prefix is delivered, in its order. The
/// first of the rest may be there all the same, and nothing behind it.
#[tokio::test]
async fn with_faults_it_delivers_a_prefix_of_each_key() {
    let mut unknown = 0;
    for seed in 0..300 {
        let (model, mut random) = (Model::new(seed, true), fastrand::Rng::with_seed(seed));
        for batch in 0..10 {
            let key = |random: &mut fastrand::Rng| format!("key-{}", random.u8(..3));
            let sent: Vec<_> = (0..8).map(|n| message("things", Some(&key(&mut random)), n, "{}")).collect();
            let (outcomes, before) = (Outcomes::new(), model.log().len());
            model.publish(outcomes.deliveries(sent.clone())).await;
            let (outcomes, log) = (outcomes.all().await, model.log().split_off(before));
            for key in ["key-0", "key-1", "key-2"] {
                let of_key = |message: &&Message| message.key() == Some(key);
                let there: Vec<_> = log.iter().filter(of_key).map(Message::id).collect();
                let (mut of, mut results) = (Vec::new(), Vec::new());
                for (message, outcome) in sent.iter().zip(&outcomes).filter(|(message, _)| of_key(message)) {
                    of.push(message.id());
                    results.push(outcome);
                }
                let delivered = results.iter().take_while(|outcome| ***outcome == Reported::Delivered).count();
                assert!(results[delivered..].iter().all(|outcome| **outcome != Reported::Delivered), "{seed}, {batch}");
                assert_eq!(there, of[..there.len()], "{seed}, {batch}");
                assert!((delivered..=delivered + 1).contains(&there.len()), "{seed}, {batch}: {results:?}");
                unknown += there.len() - delivered;
            }
        }
    }
    assert!(unknown > 50, "{unknown} were there and were not said to be");
}
