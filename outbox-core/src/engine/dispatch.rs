use std::sync::Arc;
use std::time::{Duration, Instant};

use super::destination::Destination;
use super::key::{Key, Progress};
use super::topics::Failure;
use super::{Effect, Engine};
use crate::message::Message;
use crate::publisher::{Outcome, PublishError, PublishErrorKind};
use crate::retry::{OnDeath, Verdict};
use crate::shard::Shard;
use crate::store::Fate;

/// How long a key rests that the publisher keeps giving back unsent.
const WITHHELD: Duration = Duration::from_millis(200);

/// An event with the publisher.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) shard: Shard,
    /// Which of the shard's lanes sent it.
    pub(super) lane: u64,
    pub(super) key: Key,
    destination: Destination,
    /// When it was sent, by turns.
    turn: u64,
    message: Arc<Message>,
}

impl Engine {
    /// Batches for as many calls of the publisher as are allowed.
    pub(super) fn next_batches(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        while self.calls < self.config.concurrency && self.leases.are_valid(now) {
            let room = self.standing.most_in_flight().saturating_sub(self.flights.len());
            let batch = self.next_batch(now, room.min(self.config.batch_size));
            if batch.is_empty() {
                return;
            }
            self.calls += 1;
            effects.push(Effect::Publish(batch));
        }
    }

    /// Takes from the ready keys, topic by topic in turn, what the window and the topics' shares allow.
    ///
    /// A key whose last batch has not been reported to the end is not ready: the publisher never has two batches
    /// with the same key.
    fn next_batch(&mut self, now: Instant, size: usize) -> Vec<(u64, Arc<Message>)> {
        self.turn += 1;
        let mut batch = Vec::new();
        let mut last = self.last_topic.clone();
        for topic in self.topics.with_ready(self.last_topic.as_ref()) {
            while batch.len() < size && self.once_left > 0 {
                let Some((shard, key, share)) = self.topics.next_ready(now, &topic, &self.window) else { break };
                let most = share.min(size - batch.len()).min(self.once_left);
                if !self.send(now, &mut batch, &topic, (shard, key), most) {
                    // The window is full: next time it is the turn of this topic.
                    self.last_topic = last;
                    return batch;
                }
            }
            if batch.len() >= size {
                self.last_topic = Some(topic);
                break;
            }
            last = Some(topic);
        }
        batch
    }

    /// Adds up to `most` events of a key to the batch. False when there is no room for even one.
    fn send(
        &mut self,
        now: Instant,
        batch: &mut Vec<(u64, Arc<Message>)>,
        topic: &Destination,
        (shard, key): (Shard, Key),
        most: usize,
    ) -> bool {
        let Some(lane) = self.lanes.get_mut(&shard) else { return true };
        if lane.draining || !lane.is_ready(&key) {
            return true;
        }
        let (serial, turn) = (lane.serial, self.turn);
        let (window, topics, flights, token) =
            (&mut self.window, &mut self.topics, &mut self.flights, &mut self.next_token);
        let before = batch.len();
        let mut room = most;
        let take = |size| {
            room > 0 && window.take(size) && {
                room -= 1;
                true
            }
        };
        lane.send(now, &key, take, |message| {
            topics.sent(now, topic, turn);
            let (key, destination) = (key.clone(), topic.clone());
            let flight = Flight { shard, lane: serial, key, destination, turn, message: Arc::clone(&message) };
            flights.insert(*token, flight);
            batch.push((*token, message));
            *token += 1;
        });
        let sent = batch.len() - before;
        self.once_left -= sent;
        if sent == 0 {
            self.topics.not_sent(topic, shard, key);
        }
        sent > 0
    }

