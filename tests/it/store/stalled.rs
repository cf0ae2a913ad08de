//! A writer that stands still with its rows inserted is nobody's business but its own.

use std::time::Duration;

use outbox_core::store::{Change, Fate, Settled, Store};
use outbox_core::testing::contract::store::Fixture;
use outbox_core::{Envelope, Place};
use outbox_tests::{TestDatabase, on_every_server};

use super::fixture::{Outboxed, event};
use super::owner::{LONG, Owner, only};

/// MariaDB would wait for 50 s and then give up.
const DEADLINE: Duration = Duration::from_secs(20);

on_every_server! {
    async fn a_stalled_writer_hinders_nobody(db: TestDatabase) {
        let outboxed = Outboxed::new(db).await;
        let (store, owner) = (&outboxed.store, Owner::of(&outboxed.store, LONG).await);
        let error = || "no".to_owned();
        let fates = [
            Fate::Delivered,
            Fate::Parked,
            Fate::Dead { attempts: 1, error: error(), park: true },
            Fate::Retry { attempts: 1, delay: LONG, error: error() },
        ];
        for (n, fate) in fates.into_iter().enumerate() {
            outboxed.begin(vec![event(&format!("key-{n}"), "1")]).await.commit().await;
            // Few rows: to read the table from end to end looks cheap, and meets those of others.
            let stalled = outboxed.begin(vec![event("stalled", "2"), soon("stalled")]).await;
            let work = async {
                let (shard, seq, id) = only(&owner, store).await;
                // Not the first one where a pooler has opened a new connection for a read.
                let lanes = owner.read(store).await.lanes;
                let generation = lanes.iter().find(|lane| lane.shard.number() == shard).unwrap().generation;
                // To be looked up, because nobody says where it is.
                let change = Change { seq, id, place: Place::default(), fate };
                let settled = owner.settle_under(generation, store, shard, change).await;
                assert_eq!(settled, Settled::Done);
            };
            tokio::time::timeout(DEADLINE, work).await.expect("the settle waits for the writer");
            stalled.rollback().await;
        }
    }

    async fn a_stalled_writer_hinders_no_scheduled_event(db: TestDatabase) {
        let outboxed = Outboxed::new(db).await;
        let (store, owner) = (&outboxed.store, Owner::of(&outboxed.store, LONG).await);
        outboxed.begin(vec![soon("a")]).await.commit().await;
        let stalled = outboxed.begin(vec![event("stalled", "2"), soon("stalled")]).await;
        outboxed.pass(Duration::from_millis(1)).await;
        let work = store.promote(owner.id, &owner.held, 10);
        tokio::time::timeout(DEADLINE, work).await.expect("the move waits for the writer").unwrap();
        only(&owner, store).await;
        stalled.commit().await;
    }
}

fn soon(key: &str) -> Envelope {
    Envelope { delay: Some(Duration::from_millis(1)), ..event(key, "soon") }
}
