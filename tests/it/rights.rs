//! Accounts that may do no more than the documentation says they must. The store's contract runs with them too.

use std::time::Duration;

use outbox_core::store::Admin;
use outbox_core::testing::{Fault, FaultyPublisher};
use outbox_core::{MemoryPublisher, OnDeath, RetryPolicy};
use outbox_sea_orm::migration::Migrator;
use outbox_sea_orm::{Outbox, record};
use outbox_tests::ledger::Entered;
use outbox_tests::{Role, TestDatabase, eventually, on_every_server};
use sea_orm::{ConnectionTrait, Database, TransactionTrait};

const DEADLINE: Duration = Duration::from_secs(30);

fn entered(key: &str, version: i64) -> Entered {
    Entered { topic: "t".to_owned(), key: key.to_owned(), version }
}

on_every_server! {
    // One account stages, another delivers, a third looks after what died, and everything arrives.
    async fn each_role_can_do_its_work(db: TestDatabase) {
        Migrator::up(db.connection(), None).await.unwrap();
        db.create_roles().await;
        let writer = Outbox::builder(db.connect_as(Role::Writer).await).strict().build().unwrap();
        writer.check().await.unwrap();
        let txn = writer.begin().await.unwrap();
        for key in ["good", "bad", "hopeless"] {
            txn.stage_event(&entered(key, 1)).unwrap();
            txn.stage_event(&entered(key, 2)).unwrap();
        }
        txn.stage_event_with(&entered("late", 1), |options| options.delay(Duration::from_millis(50))).unwrap();
        txn.commit().await.unwrap();
        let plain = writer.inner().begin().await.unwrap();
        record(&plain, &entered("recorded", 1)).await.unwrap();
        plain.commit().await.unwrap();

        let received = MemoryPublisher::new();
        let processor = |publisher: FaultyPublisher<MemoryPublisher>, db| {
            let policy = RetryPolicy::fixed(Duration::from_millis(10)).max_attempts(2).on_death(OnDeath::ParkKey);
            Outbox::new(db).processor(publisher).retry(policy).spawn().unwrap()
        };
        let is = |key: &'static str| move |message: &outbox_core::Message| message.envelope.key.as_deref() == Some(key);
        let publisher =
            FaultyPublisher::new(received.clone()).when(is("bad"), Fault::Reject).when(is("hopeless"), Fault::Reject);
        let running = processor(publisher, db.connect_as(Role::Processor).await);
        received.wait_for(4, DEADLINE).await.unwrap();

        let operator = Outbox::new(db.connect_as(Role::Operator).await).store();
        let letters = || async { operator.dead_letters(None, 10).await.unwrap().len() == 4 };
        eventually(DEADLINE, letters).await;
        running.shutdown().await.unwrap();
        assert_eq!(operator.stats().await.unwrap().parked_keys_up_to_10_000, 2);
        for key in operator.parked_keys(None, 10).await.unwrap() {
            assert_eq!(operator.requeue_key(&key).await.unwrap(), 2);
        }
        let pending = operator.pending(0, 10).await.unwrap();
        let hopeless: Vec<_> = pending.iter().filter(|event| event.envelope.key.as_deref() == Some("hopeless")).collect();
        let [first, second] = hopeless[..] else { panic!("{pending:?}") };
        for event in [first, second] {
            assert!(operator.give_up(event.envelope.id, "nobody wants it").await.unwrap());
        }
        operator.delete(first.envelope.id).await.unwrap();
        operator.requeue(second.envelope.id).await.unwrap();

        let running = processor(FaultyPublisher::new(received.clone()), db.connect_as(Role::Processor).await);
        assert_eq!(received.wait_for(7, DEADLINE).await.unwrap().len(), 7);
        running.shutdown().await.unwrap();
        assert_eq!(operator.stats().await.unwrap().pending_up_to_10_000, 0);
    }

    // What a program that stages may not do: see, change or take away what it has staged.
    async fn a_writer_can_only_write(db: TestDatabase) {
        Migrator::up(db.connection(), None).await.unwrap();
        db.create_roles().await;
        let writer = db.connect_as(Role::Writer).await;
        let outbox = Outbox::new(writer.clone());
        let txn = outbox.begin().await.unwrap();
        txn.stage_event(&entered("a", 1)).unwrap();
        txn.commit().await.unwrap();
        for table in ["event", "scheduled", "dead", "parked", "shard", "processor"] {
            for sql in ["SELECT * FROM outbox_{}", "DELETE FROM outbox_{}"] {
                let error = writer.execute_unprepared(&sql.replace("{}", table)).await.unwrap_err().to_string();
                assert!(error.contains("denied"), "{error}");
            }
        }
        for sql in [
            "UPDATE outbox_event SET attempts = 9",
            "UPDATE outbox_meta SET value = ''",
            "DELETE FROM outbox_meta",
            "DROP TABLE outbox_event",
        ] {
            let error = writer.execute_unprepared(sql).await.unwrap_err().to_string();
            assert!(error.contains("denied") || error.contains("must be owner"), "{error}");
        }
        let owner = Outbox::new(db.connection().clone()).store();
        assert_eq!(owner.pending(0, 10).await.unwrap().len(), 1);
    }

    // Whoever connects learns that the password is wrong, and from the outbox nothing else.
    async fn a_wrong_password_is_the_databases_error(db: TestDatabase) {
        Migrator::up(db.connection(), None).await.unwrap();
        db.create_roles().await;
        let error = Database::connect(db.url_as(Role::Processor, "another")).await.unwrap_err();
        assert!(matches!(error, sea_orm::DbErr::Conn(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("authentication failed") || text.contains("Access denied"), "{text}");
        assert!(!text.contains("another"), "{text}");
    }
}
