//! Writers that lock nothing themselves.

use std::collections::HashMap;

use outbox_sea_orm::Outbox;
use sea_orm::{ConnectionTrait, Statement};

use crate::fixtures::{Db, Seen, Thing, early, waits};

async fn strict(db: &Db) -> Outbox {
    db.builder().await.strict().build().unwrap()
}

on_databases! { [postgres, mariadb]
    async fn without_it_the_later_number_may_commit_first(db) {
        let outbox = db.outbox().await;
        let (a, b) = (outbox.begin().await.unwrap(), outbox.begin().await.unwrap());
        early(&a, &Thing::new("a")).await.unwrap();
        b.stage_event(&Thing::new("b")).unwrap();
        b.commit().await.unwrap();
        assert_eq!(db.seen().await.events, ["b"]);
        a.commit().await.unwrap();
        assert_eq!(db.seen().await.events, ["a", "b"]);
    }

    async fn the_later_number_waits(db) {
        let owner = db.owner().await;
        for by_transaction in [false, true] {
            let outbox = if by_transaction { db.outbox().await } else { strict(db).await };
            let (a, b) = (outbox.begin().await.unwrap(), outbox.begin().await.unwrap());
            if by_transaction {
                a.strict();
                b.strict();
            }
            early(&a, &Thing::new("a")).await.unwrap();
            b.stage_event(&Thing::new("b")).unwrap();
            let b = tokio::spawn(b.commit());
            while !waits(&owner).await {
                assert!(!b.is_finished());
            }
            a.commit().await.unwrap();
            b.await.unwrap().unwrap();
        }
        assert_eq!(db.seen().await.events, ["a", "b", "a", "b"]);
    }

    async fn other_keys_do_not_wait(db) {
        let outbox = strict(db).await;
        let (a, b) = (outbox.begin().await.unwrap(), outbox.begin().await.unwrap());
        early(&a, &Thing::keyed("one", "a")).await.unwrap();
        b.stage_event(&Thing::keyed("two", "b")).unwrap();
        b.stage_event(&Thing { key: None, label: "c".to_owned() }).unwrap();
        b.commit().await.unwrap();
        a.commit().await.unwrap();
    }

    async fn under_load_no_number_appears_below_a_seen_one(db) {
        let outbox = strict(db).await;
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let outbox = outbox.clone();
                tokio::spawn(async move {
                    for n in 0..25 {
                        let txn = outbox.begin().await.unwrap();
                        // In an order of their own: the locks are taken sorted, so nobody deadlocks.
                        for k in 0..3 {
                            let key = format!("k{}", (writer + n + k) % 3);
                            txn.stage_event(&Thing::keyed(&key, format!("{writer}-{n}"))).unwrap();
                        }
                        txn.commit().await.unwrap();
                    }
                })
            })
            .collect();
        let reader = db.owner().await;
        let mut seen = HashMap::<String, Vec<i64>>::new();
        loop {
            let done = writers.iter().all(tokio::task::JoinHandle::is_finished);
            let all = Statement::from_string(reader.get_database_backend(), "SELECT partition_key, seq FROM outbox_event ORDER BY seq");
            let mut now = HashMap::<String, Vec<i64>>::new();
            for row in reader.query_all_raw(all).await.unwrap() {
                now.entry(row.try_get_by_index(0).unwrap()).or_default().push(row.try_get_by_index(1).unwrap());
            }
            for (key, before) in &seen {
                assert_eq!(now[key][..before.len()], before[..], "a number appeared below one that was seen");
            }
            seen = now;
            if done {
                break;
            }
        }
        assert_eq!(seen.values().map(Vec::len).sum::<usize>(), 300);
    }
}

on_databases! { [sqlite, sqlite_of_one]
    async fn sqlite_needs_no_locks(db) {
        let outbox = strict(db).await;
        let txn = outbox.begin().await.unwrap();
        txn.stage_event(&Thing::new("a")).unwrap();
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen { rows: vec![], events: vec!["a".to_owned()] });
    }
}
