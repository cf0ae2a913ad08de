use super::hash::Map;
use super::key::Key;

/// Keys of which nothing more may be published until certain outcomes have been settled.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_seq: Map<i64, Key>,
    outcomes: Map<Key, usize>,
}

impl Waiting {
    /// The key waits for the outcome of event `seq`.
    pub(super) fn insert(&mut self, seq: i64, key: Key) {
        *self.outcomes.entry(key.clone()).or_default() += 1;
        self.by_seq.insert(seq, key);
    }

    /// The outcome is settled, or given up. Returns the key if it was the last that the key waited for.
    pub(super) fn remove(&mut self, seq: i64) -> Option<Key> {
        let key = self.by_seq.remove(&seq)?;
        let left = self.outcomes.get_mut(&key)?;
        *left -= 1;
        if *left > 0 {
            return None;
        }
        self.outcomes.remove(&key);
        Some(key)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &Key)> {
        self.by_seq.iter().map(|(seq, key)| (*seq, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_waits_for_all_its_outcomes() {
        let (mut waiting, one, other) = (Waiting::default(), Key::Loose(1), Key::Loose(2));
        for (seq, key) in [(1, &one), (2, &other), (3, &one)] {
            waiting.insert(seq, key.clone());
        }
        assert_eq!(waiting.remove(1), None);
        assert_eq!(waiting.remove(2), Some(other));
        assert_eq!(waiting.remove(3), Some(one));
        assert_eq!((waiting.remove(3), waiting.iter().count()), (None, 0));
    }
}
