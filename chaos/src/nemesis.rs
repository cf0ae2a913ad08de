//! Carries out the plan.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use outbox_sea_orm::Outbox;
use outbox_testkit::ledger;
use outbox_tests::Kind;
use sea_orm::{ConnectionTrait, DbErr, IsolationLevel, TransactionTrait};

use crate::fault::Fault;
use crate::history;
use crate::profile::KEYS;
use crate::stage::Stage;
use outbox_testkit::{Period, Trap};

/// How long a trap waits for somebody to go into it.
const TRAP: Duration = Duration::from_secs(5);

/// Goes through the periods until it is enough, and returns when everything is healed. `tell` hears of each fault.
pub(crate) async fn carry_out(
    stage: &Arc<Stage>,
    plan: impl Iterator<Item = Period<Fault>>,
    is_enough: impl Fn(Duration) -> bool,
    tell: fn(&str),
) {
    let start = Instant::now();
    outbox_testkit::carry_out(plan, is_enough, async |fault| {
        tell(&format!("{:6.1} s  {fault}", start.elapsed().as_secs_f32()));
        let (from, of_fault) = (history::now(), Arc::clone(stage));
        // In a task of its own, which may panic.
        let happened = tokio::spawn(async move { happen(&of_fault, fault).await }).await;
        let struck = happened.map_err(Into::into).flatten().unwrap_or_else(|error| {
            stage.history.complain(format!("{fault}: {error:#}"));
            false
        });
        stage.history.fault(fault, from, struck);
    })
    .await;
    stage.bypassed().into_iter().for_each(|why| stage.history.complain(why));
}

/// From the beginning of a fault to its healing. Says whether it happened to anybody.
async fn happen(stage: &Stage, fault: Fault) -> anyhow::Result<bool> {
    match fault {
        Fault::Kill { place, absent } => {
            let mut running = stage.place(place).await;
            let mut process = running.take().context("nobody to kill")?;
            alive(&mut process)?;
            process.kill();
            stage.history.killed(place);
            tokio::time::sleep(absent).await;
            *running = Some(stage.start(place)?);
        }
        Fault::Pause { place, length } => {
            let mut running = stage.place(place).await;
            let process = running.as_mut().context("nobody to pause")?;
            alive(process)?;
            process.signal("STOP");
            tokio::time::sleep(length).await;
            process.signal("CONT");
        }
        Fault::Roll { place } => {
            let mut running = stage.place(place).await;
            let mut old = running.replace(stage.start(place)?).context("nobody to replace")?;
            alive(&mut old)?;
            stage.stop(old).await?;
        }
        Fault::CrashDatabase => {
            let server = stage.database_server().await.context("no server")?;
            // The others commit nothing asynchronously.
            if stage.database.kind() == Kind::Postgres {
                stage.history.database_crashes();
            }
            server.crash().await;
            server.restart().await;
        }
        Fault::CrashKafka => {
            let server = stage.kafka_server().await;
            server.crash().await;
            server.restart().await;
        }
        Fault::MoveProcessorsClock { place, ahead } => stage.move_clock(Some(place), ahead)?,
        Fault::MoveDatabasesClock { ahead } => {
            stage.history.clock_moved(ahead);
            stage.move_clock(None, ahead)?;
        }
        Fault::PinVacuum { length } => {
            return unless_the_database_is_away(stage, fault, pin_vacuum(stage, length).await);
        }
        Fault::StallWriter { length } => return unless_the_database_is_away(stage, fault, stall(stage, length).await),
        Fault::Refuse => return unless_the_database_is_away(stage, fault, refuse(stage).await),
        _ => return on_the_way(stage, fault).await,
    }
    Ok(true)
}

/// Says whether a connection was touched: there is none between processes of which one is dead.
async fn on_the_way(stage: &Stage, fault: Fault) -> anyhow::Result<bool> {
    let proxy = fault.link().and_then(|link| stage.proxy(link)).context("no proxy")?;
    Ok(match fault {
        Fault::Reset { .. } => proxy.cut() > 0,
        Fault::BlackHole { length, .. } => proxy.black_hole(length).await > 0,
        Fault::Silence { .. } => proxy.silence() > 0,
        Fault::OneWay { direction, length, .. } => proxy.one_way(direction, length).await > 0,
        Fault::Slow { latency, length, .. } => proxy.slow_for(latency, length).await > 0,
        Fault::CutAfter { bytes, .. } => proxy.cut_after(bytes).within(TRAP).await,
        Fault::CutCommit { heard: true, .. } => proxy.set(Trap::CutAfterCommit).within(TRAP).await,
        Fault::CutCommit { heard: false, .. } => proxy.set(Trap::CutBeforeCommit).within(TRAP).await,
        Fault::SwallowCommit { .. } => proxy.set(Trap::SwallowCommit).within(TRAP).await,
        Fault::DropProduceResponse { nth, .. } => proxy.set(Trap::DropProduceResponse(nth)).within(TRAP).await,
        _ => bail!("not on a way: {fault}"),
    })
}

fn alive(process: &mut outbox_tests::ProcessorProcess) -> anyhow::Result<()> {
    match process.ended() {
        None => Ok(()),
        Some(status) => bail!("a processor had ended by itself with {status}"),
    }
}

/// A crash of the database ends these too, which is no finding. Whether there was one is known at the end.
fn unless_the_database_is_away(stage: &Stage, fault: Fault, result: Result<(), DbErr>) -> anyhow::Result<bool> {
    let Err(error) = result else { return Ok(true) };
    let of_outbox = outbox_sea_orm::OutboxError::of(&error).is_some();
    if !of_outbox && !matches!(error, DbErr::Conn(_) | DbErr::ConnectionAcquire(_) | DbErr::Exec(_) | DbErr::Query(_)) {
        return Err(error.into());
    }
    let length = match fault {
        Fault::PinVacuum { length } | Fault::StallWriter { length } => length,
        _ => Duration::ZERO,
    };
    stage.history.setback(length, format!("{fault}: {error}"));
    Ok(false)
}

async fn pin_vacuum(stage: &Stage, length: Duration) -> Result<(), DbErr> {
    let db = stage.database.connection();
    let isolation = (stage.database.kind() != Kind::Sqlite).then_some(IsolationLevel::RepeatableRead);
    let txn = db.begin_with_config(isolation, None).await?;
    txn.execute_unprepared("SELECT version FROM ledger_aggregate").await?;
    tokio::time::sleep(length).await;
    txn.rollback().await
}

async fn stall(stage: &Stage, length: Duration) -> Result<(), DbErr> {
    let txn = Outbox::new(stage.database.connection().clone()).begin().await?;
    ledger::enter(&txn, &stage.topic, &any_key()).await?;
    txn.flush().await?;
    tokio::time::sleep(length).await;
    txn.commit().await
}

async fn refuse(stage: &Stage) -> Result<(), DbErr> {
    let txn = Outbox::new(stage.database.connection().clone()).begin().await?;
    let key = any_key();
    ledger::enter(&txn, &stage.topic, &key).await?;
    ledger::enter_refused(&txn, &stage.topic, &key).await?;
    ledger::enter_many(&txn, &stage.topic, &key, 2).await?;
    txn.commit().await
}

fn any_key() -> String {
    format!("key-{}", fastrand::usize(..KEYS))
}
