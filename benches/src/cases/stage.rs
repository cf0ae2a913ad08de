//! What events cost the transactions that carry them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::ensure;
use outbox_core::{EventId, Shard};
use outbox_sea_orm::Outbox;
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, DatabaseConnection, Statement, TransactionTrait};

use crate::bench::Bench;
use crate::event::{self, Keys, Numbered, Payloads};
use crate::report::{Bill, Case, Checks, Cost};

const WRITERS: u64 = 16;
const TOPIC: &str = "orders";

/// How the events get into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Through the outbox.
    Staged,
    /// With an INSERT of the same rows, as a program without a library has it.
    ByHand,
    /// There are none.
    None,
}

pub(super) async fn run(bench: &Bench) -> anyhow::Result<Vec<Case>> {
    let (mut beside_hand, mut beside_none) = (Vec::new(), Vec::new());
    for (events, suffix) in [(1, ""), (10, " 10 events")] {
        let [staged, by_hand, none] = rates(bench, events).await?;
        let case = Case::of(format!("stage{suffix}"), "transactions/s", &staged.rates, &by_hand.rates)
            .goal(0.95)
            .detail("database us CPU/transaction by hand", &by_hand.database_cpu)
            .detail("database us CPU/transaction", &staged.database_cpu);
        beside_hand.push(Case { checks: staged.checks, cost: Cost::of(&staged.bills), ..case });
        let name = format!("stage{suffix}, over none");
        beside_none.push(Case::of(name, "transactions/s", &staged.rates, &none.rates));
    }
    beside_hand.extend(beside_none);
    Ok(beside_hand)
}

#[derive(Debug, Default)]
struct Measured {
    rates: Vec<f64>,
    database_cpu: Vec<f64>,
    bills: Vec<Bill>,
    checks: Checks,
}

/// The three ways in turn, each beginning as often as the others.
async fn rates(bench: &Bench, events: u64) -> anyhow::Result<[Measured; 3]> {
    const WAYS: [Way; 3] = [Way::Staged, Way::ByHand, Way::None];
    let pool = bench.database.connect(u32::try_from(WRITERS)?).await?;
    let mut measured: [Measured; 3] = Default::default();
    slice(bench, &pool, Way::Staged, events, Duration::from_millis(500)).await?;
    bench.database.clear().await?;
    let length = Duration::from_secs(bench.seconds(5, 1));
    for repeat in 0..bench.repeats() {
        let mut note = format!("{events} events:");
        for n in 0..3 {
            let way = (n + repeat) % 3;
            bench.database.settle_down().await?;
            let before = bench.database.pid.and_then(crate::machine::family_cpu);
            let meter = Bill::open(&bench.database, &bench.broker).await?;
            let (transactions, rate) = slice(bench, &pool, WAYS[way], events, length).await?;
            let bill = meter.close(&bench.database, &bench.broker, None, transactions * events).await?;
            let after = bench.database.pid.and_then(crate::machine::family_cpu);
            let into = &mut measured[way];
            if WAYS[way] != Way::None {
                let there = bench.database.pending().await?.unsigned_abs();
                ensure!(there <= transactions * events, "{there} events, and {transactions} transactions");
                into.checks.lost += transactions * events - there;
                into.bills.push(bill);
            }
            if let Some((before, after)) = before.zip(after) {
                into.database_cpu.push((after - before).as_secs_f64() * 1e6 / transactions as f64);
            }
            into.rates.push(rate);
            note.push_str(&format!(" {:?} {rate:.0}", WAYS[way]));
            bench.database.clear().await?;
        }
        Bench::note(&format!("{note} transactions/s"));
    }
    pool.close().await?;
    Ok(measured)
}

