//! What the simulation asks about lanes.

use super::{Key, Lane, Stream};
use crate::engine::hold::Remembered;
use crate::event::Envelope;

impl Lane {
    /// Why an event that is pending under the number `seq` would never be sent or settled, as far as this lane is
    /// concerned. `ready` tells whether a key is among those that have something to send, and `orphaned` whether
    /// something of it is with the publisher from an earlier lease.
    pub(in crate::engine) fn forgets(
        &self,
        seq: i64,
        event: &Envelope,
        ready: impl Fn(&Key) -> bool,
        orphaned: impl Fn(&Key) -> bool,
    ) -> Option<&'static str> {
        let tracked = self.tracked.get(&seq);
        let left_out = (tracked.is_some() && !self.doubtful.contains(&seq)) || self.passed.contains(&seq);
        if seq > self.mark && !left_out {
            return None; // the next read shows it
        }
        let key = Key::of(event, seq);
        if tracked == Some(&event.id) {
            if self.streams.get(&key).is_some_and(|stream| stream.has(event.id)) {
                return (self.is_ready(&key) && !ready(&key)).then_some("is queued, and its key has no turn");
            }
            if self.is_unwritten(seq) {
                return None;
            }
        }
        if self.holds.remembers_topic(&event.topic, seq) {
            return None;
        }
        // A number on its own is looked for when it may be pending again.
        match self.holds.remembers_key(&key, seq).max(self.holds.remembers_key(&Key::Loose(seq), seq)) {
            Remembered::Sought => None,
            Remembered::Kept if self.waits(&key) || orphaned(&key) => None,
            Remembered::Kept => Some("is held, and nobody lets its key go"),
            Remembered::Not if tracked.is_some() => Some("is thought to be in memory, and is not"),
            Remembered::Not => Some("is neither in memory nor looked for"),
        }
    }

    /// Whether something will happen that lets a key go.
    fn waits(&self, key: &Key) -> bool {
        let behind = |stream: &Stream| stream.cut && !stream.is_free();
        self.streams.get(key).is_some_and(behind)
            || self.waiting.iter().any(|(seq, waits)| waits == key && self.is_unwritten(seq))
            || self.reused.iter().any(|(seq, (waits, _))| waits == key && self.tracked.contains_key(seq))
    }

    fn is_unwritten(&self, seq: i64) -> bool {
        self.changes.iter().chain(&self.settling).any(|change| change.seq == seq)
    }
}
