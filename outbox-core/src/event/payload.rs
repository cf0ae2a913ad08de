//! Reading an event's payload.

use serde::Deserialize;

use super::Envelope;

impl Envelope {
    /// The payload as text: `None` for a tombstone, and for bytes that are not UTF-8.
    #[must_use]
    pub fn payload_text(&self) -> Option<&str> {
        std::str::from_utf8(self.payload.as_deref()?).ok()
    }

    /// The payload read as JSON. A tombstone reads as `null`, so it is the `None` of an `Option`.
    ///
    /// # Errors
    ///
    /// The payload is not the JSON of a `T`.
    pub fn payload_json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.payload.as_deref().unwrap_or(b"null"))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::testing::message;

    #[test]
    fn a_payload_is_text_and_json_where_it_is() {
        let json = message("a", None, 1, r#"{"name":"x"}"#);
        assert_eq!(json.payload_text(), Some(r#"{"name":"x"}"#));
        assert_eq!(json.payload_json::<serde_json::Value>().unwrap()["name"], "x");
        assert_eq!(json.payload(), Some(&br#"{"name":"x"}"#[..]));
        json.payload_json::<u8>().unwrap_err();
        let bytes = message("a", None, 1, Bytes::from_static(b"\xff"));
        assert_eq!((bytes.payload_text(), bytes.payload()), (None, Some(&b"\xff"[..])));
        bytes.payload_json::<u8>().unwrap_err();
    }

    #[test]
    fn a_tombstone_is_no_text_and_null() {
        let mut tombstone = message("a", None, 1, "");
        assert_eq!(tombstone.payload_text(), Some(""));
        tombstone.envelope.payload = None;
        assert_eq!((tombstone.payload_text(), tombstone.payload()), (None, None));
        assert_eq!(tombstone.payload_json::<Option<u8>>().unwrap(), None);
        tombstone.payload_json::<u8>().unwrap_err();
    }
}
