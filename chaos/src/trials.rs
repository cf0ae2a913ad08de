//! Whether the suite finds mistakes: it is run with processors that make them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::broken::Broken;
use crate::cli::Options;
use crate::judge::judge;
use crate::report::Report;
use crate::run;
use crate::stage::Servers;

/// How long the rest may take: most mistakes leave one for ever.
const DRAIN: Duration = Duration::from_secs(5);

/// Puts one mistake after the other to the test, on the same servers. Says whether all were found.
pub(crate) async fn run(which: &[Broken], options: &Options) -> anyhow::Result<bool> {
    let servers = Arc::new(Servers::launch(options.database).await?);
    let mut lines = Vec::new();
    for broken in which {
        let began = Instant::now();
        let trial = broken.trial();
        println!("\n== {}", broken.name());
        let options = Options { kinds: trial.kinds.to_vec(), drain: DRAIN, least: None, ..options.clone() };
        let (setup, evidence) = run::watch(&options, &servers, Some(*broken)).await?;
        let verdict = judge(&evidence);
        let found = (trial.is_found)(&verdict);
        if !found {
            println!("{}", Report::new(&setup, &evidence, &verdict));
        }
        lines.push((broken.name(), found, trial.shows, began.elapsed()));
    }
    println!();
    for (name, found, shows, took) in &lines {
        let word = if *found { "caught:" } else { "NOT CAUGHT, which would be" };
        println!("{name:<18}{word} {shows} ({:.0} s)", took.as_secs_f32());
    }
    Ok(lines.iter().all(|(_, found, ..)| *found))
}
