//! A processor or writer that fails at a chosen step: at every failpoint, by an error, a delay, a panic and an abort.
//! Another one finishes, and the ledger says whether a promise was broken.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures_util::StreamExt;
use outbox_core::EventId;
use outbox_core::store::Admin;
use outbox_sea_orm::Outbox;
use outbox_sea_orm::migration::Migrator;
use outbox_tests::ledger::{self, Entered, Refused, Writer, check};
use outbox_tests::{FAILED, Kafka, ProcessorProcess, Role, TestDatabase, eventually, mariadb, postgres};
use sea_orm::{ConnectionTrait, Statement};
use uuid::Uuid;

use crate::delivery::operator;

const PROGRAM: &str = env!("CARGO_BIN_EXE_outbox-test-processor");
const WINDOW: usize = 20;
const EVENTS: usize = 100;
const KEYS: u64 = 8;
/// Events of a writer that fails.
const WRITTEN: usize = 24;
const PATIENCE: Duration = Duration::from_secs(90);
const SETTINGS: &[(&str, &str)] = &[
    ("OUTBOX_LEASE_MS", "2000"),
    ("OUTBOX_WINDOW", "20"),
    ("OUTBOX_BATCH_SIZE", "10"),
    ("OUTBOX_SETTLE_DELAY_MS", "10"),
    ("OUTBOX_TOPIC_PAUSE_FIRST_MS", "20"),
    ("OUTBOX_RETRY_MAX_ATTEMPTS", "3"),
    ("OUTBOX_RETRY_ON_DEATH", "park_key"),
    ("OUTBOX_RETRY_BASE_MS", "20"),
    ("OUTBOX_RETRY_MAX_DELAY_MS", "50"),
];

/// What a failpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Error,
    /// Shorter than a lease.
    Delay,
    Panic,
    Abort,
}

impl Action {
    /// The value of `FAILPOINTS` that does it the n-th time, and only then.
    fn at(self, point: &str, nth: usize) -> String {
        let word = match self {
            Self::Error => "error",
            Self::Delay => "delay 500",
            Self::Panic => "panic",
            Self::Abort => "abort",
        };
        let before = if nth > 1 { format!("{}*off->", nth - 1) } else { String::new() };
        format!("{point}={before}1*return({word})")
    }
}

/// Steps of a processor, and which time it comes there fails. Renewing leases is a step that comes seldom.
const PROCESSOR: &[(&str, usize)] = &[
    ("processor::lease", 2),
    // On PostgreSQL the first round comes there twice.
    ("store::lease::before_commit", 3),
    ("store::lease::after_commit", 2),
    ("store::read::after", 4),
    ("processor::publish", 3),
    ("kafka::enqueue", 30),
    ("kafka::report", 30),
    ("processor::report", 4),
    ("store::settle::before_commit", 3),
    ("store::settle::after_commit", 3),
    ("store::promote::before_commit", 1),
    ("store::promote::after_commit", 1),
];

/// Where a panic is in the processor's own task, and ends it. Elsewhere it is a failure of one call.
const ENDS_BY_A_PANIC: &[&str] = &["processor::report"];

/// Steps of a writer.
const WRITER: &[(&str, usize)] = &[
    ("writer::flush::before", 11),
    ("writer::flush::after", 11),
    ("writer::commit::before", 11),
    ("writer::commit::after", 11),
];

/// Steps of a writer that records.
const RECORDER: &[(&str, usize)] = &[("writer::record::before", 11), ("writer::record::after", 11)];

/// Steps of parking a key and of putting it back.
const PARKING: &[(&str, usize)] =
    &[("store::park", 1), ("store::requeue::before_commit", 1), ("store::requeue::after_commit", 1)];

/// Where an error or a panic loses what is known of messages that may be with the broker: all else can be done again.
const FORGETS: &[&str] = &["kafka::enqueue", "kafka::report", "processor::report"];

