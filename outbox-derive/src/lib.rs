//! The derive macro of a transactional outbox's events.
//!
//! Use it through `outbox_core` (or `outbox_sea_orm`), whose feature `derive` re-exports it next to the trait.
//! How to read it: an input becomes a tree (`ast`) of what was written (`attr`, `key`); the tree is judged
//! (`check`, `name`, `text`), and either implemented (`expand`) or reported with everything that is wrong
//! (`ctxt`, `fallback`).

mod ast;
mod attr;
mod check;
mod ctxt;
mod derive;
mod expand;
mod fallback;
mod key;
mod name;
mod text;

use proc_macro::TokenStream;
use quote::quote;
use syn::{DeriveInput, parse_macro_input};

use derive::derive;

/// Implements `OutboxEvent` for a struct, or for an enum whose every variant is an event type of its own.
///
/// ```
/// use outbox_core::OutboxEvent;
/// use serde::Serialize;
///
/// #[derive(Serialize, OutboxEvent)]
/// #[outbox(aggregate = "order", topic = "orders", aggregate_id = "order_id")]
/// enum OrderEvent {
///     Placed { order_id: u64, total_cents: i64 },
///     #[outbox(event_type = "order.cancelled", version = 2)]
///     Cancelled {
///         order_id: u64,
///         #[outbox(header = "reason")]
///         reason: Option<String>,
///     },
///     Merged {
///         // Instead of the field that the enum names.
///         #[outbox(aggregate_id)]
///         into: u64,
///         order_id: u64,
///     },
///     #[outbox(unordered, topic = "order-views")]
///     Viewed,
/// }
///
/// let placed = OrderEvent::Placed { order_id: 7, total_cents: 1999 };
/// assert_eq!(placed.event_type(), "order.placed");
/// assert_eq!(placed.event_version(), 1);
/// assert_eq!(placed.topic(), "orders");
/// assert_eq!(placed.partition_key().as_deref(), Some("7"));
///
/// let cancelled = OrderEvent::Cancelled { order_id: 7, reason: None };
/// assert_eq!((&*cancelled.event_type(), cancelled.event_version()), ("order.cancelled", 2));
///
/// let merged = OrderEvent::Merged { into: 8, order_id: 7 };
/// assert_eq!(merged.aggregate_id().as_deref(), Some("8"));
///
/// let viewed = OrderEvent::Viewed;
/// assert_eq!((&*viewed.topic(), viewed.partition_key()), ("order-views", None));
/// ```
///
/// # On the struct or enum
///
/// | attribute | meaning | default |
/// |---|---|---|
/// | `aggregate = ".."` | the kind of thing the event is about: 1 to 255 bytes, no control characters | required |
/// | `topic = ".."` | the topic to publish to: 1 to 249 ASCII letters, digits, `.`, `_` and `-` | required, unless every variant has its own |
/// | `aggregate_id = ".."` | the name of the field that is the aggregate id in every variant (of a tuple: its number); a variant that marks a field itself goes before | the marked fields |
/// | `event_type = ".."` | the event type, verbatim (struct only) | derived from the name |
/// | `rename_all = ".."` | the case of derived event types: `snake_case`, `kebab-case`, `camelCase`, `PascalCase`, `SCREAMING_SNAKE_CASE`, `SCREAMING-KEBAB-CASE`, `lowercase` or `UPPERCASE` | `snake_case` |
/// | `version = N` | the version of the payload's schema: 1 to 2147483647 | 1 |
/// | `unordered` | no partition key: no other event waits for this one | ordered by aggregate id |
/// | `crate = ".."` | the path of the core crate, for dependencies under another name | see below |
///
/// # On a variant
///
/// `event_type`, `topic`, `version` and `unordered`, each for this variant alone and instead of what the enum says.
///
/// # On a field
///
/// | attribute | meaning | the field's type |
/// |---|---|---|
/// | `aggregate_id` | which aggregate; of several fields, in their order, the texts with `:` between them | `Display` |
/// | `partition_key` | the key that orders events, instead of the aggregate id; several like above | `Display` |
/// | `aggregate_version` | the aggregate's own version after the event, at most one field | `T` or `Option<T>`, where `T: Clone` and `i64: From<T>` |
/// | `header = ".."` | a header with the field's text; `None` leaves it out | `T` or `Option<T>`, where `T: Display` |
///
/// One field may have several of them. A field of a tuple is marked like any other:
/// `struct OrderPlaced(#[outbox(aggregate_id)] u64);`.
/// `Option` is recognized by its spelling, so an alias of it is taken for a type without `None`.
/// Nothing is escaped when fields are joined: choose fields whose text has no `:`, or `a:b` with `c` and `a` with
/// `b:c` are one aggregate.
///
/// # Event types
///
/// An event type is a stable name that consumers know, never a path of Rust code. Without `event_type` it is the
/// aggregate, a dot, and the name of the variant or struct in snake case, without the aggregate in front:
/// in "order", `ItemAdded` and `OrderItemAdded` are both `order.item_added`. A name that is nothing but the
/// aggregate's is refused, because it does not say what happened. Two variants of an enum cannot have the same
/// event type and version.
///
/// # Order
///
/// Events of one topic and partition key are delivered in the order of staging. So that order is a decision and
/// never an oversight, every event has an aggregate id or says `unordered`. An unordered event may have an
/// aggregate id; it then is information and not a key.
///
/// # Payload
///
/// The payload is the JSON that the type's own `Serialize` writes: every serde attribute (`tag`, `untagged`,
/// `rename`, `flatten`, `skip` ..) shapes it as it shapes any other JSON, and nothing of `outbox` changes it.
/// A field that serde skips is absent from the payload and can be an id or a header all the same. A *variant* that
/// serde skips compiles, so that old variants can stay readable, and is an error to stage.
///
/// For a generic type the implementation exists where the type itself is `Serialize` and the marked fields satisfy
/// the table above.
///
/// # Mistakes
///
/// All mistakes of a type are reported in one compile, each where it is. Names, topics, header names, versions and
/// duplicates are held to the rules of staging; what only shows at run time (the length of an id, the size of the
/// payload) is checked when the event is staged.
///
/// # The path of the core crate
///
/// Generated code names `::outbox_core`. The derive that `outbox_sea_orm` re-exports names `::outbox_sea_orm::core`
/// instead, so that a program needs one dependency and a crate that only defines events needs core alone. Where a
/// `Cargo.toml` gives the dependency another name, say so: `#[outbox(crate = "events::outbox")]`.
#[proc_macro_derive(OutboxEvent, attributes(outbox))]
pub fn outbox_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive(&input, quote!(::outbox_core)).into()
}

/// [`OutboxEvent`] for crates that depend on `outbox-sea-orm` alone, which re-exports it under that name.
#[proc_macro_derive(FacadeOutboxEvent, attributes(outbox))]
pub fn facade_outbox_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive(&input, quote!(::outbox_sea_orm::core)).into()
}
