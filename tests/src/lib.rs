//! What the tests on real servers share: databases, topics, and waiting.
//!
//! `cargo xtask test` starts the servers and runs everything. A test that needs a server which is not there fails
//! and says how to get one; a server can be left out by name, never by accident.
//!
//! ```ignore
//! use outbox_tests::{TestDatabase, on_every_database};
//!
//! on_every_database! {
//!     async fn rows_are_counted(db: TestDatabase) -> Result<(), DbErr> {
//!         db.connection().execute_unprepared("CREATE TABLE t (id INT)").await?;
//!         Ok(())
//!     }
//! }
//!
//! #[tokio::test(flavor = "multi_thread")]
//! async fn only_here() {
//!     let (Some(db), Some(kafka)) = (outbox_tests::postgres().await, outbox_tests::kafka()) else { return };
//!     let topic = kafka.topic(4).await;
//!     // ..
//!     let records = kafka.consume_all(&topic, 100, Duration::from_secs(30)).await;
//! }
//! ```
#![allow(clippy::expect_used, clippy::panic, reason = "a fixture that fails is a test that fails")]

mod child;
mod database;
mod drop_at;
mod eventually;
mod every_database;
mod kafka;
mod own_server;
mod program;
mod rights;
mod roles;
mod server;

pub use child::ProcessorProcess;
pub use database::{Kind, TestDatabase, mariadb, on_server, postgres, sqlite, sqlite_default_pool};
pub use drop_at::drop_at;
pub use eventually::{Condition, eventually};
pub use every_database::{Verdict, exercise};
pub use kafka::{Kafka, kafka};
pub use outbox_testkit::{Record, ledger};
pub use own_server::OwnServer;
pub use program::{FAILED, run_processor, run_recorder, run_requeue, run_writer};
pub use roles::Role;
pub use server::{Availability, Server, availability};
