//! A pointer to an event is an event.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Encoded, HeaderError, Headers, OutboxEvent};

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<E: OutboxEvent + ?Sized> OutboxEvent for $pointer {
            fn aggregate_type(&self) -> Cow<'_, str> {
                (**self).aggregate_type()
            }
            fn aggregate_id(&self) -> Option<Cow<'_, str>> {
                (**self).aggregate_id()
            }
            fn aggregate_version(&self) -> Option<i64> {
                (**self).aggregate_version()
            }
            fn event_type(&self) -> Cow<'_, str> {
                (**self).event_type()
            }
            fn event_version(&self) -> u32 {
                (**self).event_version()
            }
            fn topic(&self) -> Cow<'_, str> {
                (**self).topic()
            }
            fn partition_key(&self) -> Option<Cow<'_, str>> {
                (**self).partition_key()
            }
            fn headers(&self, headers: &mut Headers) -> Result<(), HeaderError> {
                (**self).headers(headers)
            }
            fn encode(&self) -> Result<Encoded, Box<dyn std::error::Error + Send + Sync>> {
                (**self).encode()
            }
        }
    )*};
}

forward!(&E, Box<E>, Arc<E>);
