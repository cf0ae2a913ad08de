//! The events of a benchmark: numbered, so that whoever reads them knows what is missing, repeated or out of order.

use std::borrow::Cow;
use std::error::Error;

use outbox_core::{Encoded, OutboxEvent};
use serde::{Deserialize, Serialize};

const LENGTH: usize = 64 * 1024;

/// Makes the payloads of one size. The filling looks like text to a compressor, not like one byte many times.
#[derive(Debug)]
pub(crate) struct Payloads {
    bytes: usize,
    filling: Vec<u8>,
}

impl Payloads {
    pub(crate) fn new(bytes: usize) -> Self {
        // Xorshift64 (Marsaglia, "Xorshift RNGs", 2003): the same text in every run and process.
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let filling = (0..LENGTH + bytes).map(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            b'a' + (random >> 40) as u8 % 16
        });
        Self { bytes, filling: filling.collect() }
    }

    /// JSON of the size asked for (or a few bytes more, for sizes below 40), beginning with the number.
    pub(crate) fn payload(&self, n: u64) -> Vec<u8> {
        let mut payload = format!("{{\"n\":{n},\"text\":\"").into_bytes();
        let start = (n as usize * 31) % LENGTH;
        let more = self.bytes.saturating_sub(payload.len() + 2);
        payload.extend_from_slice(&self.filling[start..start + more]);
        payload.extend_from_slice(b"\"}");
        payload
    }
}

/// The number in a payload of [`Payloads`].
pub(crate) fn number(payload: &[u8]) -> Option<u64> {
    let digits = payload.strip_prefix(b"{\"n\":")?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

/// Which event has which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keys {
    count: u64,
    together: bool,
}

impl Keys {
    /// In every ten events one key comes four times and six come once. All come again far later.
    pub(crate) const fn dense(count: u64) -> Self {
        Self { count, together: true }
    }

    /// They take turns.
    pub(crate) const fn in_turn(count: u64) -> Self {
        Self { count, together: false }
    }

    /// How many there are.
    pub(crate) const fn count(self) -> u64 {
        self.count
    }

    /// The number of an event's key.
    pub(crate) const fn index(self, n: u64) -> u64 {
        /// What ten events have between them.
        const PLACES: [u64; 10] = [0, 1, 2, 0, 3, 4, 0, 5, 6, 0];
        let place = if self.together { n / 10 * DISTINCT + PLACES[(n % 10) as usize] } else { n };
        place % self.count
    }

    /// An event's key.
    pub(crate) fn of(self, n: u64) -> String {
        format!("order-{:06}", self.index(n))
    }
}

/// How many different keys ten events of [`Keys::dense`] have.
pub(crate) const DISTINCT: u64 = 7;

/// A numbered event.
#[derive(Debug)]
pub(crate) struct Numbered<'p> {
    pub(crate) n: u64,
    pub(crate) key: String,
    pub(crate) topic: &'p str,
    pub(crate) payloads: &'p Payloads,
}

pub(crate) const AGGREGATE: &str = "order";
pub(crate) const TYPE: &str = "order.placed";
pub(crate) const CONTENT_TYPE: &str = "application/json";

impl OutboxEvent for Numbered<'_> {
    fn aggregate_type(&self) -> Cow<'_, str> {
        AGGREGATE.into()
    }

    fn aggregate_id(&self) -> Option<Cow<'_, str>> {
        Some(self.key.as_str().into())
    }

    fn event_type(&self) -> Cow<'_, str> {
        TYPE.into()
    }

    fn topic(&self) -> Cow<'_, str> {
        self.topic.into()
    }

    fn partition_key(&self) -> Option<Cow<'_, str>> {
        Some(self.key.as_str().into())
    }

    fn encode(&self) -> Result<Encoded, Box<dyn Error + Send + Sync>> {
        Ok(Encoded { payload: Some(self.payloads.payload(self.n).into()), content_type: CONTENT_TYPE.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn some_keys_come_again_soon_and_all_come_again_later() {
        let keys = Keys::dense(100);
        let indexes: Vec<u64> = (0..2_000).map(|n| keys.index(n)).collect();
        for ten in indexes.chunks(10) {
            assert_eq!(ten.iter().filter(|key| **key == ten[0]).count(), 4);
            assert_eq!(ten.iter().collect::<BTreeSet<_>>().len() as u64, DISTINCT);
        }
        let times = |key| indexes.iter().filter(|index| **index == key).count();
        assert!((0..100).all(|key| (14..=56).contains(&times(key))));
        assert_eq!((0..20).map(|n| Keys::in_turn(3).index(n)).max(), Some(2));
        assert_eq!(Keys::dense(1).of(12_345), "order-000000");
    }

    #[test]
    fn payloads_have_their_size_and_their_number() {
        for bytes in [250, 1_000, 10_000] {
            let payloads = Payloads::new(bytes);
            for n in [0, 7, 123_456, 99_999_999] {
                let payload = payloads.payload(n);
                assert_eq!((payload.len(), number(&payload)), (bytes, Some(n)));
                assert!(serde_json::from_slice::<serde_json::Value>(&payload).is_ok());
            }
        }
        assert_eq!(number(b"{\"m\":1}"), None);
    }
}
