//! [`Lane`]: what is known, sent and settled of one shard.

mod asking;
mod intake;
mod restart;
#[cfg(test)]
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::destination::Destination;
use super::hash::{Map, Set};
use super::hold::Holds;
use super::key::{Key, Progress, SLOW, Stream};
use super::topics::Topics;
use super::waiting::Waiting;
use crate::event::EventId;
use crate::message::Message;
use crate::publisher::Outcome;
use crate::store::{Change, Fate, LaneRead, Lease};

/// The longest time after which a retry is looked for again, due or not: a clock cannot count for ever.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// The ordered stream of one shard, inside the processor that holds its lease.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) lease: Lease,
    /// Each has its own: a shard can be lost and won again, and after a restore of the database even under one epoch.
    pub(super) serial: u64,
    /// The shard's generation as of the last read.
    pub(super) generation: i64,
    /// Everything at or below it is decided, and seen by this lane.
    mark: i64,
    /// The highest number seen.
    front: i64,
    /// What the store called decided at the last read.
    decided: i64,
    /// What is in memory, by number: queued, with the publisher, or waiting for its settle.
    tracked: Map<i64, EventId>,
    /// Numbers of it that may have been given out again, or be given out again, because there is a new generation: another
    /// server may have taken over that had not heard of the last events. Not in doubt any more is what it has shown.
    doubtful: Set<i64>,
    /// Such numbers that were given out again: the new event's key waits until the old event is out of the way.
    reused: Map<i64, (Key, Instant)>,
    /// Numbers above the mark that were passed over; those at or below it need no list.
    passed: BTreeSet<i64>,
    streams: Map<Key, Stream>,
    pub(super) holds: Holds,
    /// Whether the last read left something behind.
    pub(super) hungry: bool,
    /// Whether it was asked for and not answered, as if somebody else had the shard. Asking again at once would bring the
    /// same: it is read when all are, until the next round of leases tells.
    pub(super) absent: bool,
    /// Whether it has been read since the lease was taken.
    pub(super) fresh: bool,
    /// While it reads again from the start: how far it had come. What is held waits until it is there again, because
    /// earlier events of the same keys may turn up on the way.
    catching_up: Option<i64>,
    /// Being handed over: nothing new is read or sent.
    pub(super) draining: bool,
    /// When it is handed over even if not all has been reported and settled.
    pub(super) drain_by: Option<Instant>,
    /// Outcomes that wait for the next settle.
    pub(super) changes: Vec<Change>,
    /// Outcomes in the settle that is under way, and the generation under which their events were read.
    pub(super) settling: Vec<Change>,
    pub(super) settling_generation: i64,
    waiting: Waiting,
    /// Until when keys are held to which nothing has happened: for want of room, or because they came back unsent.
    rests: Option<Instant>,
    queued: usize,
    queued_bytes: usize,
    in_flight: usize,
}

impl Lane {
    pub(super) fn new(lease: Lease, serial: u64) -> Self {
        Self {
            lease,
            serial,
            generation: 0,
            mark: 0,
            front: 0,
            decided: 0,
            tracked: Map::default(),
            doubtful: Set::default(),
            reused: Map::default(),
            passed: BTreeSet::new(),
            streams: Map::default(),
            holds: Holds::default(),
            hungry: true,
            absent: false,
            fresh: true,
            catching_up: None,
            draining: false,
            drain_by: None,
            changes: Vec::new(),
            settling: Vec::new(),
            settling_generation: 0,
            waiting: Waiting::default(),
            rests: None,
            queued: 0,
            queued_bytes: 0,
            in_flight: 0,
        }
    }

    /// Events in memory that have not been sent, and their bytes.
    pub(super) fn queued(&self) -> (usize, usize) {
        (self.queued, self.queued_bytes)
    }

    /// Events published and not settled.
    pub(super) fn unsettled(&self) -> usize {
        let delivered = |change: &&Change| change.fate == Fate::Delivered;
        self.in_flight + self.changes.iter().chain(&self.settling).filter(delivered).count()
    }

    /// Entries kept for events and keys that are passed over.
    pub(super) fn held(&self) -> usize {
        self.holds.len() + self.passed.len()
    }

