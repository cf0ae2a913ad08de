//! What events say: keys, payloads, header values.

use std::borrow::Cow;
use std::time::Duration;

use outbox_core::event::{HeaderError, Headers};
use outbox_core::store::Admin;
use outbox_core::testing::{Fault, FaultyPublisher};
use outbox_core::{Encoded, EventOptions, LogPublisher, MemoryPublisher, OnDeath, OutboxEvent, RetryPolicy};
use outbox_kafka::KafkaPublisher;
use outbox_sea_orm::migration::{Migrator, Options, OutboxMigrator};
use outbox_sea_orm::{Outbox, record};
use outbox_tests::{TestDatabase, eventually, kafka, on_every_database};

use crate::log::{self, Shown};

const DEADLINE: Duration = Duration::from_secs(60);

/// All that a program may put into an event is a canary.
struct Told {
    topic: String,
    key: String,
    payload: Vec<u8>,
    header: String,
}

impl Told {
    fn of(topic: &str) -> Self {
        Self {
            topic: topic.to_owned(),
            key: "canary-key".to_owned(),
            payload: b"\"canary-payload\"".to_vec(),
            header: "canary-header".to_owned(),
        }
    }
}

impl OutboxEvent for Told {
    fn aggregate_type(&self) -> Cow<'_, str> {
        "thing".into()
    }

    fn aggregate_id(&self) -> Option<Cow<'_, str>> {
        Some(self.key.as_str().into())
    }

    fn event_type(&self) -> Cow<'_, str> {
        "thing.told".into()
    }

    fn topic(&self) -> Cow<'_, str> {
        self.topic.as_str().into()
    }

    fn partition_key(&self) -> Option<Cow<'_, str>> {
        self.aggregate_id()
    }

    fn headers(&self, headers: &mut Headers) -> Result<(), HeaderError> {
        headers.set("told", &self.header)
    }

    fn encode(&self) -> Result<Encoded, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Encoded::new(self.payload.clone(), Encoded::JSON))
    }
}

on_every_database! {
    /// From staging over rejections to the dead letters, and back.
    async fn a_rejected_event_is_never_shown(db: TestDatabase) {
        let mut shown = Shown::nothing();
        Migrator::up(db.connection(), None).await.unwrap();
        let outbox = Outbox::new(log::chatty(&db).await);
        let txn = outbox.begin().await.unwrap();
        for _ in 0..2 {
            txn.stage_event_with(&Told::of("rejected"), |options| options.header("more", "canary-more")).unwrap();
        }
        txn.stage_event(&Told::of("good")).unwrap();
        shown.debug(&txn);
        shown.debug(&txn.staged());
        txn.commit().await.unwrap();
        let policy = RetryPolicy::fixed(Duration::from_millis(10)).max_attempts(2).on_death(OnDeath::ParkKey);
        let rejected = |message: &outbox_core::Message| message.envelope.topic == "rejected";
        let publisher = FaultyPublisher::new(LogPublisher::new()).when(rejected, Fault::Reject);
        shown.debug(&publisher);
        let processor = outbox.processor(publisher).retry(policy).spawn().unwrap();
        let store = outbox.store();
        let dead = || async { store.dead_letters(None, 10).await.unwrap().len() == 2 };
        eventually(DEADLINE, dead).await;
        shown.debug(&processor.snapshot().await);
        shown.debug(&processor.shutdown().await);
        let letters = store.dead_letters(None, 10).await.unwrap();
        shown.debug(&letters);
        for letter in &letters {
            shown.debug(&(&letter.reason, &letter.rejections, letter.envelope.order_key()));
        }
        shown.debug(&store.parked_keys(None, 10).await);
        shown.error(&store.requeue(letters[0].envelope.id).await.unwrap_err());
        assert_eq!(store.requeue_key(&letters[0].envelope.order_key().unwrap()).await.unwrap(), 2);
        shown.debug(&store.pending(0, 10).await);
        let received = MemoryPublisher::new();
        let processor = outbox.processor(received.clone()).spawn().unwrap();
        shown.debug(&received.wait_for(2, DEADLINE).await);
        shown.debug(&received);
        shown.debug(&received.messages());
        processor.shutdown().await.unwrap();
        shown.check(&["thing.told", "a fault of the test"], &["is dead", "will be tried again", "sqlx::query"]);
    }

    /// What is refused when it is staged, or recorded.
    async fn a_refused_event_is_never_shown(db: TestDatabase) {
        let mut shown = Shown::nothing();
        Migrator::up(db.connection(), None).await.unwrap();
        let outbox = Outbox::new(log::chatty(&db).await);
        let txn = outbox.begin().await.unwrap();
        let changed = |change: fn(&mut Told)| {
            let mut told = Told::of("topic");
            change(&mut told);
            told
        };
        for told in [
            changed(|told| told.key = "canary\0".to_owned()),
            changed(|told| told.key = "canary".repeat(1_000)),
            changed(|told| told.header = "canary\r\n".to_owned()),
            changed(|told| told.header = "canary".repeat(10_000)),
            changed(|told| told.payload = "canary".repeat(1_000_000).into_bytes()),
        ] {
            shown.error(&txn.stage_event(&told).unwrap_err());
            shown.error(&record(&txn, &told).await.unwrap_err());
        }
        // Refused by the tables: text, and bytes that are none.
        txn.stage_event(&changed(|told| told.payload = b"\xffcanary".to_vec())).unwrap();
        shown.error(&txn.commit().await.unwrap_err());
        // Tables that were made again with another shard count, which refuse the row.
        OutboxMigrator::new(Options::default()).down(db.connection()).await.unwrap();
        OutboxMigrator::new(Options::default().shards(8).unwrap()).up(db.connection()).await.unwrap();
        let txn = outbox.begin().await.unwrap();
        txn.stage_event(&Told::of("topic")).unwrap();
        shown.error(&txn.commit().await.unwrap_err());
        let told = Told::of("topic");
        shown.debug(&told.encode());
        shown.debug(&EventOptions::new().key("canary-key").header("a", "canary-header"));
        shown.check(&["aggregate id", "shard count"], &[]);
    }
}

