//! `cargo xtask check-deps`: who may depend on whom, and where everything comes from.
//!
//! The core knows no ORM, driver or broker; a publisher never sees a database; the store never sees a publisher;
//! nothing depends on tests, examples and tools.

mod origin;
mod rules;
mod tree;

use std::process::ExitCode;

use rules::{Features, Rule};

use crate::workspace::{self, cargo_output};

pub(crate) fn check() -> anyhow::Result<ExitCode> {
    let packages = workspace::metadata()?.packages;
    let mut violations = rules::dependents_of_leaves(&packages);
    for rule in rules::rules(&packages, &workspace::root().join("publishers"))? {
        let text = cargo_tree(&rule)?;
        let found = tree::violations(&text, rule.forbidden);
        println!("{} {}: without {}", rule.package, rule.features.flag(), rule.forbidden.join(", "));
        violations.extend(found.into_iter().map(|path| rule.complaint(&path)));
    }
    let (count, complaints) = origin::complaints()?;
    violations.extend(complaints);
    if violations.is_empty() {
        println!("the dependency rule holds; all {count} packages have a licence and a source that are listed");
        return Ok(ExitCode::SUCCESS);
    }
    for violation in violations {
        eprintln!("error: {violation}");
    }
    Ok(ExitCode::FAILURE)
}

fn cargo_tree(rule: &Rule) -> anyhow::Result<String> {
    let features = match rule.features {
        Features::All => "--all-features",
        Features::None => "--no-default-features",
    };
    cargo_output(&["tree", "--package", &rule.package, "--edges", "normal", "--prefix", "depth", features])
}
