//! The contract, on every database.

use outbox_core::testing::contract::store as contract;
use outbox_tests::{TestDatabase, on_every_database};

use super::fixture::Outboxed;

macro_rules! on_tables {
    ($($clause:ident),+ $(,)?) => {
        on_every_database! {$(
            async fn $clause(db: TestDatabase) {
                contract::$clause(&Outboxed::new(db).await).await;
            }
        )+}
    };
}

outbox_core::for_every_store_clause!(on_tables);
