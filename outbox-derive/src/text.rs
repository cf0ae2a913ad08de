//! What a literal may say: the rules that staging applies to every event, applied when the event is compiled.
//!
//! The numbers are those of `outbox_core`, which this crate cannot depend on; a test compares the two.

use std::fmt;

const NAME_BYTES: usize = 255;
const TOPIC_BYTES: usize = 249;
const HEADER_BYTES: usize = 128;
const RESERVED_PREFIX: &str = "outbox-";
const CONTENT_TYPE: &str = "content-type";

/// What is wrong with an aggregate type or an event type, called `what` in the message.
pub(crate) fn name(what: &str, text: &str) -> Result<(), String> {
    length(what, text, NAME_BYTES)?;
    match text.chars().find(|char| char.is_control()) {
        Some(char) => Err(format!("{what} has the control character {char:?}: remove it")),
        None => Ok(()),
    }
}

pub(crate) fn topic(text: &str) -> Result<(), String> {
    const WHAT: &str = "the topic";
    length(WHAT, text, TOPIC_BYTES)?;
    if text == "." || text == ".." {
        return Err(format!("{WHAT} is called `{text}`, which no broker takes: choose another name"));
    }
    characters(WHAT, text, ".-_")
}

pub(crate) fn header(text: &str) -> Result<(), String> {
    const WHAT: &str = "the header name";
    length(WHAT, text, HEADER_BYTES)?;
    let lower = text.to_ascii_lowercase();
    if lower == CONTENT_TYPE || lower.starts_with(RESERVED_PREFIX) {
        return Err(format!(
            "`{CONTENT_TYPE}` and header names that start with `{RESERVED_PREFIX}` are written by the outbox alone: \
             choose another name"
        ));
    }
    characters(WHAT, text, "!#$%&'*+-.^_`|~")
}

pub(crate) fn version(number: &syn::LitInt) -> Result<u32, String> {
    match number.base10_parse::<u32>() {
        Ok(version @ 1..=0x7fff_ffff) => Ok(version),
        _ => Err("a version is a number from 1 to 2147483647".to_owned()),
    }
}

fn length(what: &str, text: &str, most: usize) -> Result<(), String> {
    match text.len() {
        0 => Err(format!("{what} is empty: give it a name")),
        bytes if bytes > most => Err(format!("{what} has {bytes} bytes and may have {most}: shorten it")),
        _ => Ok(()),
    }
}

fn characters(what: &str, text: &str, signs: &str) -> Result<(), String> {
    let strange = text.chars().find(|char| !char.is_ascii_alphanumeric() && !signs.contains(*char));
    match strange {
        Some(char) => {
            let signs = fmt::from_fn(|f| signs.chars().try_for_each(|sign| write!(f, " {sign}")));
            Err(format!("{what} has {char:?}: use ASCII letters, digits and{signs}"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use outbox_core::event::HeaderError;
    use outbox_core::{Encoded, Envelope, EventOptions, Headers, Limits, OutboxEvent, StageError};

    use super::*;

    struct Named<'a> {
        aggregate: &'a str,
        event_type: &'a str,
        topic: &'a str,
        version: u32,
    }

    impl OutboxEvent for Named<'_> {
        fn aggregate_type(&self) -> Cow<'_, str> {
            self.aggregate.into()
        }

        fn aggregate_id(&self) -> Option<Cow<'_, str>> {
            None
        }

        fn event_type(&self) -> Cow<'_, str> {
            self.event_type.into()
        }

        fn event_version(&self) -> u32 {
            self.version
        }

        fn topic(&self) -> Cow<'_, str> {
            self.topic.into()
        }

        fn partition_key(&self) -> Option<Cow<'_, str>> {
            None
        }

        fn encode(&self) -> Result<Encoded, Box<dyn std::error::Error + Send + Sync>> {
            Ok(Encoded::tombstone())
        }
    }

    const GOOD: Named<'static> = Named { aggregate: "order", event_type: "order.placed", topic: "orders", version: 1 };

    fn staged(event: &Named<'_>) -> Result<Envelope, StageError> {
        Envelope::encode(event, EventOptions::new(), Headers::new(), &Limits::default())
    }

    fn samples() -> Vec<String> {
        let mut samples: Vec<String> = (0..=0x17f).filter_map(char::from_u32).map(|char| format!("a{char}b")).collect();
        samples.extend(
            ["", ".", "..", "...", "outbox", "outbox-", "OutBox-x", "out-box", "Content-Type", "content-types"]
                .map(str::to_owned),
        );
        samples.extend([127, 128, 129, 248, 249, 250, 254, 255, 256].map(|length| "x".repeat(length)));
        samples
    }

    #[test]
    fn what_is_accepted_here_is_accepted_at_staging_and_the_other_way_round() {
        for text in samples() {
            let text = text.as_str();
            assert_eq!(topic(text).is_ok(), staged(&Named { topic: text, ..GOOD }).is_ok(), "topic {text:?}");
            let aggregate = Named { aggregate: text, ..GOOD };
            assert_eq!(name("it", text).is_ok(), staged(&aggregate).is_ok(), "aggregate {text:?}");
            let event_type = Named { event_type: text, ..GOOD };
            assert_eq!(name("it", text).is_ok(), staged(&event_type).is_ok(), "event type {text:?}");
            let set: Result<(), HeaderError> = Headers::new().set(text, "");
            assert_eq!(header(text).is_ok(), set.is_ok(), "header {text:?}");
        }
    }

    #[test]
    fn versions_that_a_row_can_hold() {
        for (text, expected) in [
            ("1", Some(1)),
            ("2u32", Some(2)),
            ("0x10", Some(16)),
            ("2147483647", Some(2_147_483_647)),
            ("0", None),
            ("-1", None),
            ("2147483648", None),
            ("99999999999999", None),
        ] {
            assert_eq!(version(&syn::parse_str(text).unwrap()).ok(), expected, "{text}");
        }
        assert!(staged(&Named { version: 2_147_483_647, ..GOOD }).is_ok());
        assert!(staged(&Named { version: 2_147_483_648, ..GOOD }).is_err());
    }
}