/// The broker takes neither the message nor, later, anything at all.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_kafka_refuses_is_never_shown() {
    let (Some(db), Some(kafka)) = (outbox_tests::postgres().await, kafka()) else { return };
    let mut shown = Shown::nothing();
    Migrator::up(db.connection(), None).await.unwrap();
    let outbox = Outbox::new(log::chatty(&db).await);
    let topic = kafka.topic_with(1, &[("max.message.bytes", "1000")]).await;
    let mut large = Told::of(&topic);
    large.payload = (0..400).map(|n| format!("canary{:016x}", fastrand::u64(..) ^ n)).collect::<String>().into_bytes();
    let txn = outbox.begin().await.unwrap();
    txn.stage_event(&large).unwrap();
    txn.commit().await.unwrap();
    let publisher = KafkaPublisher::builder(kafka.brokers()).set("debug", "all").build().unwrap();
    let processor = outbox.processor(publisher).retry(RetryPolicy::never()).spawn().unwrap();
    let store = outbox.store();
    eventually(DEADLINE, || async { store.dead_letters(None, 1).await.unwrap().len() == 1 }).await;
    let letters = store.dead_letters(None, 1).await.unwrap();
    shown.debug(&letters);
    shown.debug(&(&letters[0].reason, &letters[0].rejections));
    shown.debug(&processor.shutdown().await);

    let publisher = KafkaPublisher::builder("127.0.0.1:1")
        .set("security.protocol", "SASL_PLAINTEXT")
        .set("sasl.mechanism", "PLAIN")
        .set("sasl.username", "canary-user")
        .set("sasl.password", "canary-password")
        .set("debug", "all")
        .delivery_timeout(Duration::from_secs(1));
    shown.debug(&publisher);
    let processor = outbox.processor(publisher.build().unwrap()).spawn().unwrap();
    let txn = outbox.begin().await.unwrap();
    txn.stage_event(&Told::of(&topic)).unwrap();
    txn.commit().await.unwrap();
    let paused = || async { !processor.snapshot().await.unwrap().paused.is_empty() };
    eventually(DEADLINE, paused).await;
    shown.debug(&processor.snapshot().await);
    shown.debug(&processor.shutdown().await);
    shown.check(&["too large", "no broker took the message"], &["librdkafka", "a topic does not work"]);
}