    /// Whether events that could be sent wait in the table for a moment.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.rests.is_some_and(|until| now < until)
    }

    /// Whether nothing is with the publisher or waits for a settle.
    pub(super) fn is_drained(&self) -> bool {
        self.in_flight == 0 && self.changes.is_empty() && self.settling.is_empty()
    }

    /// Moves events of `key` to the publisher while `take` agrees to their size.
    pub(super) fn send(
        &mut self,
        now: Instant,
        key: &Key,
        mut take: impl FnMut(usize) -> bool,
        mut each: impl FnMut(Arc<Message>),
    ) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        while let Some(size) = stream.next_size()
            && take(size)
            && let Some(message) = stream.send()
        {
            self.queued -= 1;
            self.queued_bytes -= size;
            self.in_flight += 1;
            stream.since = Some(now);
            each(message);
        }
    }

    /// Whether `key` has events to send and none with the publisher.
    pub(super) fn is_ready(&self, key: &Key) -> bool {
        self.streams.get(key).is_some_and(|stream| stream.is_free() && stream.has_queued())
    }

    /// Where what is queued of `key` goes.
    pub(super) fn destination(&self, key: &Key) -> Option<&Destination> {
        self.streams.get(key).and_then(Stream::destination)
    }

    /// Notes an outcome and says what it adds up to; delivered events wait for the next settle.
    pub(super) fn report(&mut self, now: Instant, key: &Key, seq: i64, outcome: Outcome) -> Progress {
        let Some(stream) = self.streams.get_mut(key) else { return Progress::Waiting };
        let (changes, in_flight) = (&mut self.changes, &mut self.in_flight);
        let progress = stream.report(seq, outcome, |message| {
            changes.push(Change::of(message, Fate::Delivered));
            *in_flight -= 1;
        });
        match &progress {
            Progress::Broken { rest, .. } => self.in_flight -= rest.len(),
            Progress::Complete => stream.withheld = 0,
            Progress::Waiting => {}
        }
        if !matches!(progress, Progress::Waiting) {
            stream.since = Some(now);
            if std::mem::take(&mut stream.cut) {
                self.holds.release_key(key, now);
            }
        }
        // Of one that is broken, it depends on what becomes of the rest.
        if !matches!(progress, Progress::Broken { .. }) {
            self.tidy(key);
        }
        progress
    }

    /// Events came back unsent: they go first again. False when that has happened too often in a row.
    pub(super) fn put_back(&mut self, key: &Key, destination: &Destination, rest: Vec<Arc<Message>>) -> bool {
        const PATIENCE: u32 = 3;
        let stream = self.streams.entry(key.clone()).or_default();
        stream.withheld += 1;
        let patient = stream.withheld <= PATIENCE;
        self.queued += rest.len();
        self.queued_bytes += rest.iter().map(|message| message.size()).sum::<usize>();
        stream.put_back(rest, destination);
        patient
    }

    /// The broker rejected the first of `rest`: holds the key until `fate` has been settled.
    pub(super) fn reject(&mut self, key: Key, rest: &[Arc<Message>], fate: Fate) {
        let Some((rejected, others)) = rest.split_first() else { return };
        let mut from = rejected.seq;
        for message in others {
            from = from.min(message.seq);
            self.pass_over(message.seq);
        }
        from = from.min(self.drop_queue(&key));
        self.holds.hold_key(key.clone(), from);
        self.waiting.insert(rejected.seq, key);
        self.changes.push(Change::of(rejected, fate));
    }

    /// Holds a key of which something is queued until `until`, and forgets what that is.
    pub(super) fn hold_back(&mut self, key: &Key, until: Instant) {
        let from = self.drop_queue(key);
        self.holds.hold_key(key.clone(), from);
        self.rest(key, until);
    }

    /// Lets a key go that could be sent, but later.
    fn rest(&mut self, key: &Key, until: Instant) {
        self.holds.release_key(key, until);
        self.rests = self.rests.max(Some(until));
    }

    /// Gives back to the table what has been queued for long: what is behind events with the publisher until they are
    /// reported, and what finds no room for a while. Returns when there will be more of it.
    pub(super) fn make_room(&mut self, now: Instant, flows: impl Fn(&Destination) -> bool) -> Option<Instant> {
        let waiting = |stream: &Stream| stream.has_queued() && stream.destination().is_some_and(&flows);
        let slow = self.streams.iter().filter(|(_, stream)| waiting(stream) && stream.is_slow(now));
        let slow: Vec<(Key, bool)> = slow.map(|(key, stream)| (key.clone(), stream.is_free())).collect();
        for (key, free) in slow {
            let from = self.drop_queue(&key);
            self.hold_behind(&key, from);
            if free {
                self.rest(&key, now + SLOW);
            }
        }
        self.streams.values().filter(|stream| waiting(stream)).filter_map(Stream::slow_at).min()
    }

    /// Holds a key from `from` on until what of it is with the publisher has been reported.
    fn hold_behind(&mut self, key: &Key, from: i64) {
        self.holds.hold_key(key.clone(), from);
        if let Some(stream) = self.streams.get_mut(key) {
            stream.cut = true;
        }
    }

    /// A destination stopped working: forgets what is queued for it.
    pub(super) fn hold_topic(&mut self, destination: &Destination) {
        let queued = |stream: &Stream| stream.has_queued() && stream.destination() == Some(destination);
        let keys: Vec<Key> =
            self.streams.iter().filter(|(_, stream)| queued(stream)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            let from = self.drop_queue(&key);
            self.holds.hold_topic(destination, from);
        }
    }

    /// The same for `rest`, which came back from a destination that does not work, and what is behind it.
    pub(super) fn hold_rest(&mut self, destination: &Destination, key: &Key, rest: &[Arc<Message>]) {
        for message in rest {
            self.pass_over(message.seq);
            self.holds.hold_topic(destination, message.seq);
        }
        // What is behind it may be queued for another destination: the parts of a topic can change.
        // If nothing is, it is held already, from what came back on.
        let from = self.drop_queue(key);
        self.holds.hold_topic(destination, from);
        self.hold_topic(destination);
    }

    /// The settle that is under way was answered. Unless it was `complete`, only its deliveries were written, and all
    /// else is as it was before. Returns the numbers that are no longer pending.
    pub(super) fn settled(&mut self, now: Instant, complete: bool) -> Vec<i64> {
        let mut gone = Vec::with_capacity(self.settling.len());
        for Change { seq, fate, .. } in std::mem::take(&mut self.settling) {
            let mut until = now;
            if fate == Fate::Delivered {
                gone.push(seq);
            } else if !complete {
                self.pass_over(seq);
            } else if let Fate::Retry { delay, .. } = fate {
                self.pass_over(seq);
                until = after(now, delay);
            } else {
                gone.push(seq);
            }
            if let Some(key) = self.waiting.remove(seq) {
                self.holds.release_key(&key, until);
            }
        }
        // A new generation may mean that the database has lost what it wrote, or that it was written before the event was
        // there: are they there again?
        for seq in gone.iter().filter(|seq| self.doubtful.contains(seq)) {
            self.holds.hold_key(Key::Loose(*seq), *seq);
            self.holds.release_key(&Key::Loose(*seq), now);
        }
        gone
    }

    /// These numbers may be forgotten: no read that is under way can show them.
    pub(super) fn forget(&mut self, seqs: &[i64]) {
        for seq in seqs {
            self.untrack(*seq);
        }
    }

    /// Forgets what is queued of a key, and returns the lowest number of it.
    fn drop_queue(&mut self, key: &Key) -> i64 {
        let Some(stream) = self.streams.get_mut(key) else { return i64::MAX };
        let dropped = stream.take_queue();
        let mut from = i64::MAX;
        for message in dropped {
            self.queued -= 1;
            self.queued_bytes -= message.size();
            from = from.min(message.seq);
            self.pass_over(message.seq);
        }
        self.tidy(key);
        from
    }

    fn pass_over(&mut self, seq: i64) {
        // A number that is in doubt is looked at again.
        if !self.untrack(seq) && seq > self.mark {
            self.passed.insert(seq);
        }
    }

    /// Forgets a number. Whether it was in doubt.
    fn untrack(&mut self, seq: i64) -> bool {
        self.tracked.remove(&seq);
        if let Some((key, due)) = self.reused.remove(&seq) {
            self.holds.release_key(&key, due);
        }
        self.doubtful.remove(&seq)
    }

    fn tidy(&mut self, key: &Key) {
        if self.streams.get(key).is_some_and(Stream::is_empty) {
            self.streams.remove(key);
        }
    }
}

fn after(now: Instant, wait: Duration) -> Instant {
    now + wait.min(YEAR)
}
