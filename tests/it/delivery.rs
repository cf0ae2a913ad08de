//! The whole way from a transaction to a broker, where it is rough.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use outbox_core::shard::{DEFAULT_SHARD_COUNT, Shard};
use outbox_core::store::{Admin, DeadState};
use outbox_core::{EventId, MemoryPublisher, OnDeath, OrderKey, RetryPolicy};
use outbox_kafka::KafkaPublisher;
use outbox_sea_orm::migration::Migrator;
use outbox_sea_orm::{Outbox, SeaOrmStore};
use outbox_tests::ledger::{Entered, payload};
use outbox_tests::{
    Kafka, ProcessorProcess, Record, Role, TestDatabase, eventually, kafka, mariadb, on_every_database, postgres,
};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};

const DEADLINE: Duration = Duration::from_secs(60);

/// Of a program that stages and has a processor in it.
pub(crate) async fn outbox(db: &TestDatabase) -> Outbox {
    Migrator::up(db.connection(), None).await.unwrap();
    Outbox::new(db.pool(Role::Service).await)
}

/// As an operator.
pub(crate) async fn operator(db: &TestDatabase) -> SeaOrmStore {
    Outbox::new(db.pool(Role::Operator).await).store()
}

pub(crate) fn entered(topic: &str, key: &str, version: i64) -> Entered {
    Entered { topic: topic.to_owned(), key: key.to_owned(), version }
}

pub(crate) async fn stage(outbox: &Outbox, events: impl IntoIterator<Item = Entered>) {
    let txn = outbox.begin().await.unwrap();
    for event in events {
        txn.stage_event(&event).unwrap();
    }
    txn.commit().await.unwrap();
}

