//! Puts a service with a transactional outbox through faults, and checks what came of it.
//!
//! It is what the library's own fault suite is made of; use what you need of it:
//!
//! - a [`Proxy`] stands between a program and its database or broker, and does what networks do: it resets, swallows,
//!   delays, cuts in the middle of a message and at COMMIT;
//! - a [`ledger`] is a table of what was committed, written in the same transactions as the events, so that it knows
//!   the truth whatever happens to a writer;
//! - [`check`](ledger::check) holds what consumers saw against the ledger: lost, invented, changed, out of order, on
//!   another partition, repeated;
//! - a [`Nemesis`] kills, pauses and replaces your processes and troubles the ways between them, by a [`schedule`] that
//!   is a function of a seed, and tells what it did;
//! - a [`Verdict`] says whether every promise was kept.
//!
//! ```no_run
//! use std::process::Command;
//! use std::time::Duration;
//!
//! use outbox_testkit::{Nemesis, Processes, Protocol, Proxy, Verdict, ledger};
//! # use outbox_testkit::Record;
//! # async fn example(db: sea_orm::DatabaseConnection, records: Vec<Record>) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! // The way to the database, and two processes of your service that take it.
//! let way = Proxy::start("127.0.0.1:5432".parse()?, Protocol::Database).await?;
//! let url = format!("postgres://me@{}/shop", way.address());
//! let relays = Processes::new(2, move |_place| {
//!     let mut relay = Command::new("target/debug/relay");
//!     relay.env("DATABASE_URL", &url);
//!     relay
//! });
//!
//! ledger::create(&db, 100).await?;
//! let nemesis = Nemesis::new(relays).way("the database", &way);
//! nemesis.start().await?;
//! // .. while writers call `ledger::enter` in their transactions ..
//! let history = nemesis.torment(7, Duration::from_secs(60)).await;
//! // .. until nothing is pending ..
//! nemesis.stop().await?;
//!
//! // .. read the topic from its beginning ..
//! let findings = ledger::check(&ledger::entries(&db).await?, &records);
//! let verdict = Verdict::new(findings, &history, 10_000);
//! println!("{verdict}");
//! assert!(verdict.holds());
//! # Ok(())
//! # }
//! ```
//!
//! A whole program that does this to itself is `examples/faults.rs` in the library's repository.
//!
//! # Limits
//!
//! - `Processes` needs Unix. Elsewhere, and for containers, implement [`Service`].
//! - Proxies listen on `127.0.0.1`, and understand neither databases nor Kafka in TLS ([`Protocol`]).
//! - Everything needs a Tokio runtime with I/O and time, and stops with it.
//! - The checker holds all entries and records in memory.
//! - One ledger, one database and one topic per run: what an earlier run left would count as invented.

mod history;
pub mod ledger;
mod nemesis;
#[cfg(unix)]
mod processes;
mod proxy;
mod record;
mod schedule;
mod service;
mod trouble;
mod verdict;

pub use history::{History, Past};
pub use nemesis::Nemesis;
#[cfg(unix)]
pub use processes::Processes;
pub use proxy::{Armed, Direction, Protocol, Proxy, Spell, Trap};
pub use record::Record;
pub use schedule::{Period, carry_out, schedule};
pub use service::{Failure, Service, Stopped};
pub use verdict::Verdict;
