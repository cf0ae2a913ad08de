//! What a transaction staged, compared with what a test expects.

mod compare;
mod diff;

use std::error::Error;
use std::fmt;

use crate::event::{Envelope, EventOptions, HasStaged, Headers, Limits, OutboxEvent, StageError};

/// Compares staged events with expected ones: all of them, in their order.
///
/// Compared are type, version, topic, key, aggregate, delay, content type and payload, a JSON payload by its values.
/// The headers of an expected event must be there with their values; others, such as trace context, may be. Ids and
/// times are not compared. [`assert_staged!`](crate::assert_staged) is the short form.
///
/// ```
/// # #[cfg(feature = "derive")] {
/// # use outbox_core::{Envelope, EventOptions, Headers, Limits, OutboxEvent};
/// use outbox_core::testing::StagedEvents;
///
/// # #[derive(serde::Serialize, OutboxEvent)]
/// # #[outbox(aggregate = "order", topic = "orders")]
/// # struct OrderPlaced {
/// #     #[outbox(aggregate_id)]
/// #     order_id: u64,
/// # }
/// # let options = EventOptions::new().header("region", "eu");
/// # let event = OrderPlaced { order_id: 7 };
/// # let staged = [Envelope::encode(&event, options, Headers::new(), &Limits::default()).unwrap()];
/// // `staged`: the transaction, or its envelopes
/// StagedEvents::of(&staged)
///     .event_with(&OrderPlaced { order_id: 7 }, |options| options.header("region", "eu"))
///     .assert();
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is compared before `assert` or `check`"]
pub struct StagedEvents {
    staged: Vec<Envelope>,
    /// An event that cannot be encoded is a difference, so that a test fails with its mistake.
    expected: Vec<Result<Envelope, String>>,
}

/// How staged events differ from expected ones.
#[derive(Clone, PartialEq, Eq)]
pub struct Mismatch(Vec<String>);

impl StagedEvents {
    /// What was staged, with nothing expected yet.
    pub fn of(staged: &(impl HasStaged + ?Sized)) -> Self {
        Self { staged: staged.staged_envelopes(), expected: Vec::new() }
    }

    /// Expects `event` next.
    pub fn event(self, event: &(impl OutboxEvent + ?Sized)) -> Self {
        self.event_with(event, |options| options)
    }

    /// Expects `event` next, staged with options.
    pub fn event_with(
        mut self,
        event: &(impl OutboxEvent + ?Sized),
        options: impl FnOnce(EventOptions) -> EventOptions,
    ) -> Self {
        // Whether it is too large for this outbox was decided when it was staged.
        let limits = Limits::new().payload_bytes(Limits::MOST_PAYLOAD_BYTES);
        let encoded = Envelope::encode(event, options(EventOptions::new()), Headers::new(), &limits);
        self.expected.push(encoded.map_err(|error: StageError| error.to_string()));
        self
    }

    /// Whether exactly the expected events were staged.
    ///
    /// # Errors
    ///
    /// Every difference, event by event.
    pub fn check(&self) -> Result<(), Mismatch> {
        let mut same = self.staged.len() == self.expected.len();
        let mut lines = vec![format!("{} events were expected, {} are staged", self.expected.len(), self.staged.len())];
        for n in 0..self.staged.len().max(self.expected.len()) {
            let (text, differences) = match (self.expected.get(n), self.staged.get(n)) {
                (Some(Ok(expected)), Some(found)) => (compare::title(found), compare::envelopes(expected, found)),
                (Some(Ok(expected)), None) => (format!("{}: is missing", compare::title(expected)), Vec::new()),
                (Some(Err(error)), _) => ("the expected event could not be staged".to_owned(), vec![error.clone()]),
                (None, Some(found)) => (format!("{}: was not expected", compare::title(found)), Vec::new()),
                (None, None) => break,
            };
            same &= differences.is_empty();
            lines.push(format!("  #{} {text}", n + 1));
            lines.extend(differences.into_iter().map(|difference| format!("       {difference}")));
        }
        if same { Ok(()) } else { Err(Mismatch(lines)) }
    }

