//! A database whose clock jumps.

use std::time::Duration;

use outbox_core::store::Admin;
use outbox_tests::{TestDatabase, on_every_database};
use uuid::Uuid;

use super::fixture::Outboxed;
use super::owner::{LONG, Owner, lease};

on_every_database! {
    /// The clock went back by a day while nobody renewed: leases and processors of the day that was seem to last for
    /// one more. No lease is that long, so the one who had it is not waited for.
    async fn what_was_taken_before_the_clock_went_back_is_free(db: TestDatabase) {
        let outboxed = Outboxed::new(db).await;
        let gone = Owner::of(&outboxed.store, LONG).await;
        // An hour is the longest lease.
        for (hours, free) in [(24_i64, true), (1, true), (0, false)] {
            let micros = hours * 3_600_000_000;
            let later = |table, column| format!("UPDATE {table} SET {column} = {column} + {micros}");
            outboxed.execute(outboxed.db.connection(), &later("{shard}", "lease_until")).await;
            outboxed.execute(outboxed.db.connection(), &later("{processor}", "alive_until")).await;
            let stats = outboxed.store.stats().await.unwrap();
            assert_eq!((stats.processors, stats.free_shards), if free { (0, 8) } else { (1, 0) }, "{hours} hours");
            let taken = lease(&outboxed.store, Uuid::now_v7(), LONG).await;
            assert_eq!(taken.len(), if free { 8 } else { 0 }, "{hours} hours");
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
