//! A database whose clock jumps.

use std::time::Duration;

use outbox_core::store::Admin;
use outbox_tests::{TestDatabase, on_every_database};
use uuid::Uuid;

use super::fixture::Outboxed;
use super::owner::{LONG, Owner, lease};

on_every_database! {
    /// The clock went back while nobody renewed: leases and processors seem to last for as much longer. That is more than
    /// twice what they were given, so the one who had them is not waited for.
    async fn what_was_taken_before_the_clock_went_back_is_free(db: TestDatabase) {
        let outboxed = Outboxed::new(db).await;
        let gone = Owner::of(&outboxed.store, LONG).await;
        // A day, twice the lease, and by less than a lease.
        for (seconds, free) in [(86_400, true), (2 * LONG.as_secs(), true), (LONG.as_secs() - 60, false)] {
            let micros = seconds * 1_000_000;
            let later = |table, column| format!("UPDATE {table} SET {column} = {column} + {micros}");
            outboxed.execute(outboxed.db.connection(), &later("{shard}", "lease_until")).await;
            outboxed.execute(outboxed.db.connection(), &later("{processor}", "alive_until")).await;
            let stats = outboxed.store.stats().await.unwrap();
            assert_eq!((stats.processors, stats.free_shards), if free { (0, 8) } else { (1, 0) }, "{seconds} s");
            let taken = lease(&outboxed.store, Uuid::now_v7(), LONG).await;
            assert_eq!(taken.len(), if free { 8 } else { 0 }, "{seconds} s");
        }
        drop(gone);
    }
}

on_every_database! {
    /// Whoever renews has its lease by the new time, and nobody takes it for a clock that jumped.
    async fn an_owner_that_renews_keeps_its_shards(db: TestDatabase) {
        let outboxed = Outboxed::new(db).await;
        let owner = Owner::of(&outboxed.store, Duration::from_secs(3_600)).await;
        let jump = "UPDATE {shard} SET lease_until = lease_until + 86400000000";
        outboxed.execute(outboxed.db.connection(), jump).await;
        assert_eq!(lease(&outboxed.store, owner.id, Duration::from_secs(3_600)).await, owner.held);
        assert!(lease(&outboxed.store, Uuid::now_v7(), LONG).await.is_empty());
    }
}
