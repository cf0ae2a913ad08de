use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Identifies one event for ever: consumers drop repeats by it.
///
/// A UUID of version 7 (RFC 9562), made when the event is staged. Its time part sorts roughly by age and
/// says nothing about delivery order.
///
/// As text it is hyphenated and in lower case, by `Display`, in JSON and in the header `outbox-event-id` alike;
/// `FromStr` and `Deserialize` take every form of a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Uuid);

impl EventId {
    /// A new id.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default id would look like a constant")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The UUID inside.
    #[must_use]
    pub fn as_uuid(&self) -> &Uuid {
        &self.0
    }
}

impl From<Uuid> for EventId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl From<EventId> for Uuid {
    fn from(id: EventId) -> Self {
        id.0
    }
}

impl FromStr for EventId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::from_str(text).map(Self)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_of_it_is_the_same_and_reads_back() {
        let id = EventId::from(Uuid::from_u128(0x0192_f0c1_2345_7000_8000_0000_0000_0007));
        let text = "0192f0c1-2345-7000-8000-000000000007";
        assert_eq!(id.to_string(), text);
        assert_eq!(serde_json::to_value(id).unwrap(), text);
        for form in [text, "0192F0C1-2345-7000-8000-000000000007", "0192f0c1234570008000000000000007"] {
            assert_eq!(form.parse::<EventId>().unwrap(), id, "{form}");
            assert_eq!(serde_json::from_value::<EventId>(form.into()).unwrap(), id, "{form}");
        }
        "0192f0c1-2345-7000-8000-00000000000".parse::<EventId>().unwrap_err();
        serde_json::from_str::<EventId>("7").unwrap_err();
    }

    #[test]
    fn later_ids_are_greater() {
        let ids: Vec<_> = (0..1_000).map(|_| EventId::new()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
    }
}
