//! The slow and safe way: every message in a request of its own, and of one key never two at a time.
//!
//! It tells who is at fault when a batch was refused, and it carries what would only disturb the pipeline: messages
//! that were rejected before, and topics that cannot be written to or are not known to exist. Keys don't hold up
//! each other.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, Weak};
use std::time::Duration;

use outbox_core::{OrderKey, PublishError, PublishErrorKind};
use rdkafka::error::RDKafkaErrorCode as Code;

use crate::context::Reporter;
use crate::error::{classify, overdue, publish_error};
use crate::inner::Inner;
use crate::session::{Ending, Gate, Lane, Producer, send};
use crate::sync::lock;
use crate::ticket::Ticket;

pub(crate) struct Solo {
    gate: Gate<Self>,
    inner: Weak<Inner>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The first message of every key, and unordered ones, until librdkafka has them.
    ready: VecDeque<Ticket>,
    /// For every key with a message ready or under way: those that wait for it.
    behind: HashMap<OrderKey, VecDeque<Ticket>>,
    /// Messages that librdkafka has.
    under_way: usize,
    /// What librdkafka gave back because the session ends.
    returned: Vec<(Ticket, Code)>,
    /// Topics that did not exist when they were last tried: librdkafka remembers that for minutes unless it is asked.
    missing: HashSet<String>,
    closed: bool,
}

/// Outcomes to report once no lock is held.
#[derive(Default)]
struct Outcomes {
    failed: Vec<(Ticket, PublishError)>,
    withheld: Vec<Ticket>,
}

impl Outcomes {
    fn report(self) {
        self.failed.into_iter().for_each(|(ticket, error)| ticket.failed(error));
        self.withheld.into_iter().for_each(Ticket::withheld);
    }
}

impl Solo {
    /// More than the broker works on at a time, and far below any queue limit.
    const MOST_UNDER_WAY: usize = 64;

    pub(crate) fn new(inner: Weak<Inner>) -> Self {
        Self { gate: Gate::new(), inner, state: Mutex::default() }
    }

    /// Takes messages, in order. A session that has ended withholds them.
    pub(crate) fn submit(&self, tickets: impl IntoIterator<Item = Ticket>) {
        let mut state = lock(&self.state);
        if state.closed {
            drop(state);
            return tickets.into_iter().for_each(Ticket::withheld);
        }
        for ticket in tickets {
            match ticket.message.order_key().map(|key| state.behind.entry(key)) {
                Some(std::collections::hash_map::Entry::Occupied(mut behind)) => behind.get_mut().push_back(ticket),
                Some(std::collections::hash_map::Entry::Vacant(behind)) => {
                    behind.insert(VecDeque::new());
                    state.ready.push_back(ticket);
                }
                None => state.ready.push_back(ticket),
            }
        }
        drop(state);
        self.tick();
    }

    /// Those of `topics` that did not exist when they were last tried.
    pub(crate) fn missing<'a>(&self, topics: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let state = lock(&self.state);
        topics.into_iter().filter(|topic| state.missing.contains(*topic)).map(str::to_owned).collect()
    }

    pub(crate) fn found(&self, topic: &str) {
        lock(&self.state).missing.remove(topic);
    }

    fn pump(producer: &Producer<Self>, state: &mut State, outcomes: &mut Outcomes) {
        while state.under_way < Self::MOST_UNDER_WAY {
            let Some(ticket) = state.ready.pop_front() else { return };
            match send(producer, ticket) {
                Ok(()) => state.under_way += 1,
                Err((Code::QueueFull | Code::Fatal, ticket)) => return state.ready.push_front(ticket),
                Err((code, ticket)) => state.fail(ticket, code, "librdkafka did not take the message", outcomes),
            }
        }
    }
}

impl State {
    fn fail(&mut self, ticket: Ticket, code: Code, context: &str, outcomes: &mut Outcomes) {
        if matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) {
            self.missing.insert(ticket.topic().to_owned());
        }
        let behind = ticket.message.order_key().and_then(|key| self.behind.remove(&key));
        outcomes.withheld.extend(behind.into_iter().flatten());
        if let Some(trial) = &ticket.trial {
            // A rejection ends the search; so does a broker that cannot be reached, because nothing is learned.
            trial.heard(false);
        }
        outcomes.failed.push((ticket, publish_error(code, context)));
    }
}

impl Reporter for Solo {
    fn delivered(&self, ticket: Ticket, _partition: i32) {
        let mut state = lock(&self.state);
        state.under_way = state.under_way.saturating_sub(1);
        if let Some(key) = ticket.message.order_key() {
            match state.behind.get_mut(&key).map(VecDeque::pop_front) {
                Some(Some(next)) => state.ready.push_back(next),
                _ => drop(state.behind.remove(&key)),
            }
        }
        drop(state);
        self.tick();
        if let Some(inner) = self.inner.upgrade() {
            inner.recovered(ticket.topic());
            if let Some(trial) = ticket.trial.as_ref().filter(|trial| trial.heard(true)) {
                inner.shrink_batches(trial.bytes / 2);
            }
        }
        ticket.delivered();
    }

    fn failed(&self, ticket: Ticket, _partition: i32, code: Code) {
        let mut outcomes = Outcomes::default();
        let mut state = lock(&self.state);
        state.under_way = state.under_way.saturating_sub(1);
        if matches!(code, Code::PurgeQueue | Code::PurgeInflight) {
            return state.returned.push((ticket, code));
        }
        let topic = ticket.topic().to_owned();
        state.fail(ticket, code, "", &mut outcomes);
        drop(state);
        self.tick();
        if classify(code) == PublishErrorKind::Unreachable
            && let Some(inner) = self.inner.upgrade()
        {
            inner.trouble([topic]);
        }
        outcomes.report();
    }
}

impl Lane for Solo {
    fn gate(&self) -> &Gate<Self> {
        &self.gate
    }

    fn tick(&self) {
        let mut outcomes = Outcomes::default();
        self.gate.with(|producer| {
            let mut state = lock(&self.state);
            if !state.ready.is_empty() {
                Self::pump(producer, &mut state, &mut outcomes);
            }
        });
        outcomes.report();
    }

    fn ended(&self, ending: &Ending, delivery_timeout: Duration) {
        let mut state = lock(&self.state);
        state.closed = true;
        let returned = std::mem::take(&mut state.returned);
        let ready = std::mem::take(&mut state.ready);
        let behind = std::mem::take(&mut state.behind);
        drop(state);
        if !matches!(ending, Ending::Dropped | Ending::Flushed) {
            tracing::warn!(reason = %ending, "the Kafka producer for single messages starts over");
        }
        let stalled = matches!(ending, Ending::Stalled);
        let late = |ticket: &Ticket| stalled && ticket.batch.since.elapsed() > delivery_timeout;
        let last_error = self.inner.upgrade().map(|inner| inner.notes.last_error()).unwrap_or_default();
        for (ticket, code) in returned {
            match code {
                Code::PurgeInflight => ticket.unknown(),
                _ if late(&ticket) => ticket.failed(overdue(delivery_timeout, &last_error)),
                _ => ticket.withheld(),
            }
        }
        ready.into_iter().chain(behind.into_values().flatten()).for_each(Ticket::withheld);
    }
}
