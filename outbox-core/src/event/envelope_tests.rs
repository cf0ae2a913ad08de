//! Every event that cannot be, and what is said about it.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use super::{Encoded, Envelope, EventOptions, HeaderError, Headers, Limits, OutboxEvent, StageError};

/// An event of whatever parts; the method called `panics` does.
#[derive(Clone)]
struct Any {
    aggregate_type: String,
    aggregate_id: Option<String>,
    event_type: String,
    topic: String,
    key: Option<String>,
    header: (String, String),
    payload: Result<String, &'static str>,
    content_type: String,
    panics: &'static str,
}

impl Default for Any {
    fn default() -> Self {
        Self {
            aggregate_type: "order".to_owned(),
            aggregate_id: Some("7".to_owned()),
            event_type: "order.placed".to_owned(),
            topic: "orders".to_owned(),
            key: Some("7".to_owned()),
            header: ("own".to_owned(), "1".to_owned()),
            payload: Ok("{}".to_owned()),
            content_type: "application/json".to_owned(),
            panics: "",
        }
    }
}

impl Any {
    fn enter(&self, method: &str) {
        assert!(self.panics != method, "on purpose");
    }
}

impl OutboxEvent for Any {
    fn aggregate_type(&self) -> Cow<'_, str> {
        self.enter("aggregate_type");
        self.aggregate_type.as_str().into()
    }
    fn aggregate_id(&self) -> Option<Cow<'_, str>> {
        self.enter("aggregate_id");
        self.aggregate_id.as_deref().map(Cow::from)
    }
    fn aggregate_version(&self) -> Option<i64> {
        self.enter("aggregate_version");
        None
    }
    fn event_type(&self) -> Cow<'_, str> {
        self.enter("event_type");
        self.event_type.as_str().into()
    }
    fn event_version(&self) -> u32 {
        self.enter("event_version");
        if self.panics == "version" { u32::MAX } else { 1 }
    }
    fn topic(&self) -> Cow<'_, str> {
        self.enter("topic");
        self.topic.as_str().into()
    }
    fn partition_key(&self) -> Option<Cow<'_, str>> {
        self.enter("partition_key");
        self.key.as_deref().map(Cow::from)
    }
    fn headers(&self, headers: &mut Headers) -> Result<(), HeaderError> {
        self.enter("headers");
        headers.set(self.header.0.as_str(), &self.header.1)
    }
    fn encode(&self) -> Result<Encoded, Box<dyn Error + Send + Sync>> {
        self.enter("encode");
        Ok(Encoded::new(self.payload.clone()?, self.content_type.clone()))
    }
}

fn encode(event: &Any, options: EventOptions) -> Result<Envelope, StageError> {
    Envelope::encode(event, options, Headers::new(), &Limits::new().payload_bytes(1_000))
}

fn error(event: &Any) -> StageError {
    encode(event, EventOptions::new()).unwrap_err()
}

fn any(change: impl FnOnce(&mut Any)) -> Any {
    let mut event = Any::default();
    change(&mut event);
    event
}

