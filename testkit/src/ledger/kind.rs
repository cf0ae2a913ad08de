//! Whether a record is an event of the ledger.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Entered, Entry, HEADER, Refused, entry_header};
use crate::Record;

const ID: &str = "outbox-event-id";
const TYPE: &str = "outbox-event-type";

/// What a record is.
pub(super) enum Kind<'l> {
    /// An entry's event.
    Of(&'l Entry),
    /// An event of the ledger, by all that it says, and of no entry. Its id, if it can be read.
    Invented(Option<Uuid>),
    /// Something else that is on the topic too.
    Foreign,
}

/// An event of the ledger is known by three things: its id, its type, and what is in it. One that has lost one or two of
/// them on its way is still known by the others; a foreign record has none.
pub(super) fn of<'l>(record: &Record, entries: &HashMap<Uuid, &'l Entry>) -> Kind<'l> {
    let id = event_id(record);
    if let Some(entry) = id.and_then(|id| entries.get(&id)) {
        return Kind::Of(entry);
    }
    let is_ours = match event_type(record) {
        Some(of) => is_type_of_ours(of),
        // Of a broker that keeps no types, whatever has an id is taken for ours.
        None => header(record, ID).is_some(),
    };
    let is_ours = is_ours || record.value.as_deref().is_some_and(is_payload);
    if is_ours { Kind::Invented(id) } else { Kind::Foreign }
}

/// The id in the headers of a record, if there is one.
#[must_use]
pub fn event_id(record: &Record) -> Option<Uuid> {
    std::str::from_utf8(header(record, ID)?).ok()?.parse().ok()
}

/// Whether what the headers say is byte for byte what an entry's say. Not every broker keeps types.
pub(super) fn has_headers_of(record: &Record, entry: &Entry) -> bool {
    let expected = if entry.refused { Refused::EVENT_TYPE } else { Entered::EVENT_TYPE };
    header(record, ID) == Some(entry.event.to_string().as_bytes())
        && header(record, HEADER) == Some(entry_header(&entry.key, entry.version).as_bytes())
        && event_type(record).is_none_or(|of| of == expected.as_bytes())
}

fn event_type(record: &Record) -> Option<&[u8]> {
    header(record, TYPE)
}

fn is_type_of_ours(of: &[u8]) -> bool {
    [Entered::EVENT_TYPE, Refused::EVENT_TYPE].iter().any(|ours| ours.as_bytes() == of)
}

fn header<'r>(record: &'r Record, name: &str) -> Option<&'r [u8]> {
    record.headers.iter().find(|(of, _)| of == name)?.1.as_deref()
}

/// Whether it is the [`payload`](super::payload) of some key and version.
fn is_payload(value: &[u8]) -> bool {
    let parts = || {
        let value = std::str::from_utf8(value).ok()?;
        value.strip_prefix("{\"key\":\"")?.strip_suffix('}')?.rsplit_once("\",\"version\":")
    };
    parts().is_some_and(|(_, version)| version.parse::<i64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_known_by_its_form() {
        assert!(is_payload(crate::ledger::payload("key-7", 12).as_bytes()));
        for other in ["", "{}", "{\"key\":\"a\"}", "{\"key\":\"a\",\"version\":}", "{\"key\":\"a\",\"version\":\"1\"}"]
        {
            assert!(!is_payload(other.as_bytes()), "{other}");
        }
    }
}
