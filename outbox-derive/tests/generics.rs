//! Types with parameters: which bounds the implementation asks for, and which it does not.

mod support;

use std::borrow::Cow;
use std::fmt::Display;
use std::marker::PhantomData;

use outbox_core::{Encoded, OutboxEvent};
use serde::Serialize;
use support::{Facts, facts, payload};

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "thing", topic = "things")]
enum ThingEvent<'a, Id, Body: ?Sized, const N: usize = 2>
where
    Id: Copy,
{
    Made {
        #[outbox(aggregate_id)]
        id: Id,
        body: &'a Body,
    },
    Resized {
        #[outbox(aggregate_id)]
        name: &'a str,
        #[outbox(header = "size")]
        size: Option<Id>,
        #[outbox(aggregate_version)]
        version: Option<u8>,
        #[serde(skip)]
        _parts: [u8; N],
    },
}

#[test]
fn types_lifetimes_and_constants() {
    let made: ThingEvent<'_, u16, str> = ThingEvent::Made { id: 5, body: "text" };
    let thing = Facts { aggregate_type: "thing", topic: "things", ..Facts::default() };
    let expected =
        Facts { aggregate_id: Some("5"), partition_key: Some("5"), event_type: "thing.made", ..thing.clone() };
    facts(&made, &expected);
    assert_eq!(payload(&made), r#"{"Made":{"id":5,"body":"text"}}"#);

    let local = String::from("local");
    let resized: ThingEvent<'_, char, [u8], 3> =
        ThingEvent::Resized { name: &local, size: Some('x'), version: Some(2), _parts: [0; 3] };
    let expected = Facts {
        aggregate_id: Some("local"),
        partition_key: Some("local"),
        aggregate_version: Some(2),
        event_type: "thing.resized",
        headers: vec![("size", "x")],
        ..thing
    };
    facts(&resized, &expected);
    assert_eq!(payload(&resized), r#"{"Resized":{"name":"local","size":"x","version":2}}"#);
}

/// Neither `Display` nor `Serialize`: a parameter that no attribute and no payload uses asks for nothing.
#[derive(Clone)]
struct Opaque;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "tag", topic = "tags")]
#[serde(bound = "")]
struct TagMoved<T> {
    #[outbox(aggregate_id)]
    id: u8,
    #[serde(skip)]
    tag: PhantomData<T>,
}

#[test]
fn a_parameter_that_is_not_used_needs_no_bound() {
    let moved = TagMoved::<Opaque> { id: 1, tag: PhantomData };
    assert_eq!(payload(&moved), r#"{"id":1}"#);
    assert_eq!(moved.tag, PhantomData);
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "ledger", topic = "ledgers")]
struct LedgerPosted<A: Account> {
    #[outbox(aggregate_id)]
    account: A::Id,
    #[outbox(aggregate_version)]
    version: A::Version,
    #[outbox(partition_key)]
    owner: Box<A::Id>,
}

trait Account {
    type Id: Serialize;
    type Version: Serialize;
}

#[derive(Serialize)]
struct Checking;

impl Account for Checking {
    type Id = &'static str;
    type Version = i32;
}

#[test]
fn projections_of_parameters() {
    fn post<A>(account: A::Id, owner: A::Id, version: A::Version) -> impl OutboxEvent
    where
        A: Account + Serialize,
        A::Id: Display,
        A::Version: Clone,
        i64: From<A::Version>,
    {
        LedgerPosted::<A> { account, version, owner: Box::new(owner) }
    }
    let expected = Facts {
        aggregate_type: "ledger",
        aggregate_id: Some("a"),
        aggregate_version: Some(-4),
        event_type: "ledger.posted",
        topic: "ledgers",
        partition_key: Some("o"),
        ..Facts::default()
    };
    facts(&post::<Checking>("a", "o", -4), &expected);
}

#[derive(Serialize)]
struct ByHand<T> {
    id: T,
}

impl<T: Serialize + Display> OutboxEvent for ByHand<T> {
    fn aggregate_type(&self) -> Cow<'_, str> {
        "hand".into()
    }

    fn aggregate_id(&self) -> Option<Cow<'_, str>> {
        Some(self.id.to_string().into())
    }

    fn event_type(&self) -> Cow<'_, str> {
        "hand.raised".into()
    }

    fn topic(&self) -> Cow<'_, str> {
        "hands".into()
    }

    fn partition_key(&self) -> Option<Cow<'_, str>> {
        self.aggregate_id()
    }

    fn encode(&self) -> Result<Encoded, Box<dyn std::error::Error + Send + Sync>> {
        Encoded::json(self)
    }
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "hand", topic = "hands")]
struct HandRaised<T> {
    #[outbox(aggregate_id)]
    id: T,
}

#[test]
fn a_derived_event_is_what_a_hand_written_one_would_be() {
    let expected = Facts {
        aggregate_type: "hand",
        aggregate_id: Some("1"),
        event_type: "hand.raised",
        topic: "hands",
        partition_key: Some("1"),
        ..Facts::default()
    };
    facts(&ByHand { id: 1 }, &expected);
    facts(&HandRaised { id: 1 }, &expected);
    assert_eq!(payload(&ByHand { id: 1 }), payload(&HandRaised { id: 1 }));
}
