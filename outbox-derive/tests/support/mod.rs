//! Compares all that an event says at once, so that no test forgets a method.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use outbox_core::{Encoded, Headers, OutboxEvent};

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facts<'a> {
    pub(crate) aggregate_type: &'a str,
    pub(crate) aggregate_id: Option<&'a str>,
    pub(crate) aggregate_version: Option<i64>,
    pub(crate) event_type: &'a str,
    pub(crate) event_version: u32,
    pub(crate) topic: &'a str,
    pub(crate) partition_key: Option<&'a str>,
    pub(crate) headers: Vec<(&'a str, &'a str)>,
}

impl Default for Facts<'_> {
    fn default() -> Self {
        Self {
            aggregate_type: "",
            aggregate_id: None,
            aggregate_version: None,
            event_type: "",
            event_version: 1,
            topic: "",
            partition_key: None,
            headers: Vec::new(),
        }
    }
}

#[track_caller]
pub(crate) fn facts(event: &dyn OutboxEvent, expected: &Facts<'_>) {
    let mut headers = Headers::new();
    event.headers(&mut headers).unwrap();
    let (aggregate_id, partition_key) = (event.aggregate_id(), event.partition_key());
    let actual = Facts {
        aggregate_type: &event.aggregate_type(),
        aggregate_id: aggregate_id.as_deref(),
        aggregate_version: event.aggregate_version(),
        event_type: &event.event_type(),
        event_version: event.event_version(),
        topic: &event.topic(),
        partition_key: partition_key.as_deref(),
        headers: headers.iter().collect(),
    };
    assert_eq!(&actual, expected);
}

#[track_caller]
pub(crate) fn payload(event: &dyn OutboxEvent) -> String {
    let Encoded { payload, content_type } = event.encode().unwrap();
    assert_eq!(content_type, Encoded::JSON);
    String::from_utf8(payload.unwrap().to_vec()).unwrap()
}