/// All writers for a while. Returns how many transactions they committed, and how many per second.
async fn slice(
    bench: &Bench,
    pool: &DatabaseConnection,
    way: Way,
    events: u64,
    length: Duration,
) -> anyhow::Result<(u64, f64)> {
    let shards = Outbox::new(pool.clone()).check().await?.shard_count;
    let (payloads, committed) = (Arc::new(Payloads::new(250)), Arc::new(AtomicU64::new(0)));
    let end = Instant::now() + length;
    let started = Instant::now();
    let writers = (0..WRITERS).map(|number| {
        let writer =
            Writer { outbox: Outbox::new(pool.clone()), number, shards, payloads: Arc::clone(&payloads), way, events };
        let committed = Arc::clone(&committed);
        tokio::spawn(async move {
            while Instant::now() < end {
                writer.transaction().await?;
                committed.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, anyhow::Error>(())
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await??;
    }
    let seconds = started.elapsed().as_secs_f64();
    let committed = committed.load(Ordering::Relaxed);
    ensure!(bench.run.quick || committed > 0, "no transaction was committed");
    Ok((committed, committed as f64 / seconds))
}

struct Writer {
    outbox: Outbox,
    number: u64,
    shards: u16,
    payloads: Arc<Payloads>,
    way: Way,
    events: u64,
}

impl Writer {
    /// Changes a row of the writer's own and, one way or the other, says so.
    async fn transaction(&self) -> anyhow::Result<()> {
        match self.way {
            Way::Staged => {
                let txn = self.outbox.begin().await?;
                change(&txn, self.number).await?;
                for n in 0..self.events {
                    let key = Keys::in_turn(WRITERS).of(self.number);
                    txn.stage_event(&Numbered { n, key, topic: TOPIC, payloads: &self.payloads })?;
                }
                txn.commit().await?;
            }
            Way::ByHand => {
                let txn = self.outbox.inner().begin().await?;
                change(&txn, self.number).await?;
                let rows = (0..self.events).map(|n| self.row(n));
                Entity::insert_many(rows).exec_without_returning(&txn).await?;
                txn.commit().await?;
            }
            Way::None => {
                let txn = self.outbox.inner().begin().await?;
                change(&txn, self.number).await?;
                txn.commit().await?;
            }
        }
        Ok(())
    }

    fn row(&self, n: u64) -> ActiveModel {
        let key = Keys::in_turn(WRITERS).of(self.number);
        let shard = Shard::of_key(&key, self.shards).number();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let payload = String::from_utf8_lossy(&self.payloads.payload(n)).into_owned();
        ActiveModel {
            shard: ActiveValue::Set(i16::try_from(shard).unwrap_or(i16::MAX)),
            seq: ActiveValue::NotSet,
            id: ActiveValue::Set(*EventId::new().as_uuid()),
            aggregate_type: ActiveValue::Set(event::AGGREGATE.to_owned()),
            aggregate_id: ActiveValue::Set(Some(key.clone())),
            event_type: ActiveValue::Set(event::TYPE.to_owned()),
            event_version: ActiveValue::Set(1),
            topic: ActiveValue::Set(TOPIC.to_owned()),
            partition_key: ActiveValue::Set(Some(key)),
            payload: ActiveValue::Set(Some(payload)),
            content_type: ActiveValue::Set(event::CONTENT_TYPE.to_owned()),
            headers: ActiveValue::Set("[]".to_owned()),
            created_at: ActiveValue::Set(i64::try_from(now.as_micros()).unwrap_or(i64::MAX)),
        }
    }
}

/// Locks and changes a row, as a business transaction would.
pub(crate) async fn change(conn: &impl ConnectionTrait, account: u64) -> Result<(), DbErr> {
    let backend = conn.get_database_backend();
    let text = if backend == sea_orm::DbBackend::Postgres {
        "UPDATE account SET n = n + 1 WHERE id = $1"
    } else {
        "UPDATE account SET n = n + 1 WHERE id = ?"
    };
    conn.execute_raw(Statement::from_sql_and_values(backend, text, [(account as i32).into()])).await.map(drop)
}

/// The columns of `outbox_event` that an INSERT must give.
#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "outbox_event")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) shard: i16,
    #[sea_orm(primary_key)]
    pub(crate) seq: i64,
    pub(crate) id: Uuid,
    pub(crate) aggregate_type: String,
    pub(crate) aggregate_id: Option<String>,
    pub(crate) event_type: String,
    pub(crate) event_version: i32,
    pub(crate) topic: String,
    pub(crate) partition_key: Option<String>,
    pub(crate) payload: Option<String>,
    pub(crate) content_type: String,
    pub(crate) headers: String,
    pub(crate) created_at: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
