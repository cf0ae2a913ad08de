/// What staging accepts. The defaults fit Kafka's and the tables' own limits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest payload in bytes. Default 1,000,000, at most 16 MiB; keep it below what the broker takes.
    pub payload_bytes: usize,
    /// Most events in one transaction. Default 10,000.
    pub events_per_transaction: usize,
}

impl Limits {
    /// Longest topic name in bytes (Kafka's limit).
    pub const TOPIC_BYTES: usize = 249;
    /// Longest partition key and aggregate id in bytes: longer ones do not fit MariaDB's index.
    pub const KEY_BYTES: usize = 512;
    /// Longest aggregate type and event type in bytes.
    pub const NAME_BYTES: usize = 255;
    /// Longest media type in bytes.
    pub const CONTENT_TYPE_BYTES: usize = 127;
    /// Ceiling of [`payload_bytes`](Self::payload_bytes).
    pub const MOST_PAYLOAD_BYTES: usize = 16 * 1024 * 1024;
}

impl Default for Limits {
    fn default() -> Self {
        Self { payload_bytes: 1_000_000, events_per_transaction: 10_000 }
    }
}
