//! What a read found: into the streams, or passed over.

use std::sync::Arc;
use std::time::Instant;

use super::{Change, Fate, Key, Lane, SLOW, Stream, Topics, after};
use crate::engine::destination::Destination;
use crate::message::Message;
use crate::retry::{OnDeath, RetryRules, Verdict};
use crate::store::{LaneRows, Row};

impl Lane {
    /// Takes in what a read found. `decided` is the store's mark.
    pub(in crate::engine) fn take_in(
        &mut self,
        now: Instant,
        found: LaneRows,
        decided: i64,
        topics: &mut Topics,
        policies: &RetryRules,
    ) {
        if self.fresh {
            self.generation = found.generation;
            self.fresh = false;
        } else if self.generation != found.generation {
            self.start_over(found.generation);
            return;
        }
        let mut cursor = found.revisited.last().filter(|_| found.more_revisited).map(|row| row.message.seq + 1);
        for row in found.revisited {
            self.take_revisited(now, row, topics, policies);
        }
        if self.holds.is_probe() && topics.probe_of(self.lease.shard).is_none() {
            cursor = None; // found
        }
        if let Some(probed) = self.holds.advance(now, cursor, |destination| topics.flows(destination)) {
            topics.probe_not_found(&probed, self.lease.shard);
        }
        let last = found.rows.last().map(|row| row.message.seq);
        for row in found.rows {
            self.take(now, row, topics, policies);
        }
        (self.hungry, self.absent) = (found.more, false);
        self.decided = decided;
        self.has_read(last, found.more);
        let complete = if found.more { last.unwrap_or(self.mark) } else { i64::MAX };
        self.mark = self.mark.max(decided.min(complete));
        self.front = self.front.max(self.mark);
        self.passed = self.passed.split_off(&(self.mark + 1));
    }

    fn take(&mut self, now: Instant, row: Row, topics: &mut Topics, policies: &RetryRules) {
        let seq = row.message.seq;
        self.front = self.front.max(seq);
        if self.has(now, &row.message) {
            return;
        }
        let key = Key::of(&row.message.envelope, seq);
        let destination = topics.find(&row.message);
        if !row.parked {
            if !topics.flows(&destination) {
                self.holds.hold_topic(&destination, seq);
                self.pass_over(seq);
                return;
            }
            if self.holds.covers_topic(&key, &destination, seq) || self.holds.covers_key(&key, seq) {
                self.pass_over(seq);
                return;
            }
        }
        self.admit(now, (key, destination), row, topics, policies);
    }

    /// Whether the event's number is in memory. If that is another event's, its key waits for it.
    fn has(&mut self, now: Instant, message: &Message) -> bool {
        let seq = message.seq;
        match self.tracked.get(&seq) {
            None => return false,
            // Unless it is being settled: it may have come since, and its settle did not find it.
            Some(id) if *id == message.id() => {
                if self.doubtful.contains(&seq) && !self.settling.iter().any(|change| change.seq == seq) {
                    self.doubtful.remove(&seq);
                }
            }
            Some(_) => {
                let key = Key::of(&message.envelope, seq);
                let from = seq.min(self.drop_queue(&key));
                self.holds.hold_key(key.clone(), from);
                self.reused.insert(seq, (key, now));
            }
        }
        true
    }

    fn take_revisited(&mut self, now: Instant, row: Row, topics: &mut Topics, policies: &RetryRules) {
        let seq = row.message.seq;
        if self.has(now, &row.message) {
            return;
        }
        let key = Key::of(&row.message.envelope, seq);
        let destination = topics.find(&row.message);
        if !row.parked {
            if self.holds.covers_revisited(&key, &destination, seq) {
                return;
            }
            // Committed late, or under a number that was given out again, and found for the sake of another key: earlier
            // ones of its key may be among what no read has come to. A search for the key finds them in their order.
            let is_new = seq > self.mark && !self.passed.contains(&seq);
            if is_new && matches!(key, Key::Ordered(_)) && !self.holds.has_key(&key) {
                self.holds.hold_key(key.clone(), self.mark + 1);
                self.holds.release_key(&key, now);
                self.pass_over(seq);
                return;
            }
            let may_go = topics.flows(&destination) && !self.holds.is_probing(&destination);
            if !may_go && !topics.admit_probe(&destination, self.lease.shard) {
                self.holds.hold_revisited(&destination, seq);
                return;
            }
        }
        self.admit(now, (key, destination), row, topics, policies);
    }

    fn admit(
        &mut self,
        now: Instant,
        (key, destination): (Key, Destination),
        row: Row,
        topics: &mut Topics,
        policies: &RetryRules,
    ) {
        let message = row.message;
        let seq = message.seq;
        if row.parked {
            self.passed.remove(&seq);
            self.tracked.insert(seq, message.id());
            self.changes.push(Change::of(&message, Fate::Parked));
            self.waiting.insert(seq, key);
            return;
        }
        if let Some(problem) = row.unreadable {
            topics.probe_lost(&destination, self.lease.shard);
            self.bury(now, key, message, &problem, policies);
            return;
        }
        if let Some(wait) = row.retry_in {
            topics.probe_lost(&destination, self.lease.shard);
            let from = seq.min(self.drop_queue(&key));
            self.holds.hold_key(key.clone(), from);
            self.holds.release_key(&key, after(now, wait));
            self.pass_over(seq);
            return;
        }
        if let Some(stream) = self.streams.get(&key)
            && (topics.is_silent(now, &destination) || (!stream.is_free() && stream.is_slow(now)))
        {
            topics.probe_lost(&destination, self.lease.shard);
            self.wait_behind(now, &key, seq);
            return;
        }
        self.passed.remove(&seq);
        self.tracked.insert(seq, message.id());
        self.queued += 1;
        self.queued_bytes += message.size();
        let stream = self.streams.entry(key.clone()).or_default();
        let ready = stream.is_free() && !stream.has_queued();
        if ready {
            stream.since = Some(now);
            topics.ready(&destination, self.lease.shard, key);
        }
        stream.enqueue(message, destination);
    }

    /// Leaves an event in the table until what is in memory of its key is reported, or while it finds no room.
    fn wait_behind(&mut self, now: Instant, key: &Key, seq: i64) {
        self.pass_over(seq);
        self.hold_behind(key, seq);
        if self.streams.get(key).is_some_and(Stream::is_free) {
            self.rest(key, now + SLOW);
        }
    }

    /// A row that cannot be understood is dead when its turn comes: no publisher could do anything about it. Not before,
    /// because its key may be parked with it, and nothing is wrong with what comes earlier.
    fn bury(&mut self, now: Instant, key: Key, message: Arc<Message>, problem: &str, policies: &RetryRules) {
        let seq = message.seq;
        if self.streams.contains_key(&key) {
            self.wait_behind(now, &key, seq);
            return;
        }
        // As if it were the last attempt.
        let then = policies.verdict(&message, u32::MAX, 0.0);
        let park = matches!(then, Verdict::Dead(OnDeath::ParkKey)) && message.envelope.key.is_some();
        let error = format!("the row cannot be understood: {problem}");
        tracing::error!(id = %message.id(), shard = %message.shard, seq, error, "an event cannot be read and is dead");
        self.passed.remove(&seq);
        self.tracked.insert(seq, message.id());
        let fate = Fate::Dead { attempts: message.attempts.saturating_add(1), error, park };
        self.reject(key, &[message], fate);
    }
}
