//! Nothing that a module calls by a name of the prelude gets into generated code.

type Id = u64;

pub struct Result;
pub struct Option;
pub struct Some;
pub struct None;
pub struct Ok;
pub struct Err;
pub struct Box;
pub struct String;
pub struct ToString;
pub struct Cow;
pub struct Headers;
pub struct Encoded;
pub struct Send;
pub struct Sync;
pub struct Clone;
pub struct From;
#[allow(non_camel_case_types)]
pub struct str;
#[allow(non_camel_case_types)]
pub struct i64;
#[allow(non_camel_case_types)]
pub struct u32;

pub mod core {}
pub mod std {}
pub mod serde {}
pub mod outbox_core {}

#[allow(unused_macros)]
macro_rules! format {
    ($($token:tt)*) => {
        compile_error!("not this one")
    };
}

#[derive(::serde::Serialize, ::outbox_core::OutboxEvent)]
#[outbox(aggregate = "order", topic = "orders")]
pub enum OrderEvent<T> {
    Placed {
        #[outbox(aggregate_id)]
        region: Id,
        #[outbox(aggregate_id, header = "id")]
        id: Id,
        #[outbox(header = "note")]
        note: ::core::option::Option<T>,
        #[outbox(aggregate_version)]
        version: ::std::option::Option<u8>,
    },
}

fn main() {
    use ::outbox_core::OutboxEvent;

    let event = OrderEvent::Placed { region: 1, id: 2, note: ::core::option::Option::Some('n'), version: ::core::option::Option::Some(3) };
    assert_eq!(event.aggregate_id().as_deref(), ::core::option::Option::Some("1:2"));
    assert_eq!(event.aggregate_version(), ::core::option::Option::Some(3));
}
