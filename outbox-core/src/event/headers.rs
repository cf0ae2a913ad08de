use std::fmt;

use thiserror::Error;

/// Header names that start with this are written by the outbox alone.
pub const RESERVED_PREFIX: &str = "outbox-";

/// Names of the headers that the outbox itself gives a meaning to.
pub mod names {
    /// The payload's media type; written by the outbox, from [`Encoded`](crate::Encoded).
    pub const CONTENT_TYPE: &str = "content-type";
    /// W3C trace context, level 1: the caller's span.
    pub const TRACEPARENT: &str = "traceparent";
    /// W3C trace context, level 1: vendors' additions.
    pub const TRACESTATE: &str = "tracestate";
    /// The business conversation that this event belongs to.
    pub const CORRELATION_ID: &str = "correlation-id";
    /// The message or command that caused this event.
    pub const CAUSATION_ID: &str = "causation-id";
    /// Who acted.
    pub const USER_ID: &str = "user-id";
    /// For whom.
    pub const TENANT_ID: &str = "tenant-id";
}

/// The metadata that travels with an event: few, small, text, in the order in which they were set.
///
/// A name is set once; setting it again replaces the value. Names are 1 to 128 bytes of HTTP token characters
/// (RFC 9110, section 5.6.2), compared without regard to ASCII case; values are at most 8 KiB of text without
/// control characters other than the tab, so that every broker and proxy carries them unchanged.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

/// A header that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is empty, too long or has a character that is not allowed.
    #[error("header name {name:?} is not 1 to 128 letters, digits or any of !#$%&'*+-.^_`|~")]
    Name {
        /// The name as given, cut to 128 characters.
        name: String,
    },
    /// The name is one that the outbox writes itself.
    #[error("header name {name:?} is reserved: \"content-type\" and names in \"outbox-\" are written by the outbox")]
    Reserved {
        /// The name as given.
        name: String,
    },
    /// The value is too long or has a control character.
    #[error("the value of header {name:?} is over 8 KiB or has a control character")]
    Value {
        /// The header's name.
        name: String,
    },
    /// There are too many.
    #[error("an event carries at most 64 headers")]
    TooMany,
}

impl Headers {
    pub(crate) const MOST: usize = 64;
    pub(crate) const NAME_BYTES: usize = 128;
    pub(crate) const VALUE_BYTES: usize = 8 * 1024;

    /// No headers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a header, replacing the value it had.
    ///
    /// # Errors
    ///
    /// See [`HeaderError`]; nothing is changed then.
    pub fn set(&mut self, name: impl Into<String>, value: impl fmt::Display) -> Result<(), HeaderError> {
        let name = name.into();
        if name.is_empty() || name.len() > Self::NAME_BYTES || !name.bytes().all(is_token) {
            return Err(HeaderError::Name { name: name.chars().take(Self::NAME_BYTES).collect() });
        }
        let prefix = name.as_bytes().get(..RESERVED_PREFIX.len());
        if prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(RESERVED_PREFIX.as_bytes()))
            || name.eq_ignore_ascii_case(names::CONTENT_TYPE)
        {
            return Err(HeaderError::Reserved { name });
        }
        let value = value.to_string();
        if value.len() > Self::VALUE_BYTES || value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(HeaderError::Value { name });
        }
        if let Some(entry) = self.0.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
            entry.1 = value;
        } else if self.0.len() == Self::MOST {
            return Err(HeaderError::TooMany);
        } else {
            self.0.push((name, value));
        }
        Ok(())
    }

    /// The value of a header.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All headers, first set first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// The form in which a row holds them: a JSON array of pairs, which keeps their order.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::Value::from_iter(self.0.iter().map(|(name, value)| vec![name.clone(), value.clone()])).to_string()
    }

    /// Reads what [`to_json`](Self::to_json) wrote. Nothing is checked again: what is in a row was checked at staging.
    ///
    /// # Errors
    ///
    /// The text is not such an array.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        // Most events have none.
        if text == "[]" { Ok(Self::new()) } else { serde_json::from_str(text).map(Self) }
    }
}

impl fmt::Debug for Headers {
    /// Names alone: values may be personal data or secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_set_once_whatever_its_case() {
        let mut headers = Headers::new();
        headers.set("Tenant-Id", "a").unwrap();
        headers.set("tenant-id", 7).unwrap();
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("Tenant-Id", "7")]);
        assert_eq!(headers.get("TENANT-ID"), Some("7"));
    }

    #[test]
    fn names_and_values_that_a_broker_could_not_carry_are_refused() {
        let mut headers = Headers::new();
        for name in ["", "a b", "a:b", "a\r\nb", "a\0", "ü", &"x".repeat(129)] {
            assert!(matches!(headers.set(name, ""), Err(HeaderError::Name { .. })), "{name:?}");
        }
        for name in ["outbox-event-id", "OutBox-x", "Content-Type"] {
            assert!(matches!(headers.set(name, ""), Err(HeaderError::Reserved { .. })), "{name:?}");
        }
        for value in ["a\r\nb", "a\0", &"x".repeat(8 * 1024 + 1)] {
            assert!(matches!(headers.set("x", value), Err(HeaderError::Value { .. })));
        }
        assert!(headers.is_empty());
    }

    #[test]
    fn the_65th_header_is_refused() {
        let mut headers = Headers::new();
        for n in 0..64 {
            headers.set(format!("h{n}"), n).unwrap();
        }
        assert_eq!(headers.set("one-more", ""), Err(HeaderError::TooMany));
        headers.set("h3", "replaced").unwrap();
        assert_eq!(headers.len(), 64);
    }

    #[test]
    fn a_row_gives_back_names_values_and_order() {
        let mut headers = Headers::new();
        for (name, value) in [("z", "1"), ("a", "\"quoted\" and ünicode\t")] {
            headers.set(name, value).unwrap();
        }
        assert_eq!(Headers::from_json(&headers.to_json()).unwrap(), headers);
        assert_eq!(Headers::from_json(&Headers::new().to_json()).unwrap(), Headers::new());
        assert!(Headers::from_json("{}").is_err());
    }

    #[test]
    fn debug_does_not_show_values() {
        let mut headers = Headers::new();
        headers.set("authorization", "canary").unwrap();
        assert_eq!(format!("{headers:?}"), "[\"authorization\"]");
    }
}
