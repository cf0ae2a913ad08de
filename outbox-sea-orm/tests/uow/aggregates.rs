//! Aggregates that collect their events, and get them back.

use outbox_sea_orm::core::{AggregateRoot, PendingEvents};
use outbox_sea_orm::{CommitOutcome, Outbox, StageError, commit_outcome, core};

use crate::fixtures::{Seen, Thing, both, put};
use crate::proxy::{At, Proxy};

#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Basket {
    items: Vec<String>,
    #[serde(skip)]
    pending: PendingEvents,
}

impl AggregateRoot for Basket {
    fn pending_events(&mut self) -> &mut PendingEvents {
        &mut self.pending
    }
}

impl Basket {
    fn add(&mut self, item: &str) {
        self.items.push(item.to_owned());
        self.pending.record(Thing::new(item));
    }
}

on_every_database! {
    async fn committed_events_are_gone_from_the_aggregate(db) {
        let outbox = db.outbox().await;
        let mut basket = Basket::default();
        basket.add("a");
        basket.add("b");
        let recorded = basket.pending.ids();
        let txn = outbox.begin().await.unwrap();
        put(&txn, "a").await.unwrap();
        put(&txn, "b").await.unwrap();
        assert_eq!(txn.stage_events_of(&mut basket).unwrap(), recorded);
        assert!(basket.pending.is_empty());
        assert!(txn.stage_events_of(&mut basket).unwrap().is_empty());
        basket.add("c");
        put(&txn, "c").await.unwrap();
        txn.stage_events_of(&mut basket).unwrap();
        txn.commit().await.unwrap();
        assert!(basket.pending.is_empty());
        assert_eq!(db.seen().await, Seen::both(&["a", "b", "c"]));
    }

    async fn a_rollback_gives_them_back_and_a_retry_has_the_same_ids(db) {
        let outbox = db.outbox().await;
        let mut basket = Basket::default();
        basket.add("a");
        basket.add("b");
        let recorded = basket.pending.ids();
        let txn = outbox.begin().await.unwrap();
        txn.stage_events_of(&mut basket).unwrap();
        txn.rollback().await.unwrap();
        assert_eq!(basket.pending.ids(), recorded);

        let txn = outbox.begin().await.unwrap();
        txn.stage_events_of(&mut basket).unwrap();
        drop(txn);
        assert_eq!(basket.pending.ids(), recorded);

        let txn = outbox.begin().await.unwrap();
        let inner = txn.begin().await.unwrap();
        inner.stage_events_of(&mut basket).unwrap();
        basket.add("c");
        drop(inner);
        assert_eq!(basket.pending.ids()[..2], recorded);
        assert_eq!(txn.stage_events_of(&mut basket).unwrap()[..2], recorded);
        for label in ["a", "b", "c"] {
            put(&txn, label).await.unwrap();
        }
        txn.commit().await.unwrap();
        assert_eq!(db.seen().await, Seen::both(&["a", "b", "c"]));
    }

    async fn a_mistake_in_one_event_leaves_all_with_the_aggregate(db) {
        let outbox = db.outbox().await;
        let mut basket = Basket::default();
        basket.add("a");
        basket.pending.record(Thing::keyed("", "no key"));
        let txn = outbox.begin().await.unwrap();
        let error: StageError = txn.stage_events_of(&mut basket).unwrap_err();
        assert!(matches!(error.reason(), core::StageError::Field { field: "aggregate id", .. }), "{error}");
        assert_eq!((basket.pending.len(), txn.staged().len()), (2, 0));
        txn.rollback().await.unwrap();
    }

    async fn a_copy_is_the_same_event_and_not_staged_twice(db) {
        let outbox = db.outbox().await;
        let mut basket = Basket::default();
        basket.add("a");
        let mut copy = basket.clone();
        let txn = outbox.begin().await.unwrap();
        both(&txn, "x").await.unwrap();
        txn.stage_events_of(&mut copy).unwrap();
        let error = txn.stage_events_of(&mut basket).unwrap_err();
        assert!(matches!(error.reason(), core::StageError::DuplicateId { .. }), "{error}");
        assert_eq!((basket.pending.len(), copy.pending.len()), (1, 0));
        assert_eq!(basket, copy);
        txn.rollback().await.unwrap();
    }
}

on_databases! { [postgres, mariadb]
    async fn an_unknown_outcome_gives_them_back_with_their_ids(db) {
        let proxy = Proxy::before(&db.url).await;
        let outbox = Outbox::new(db.connect_one(&proxy.url).await);
        let mut basket = Basket::default();
        basket.add("a");
        let recorded = basket.pending.ids();
        let txn = outbox.begin().await.unwrap();
        put(&txn, "a").await.unwrap();
        txn.stage_events_of(&mut basket).unwrap();
        proxy.at("COMMIT", At::CutAfter);
        assert_eq!(commit_outcome(&txn.commit().await.unwrap_err()), CommitOutcome::Unknown);
        assert_eq!(basket.pending.ids(), recorded);
        assert_eq!(db.seen().await, Seen::both(&["a"]));
    }
}

#[test]
fn a_serialized_aggregate_leaves_them_out() {
    let mut basket = Basket::default();
    basket.add("a");
    let json = serde_json::to_string(&basket).unwrap();
    assert_eq!(json, r#"{"items":["a"]}"#);
    let read: Basket = serde_json::from_str(&json).unwrap();
    assert!(read.pending.is_empty());
    assert_eq!(read, basket);
}
