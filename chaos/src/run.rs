//! A run from beginning to end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use sea_orm::{ConnectionTrait, Statement};

use crate::broken::Broken;
use crate::cli::Options;
use crate::fault::KINDS;
use crate::figures::Figures;
use crate::judge::{Evidence, collect, judge};
use crate::report::{Report, Setup};
use crate::stage::{Servers, Stage};
use crate::workload::Workload;
use crate::{logs, nemesis, plan};

pub(crate) async fn run(options: &Options) -> anyhow::Result<Report> {
    let servers = Arc::new(Servers::launch(options.database).await?);
    let (setup, evidence) = watch(options, &servers, None).await?;
    Ok(Report::new(&setup, &evidence, &judge(&evidence)))
}

/// A run on servers that are there, of processors that may have a mistake.
pub(crate) async fn watch(
    options: &Options,
    servers: &Arc<Servers>,
    broken: Option<Broken>,
) -> anyhow::Result<(Setup, Evidence)> {
    let folder = logs_folder(options)?;
    println!("the processors' logs are in {}", folder.display());
    let processors = options.processors();
    let stage = Arc::new(Stage::set(servers, processors, &folder, broken).await?);
    // Kinds that were asked for by name are all the same.
    let usual = if options.kinds == KINDS { Figures::FULL } else { Figures::default() };
    let shares = options.least.unwrap_or(usual);
    let plan = plan::plan(options.seed, shares, options.database, processors, &options.kinds);

    let began = Instant::now();
    let workload = Workload::start(&stage, options.seed);
    let is_enough = |lasted| {
        let so_far = || Figures { events: workload.committed(), ..stage.figures() };
        lasted >= options.length || options.least.is_some_and(|least| so_far().missing(least).is_empty())
    };
    nemesis::carry_out(&stage, plan, is_enough, |line| println!("{line}")).await;
    stage.heal();
    let healed = Instant::now();
    let claims = workload.stop(&stage.history).await?;
    let lasted = began.elapsed();

    let backlog = pending(&stage).await.unwrap_or_default();
    let drained = drain(&stage, healed, options.drain).await;
    for place in 0..processors {
        let process = stage.place(place).await.take().context("a place without a processor")?;
        if let Err(error) = stage.stop(process).await {
            stage.history.complain(format!("{error:#}"));
        }
    }
    let evidence = collect(&stage, claims, logs::read(&folder)?, drained).await?;
    let setup = Setup {
        database: options.database_name(),
        seed: options.seed,
        lasted,
        processors,
        processors_started: stage.processors_started(),
        drain_limit: options.drain,
        backlog,
        figures: Figures { events: evidence.ledger.len() as u64, ..stage.figures() },
        least: options.least.unwrap_or_default(),
    };
    Ok((setup, evidence))
}

/// Waits until nothing is pending, and says how long after the last fault that was, if it was in time.
async fn drain(stage: &Stage, healed: Instant, limit: Duration) -> Option<Duration> {
    loop {
        let nothing = pending(stage).await == Ok(0);
        let took = healed.elapsed();
        if nothing || took > limit {
            return (took <= limit).then_some(took);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn pending(stage: &Stage) -> Result<i64, sea_orm::DbErr> {
    let db = stage.database.connection();
    let sql = "SELECT (SELECT COUNT(*) FROM outbox_event) + (SELECT COUNT(*) FROM outbox_scheduled)";
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    row.ok_or_else(|| sea_orm::DbErr::Custom("no row".to_owned()))?.try_get_by_index(0)
}

pub(crate) fn logs_folder(options: &Options) -> anyhow::Result<PathBuf> {
    let name = format!("outbox-chaos-{}-{}-{}", options.database_name(), options.seed, std::process::id());
    let folder = options.logs.clone().unwrap_or_else(|| std::env::temp_dir().join(name));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(folder)
}