/// The texts that no field takes, and what is said about them; `most` bytes are allowed.
fn bad_texts(most: usize) -> [(String, &'static str); 4] {
    [
        (String::new(), "is empty"),
        ("x".repeat(most + 1), "is longer than"),
        ("a\0b".to_owned(), "control character"),
        ("a\r\nb".to_owned(), "control character"),
    ]
}

#[test]
fn a_good_event_is_taken_up_to_every_limit() {
    encode(&Any::default(), EventOptions::new()).unwrap();
    let longest = any(|event| {
        event.aggregate_type = "x".repeat(255);
        event.event_type = "x".repeat(255);
        event.topic = "x".repeat(249);
        event.aggregate_id = Some("ü".repeat(256));
        event.key = Some("ü".repeat(256));
        event.content_type = "x".repeat(127);
        event.payload = Ok("x".repeat(1_000));
    });
    encode(&longest, EventOptions::new()).unwrap();
}

#[test]
fn empty_oversized_and_control_characters_are_refused_in_every_field() {
    type Set = fn(&mut Any, String);
    let fields: [(&str, usize, Set); 6] = [
        ("aggregate type", 255, |event, text| event.aggregate_type = text),
        ("aggregate id", 512, |event, text| event.aggregate_id = Some(text)),
        ("event type", 255, |event, text| event.event_type = text),
        ("topic", 249, |event, text| event.topic = text),
        ("partition key", 512, |event, text| event.key = Some(text)),
        ("content type", 127, |event, text| event.content_type = text),
    ];
    for (name, most, set) in fields {
        for (text, said) in bad_texts(most) {
            let error = error(&any(|event| set(event, text.clone())));
            let StageError::Field { field, problem, .. } = &error else { panic!("{name}: {error}") };
            assert!(*field == name && problem.contains(said), "{name} {text:?}: {error}");
        }
    }
}

#[test]
fn topics_and_keys_of_a_staging_call_are_held_to_the_same_rules() {
    for (text, said) in bad_texts(512) {
        let error = encode(&Any::default(), EventOptions::new().key(text)).unwrap_err();
        assert!(error.to_string().contains("partition key") && error.to_string().contains(said), "{error}");
    }
    for topic in ["", "a b", "a/b", "ü", ".", "..", "a\0b", &"x".repeat(250)] {
        let error = encode(&Any::default(), EventOptions::new().topic(topic)).unwrap_err();
        assert!(matches!(error, StageError::Field { field: "topic", .. }), "{topic:?}: {error}");
    }
}

#[test]
fn headers_that_cannot_be_sent_are_refused_whoever_sets_them() {
    let long = "x".repeat(8 * 1024 + 1);
    let headers = [("", "1"), ("a\0b", "1"), ("outbox-seq", "1"), ("content-type", "1"), ("a", "1\0"), ("a", &long)];
    for (name, value) in headers {
        let of_event = error(&any(|event| event.header = (name.to_owned(), value.to_owned())));
        let of_call = encode(&Any::default(), EventOptions::new().header(name, value)).unwrap_err();
        for error in [of_event, of_call] {
            assert!(matches!(&error, StageError::Header { event_type, .. } if event_type == "order.placed"), "{error}");
        }
    }
    let many = (0..64).fold(EventOptions::new(), |options, n| options.header(format!("h{n}"), n));
    let error = encode(&Any::default(), many).unwrap_err();
    assert!(matches!(error, StageError::Header { source: HeaderError::TooMany, .. }), "{error}");
}

#[test]
fn a_payload_over_the_limit_and_a_version_no_row_can_hold_are_refused() {
    let large = error(&any(|event| event.payload = Ok("x".repeat(1_001))));
    assert!(matches!(large, StageError::PayloadTooLarge { bytes: 1_001, limit: 1_000, .. }), "{large}");
    let version = error(&any(|event| event.panics = "version"));
    assert!(matches!(version, StageError::Field { field: "event version", .. }), "{version}");
}

#[test]
fn a_serializer_that_fails_is_quoted() {
    let error = error(&any(|event| event.payload = Err("no such word")));
    assert_eq!(error.to_string(), "event \"order.placed\": the payload could not be encoded: no such word");
    assert_eq!(error.source().unwrap().to_string(), "no such word");
}

#[test]
fn a_panic_in_any_method_is_an_error_that_names_it() {
    for method in [
        "aggregate_type",
        "aggregate_id",
        "aggregate_version",
        "event_type",
        "event_version",
        "topic",
        "partition_key",
        "headers",
        "encode",
    ] {
        let error = error(&any(|event| event.panics = method));
        assert!(matches!(&error, StageError::Panicked { method: found, .. } if *found == method), "{method}: {error}");
        assert!(error.to_string().ends_with("panicked: on purpose"), "{error}");
    }
}

#[test]
fn a_delay_over_ten_years_is_refused_and_none_at_all_keeps_the_place() {
    let delayed = |delay| encode(&Any::default(), EventOptions::new().delay(delay));
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(delayed(3_650 * day).unwrap().delay, Some(3_650 * day));
    assert!(matches!(delayed(4_000 * day), Err(StageError::Delay { .. })));
    assert_eq!(delayed(Duration::ZERO).unwrap().delay, None);
    assert_eq!(delayed(Duration::from_nanos(999)).unwrap().delay, None);
}

#[test]
fn surroundings_give_way_to_the_event_and_the_event_to_the_call() {
    let mut ambient = Headers::new();
    for name in ["a", "own", "c"] {
        ambient.set(name, "ambient").unwrap();
    }
    let options = EventOptions::new().header("c", "call");
    let envelope = Envelope::encode(&Any::default(), options, ambient, &Limits::new()).unwrap();
    let headers: Vec<_> = envelope.headers.iter().collect();
    assert_eq!(headers, [("a", "ambient"), ("own", "1"), ("c", "call")]);
}
