//! Starting over: a new generation says that events have been put back behind the mark.

use super::{Fate, Holds, Key, Lane};

impl Lane {
    /// Forgets what has not been sent.
    pub(in crate::engine) fn drop_queued(&mut self) {
        let keys: Vec<Key> = self.streams.keys().cloned().collect();
        for key in keys {
            self.drop_queue(&key);
        }
        self.streams.values_mut().for_each(|stream| stream.cut = false);
        self.holds = Holds::default();
        self.passed.clear();
        (self.mark, self.hungry) = (0, true);
    }

    /// Somebody put events back at their old numbers: only what is with the publisher or waits for its settle is
    /// still known; all else is read again from the start, before anything more is sent.
    pub(super) fn start_over(&mut self, generation: i64) {
        self.drop_queued();
        self.generation = generation;
        self.catching_up = Some(self.front);
        let parked: Vec<_> = self.changes.extract_if(.., |change| change.fate == Fate::Parked).collect();
        for change in parked {
            self.tracked.remove(&change.seq);
            self.waiting.remove(change.seq);
        }
        self.reused.clear();
        self.doubtful = self.tracked.keys().copied().collect();
        // What is being settled cannot be read again yet, and nothing of its key may pass it.
        for (seq, key) in self.waiting.iter() {
            self.holds.hold_key(key.clone(), seq);
        }
    }

    /// Whether it still reads again what it had read before.
    pub(super) fn is_catching_up(&self) -> bool {
        self.catching_up.is_some()
    }

    /// A read came to `last`, and there is `more` behind it.
    pub(super) fn has_read(&mut self, last: Option<i64>, more: bool) {
        if !more || last >= self.catching_up {
            self.catching_up = None;
        }
    }
}
