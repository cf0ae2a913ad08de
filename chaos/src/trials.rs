//! Whether the suite finds mistakes: it is run with processors that make them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::broken::Broken;
use crate::cli::Options;
use crate::fault::KINDS;
use crate::judge::judge;
use crate::report::Report;
use crate::run;
use crate::stage::Servers;

/// Runs after which a mistake counts as not found: it takes the right moment to bring it to light.
const ATTEMPTS: u64 = 6;
/// What the run without a mistake is called.
const CONTROL: &str = "none";
/// How long the rest may take: most mistakes leave one for ever.
const DRAIN: Duration = Duration::from_secs(5);

/// Puts one mistake after the other to the test, on the same servers, and processors that make none. Says whether all
/// were found, and nothing where there is none.
pub(crate) async fn run(which: &[Broken], options: &Options) -> anyhow::Result<bool> {
    let servers = Arc::new(Servers::launch(options.database).await?);
    let (folder, mut lines) = (run::logs_folder(options)?, Vec::new());
    for broken in which {
        let began = Instant::now();
        let trial = broken.trial();
        println!("\n== {}", broken.name());
        let mut found = None;
        for seed in options.seed..options.seed + ATTEMPTS {
            // One of its own: what is read there is evidence.
            let logs = Some(folder.join(format!("{}-{seed}", broken.name())));
            let kinds = trial.kinds.to_vec();
            let options = Options { seed, kinds, drain: DRAIN, least: None, logs, ..options.clone() };
            let (setup, evidence) = run::watch(&options, &servers, Some(*broken)).await?;
            let verdict = judge(&evidence);
            if (trial.is_found)(&verdict) {
                found = Some(seed);
                break;
            }
            println!("{}", Report::new(&setup, &evidence, &verdict));
        }
        lines.push((broken.name(), found, trial.shows, began.elapsed()));
    }
    let wrongly = control(which, options, &servers, &folder).await?;
    println!();
    for (name, found, shows, took) in &lines {
        let word = found.map_or("NOT CAUGHT, which would be".to_owned(), |seed| format!("caught with seed {seed}:"));
        println!("{name:<18}{word} {shows} ({:.0} s)", took.as_secs_f32());
    }
    let word = wrongly.map_or("caught with nothing, as it should be".to_owned(), |name| format!("CAUGHT as {name}"));
    println!("{CONTROL:<18}{word}");
    Ok(lines.iter().all(|(_, found, ..)| found.is_some()) && wrongly.is_none())
}

/// The same faults, all together, with processors that make no mistake. Returns a mistake that they seem to make: a trial
/// that finds one here would find it anywhere.
async fn control(
    which: &[Broken],
    options: &Options,
    servers: &Arc<Servers>,
    folder: &Path,
) -> anyhow::Result<Option<&'static str>> {
    println!("\n== {CONTROL}");
    let of_trials: Vec<_> = which.iter().flat_map(|broken| broken.trial().kinds).collect();
    let kinds = KINDS.into_iter().filter(|kind| of_trials.contains(&kind)).collect();
    let options = Options { kinds, least: None, logs: Some(folder.join("control")), ..options.clone() };
    let (setup, evidence) = run::watch(&options, servers, None).await?;
    let verdict = judge(&evidence);
    let seen = which.iter().find(|broken| (broken.trial().is_found)(&verdict));
    if seen.is_some() {
        println!("{}", Report::new(&setup, &evidence, &verdict));
    }
    Ok(seen.map(|broken| broken.name()))
}
