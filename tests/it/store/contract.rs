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

/// The same, by accounts that may do no more than the documentation says they must.
mod with_roles {
    use super::{Outboxed, contract};

    macro_rules! on_servers {
        ($($clause:ident),+ $(,)?) => {$(
            mod $clause {
                use super::{Outboxed, contract};

                #[tokio::test(flavor = "multi_thread")]
                async fn postgres() {
                    let Some(db) = outbox_tests::postgres().await else { return };
                    contract::$clause(&Outboxed::with_roles(db).await).await;
                }

                #[tokio::test(flavor = "multi_thread")]
                async fn mariadb() {
                    let Some(db) = outbox_tests::mariadb().await else { return };
                    contract::$clause(&Outboxed::with_roles(db).await).await;
                }
            }
        )+};
    }

    outbox_core::for_every_store_clause!(on_servers);
}
