//! Whether the suite finds mistakes: it is run with processors that make them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::broken::Broken;
use crate::cli::Options;
use crate::judge::judge;
use crate::report::Report;
use crate::run;
use crate::stage::Servers;

/// Runs after which a mistake counts as not found: it takes the right moment to bring it to light.
const ATTEMPTS: u64 = 3;
/// How long the rest may take: most mistakes leave one for ever.
const DRAIN: Duration = Duration::from_secs(5);

/// Puts one mistake after the other to the test, on the same servers. Says whether all were found.
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
    println!();
    for (name, found, shows, took) in &lines {
        let word = found.map_or("NOT CAUGHT, which would be".to_owned(), |seed| format!("caught with seed {seed}:"));
        println!("{name:<18}{word} {shows} ({:.0} s)", took.as_secs_f32());
    }
    Ok(lines.iter().all(|(_, found, ..)| found.is_some()))
}
