use std::fmt;

use bytes::Bytes;
use serde::Serialize;

/// A payload and how to read it.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The bytes that consumers receive; `None` is a tombstone (a null value in Kafka).
    pub payload: Option<Bytes>,
    /// The media type, for example `application/json`.
    pub content_type: String,
}

impl Encoded {
    /// The media type of [`Encoded::json`].
    pub const JSON: &'static str = "application/json";

    /// Any bytes with their media type.
    ///
    /// Bytes that are not UTF-8 need a table with a binary payload column.
    pub fn new(payload: impl Into<Bytes>, content_type: impl Into<String>) -> Self {
        Self { payload: Some(payload.into()), content_type: content_type.into() }
    }

    /// The JSON text of `event`.
    ///
    /// # Errors
    ///
    /// The value's `Serialize` implementation failed, or a map key is not a string.
    pub fn json<T: Serialize + ?Sized>(event: &T) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self::new(serde_json::to_vec(event)?, Self::JSON))
    }

    /// No payload at all: a compacted topic forgets the key.
    #[must_use]
    pub fn tombstone() -> Self {
        Self { payload: None, content_type: Self::JSON.to_owned() }
    }
}

impl fmt::Debug for Encoded {
    /// Shows how large the payload is, and nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded")
            .field("payload_bytes", &self.payload.as_ref().map(Bytes::len))
            .field("content_type", &self.content_type)
            .finish()
    }
}