/// A writer stalls between its INSERT and its COMMIT while others go on, also in its own shard. However long that
/// takes, what it wrote still arrives, and nothing that was staged after its commit arrives before it.
async fn a_stalled_writer_loses_and_reorders_nothing(db: TestDatabase) {
    let outbox = outbox(&db).await;
    let received = MemoryPublisher::new();
    let processor = outbox.processor(received.clone()).spawn().unwrap();
    let shard = |key: &str| Shard::of_key(key, DEFAULT_SHARD_COUNT);
    let of_shard = |same: bool| {
        let mut keys = (0..).map(|n| format!("fast-{n}"));
        keys.find(|key| (shard(key) == shard("slow")) == same).unwrap()
    };
    let fast = [of_shard(true), of_shard(false)];
    let (mut sent, mut version) = (0, 0);
    for (round, stall) in (0..).zip([0, 0, 3, 0, 8].map(Duration::from_secs)) {
        let stalled = outbox.begin().await.unwrap();
        stalled.stage_event(&entered("t", "slow", 2 * round)).unwrap();
        stalled.flush().await.unwrap();
        let since = Instant::now();
        let mut commits = 0;
        while commits < 20 || since.elapsed() < stall {
            stage(&outbox, fast.iter().map(|key| entered("t", key, version))).await;
            (version, commits, sent) = (version + 1, commits + 1, sent + fast.len());
            received.wait_for(sent, DEADLINE).await.unwrap();
        }
        stalled.commit().await.unwrap();
        stage(&outbox, [entered("t", "slow", 2 * round + 1)]).await;
        sent += 2;
        received.wait_for(sent, DEADLINE).await.unwrap();
    }
    processor.shutdown().await.unwrap();
    let messages = received.messages();
    assert_eq!(messages.len(), sent);
    for key in fast.iter().map(String::as_str).chain(["slow"]) {
        let of_key = messages.iter().filter(|message| message.envelope.key.as_deref() == Some(key));
        let versions: Vec<i64> = of_key.filter_map(|message| message.envelope.aggregate_version).collect();
        assert!(versions.is_sorted(), "{key}: {versions:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_writer_on_postgres() {
    let Some(db) = postgres().await else { return };
    a_stalled_writer_loses_and_reorders_nothing(db).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_writer_on_mariadb() {
    let Some(db) = mariadb().await else { return };
    a_stalled_writer_loses_and_reorders_nothing(db).await;
}

on_every_database! {
    /// A processor that would look by itself only after an hour hears of every commit of its own process.
    async fn a_commit_wakes_the_processor_of_its_process(db: TestDatabase) {
        const HOUR: Duration = Duration::from_secs(3600);
        let outbox = outbox(&db).await;
        let received = MemoryPublisher::new();
        let processor = outbox.processor(received.clone()).poll_intervals(HOUR, HOUR, HOUR).spawn().unwrap();
        // What is committed before it has its shards is found without being told.
        for n in 0..20_usize {
            let idle = || async {
                let snapshot = processor.snapshot().await.unwrap();
                let settled = snapshot.counts.delivered == n as u64;
                if snapshot.shards > 0 && settled { Ok(()) } else { Err(snapshot) }
            };
            eventually(DEADLINE, idle).await;
            stage(&outbox, [entered("t", "key", n as i64)]).await;
            received.wait_for(n + 1, DEADLINE).await.unwrap();
        }
        processor.shutdown().await.unwrap();
        assert_eq!(received.messages().len(), 20);
    }
}

/// The values of a key's records, and where the record has one, its `outbox-origin`.
fn of_key(records: &[Record], key: &str) -> Vec<(String, Option<String>)> {
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap()).unwrap();
    let origin = |record: &Record| {
        let header = record.headers.iter().find(|(name, _)| name == "outbox-origin");
        header.map(|(_, value)| text(value))
    };
    let of_key = records.iter().filter(|record| record.key.as_deref() == Some(key.as_bytes()));
    of_key.map(|record| (text(&record.value), origin(record))).collect()
}

/// An event over the topic's limit in the middle of a dense key, among a thousand others: nothing of the key passes it
/// while it is tried. When the topic takes it, requeueing delivers it, and what was parked behind it.
async fn an_event_too_large_for_its_topic(db: TestDatabase, kafka: Kafka, then: OnDeath) {
    const OTHERS: usize = 1_000;
    let outbox = outbox(&db).await;
    let topic = kafka.topic_with(3, &[("max.message.bytes", "2000")]).await;
    // Ids do not shrink when they are compressed.
    let large: String = (0..200).map(|_| EventId::new().as_uuid().simple().to_string()).collect();
    let txn = outbox.begin().await.unwrap();
    for version in 0..60 {
        let event = entered(&topic, "dense", version);
        if version == 20 {
            txn.stage_event_with(&event, |options| options.header("large", &large)).unwrap();
        } else {
            txn.stage_event(&event).unwrap();
        }
        for other in (0..OTHERS).filter(|other| other % 60 == version as usize) {
            txn.stage_event(&entered(&topic, &format!("other-{other}"), version)).unwrap();
        }
    }
    txn.commit().await.unwrap();
    // Long enough for the broker to take note of a new limit within three attempts.
    let policy = RetryPolicy::fixed(Duration::from_millis(250)).max_attempts(3).on_death(then);
    let publisher = KafkaPublisher::connect(kafka.brokers()).unwrap();
    let processor = outbox.processor(publisher).retry(policy).spawn().unwrap();
    let store = operator(&db).await;
    let gone = || async { store.pending(0, 1).await.unwrap().is_empty() };
    eventually(DEADLINE, gone).await;
    let goes_on = then == OnDeath::Continue;
    let first: Vec<i64> = if goes_on { (0..60).filter(|version| *version != 20).collect() } else { (0..20).collect() };
    let staged = |version| (payload("dense", version), None);
    let mut expected: Vec<_> = first.into_iter().map(staged).collect();
    let records = kafka.consume_all(&topic, OTHERS + expected.len(), DEADLINE).await;
    assert_eq!(of_key(&records, "dense"), expected);
    assert_eq!(records.len(), OTHERS + expected.len());
    let letters = store.dead_letters(None, 100).await.unwrap();
    let dead: Vec<_> = letters.iter().filter(|letter| letter.state == DeadState::Dead).collect();
    assert_eq!((dead.len(), dead[0].attempts, dead[0].rejections.len()), (1, 3, 3));
    assert_eq!(letters.len(), if goes_on { 1 } else { 40 });

    kafka.configure_topic(&topic, &[("max.message.bytes", "1000000")]).await;
    if goes_on {
        store.requeue(dead[0].envelope.id).await.unwrap();
        expected.push((payload("dense", 20), Some("requeued".to_owned())));
    } else {
        let key = OrderKey::new(&*topic, "dense");
        assert_eq!(store.requeue_key(&key).await.unwrap(), 40);
        expected.extend((20..60).map(staged));
    }
    let records = kafka.consume_all(&topic, OTHERS + 60, DEADLINE).await;
    assert_eq!(of_key(&records, "dense"), expected);
    let report = processor.shutdown().await.unwrap();
    assert_eq!((report.counts.delivered, report.counts.dead), (OTHERS as u64 + 60, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_too_large_for_its_topic_dies_and_its_key_goes_on() {
    let (Some(db), Some(kafka)) = (postgres().await, kafka()) else { return };
    an_event_too_large_for_its_topic(db, kafka, OnDeath::Continue).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_too_large_for_its_topic_dies_and_its_key_parks() {
    let (Some(db), Some(kafka)) = (postgres().await, kafka()) else { return };
    an_event_too_large_for_its_topic(db, kafka, OnDeath::ParkKey).await;
}

/// 300 MB wait in events of 1 KB, behind those of thousands of keys that wait for a retry; the processor that delivers
/// them all stays small.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_backlog_takes_little_memory() {
    const EVENTS: u64 = 300_000;
    const BLOCKED: u64 = 25_600;
    let (Some(db), Some(kafka)) = (postgres().await, kafka()) else { return };
    outbox(&db).await;
    let topic = kafka.topic(12).await;
    fill(db.connection(), &topic, "blocked", 12_800, BLOCKED, 1024).await;
    let later = "UPDATE outbox_event SET attempts = 1, next_attempt_at = (extract(epoch from now()) + 43200) * 1e6";
    db.connection().execute_unprepared(later).await.unwrap();
    fill(db.connection(), &topic, "key", 6_400, EVENTS, 1024).await;
    // With the default policy nothing would wait for hours: the database's clock must have been wrong.
    let patient = [("OUTBOX_RETRY_BASE_MS", "86400000"), ("OUTBOX_RETRY_MAX_DELAY_MS", "86400000")];
    let kib = most_memory(&db, &kafka, &patient, EVENTS).await;
    assert!(kib < 64 * 1024, "{} MiB", kib / 1024);
    let left = Statement::from_string(db.backend(), "SELECT COUNT(*) FROM outbox_event WHERE attempts = 1");
    let left = db.connection().query_one_raw(left).await.unwrap().unwrap();
    assert_eq!(left.try_get_by_index::<i64>(0).unwrap(), BLOCKED as i64);
}

/// 400 MB wait in events of 1 MB. What a processor has of them at a time is a matter of its window: what is with the
/// publisher, librdkafka's copy of it, and what is read ahead; and of the shards, because a read brings at least one
/// event of each.
#[tokio::test(flavor = "multi_thread")]
async fn large_events_take_little_memory() {
    const EVENTS: u64 = 400;
    const PAYLOAD: u64 = 1_000_000;
    const WINDOW: u64 = 16 << 20;
    let (Some(db), Some(kafka)) = (postgres().await, kafka()) else { return };
    outbox(&db).await;
    let topic = kafka.topic(12).await;
    fill(db.connection(), &topic, "key", 6_400, EVENTS, PAYLOAD).await;
    let window = [("OUTBOX_WINDOW_BYTES", WINDOW.to_string())];
    let window = window.each_ref().map(|(name, value)| (*name, value.as_str()));
    let kib = most_memory(&db, &kafka, &window, EVENTS).await;
    let most = (32 << 20) + 3 * WINDOW + u64::from(DEFAULT_SHARD_COUNT) * PAYLOAD;
    assert!(kib < most / 1024, "{} MiB of {}", kib / 1024, most >> 20);
}

/// The most KiB that a processor had in memory when it has delivered so many events.
async fn most_memory(db: &TestDatabase, kafka: &Kafka, settings: &[(&str, &str)], events: u64) -> u64 {
    let program = Path::new(env!("CARGO_BIN_EXE_outbox-test-processor"));
    let mut process = ProcessorProcess::start(program, &db.url_for(Role::Processor).await, kafka.brokers(), settings);
    let advanced = || {
        let delivered = process.delivered();
        async move { if delivered == events { Ok(()) } else { Err(delivered) } }
    };
    eventually(Duration::from_secs(400), advanced).await;
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    process.kill();
    println!("most memory: {} MiB", kib / 1024);
    kib
}

/// Pending events with payloads of so many bytes, made by the database itself. `keys` is a multiple of the number of
/// shards.
async fn fill(db: &DatabaseConnection, topic: &str, key: &str, keys: u64, events: u64, bytes: u64) {
    let sql = format!(
        "INSERT INTO outbox_event (shard, id, aggregate_type, aggregate_id, event_type, event_version, topic, \
         partition_key, payload, content_type, headers, created_at) \
         SELECT n % 64, gen_random_uuid(), 'thing', '{key}-' || n % {keys}, 'thing.made', 1, '{topic}', \
         '{key}-' || n % {keys}, rpad(n::text, {bytes}, 'x'), 'text/plain', '[]', 0 FROM generate_series(1, {events}) n"
    );
    db.execute_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
}
