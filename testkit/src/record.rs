/// What a consumer sees of one record. Brokers other than Kafka fill in what they have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// One key must always be on one partition; 0 where there are none.
    pub partition: i32,
    /// Says in which order records of a partition were there.
    pub offset: i64,
    /// The partition key.
    pub key: Option<Vec<u8>>,
    /// The payload.
    pub value: Option<Vec<u8>>,
    /// In the order of the record; a name may repeat. The event's id is in `outbox-event-id`.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
}
