use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::destination::Destination;
use crate::event::{Envelope, OrderKey};
use crate::message::Message;
use crate::publisher::Outcome;

/// What waits for what: all events of an order key for each other, an unordered event for nothing. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    Ordered(OrderKey),
    Loose(i64),
}

impl Key {
    /// Of the event with the number `seq`.
    pub(super) fn of(event: &Envelope, seq: i64) -> Self {
        event.order_key().map_or(Self::Loose(seq), Self::Ordered)
    }
}

/// How long events may wait in memory behind others of their key, or for room, before their place is needed by others.
pub(super) const SLOW: Duration = Duration::from_secs(3);

/// The events of one key that are in memory: some with the publisher, the rest behind them.
#[derive(Debug, Default)]
pub(super) struct Stream {
    queue: VecDeque<Arc<Message>>,
    destination: Option<Destination>,
    flight: VecDeque<Sent>,
    unreported: usize,
    /// Since when what is queued first has waited for what is with the publisher, or else for room.
    pub(super) since: Option<Instant>,
    /// Later events wait in the table until what is with the publisher has been reported.
    pub(super) cut: bool,
    /// How often in a row the publisher gave everything back unsent.
    pub(super) withheld: u32,
}

#[derive(Debug)]
struct Sent {
    message: Arc<Message>,
    outcome: Option<Outcome>,
}

/// What the reports so far add up to.
#[derive(Debug)]
pub(super) enum Progress {
    /// Some of the batch is still under way.
    Waiting,
    /// All of it was delivered.
    Complete,
    /// The first of `rest` was not delivered, and none of `rest` may be counted as such.
    Broken { rest: Vec<Arc<Message>>, outcome: Outcome },
}

impl Stream {
    /// Whether its turn is long in coming.
    pub(super) fn is_slow(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.duration_since(since) >= SLOW)
    }

    /// Whether nothing of the key is with the publisher.
    pub(super) fn is_free(&self) -> bool {
        self.flight.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flight.is_empty() && self.queue.is_empty()
    }

    pub(super) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Adds an event in the order of numbers. A writer that commits late can come between others.
    pub(super) fn enqueue(&mut self, message: Arc<Message>, destination: Destination) {
        self.destination = Some(destination);
        let behind = self.queue.iter().rposition(|queued| queued.seq < message.seq);
        self.queue.insert(behind.map_or(0, |at| at + 1), message);
    }

    /// Whether an event is with the publisher, or queued.
    #[cfg(test)]
    pub(super) fn has(&self, id: crate::event::EventId) -> bool {
        let sent = self.flight.iter().map(|sent| &sent.message);
        sent.chain(&self.queue).any(|message| message.id() == id)
    }

    /// Moves the first queued event to the publisher.
    pub(super) fn send(&mut self) -> Option<Arc<Message>> {
        let message = self.queue.pop_front()?;
        self.flight.push_back(Sent { message: Arc::clone(&message), outcome: None });
        self.unreported += 1;
        Some(message)
    }

    /// The size of the event that [`send`](Self::send) would take.
    pub(super) fn next_size(&self) -> Option<usize> {
        self.queue.front().map(|message| message.size())
    }

    /// Where what is queued goes; an unordered event and every order key have exactly one destination at a time.
    pub(super) fn destination(&self) -> Option<&Destination> {
        self.destination.as_ref()
    }

    /// When what is queued will have waited for long.
    pub(super) fn slow_at(&self) -> Option<Instant> {
        self.since.filter(|_| self.has_queued()).map(|since| since + SLOW)
    }

    /// Takes everything that has not been sent.
    pub(super) fn take_queue(&mut self) -> VecDeque<Arc<Message>> {
        std::mem::take(&mut self.queue)
    }

    /// Puts events that came back unsent in front of the queue again.
    pub(super) fn put_back(&mut self, rest: Vec<Arc<Message>>, destination: &Destination) {
        self.destination.get_or_insert_with(|| destination.clone());
        for message in rest.into_iter().rev() {
            self.queue.push_front(message);
        }
    }

    /// Notes an outcome, and hands over what is delivered with nothing undelivered before it.
    pub(super) fn report(&mut self, seq: i64, outcome: Outcome, mut delivered: impl FnMut(&Message)) -> Progress {
        if let Some(sent) = self.flight.iter_mut().find(|sent| sent.message.seq == seq && sent.outcome.is_none()) {
            sent.outcome = Some(outcome);
            self.unreported -= 1;
        }
        while let Some(Sent { outcome: Some(Outcome::Delivered), .. }) = self.flight.front() {
            if let Some(sent) = self.flight.pop_front() {
                delivered(&sent.message);
            }
        }
        if self.flight.is_empty() {
            return Progress::Complete;
        }
        if self.unreported > 0 {
            return Progress::Waiting;
        }
        let mut outcome = Outcome::Withheld;
        let mut rest = Vec::with_capacity(self.flight.len());
        for (n, sent) in self.flight.drain(..).enumerate() {
            match sent.outcome {
                Some(first) if n == 0 => outcome = first,
                Some(Outcome::Delivered) => tracing::warn!(
                    seq = sent.message.seq,
                    "the publisher delivered an event behind one of its key that failed; it will be published again"
                ),
                _ => {}
            }
            rest.push(sent.message);
        }
        Progress::Broken { rest, outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::message;

    #[test]
    fn what_waits_for_long_is_slow_and_says_when_it_will_be() {
        let since = Instant::now();
        let mut stream = Stream { since: Some(since), ..Stream::default() };
        assert_eq!(stream.slow_at(), None, "nothing waits");
        stream.enqueue(Arc::new(message("things", Some("7"), 1, "{}")), Destination::of("things"));
        assert_eq!(stream.slow_at(), Some(since + SLOW));
        assert!(!stream.is_slow(since + SLOW - Duration::from_nanos(1)) && stream.is_slow(since + SLOW));
        assert!(stream.send().is_some());
        assert_eq!(stream.slow_at(), None);
    }
}
