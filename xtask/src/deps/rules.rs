//! The rules, and what they make of the workspace's packages.

use std::path::Path;

use anyhow::ensure;

use crate::workspace::Package;

/// `package`, built with `features`, contains nothing of `forbidden`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) package: String,
    pub(crate) features: Features,
    /// Families: `sqlx` also means `sqlx-core`.
    pub(crate) forbidden: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Features {
    All,
    None,
}

/// Nothing but each other depends on these.
const LEAVES: [&str; 5] =
    ["outbox-examples", "outbox-tests", "outbox-sea-orm-benches", "outbox-sea-orm-chaos", "outbox-xtask"];

const FIXED: [(&str, Features, &[&str]); 4] = [
    ("outbox-sea-orm-core", Features::All, &["sea-orm", "sea-query", "sqlx", "rdkafka"]),
    ("outbox-sea-orm-derive", Features::All, &["sea-orm", "sea-query", "sqlx", "rdkafka"]),
    ("outbox-sea-orm-migration", Features::All, &["rdkafka"]),
    // With its features on, the facade brings the publishers that its user asked for. Failpoints are for tests.
    ("outbox-sea-orm", Features::None, &["rdkafka", "fail"]),
];

const PUBLISHER: &[&str] = &["sea-orm", "sea-query", "sqlx"];

/// The rules for these packages, of which those in the folder `publishers` are publishers.
///
/// # Errors
///
/// When a package that a rule names is gone: a rule about nothing would hold for ever.
pub(crate) fn rules(packages: &[Package], publishers: &Path) -> anyhow::Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for (name, features, forbidden) in FIXED {
        ensure!(packages.iter().any(|package| package.name == name), "a rule is about {name}, which does not exist");
        rules.push(Rule { package: name.to_owned(), features, forbidden });
    }
    let publishers = packages.iter().filter(|package| package.manifest_path.starts_with(publishers));
    let publishers: Vec<_> = publishers
        .map(|package| Rule { package: package.name.clone(), features: Features::All, forbidden: PUBLISHER })
        .collect();
    ensure!(!publishers.is_empty(), "a rule is about publishers, and there is none");
    rules.extend(publishers);
    Ok(rules)
}

/// A sentence for each package that depends on one that nothing may depend on.
pub(crate) fn dependents_of_leaves(packages: &[Package]) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in packages.iter().filter(|package| !LEAVES.contains(&package.name.as_str())) {
        for dependency in &package.dependencies {
            if LEAVES.contains(&dependency.name.as_str()) {
                complaints.push(format!("nothing may depend on {}, and {} does", dependency.name, package.name));
            }
        }
    }
    complaints
}

impl Rule {
    pub(crate) fn complaint(&self, path: &[String]) -> String {
        format!(
            "{} ({}) must not contain {}: {}",
            self.package,
            self.features.flag(),
            path.last().map_or("", String::as_str),
            path.join(" -> ")
        )
    }
}

impl Features {
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            Self::All => "with all features",
            Self::None => "without its default features",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn package(name: &str, folder: &str, dependencies: &[&str]) -> Package {
        let dependencies = dependencies.iter().map(|name| Dependency { name: (*name).to_owned() }).collect();
        let manifest_path = Path::new("root").join(folder).join("Cargo.toml");
        Package { name: name.to_owned(), manifest_path, dependencies, targets: Vec::new() }
    }

    fn workspace() -> Vec<Package> {
        let mut packages: Vec<_> = FIXED.iter().map(|(name, ..)| package(name, name, &["serde"])).collect();
        packages.push(package("outbox-sea-orm-kafka", "publishers/kafka", &["rdkafka"]));
        packages
    }

    #[test]
    fn every_publisher_gets_a_rule_by_its_place() {
        let mut packages = workspace();
        packages.push(package("outbox-sea-orm-nats", "publishers/nats", &[]));
        let rules = rules(&packages, Path::new("root/publishers")).unwrap();
        for name in ["outbox-sea-orm-kafka", "outbox-sea-orm-nats"] {
            let rule = Rule { package: name.to_owned(), features: Features::All, forbidden: PUBLISHER };
            assert!(rules.contains(&rule), "{name}");
        }
    }

    #[test]
    fn a_rule_about_nothing_is_an_error() {
        for index in 0..workspace().len() {
            let mut packages = workspace();
            let gone = packages.remove(index);
            assert!(rules(&packages, Path::new("root/publishers")).is_err(), "{} is gone unnoticed", gone.name);
        }
    }

    #[test]
    fn a_dependency_on_tests_is_caught() {
        let mut packages = workspace();
        packages.push(package("outbox-sea-orm-chaos", "chaos", &["outbox-tests"]));
        assert!(dependents_of_leaves(&packages).is_empty());
        packages.push(package("outbox-relay", "relay", &["serde", "outbox-tests"]));
        let complaints = dependents_of_leaves(&packages);
        assert_eq!(complaints, ["nothing may depend on outbox-tests, and outbox-relay does"]);
    }
}
