//! From order keys to shards.

use std::fmt;

use xxhash_rust::xxh64::xxh64;

use crate::event::EventId;

/// The name of the hash that decides which shard a key belongs to. The tables remember it, because two writers
/// that disagree about it would break the order of events silently.
pub const HASH_VERSION: &str = "xxh64-1";

/// How many shards an outbox has unless its migration says otherwise.
pub const DEFAULT_SHARD_COUNT: u16 = 64;

/// Largest number of shards.
pub const MOST_SHARDS: u16 = 1024;

/// One of the outbox's ordered streams; every key belongs to exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Shard(u16);

impl Shard {
    /// Shard number `number`, counted from 0.
    #[must_use]
    pub fn new(number: u16) -> Self {
        Self(number)
    }

    /// The shard of a partition key: its 64-bit xxHash (seed 0) modulo the number of shards.
    ///
    /// # Panics
    ///
    /// When `count` is 0.
    #[must_use]
    pub fn of_key(key: &str, count: u16) -> Self {
        Self::of_bytes(key.as_bytes(), count)
    }

    /// The shard of an unordered event: the same hash of the 16 bytes of its id.
    ///
    /// # Panics
    ///
    /// When `count` is 0.
    #[must_use]
    pub fn of_id(id: EventId, count: u16) -> Self {
        Self::of_bytes(id.as_uuid().as_bytes(), count)
    }

    /// Its number, counted from 0.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    fn of_bytes(bytes: &[u8], count: u16) -> Self {
        let number = xxh64(bytes, 0) % u64::from(count);
        Self(u16::try_from(number).unwrap_or(0)) // below `count`, so it always fits
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from the xxHash reference implementation; a change here would send old keys to new shards.
    #[test]
    fn golden_vectors() {
        assert_eq!(xxh64(b"", 0), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(b"abc", 0), 0x44bc_2cf5_ad77_0999);
        for (key, of_7, of_64, of_1024) in [
            ("", 6, 25, 409),
            ("abc", 0, 25, 409),
            ("Schlüssel-7", 1, 52, 820),
            ("\u{1F980}", 1, 60, 188),
            ("0190d6a4-8f3e-7c1b-9a52-3b1f4c5d6e7f", 3, 37, 613),
        ] {
            let shards = [1, 7, 64, 1024].map(|count| Shard::of_key(key, count).number());
            assert_eq!(shards, [0, of_7, of_64, of_1024], "{key}");
        }
        // Of the 16 bytes, not of the text.
        for (id, of_7, of_64, of_1024) in
            [("00000000-0000-0000-0000-000000000000", 2, 50, 50), ("0190d6a4-8f3e-7c1b-9a52-3b1f4c5d6e7f", 5, 58, 890)]
        {
            let shards = [1, 7, 64, 1024].map(|count| Shard::of_id(id.parse().unwrap(), count).number());
            assert_eq!(shards, [0, of_7, of_64, of_1024], "{id}");
        }
    }

    #[test]
    fn keys_spread_over_all_shards() {
        let mut hits = [0u32; 64];
        for n in 0..64_000 {
            hits[usize::from(Shard::of_key(&format!("order-{n}"), 64).number())] += 1;
        }
        assert!(hits.iter().all(|&n| (800..1200).contains(&n)), "{hits:?}");
    }
}
