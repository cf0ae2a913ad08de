//! Real servers for tests: PostgreSQL, MariaDB and Kafka as plain processes on the loopback interface.
//!
//! [`Fleet`] is the servers of one folder; one file per server says how it is prepared and started; the rest
//! are the parts they share.

mod account;
pub(crate) mod command;
mod fleet;
pub(crate) mod install;
mod kafka;
mod kafka_options;
mod launch;
mod mariadb;
mod pgbouncer;
mod pgbouncer_build;
mod ports;
mod postgres;
mod probe;
mod process;
pub(crate) mod runs;
mod service;
mod state;

pub(crate) use fleet::Fleet;
#[cfg(test)]
pub(crate) use kafka_options::Listener;
pub(crate) use kafka_options::{KafkaOptions, ScramUser};
pub(crate) use service::Service;