    pub(super) fn reported(&mut self, now: Instant, token: u64, outcome: Outcome) {
        let Some(Flight { shard, lane, key, destination, turn, message }) = self.flights.remove(&token) else { return };
        self.window.reported(message.size());
        self.topics.reported(now, &destination, turn);
        self.judge_topic(now, &destination, &outcome);
        self.judge_reach(now, &outcome);
        let Some(lane) = self.lanes.get_mut(&shard).filter(|now| now.serial == lane) else {
            self.window.give_back(1);
            self.orphan_reported(now, shard, key);
            return;
        };
        match lane.report(now, &key, message.seq, outcome) {
            Progress::Waiting => {}
            Progress::Complete => {
                if lane.is_ready(&key) {
                    let destination = lane.destination(&key).unwrap_or(&destination);
                    self.topics.ready(destination, shard, key);
                }
            }
            Progress::Broken { rest, outcome } => {
                self.window.give_back(rest.len());
                self.broken(now, shard, (key, &destination), rest, outcome);
            }
        }
    }

    /// What an outcome says about the topic.
    fn judge_topic(&mut self, now: Instant, topic: &Destination, outcome: &Outcome) {
        match outcome {
            Outcome::Withheld => {}
            Outcome::Failed(error) if error.kind() != PublishErrorKind::Rejected => {
                let random = self.random.f64();
                let cause = error.summary();
                let wait = error.retry_after();
                match self.topics.fails(now, topic, cause, wait, random) {
                    Failure::News => {
                        tracing::warn!(%topic, error = %error.summary(), "a topic does not work; its events wait");
                        self.lanes.values_mut().for_each(|lane| lane.hold_topic(topic));
                    }
                    // What was found to try it with, and had to wait for this.
                    Failure::Again => {
                        for shard in self.topics.shards_with_ready(topic) {
                            if let Some(lane) = self.lanes.get_mut(&shard) {
                                lane.hold_topic(topic);
                            }
                        }
                    }
                    Failure::Known => {}
                }
            }
            Outcome::Failed(_) => self.topics.says_nothing(now, topic),
            Outcome::Delivered => {
                if self.topics.works(topic) {
                    tracing::info!(%topic, "a topic works again");
                    self.reading.wanted = true;
                }
            }
        }
    }

    /// The first of `rest` was not delivered, and no later one of its key may be.
    fn broken(
        &mut self,
        now: Instant,
        shard: Shard,
        (key, destination): (Key, &Destination),
        rest: Vec<Arc<Message>>,
        outcome: Outcome,
    ) {
        let Some(first) = rest.first().map(Arc::clone) else { return };
        let fate = match outcome {
            Outcome::Failed(error) if error.kind() == PublishErrorKind::Rejected => Some(self.judge(&first, &error)),
            _ => None,
        };
        let flows = self.topics.flows(destination);
        let Some(lane) = self.lanes.get_mut(&shard) else { return };
        if let Some(fate) = fate {
            lane.reject(key, &rest, fate);
            self.settling.urgent = true;
        } else if !flows {
            lane.hold_rest(destination, &key, &rest);
        } else if lane.put_back(&key, destination, rest) {
            self.topics.ready(destination, shard, key);
        } else {
            lane.hold_back(&key, now + WITHHELD);
        }
        if lane.draining {
            lane.drop_queued();
        }
    }

    fn judge(&mut self, message: &Message, error: &PublishError) -> Fate {
        let attempts = message.attempts.saturating_add(1);
        let verdict = self.config.retry.verdict(message, attempts, self.random.f64());
        let error = error.summary();
        let (id, event_type) = (message.id(), message.event_type());
        match verdict {
            Verdict::RetryIn(delay) => {
                tracing::info!(%id, event_type, attempts, ?delay, error, "an event was rejected and will be tried again");
                Fate::Retry { attempts, delay, error }
            }
            Verdict::Dead(then) => {
                tracing::error!(%id, event_type, attempts, error, "an event was rejected for the last time and is dead");
                // Without a key there is nothing to park.
                let park = then == OnDeath::ParkKey && message.envelope.key.is_some();
                Fate::Dead { attempts, error, park }
            }
        }
    }
}
