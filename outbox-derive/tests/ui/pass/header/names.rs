//! A header has any name that HTTP allows, and an optional one is left out when there is none.

use outbox_core::{Headers, OutboxEvent};
use serde::Serialize;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
struct OrderPlaced {
    #[outbox(aggregate_id, header = "x-order")]
    id: u64,
    #[outbox(header = "Tenant_1!#$%&'*+.^`|~")]
    tenant: &'static str,
    #[outbox(header = "coupon")]
    coupon: Option<char>,
}

fn headers(coupon: Option<char>) -> Vec<(String, String)> {
    let mut headers = Headers::new();
    OrderPlaced { id: 7, tenant: "t", coupon }.headers(&mut headers).unwrap();
    headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn main() {
    let both = [("x-order", "7"), ("Tenant_1!#$%&'*+.^`|~", "t")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(headers(None), both);
    assert_eq!(headers(Some('c'))[2], ("coupon".to_owned(), "c".to_owned()));
}
