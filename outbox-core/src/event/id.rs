use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// Identifies one event for ever: consumers drop repeats by it.
///
/// A UUID of version 7 (RFC 9562), made when the event is staged. Its time part sorts roughly by age and
/// says nothing about delivery order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
