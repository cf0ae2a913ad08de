//! What derived implementations return.

mod support;

use std::fmt;

use outbox_core::OutboxEvent;
use serde::Serialize;
use support::{Facts, facts, payload};
use uuid::Uuid;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
enum OrderEvent {
    Placed {
        #[outbox(aggregate_id)]
        order_id: Uuid,
        total_cents: i64,
    },
    #[outbox(event_type = "order.cancelled", version = 2)]
    Cancelled {
        #[outbox(aggregate_id)]
        order_id: Uuid,
        reason: String,
    },
    OrderItemAdded(#[outbox(aggregate_id)] Uuid, u32),
    #[outbox(unordered, topic = "order-views")]
    Viewed,
}

const ID: Uuid = Uuid::from_u128(0x0192_f0c1_2345_7000_8000_0000_0000_0007);
const ID_TEXT: &str = "0192f0c1-2345-7000-8000-000000000007";

#[test]
fn every_variant_of_an_enum_is_an_event_type() {
    let order = Facts { aggregate_type: "order", topic: "orders", ..Facts::default() };
    let of_one = Facts { aggregate_id: Some(ID_TEXT), partition_key: Some(ID_TEXT), ..order };

    let placed = OrderEvent::Placed { order_id: ID, total_cents: 1999 };
    facts(&placed, &Facts { event_type: "order.placed", ..of_one.clone() });
    assert_eq!(payload(&placed), format!(r#"{{"Placed":{{"order_id":"{ID_TEXT}","total_cents":1999}}}}"#));

    let cancelled = OrderEvent::Cancelled { order_id: ID, reason: "late".to_owned() };
    facts(&cancelled, &Facts { event_type: "order.cancelled", event_version: 2, ..of_one.clone() });
    assert_eq!(payload(&cancelled), format!(r#"{{"Cancelled":{{"order_id":"{ID_TEXT}","reason":"late"}}}}"#));

    let added = OrderEvent::OrderItemAdded(ID, 3);
    facts(&added, &Facts { event_type: "order.item_added", ..of_one });
    assert_eq!(payload(&added), format!(r#"{{"OrderItemAdded":["{ID_TEXT}",3]}}"#));

    let viewed =
        Facts { event_type: "order.viewed", topic: "order-views", aggregate_type: "order", ..Facts::default() };
    facts(&OrderEvent::Viewed, &viewed);
    assert_eq!(payload(&OrderEvent::Viewed), r#""Viewed""#);
}

#[derive(Serialize, OutboxEvent)]
#[expect(unused_qualifications, reason = "`Option` is recognized in every spelling")]
#[outbox(aggregate = "stock", topic = "stock.v1", version = 3, rename_all = "PascalCase")]
struct StockItemMoved {
    #[outbox(aggregate_id, header = "warehouse")]
    warehouse: &'static str,
    #[outbox(aggregate_id)]
    sku: u32,
    #[outbox(partition_key)]
    region: String,
    #[outbox(partition_key, header = "Bay")]
    bay: char,
    #[outbox(aggregate_version)]
    revision: u32,
    #[outbox(header = "carrier")]
    carrier: Option<String>,
    #[outbox(header = "reason")]
    reason: std::option::Option<Reason>,
}

#[derive(Serialize, Clone, Copy)]
enum Reason {
    Damage,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was damaged")
    }
}

#[test]
fn a_struct_has_everything_on_itself() {
    let event = StockItemMoved {
        warehouse: "W1",
        sku: 42,
        region: "eu".to_owned(),
        bay: 'c',
        revision: 9,
        carrier: None,
        reason: Some(Reason::Damage),
    };
    facts(
        &event,
        &Facts {
            aggregate_type: "stock",
            aggregate_id: Some("W1:42"),
            aggregate_version: Some(9),
            event_type: "stock.ItemMoved",
            event_version: 3,
            topic: "stock.v1",
            partition_key: Some("eu:c"),
            headers: vec![("warehouse", "W1"), ("Bay", "c"), ("reason", "it was damaged")],
        },
    );
    assert_eq!(
        payload(&event),
        r#"{"warehouse":"W1","sku":42,"region":"eu","bay":"c","revision":9,"carrier":null,"reason":"Damage"}"#
    );
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "ping", topic = "pings", unordered, event_type = "ping")]
struct Ping;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "user", topic = "users")]
struct UserRenamed(#[outbox(aggregate_id)] u8, #[outbox(aggregate_version)] Option<Revision>, String);

#[derive(Serialize, Clone, Copy)]
struct Revision(i64);

impl From<Revision> for i64 {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

#[test]
fn tuples_and_units() {
    facts(&Ping, &Facts { aggregate_type: "ping", event_type: "ping", topic: "pings", ..Facts::default() });
    assert_eq!(payload(&Ping), "null");

    let renamed = |revision| UserRenamed(5, revision, "Ann".to_owned());
    let expected = Facts {
        aggregate_type: "user",
        aggregate_id: Some("5"),
        partition_key: Some("5"),
        event_type: "user.renamed",
        topic: "users",
        ..Facts::default()
    };
    facts(&renamed(None), &expected);
    facts(&renamed(Some(Revision(-1))), &Facts { aggregate_version: Some(-1), ..expected });
    assert_eq!(payload(&renamed(None)), r#"[5,null,"Ann"]"#);
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "cart", topic = "carts", version = 4)]
#[outbox(rename_all = "kebab-case", unordered)]
enum CartEvent {
    CartItemAdded {
        #[outbox(aggregate_id)]
        cart: u64,
    },
    #[outbox(version = 5, event_type = "CART EMPTIED")]
    Emptied,
    #[outbox(event_type = "CART EMPTIED")]
    EmptiedOnce,
}

#[test]
fn variants_inherit_from_the_enum_and_override_it() {
    let cart = Facts { aggregate_type: "cart", topic: "carts", event_version: 4, ..Facts::default() };
    let added = Facts { event_type: "cart.item-added", aggregate_id: Some("8"), ..cart.clone() };
    facts(&CartEvent::CartItemAdded { cart: 8 }, &added);
    facts(&CartEvent::Emptied, &Facts { event_type: "CART EMPTIED", event_version: 5, ..cart.clone() });
    facts(&CartEvent::EmptiedOnce, &Facts { event_type: "CART EMPTIED", ..cart });
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "invoice", rename_all = "SCREAMING_SNAKE_CASE")]
enum InvoiceEvent {
    #[outbox(topic = "drafts")]
    DraftSaved(#[outbox(aggregate_id)] u8),
    #[outbox(topic = "invoices")]
    r#Sent {
        #[outbox(aggregate_id, header = "type")]
        r#type: &'static str,
    },
}

#[test]
fn topics_of_variants_and_raw_identifiers() {
    let invoice = Facts { aggregate_type: "invoice", ..Facts::default() };
    let key = |key| Facts { aggregate_id: Some(key), partition_key: Some(key), ..invoice.clone() };
    facts(&InvoiceEvent::DraftSaved(1), &Facts { event_type: "invoice.DRAFT_SAVED", topic: "drafts", ..key("1") });
    let sent = Facts { event_type: "invoice.SENT", topic: "invoices", headers: vec![("type", "b2b")], ..key("b2b") };
    facts(&InvoiceEvent::Sent { r#type: "b2b" }, &sent);
    assert_eq!(payload(&InvoiceEvent::Sent { r#type: "b2b" }), r#"{"Sent":{"type":"b2b"}}"#);
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "ticket", topic = "tickets", aggregate_id = "type")]
enum TicketEvent {
    Opened {
        r#type: u8,
    },
    Moved {
        r#type: u8,
        #[outbox(aggregate_id)]
        to: u8,
        #[outbox(partition_key)]
        queue: u8,
    },
    #[outbox(unordered)]
    Seen {
        r#type: u8,
    },
    #[outbox(unordered)]
    Counted,
    Closed(#[outbox(aggregate_id)] u8),
}

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "ticket", topic = "tickets", aggregate_id = "1")]
struct TicketPrinted(&'static str, u8);

#[test]
fn one_attribute_names_the_aggregate_id_of_all_variants() {
    let ids = |event: &dyn OutboxEvent| {
        let (id, key) = (event.aggregate_id(), event.partition_key());
        (id.map(std::borrow::Cow::into_owned), key.map(std::borrow::Cow::into_owned))
    };
    let both = |id: &str, key: &str| (Some(id.to_owned()), Some(key.to_owned()));
    assert_eq!(ids(&TicketEvent::Opened { r#type: 1 }), both("1", "1"));
    assert_eq!(ids(&TicketEvent::Moved { r#type: 1, to: 2, queue: 3 }), both("2", "3"));
    assert_eq!(ids(&TicketEvent::Seen { r#type: 1 }), (Some("1".to_owned()), None));
    assert_eq!(ids(&TicketEvent::Counted), (None, None));
    assert_eq!(ids(&TicketEvent::Closed(4)), both("4", "4"));
    assert_eq!(ids(&TicketPrinted("x", 5)), both("5", "5"));
}

#[test]
fn derived_events_are_trait_objects() {
    let events: [Box<dyn OutboxEvent>; 2] = [Box::new(Ping), Box::new(OrderEvent::Viewed)];
    let types: Vec<_> = events.iter().map(|event| event.event_type().into_owned()).collect();
    assert_eq!(types, ["ping", "order.viewed"]);
}
