use std::fmt;

use bytestring::ByteString;
use serde_json::Value;

use super::diff;
use crate::event::Envelope;

/// Adds a line for everything in which two events differ that a test can foresee: not the id, not the time.
pub(super) fn envelopes(expected: &Envelope, found: &Envelope) -> Vec<String> {
    let mut lines = Vec::new();
    let mut field = |name: &str, expected: &dyn Shown, found: &dyn Shown| {
        let (expected, found) = (expected.shown(), found.shown());
        if expected != found {
            lines.push(format!("{name}: expected {expected}, found {found}"));
        }
    };
    field("event type", &expected.event_type, &found.event_type);
    field("event version", &expected.event_version, &found.event_version);
    field("topic", &expected.topic, &found.topic);
    field("key", &expected.key, &found.key);
    field("aggregate type", &expected.aggregate_type, &found.aggregate_type);
    field("aggregate id", &expected.aggregate_id, &found.aggregate_id);
    field("aggregate version", &expected.aggregate_version, &found.aggregate_version);
    field("delay", &expected.delay, &found.delay);
    field("content type", &expected.content_type, &found.content_type);
    for (name, value) in expected.headers.iter() {
        field(&format!("header {name}"), &Some(value), &found.headers.get(name));
    }
    payloads(expected, found, &mut lines);
    lines
}

fn payloads(expected: &Envelope, found: &Envelope, lines: &mut Vec<String>) {
    if expected.payload == found.payload {
        return;
    }
    match (json(expected), json(found)) {
        (Some(expected), Some(found)) => diff::json("payload", &expected, &found, lines),
        _ => lines.push(format!("payload: expected {}, found {}", text(expected), text(found))),
    }
}

fn json(envelope: &Envelope) -> Option<Value> {
    serde_json::from_slice(envelope.payload.as_deref()?).ok()
}

fn text(envelope: &Envelope) -> String {
    match envelope.payload.as_deref() {
        None => "a tombstone".to_owned(),
        Some(bytes) => format!("{} bytes: {:?}", bytes.len(), String::from_utf8_lossy(bytes)),
    }
}

/// An event in one line.
pub(super) fn title(envelope: &Envelope) -> String {
    let key = envelope.key.as_ref().map_or_else(|| "without a key".to_owned(), |key| format!("with key {key:?}"));
    format!("{} to {:?} {key}", envelope.event_type, envelope.topic)
}

/// What a value looks like in a message: options without their wrapping.
trait Shown {
    fn shown(&self) -> String;
}

impl<T: fmt::Debug> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "nothing".to_owned(), |value| format!("{value:?}"))
    }
}

impl Shown for ByteString {
    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl Shown for u32 {
    fn shown(&self) -> String {
        self.to_string()
    }
}