/// How many events may come twice when a processor fails there.
fn repeats(point: &str, action: Action) -> usize {
    match action {
        Action::Delay => 0,
        Action::Abort => WINDOW,
        Action::Error | Action::Panic if FORGETS.contains(&point) => WINDOW,
        Action::Error | Action::Panic => 0,
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Processor,
    /// Whose program has this argument.
    Writer(&'static str),
    Parking,
}

struct Stage {
    db: TestDatabase,
    kafka: Kafka,
    topic: String,
    outbox: Outbox,
}

impl Stage {
    async fn new(db: TestDatabase, kafka: Kafka) -> Self {
        Migrator::up(db.connection(), None).await.unwrap();
        ledger::create(db.connection(), KEYS as usize).await.unwrap();
        let topic = kafka.topic_with(2, &[("max.message.bytes", Refused::TOPIC_LIMIT)]).await;
        let outbox = Outbox::new(db.another_pool_for(Role::Writer, 2).await);
        Self { db, kafka, topic, outbox }
    }

    async fn write(&self, events: usize) {
        Writer::new(self.outbox.clone(), &self.topic, 7).write(KEYS, events).await.unwrap();
    }

    /// Entries whose events are due a little later, each of a key of its own.
    async fn write_delayed(&self) {
        for n in 0..5 {
            let (id, key) = (EventId::new(), format!("late-{n}"));
            let txn = self.outbox.begin().await.unwrap();
            let event = Entered { topic: self.topic.clone(), key: key.clone(), version: 1 };
            txn.stage_event_with(&event, |options| options.id(id).delay(Duration::from_millis(500))).unwrap();
            txn.execute_unprepared(&format!("INSERT INTO ledger_entry VALUES ('{id}', '{key}', 1, 0)")).await.unwrap();
            txn.commit().await.unwrap();
        }
    }

    async fn processor(&self, failpoints: &str) -> ProcessorProcess {
        let settings: Vec<_> =
            SETTINGS.iter().copied().chain([("FAILPOINTS", failpoints), ("RUST_BACKTRACE", "0")]).collect();
        let database = self.db.url_for(Role::Processor).await;
        ProcessorProcess::start(Path::new(PROGRAM), &database, self.kafka.brokers(), &settings)
    }

    /// The same program with an argument.
    async fn other(&self, program: &str, failpoints: &str) -> ProcessorProcess {
        let mut command = Command::new(PROGRAM);
        command.arg(program);
        let role = if program == "requeue" { Role::Operator } else { Role::Writer };
        let settings = [
            ("FAILPOINTS", failpoints),
            ("RUST_BACKTRACE", "0"),
            ("OUTBOX_TEST_TOPIC", &self.topic),
            ("OUTBOX_TEST_EVENTS", &WRITTEN.to_string()),
        ];
        ProcessorProcess::run(command, &self.db.url_for(role).await, self.kafka.brokers(), &settings)
    }

    async fn count(&self, table: &str) -> i64 {
        let sql = Statement::from_string(self.db.backend(), format!("SELECT COUNT(*) FROM {table}"));
        self.db.connection().query_one_raw(sql).await.unwrap().unwrap().try_get_by_index(0).unwrap()
    }

    async fn drained(&self, what: &str) {
        eventually(PATIENCE, || async {
            let left = (self.count("outbox_event").await, self.count("outbox_scheduled").await);
            if left == (0, 0) { Ok(()) } else { Err(format!("{what}: {left:?} pending and scheduled")) }
        })
        .await;
    }

    /// No promise was broken, and no more than `repeats` events came twice.
    async fn judge(&self, repeats: usize, what: &str) {
        self.judge_but(repeats, what, &[]).await;
    }

    /// The same with events whose content is not looked at.
    async fn judge_but(&self, repeats: usize, what: &str, unknown: &[Uuid]) {
        let entries = ledger::entries(self.db.connection()).await.unwrap();
        let records = self.kafka.consume_all(&self.topic, entries.len(), PATIENCE).await;
        let dead = operator(&self.db).await.dead_letters(None, 100).await.unwrap();
        assert!(dead.is_empty(), "{what}: {} dead letters, the first because {}", dead.len(), dead[0].reason);
        let mut findings = check(&entries, &records);
        findings.corrupted.retain(|id| !unknown.contains(id));
        assert!(findings.are_clean(), "{what}: {findings:?}");
        assert!(findings.repeats <= repeats, "{what}: {} repeats", findings.repeats);
    }
}

async fn ended(process: &mut ProcessorProcess) -> std::process::ExitStatus {
    eventually(PATIENCE, || {
        let status = process.ended();
        async move { status }
    })
    .await
}

/// A processor fails at its step, with writers beside it; then a healthy one finishes.
async fn processor_fails(stage: &Stage, point: &str, nth: usize, action: Action) {
    let what = format!("{point} {action:?}");
    stage.write(EVENTS / 2).await;
    stage.write_delayed().await;
    let mut failing = stage.processor(&action.at(point, nth)).await;
    stage.write(EVENTS / 2).await;
    let mut end = None;
    let failed = || {
        end = end.or_else(|| failing.ended());
        let failed = end.is_some() || failing.lines().iter().any(|line| line == FAILED);
        let answer = if failed { Ok(()) } else { Err(format!("{what}: it has not come there")) };
        async move { answer }
    };
    eventually(PATIENCE, failed).await;
    if action == Action::Abort || (action == Action::Panic && ENDS_BY_A_PANIC.contains(&point)) {
        assert!(!ended(&mut failing).await.success(), "{what}");
        failing = stage.processor("").await;
    }
    stage.write(EVENTS / 10).await;
    // By the one that failed, where that does not end it.
    stage.drained(&what).await;
    assert!(failing.ended().is_none(), "{what}: it goes on");
    drop(failing);
    stage.judge(repeats(point, action), &what).await;
}

/// A writer fails at its step in the middle of its work; what it has committed is delivered, and nothing else.
async fn writer_fails(stage: &Stage, program: &str, point: &str, nth: usize, action: Action) {
    let what = format!("{point} {action:?}");
    let mut writer = stage.other(program, &action.at(point, nth)).await;
    let died = !ended(&mut writer).await.success();
    assert_eq!(died, matches!(action, Action::Abort | Action::Panic), "{what}");
    let committed = match action {
        // The transaction in which it failed may be there.
        Action::Abort | Action::Panic => nth - 1 + usize::from(point == "writer::commit::after"),
        Action::Error => WRITTEN - usize::from(point != "writer::commit::after"),
        Action::Delay => WRITTEN,
    };
    assert_eq!(ledger::entries(stage.db.connection()).await.unwrap().len(), committed, "{what}");
    let processor = stage.processor("").await;
    stage.write(EVENTS / 10).await;
    stage.drained(&what).await;
    drop(processor);
    stage.judge(0, &what).await;
}

/// A processor fails while it parks a key, or an operator while requeueing it. At last everything is delivered, in
/// order, although the key stood still meanwhile.
async fn parking_fails(stage: &Stage, point: &str, nth: usize, action: Action) {
    let what = format!("{point} {action:?}");
    let at = |here: bool| if here { action.at(point, nth) } else { String::new() };
    let txn = stage.outbox.begin().await.unwrap();
    let refused = ledger::enter_refused(&txn, &stage.topic, "key-0").await.unwrap();
    txn.commit().await.unwrap();
    stage.write(EVENTS / 4).await;
    let mut processor = stage.processor(&at(point == "store::park")).await;
    if point == "store::park" && action == Action::Abort {
        assert!(!ended(&mut processor).await.success(), "{what}");
        processor = stage.processor("").await;
    }
    stage.drained(&what).await;
    assert!(stage.count("outbox_dead").await > 0 && stage.count("outbox_parked").await == 1, "{what}");
    assert!(point != "store::park" || action == Action::Abort || processor.lines().iter().any(|line| line == FAILED));

    stage.kafka.configure_topic(&stage.topic, &[("max.message.bytes", "1000000")]).await;
    if point != "store::park" {
        let status = ended(&mut stage.other("requeue", &at(true)).await).await;
        assert_eq!(status.success(), action == Action::Delay, "{what}");
    }
    assert!(ended(&mut stage.other("requeue", "").await).await.success(), "{what}");
    stage.drained(&what).await;
    drop(processor);
    // An operator who fails makes no processor forget anything. The content of one is random, and the checker does not
    // know it.
    let repeats = if point == "store::park" { repeats(point, action) } else { 0 };
    stage.judge_but(repeats, &what, &[refused]).await;
}

/// Every step, a few at a time.
async fn matrix<F: Future<Output = Option<TestDatabase>> + Send>(database: fn() -> F, action: Action) {
    let Some(kafka) = outbox_tests::kafka() else { return };
    let of = |step: Step, points: &'static [(&'static str, usize)]| points.iter().map(move |point| (step, *point));
    let writers = of(Step::Writer("write"), WRITER).chain(of(Step::Writer("record"), RECORDER));
    let cases = of(Step::Processor, PROCESSOR).chain(writers).chain(of(Step::Parking, PARKING));
    futures_util::stream::iter(cases)
        .for_each_concurrent(6, async |(step, (point, nth))| {
            // Left out by request.
            let Some(db) = database().await else { return };
            let stage = Stage::new(db, kafka.clone()).await;
            match step {
                Step::Processor => processor_fails(&stage, point, nth, action).await,
                Step::Writer(program) => writer_fails(&stage, program, point, nth, action).await,
                Step::Parking => parking_fails(&stage, point, nth, action).await,
            }
            stage.db.remove().await;
        })
        .await;
}

macro_rules! matrices {
    ($($database:ident: $($name:ident $action:ident)*;)*) => {$(
        mod $database {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::matrix(super::$database, super::Action::$action).await;
                }
            )*
        }
    )*};
}

async fn sqlite() -> Option<TestDatabase> {
    Some(outbox_tests::sqlite().await)
}

matrices! {
    postgres: error Error delay Delay panic Panic abort Abort;
    mariadb: error Error delay Delay panic Panic abort Abort;
    sqlite: error Error delay Delay panic Panic abort Abort;
}
