//! The payload is what serde makes of the type, whatever its attributes.

mod support;

use outbox_core::{Envelope, EventOptions, Headers, Limits, OutboxEvent, StageError};
use serde::Serialize;
use support::{Facts, facts, payload};

#[derive(Serialize, OutboxEvent)]
#[serde(tag = "kind", content = "data", rename_all = "camelCase")]
#[outbox(aggregate = "order", topic = "orders")]
enum Adjacent {
    ItemAdded(#[outbox(aggregate_id)] u8),
    Viewed {
        #[outbox(aggregate_id)]
        #[serde(rename = "orderId")]
        order_id: u8,
    },
}

#[derive(Serialize, OutboxEvent)]
#[serde(tag = "kind")]
#[outbox(aggregate = "order", topic = "orders")]
enum Internal {
    Placed {
        #[outbox(aggregate_id)]
        id: u8,
    },
}

#[derive(Serialize, OutboxEvent)]
#[serde(untagged)]
#[outbox(aggregate = "order", topic = "orders")]
enum Untagged {
    Placed {
        #[outbox(aggregate_id)]
        id: u8,
    },
}

#[derive(Serialize, OutboxEvent)]
#[serde(transparent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderPlaced {
    #[outbox(aggregate_id)]
    id: u8,
}

#[test]
fn tags_and_names_are_serdes_and_event_types_are_not() {
    assert_eq!(payload(&Adjacent::ItemAdded(1)), r#"{"kind":"itemAdded","data":1}"#);
    assert_eq!(Adjacent::ItemAdded(1).event_type(), "order.item_added");
    assert_eq!(payload(&Adjacent::Viewed { order_id: 1 }), r#"{"kind":"viewed","data":{"orderId":1}}"#);
    assert_eq!(payload(&Internal::Placed { id: 1 }), r#"{"kind":"Placed","id":1}"#);
    assert_eq!(payload(&Untagged::Placed { id: 1 }), r#"{"id":1}"#);
    assert_eq!(payload(&OrderPlaced { id: 1 }), "1");
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderShipped {
    #[outbox(aggregate_id)]
    #[serde(skip)]
    id: u8,
    #[outbox(header = "tenant-id")]
    #[serde(skip_serializing)]
    tenant: &'static str,
    #[outbox(header = "carrier")]
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<&'static str>,
    #[serde(flatten)]
    address: Address,
}

#[derive(Serialize)]
struct Address {
    city: &'static str,
}

#[test]
fn a_skipped_field_is_absent_from_the_payload_and_still_an_id_or_a_header() {
    let shipped = OrderShipped { id: 3, tenant: "acme", carrier: None, address: Address { city: "Oslo" } };
    assert_eq!(payload(&shipped), r#"{"city":"Oslo"}"#);
    let expected = Facts {
        aggregate_type: "order",
        aggregate_id: Some("3"),
        event_type: "order.shipped",
        topic: "orders",
        partition_key: Some("3"),
        headers: vec![("tenant-id", "acme")],
        ..Facts::default()
    };
    facts(&shipped, &expected);
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
enum WithHistory {
    Placed(#[outbox(aggregate_id)] u8),
    /// Still read by consumers of old events, written by nobody.
    #[serde(skip_serializing)]
    PlacedLongAgo(#[outbox(aggregate_id)] u8),
}

#[test]
fn a_skipped_variant_is_an_error_to_stage() {
    let stage = |event| Envelope::encode(&event, EventOptions::new(), Headers::new(), &Limits::default());
    assert!(stage(WithHistory::Placed(1)).is_ok());
    let refused = stage(WithHistory::PlacedLongAgo(1));
    assert!(matches!(refused, Err(StageError::Encode { event_type, .. }) if event_type == "order.placed_long_ago"));
}
