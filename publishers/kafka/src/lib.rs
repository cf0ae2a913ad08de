//! Under construction.

mod config;
mod context;
mod error;
mod pipeline;
mod placement;
mod publisher;
mod record;
mod redact;
mod rules;
mod session;
mod settle;
mod slot;
mod solo;
mod sync;
mod ticket;
mod topics;

pub use config::{Compression, KafkaPublisherBuilder};
pub use error::ConfigError;
pub use publisher::KafkaPublisher;
pub use record::headers;