    /// Fails the test unless exactly the expected events were staged.
    ///
    /// # Panics
    ///
    /// When they differ; the message names every difference.
    #[track_caller]
    pub fn assert(&self) {
        let mismatch = self.check().err();
        assert!(mismatch.is_none(), "{}", mismatch.map(|mismatch| mismatch.to_string()).unwrap_or_default());
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl fmt::Debug for Mismatch {
    /// As [`fmt::Display`], so that `unwrap` shows the lines as lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Mismatch {}

/// Fails the test unless exactly these events are staged, in this order.
///
/// The first argument is a transaction that is still open, or the envelopes it has staged. See
/// [`StagedEvents`](crate::testing::StagedEvents) for what is compared, and for events that were staged with options.
///
/// ```
/// # #[cfg(feature = "derive")] {
/// # use outbox_core::{Envelope, EventOptions, Headers, Limits, OutboxEvent};
/// use outbox_core::testing::assert_staged;
///
/// # #[derive(serde::Serialize, OutboxEvent)]
/// # #[outbox(aggregate = "order", topic = "orders")]
/// # struct OrderPlaced {
/// #     #[outbox(aggregate_id)]
/// #     order_id: u64,
/// # }
/// # let event = OrderPlaced { order_id: 7 };
/// # let staged = vec![Envelope::encode(&event, EventOptions::new(), Headers::new(), &Limits::default()).unwrap()];
/// // `staged`: the transaction, or its envelopes
/// assert_staged!(staged, [OrderPlaced { order_id: 7 }]);
/// # assert_staged!(&staged[1..], []);
/// # }
/// ```
#[macro_export]
macro_rules! assert_staged {
    ($staged:expr, [$($event:expr),* $(,)?] $(,)?) => {
        $crate::testing::StagedEvents::of(&$staged)$(.event(&$event))*.assert()
    };
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::sync::Arc;

    use super::*;
    use crate::event::Encoded;

    struct Placed(u64, i64);

    impl OutboxEvent for Placed {
        fn aggregate_type(&self) -> Cow<'_, str> {
            "order".into()
        }

        fn aggregate_id(&self) -> Option<Cow<'_, str>> {
            Some(self.0.to_string().into())
        }

        fn event_type(&self) -> Cow<'_, str> {
            if self.0 == 0 { "".into() } else { "order.placed".into() }
        }

        fn topic(&self) -> Cow<'_, str> {
            "orders".into()
        }

        fn partition_key(&self) -> Option<Cow<'_, str>> {
            self.aggregate_id()
        }

        fn encode(&self) -> Result<Encoded, Box<dyn Error + Send + Sync>> {
            Encoded::json(&serde_json::json!({ "total": self.1 }))
        }
    }

    fn staged(event: &Placed, options: EventOptions) -> Envelope {
        let mut ambient = Headers::new();
        ambient.set("traceparent", "00-1-2-01").unwrap();
        Envelope::encode(event, options, ambient, &Limits::default()).unwrap()
    }

    #[test]
    fn the_same_events_pass_in_every_container() {
        let one = staged(&Placed(1, 5), EventOptions::new());
        let two = staged(&Placed(2, 5), EventOptions::new());
        assert_staged!(vec![one.clone(), two.clone()], [Placed(1, 5), Placed(2, 5)]);
        assert_staged!([Arc::new(one.clone())], [Placed(1, 5)]);
        let slice: &[Envelope] = &[one, two];
        assert_staged!(slice, [Placed(1, 5), Placed(2, 5),]);
        assert_staged!(Vec::<Envelope>::new(), []);
    }

    #[test]
    fn options_are_expected_too() {
        let options = |options: EventOptions| options.header("region", "eu").key("k").topic("other");
        let staged = [staged(&Placed(1, 5), options(EventOptions::new()))];
        StagedEvents::of(&staged).event_with(&Placed(1, 5), options).assert();
    }

    #[test]
    fn every_difference_is_named() {
        let staged = [
            staged(&Placed(1, 6), EventOptions::new().unordered()),
            staged(&Placed(2, 5), EventOptions::new().header("region", "us")),
        ];
        let mismatch = StagedEvents::of(&staged)
            .event(&Placed(1, 5))
            .event_with(&Placed(2, 5), |options| options.header("region", "eu").header("x", 1))
            .event(&Placed(3, 5))
            .check()
            .unwrap_err();
        let wanted = [
            "3 events were expected, 2 are staged",
            "  #1 order.placed to \"orders\" without a key",
            "       key: expected \"1\", found nothing",
            "       payload.total: expected 5, found 6",
            "  #2 order.placed to \"orders\" with key \"2\"",
            "       header region: expected \"eu\", found \"us\"",
            "       header x: expected \"1\", found nothing",
            "  #3 order.placed to \"orders\" with key \"3\": is missing",
        ];
        assert_eq!(mismatch.to_string(), wanted.join("\n"));
    }

    #[test]
    fn too_many_events_and_events_with_mistakes_are_named() {
        let staged = [staged(&Placed(1, 5), EventOptions::new())];
        let mismatch = StagedEvents::of(&staged).check().unwrap_err();
        assert!(mismatch.to_string().ends_with("#1 order.placed to \"orders\" with key \"1\": was not expected"));
        let mismatch = StagedEvents::of(&staged).event(&Placed(0, 5)).check().unwrap_err();
        assert!(mismatch.to_string().ends_with("event \"\": event type is empty"), "{mismatch}");
    }

    #[test]
    #[should_panic(expected = "1 events were expected, 0 are staged")]
    fn a_failed_assertion_panics() {
        assert_staged!([] as [Envelope; 0], [Placed(1, 5)]);
    }
}
