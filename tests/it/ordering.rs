//! Order, loss and repeats while processors are killed.

use std::path::Path;
use std::time::{Duration, Instant};

use outbox_sea_orm::Outbox;
use outbox_sea_orm::migration::Migrator;
use outbox_tests::ledger::{self, Writer, check};
use outbox_tests::{Kafka, ProcessorProcess, Role, TestDatabase, eventually, kafka, mariadb, postgres};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};

const PROCESSOR: &str = env!("CARGO_BIN_EXE_outbox-test-processor");
const WINDOW: usize = 500;
const KEYS: usize = 64;
/// How long the processors may take over it.
const LONGEST: Duration = Duration::from_secs(240);
const SETTINGS: &[(&str, &str)] = &[
    ("OUTBOX_LEASE_MS", "3000"),
    ("OUTBOX_WINDOW", "500"),
    ("OUTBOX_BATCH_SIZE", "200"),
    ("OUTBOX_SETTLE_DELAY_MS", "10"),
];

async fn start(db: &TestDatabase, kafka: &Kafka) -> ProcessorProcess {
    ProcessorProcess::start(Path::new(PROCESSOR), &db.url_for(Role::Processor).await, kafka.brokers(), SETTINGS)
}

fn delivered(processes: &[ProcessorProcess]) -> Vec<u64> {
    processes.iter().map(ProcessorProcess::delivered).collect()
}

/// Eight writers; `events` entries in all.
async fn write(db: &TestDatabase, topic: &str, events: usize) {
    let outbox = Outbox::new(db.pool(Role::Writer).await);
    let mut writers = tokio::task::JoinSet::new();
    for seed in 1..=8 {
        let mut writer = Writer::new(outbox.clone(), topic, seed);
        writers.spawn(async move { writer.write(KEYS as u64, events / 8).await });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap().unwrap();
    }
}

async fn prepare(db: &DatabaseConnection) {
    Migrator::up(db, None).await.unwrap();
    ledger::create(db, KEYS).await.unwrap();
}

/// Waits until nothing is pending.
async fn drained(db: &TestDatabase) {
    let count = "SELECT COUNT(*) FROM outbox_event";
    let pending = || async {
        let sql = Statement::from_string(db.backend(), count);
        let row = db.connection().query_one_raw(sql).await.unwrap().unwrap();
        row.try_get_by_index::<i64>(0).unwrap() == 0
    };
    eventually(Duration::from_secs(90), pending).await;
}

async fn order_holds_through_kills(db: TestDatabase, kafka: Kafka, events: usize) {
    prepare(db.connection()).await;
    let topic = kafka.topic(6).await;
    let mut running = vec![start(&db, &kafka).await, start(&db, &kafka).await, start(&db, &kafka).await];
    let mut dead: Vec<ProcessorProcess> = Vec::new();
    let (writing, mut kills) = (write(&db, &topic, events), 0);
    tokio::pin!(writing);
    let mut written = false;
    let started = Instant::now();
    // Kill the one that has lived longest, whenever it has delivered something, until all is written and six died.
    while !written || kills < 6 {
        assert!(started.elapsed() < LONGEST, "{kills} kills, written: {written}");
        tokio::select! {
            () = &mut writing, if !written => written = true,
            () = tokio::time::sleep(Duration::from_millis(700)) => {}
        }
        if running[0].delivered() > 0 && kills < 12 {
            let mut killed = running.remove(0);
            killed.kill();
            dead.push(killed);
            running.push(start(&db, &kafka).await);
            kills += 1;
        } else if written && running[0].delivered() == 0 {
            // Nothing is left for it to deliver; write some more, so that it can be killed as the others were.
            write(&db, &topic, 400).await;
        }
    }
    // Those that are left share the work, too.
    while running.iter().any(|process| process.delivered() == 0) {
        assert!(started.elapsed() < LONGEST, "one of the survivors delivers nothing: {:?}", delivered(&running));
        write(&db, &topic, 400).await;
    }
    drained(&db).await;
    let survivors = delivered(&running);
    let ledger = ledger::entries(db.connection()).await.unwrap();
    let records = kafka.consume_all(&topic, ledger.len(), Duration::from_secs(60)).await;
    let findings = check(&ledger, &records);
    assert!(findings.are_clean(), "{findings:?}");
    assert!(findings.repeats <= kills * WINDOW, "{} repeats after {kills} kills", findings.repeats);
    assert!(delivered(&dead).iter().chain(&survivors).all(|count| *count > 0), "every process took part");
    println!("{} events, {kills} kills, {} repeats, survivors delivered {survivors:?}", ledger.len(), findings.repeats);
}

#[tokio::test(flavor = "multi_thread")]
async fn order_holds_through_kills_on_postgres() {
    let (Some(db), Some(kafka)) = (postgres().await, kafka()) else { return };
    order_holds_through_kills(db, kafka, 20_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_holds_through_kills_on_mariadb() {
    let (Some(db), Some(kafka)) = (mariadb().await, kafka()) else { return };
    order_holds_through_kills(db, kafka, 4_000).await;
}

/// Processes come and go by SIGTERM, as in a rolling deployment: nothing is published twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_under_load_repeats_nothing() {
    let (Some(db), Some(kafka)) = (postgres().await, kafka()) else { return };
    prepare(db.connection()).await;
    let topic = kafka.topic(6).await;
    let mut running = vec![start(&db, &kafka).await, start(&db, &kafka).await];
    let writing = write(&db, &topic, 8_000);
    tokio::pin!(writing);
    let (mut written, mut stops) = (false, 0);
    while !written || stops < 4 {
        tokio::select! {
            () = &mut writing, if !written => written = true,
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
        if stops < 8 && (running[0].delivered() > 0 || written) {
            let mut leaving = running.remove(0);
            running.push(start(&db, &kafka).await);
            leaving.signal("TERM");
            let ended = || {
                let status = leaving.ended();
                async move { status.is_some_and(|status| status.success()) }
            };
            eventually(Duration::from_secs(30), ended).await;
            let last = leaving.lines().pop().unwrap_or_default();
            assert!(last.starts_with("stopped") && last.ends_with("abandoned=0"), "{last:?}");
            stops += 1;
        }
    }
    let ledger = ledger::entries(db.connection()).await.unwrap();
    let records = kafka.consume_all(&topic, ledger.len(), Duration::from_secs(60)).await;
    let findings = check(&ledger, &records);
    assert!(findings.are_clean() && findings.repeats == 0, "{findings:?}");
}
