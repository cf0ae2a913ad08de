//! Where everything in the lock file comes from, and under which licence: what a user's own check would ask.
//!
//! Known weaknesses are not looked up: the list of them is not in the registry.

use anyhow::Context;
use serde::Deserialize;

use crate::workspace::cargo_output;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// None of them asks more of a program than to name its authors.
const LICENCES: [&str; 13] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

#[derive(Debug, Deserialize)]
struct Locked {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    license: Option<String>,
    /// `None`: of this workspace.
    source: Option<String>,
}

/// How many packages there are, and a sentence for each that is not as it should be.
pub(crate) fn complaints() -> anyhow::Result<(usize, Vec<String>)> {
    let json = cargo_output(&["metadata", "--format-version", "1", "--all-features", "--locked"])?;
    let locked: Locked = serde_json::from_str(&json).context("cargo metadata")?;
    Ok((locked.packages.len(), locked.packages.iter().flat_map(judge).collect()))
}

fn judge(package: &Package) -> Vec<String> {
    let Package { name, license, source } = package;
    let mut complaints = Vec::new();
    if source.as_ref().is_some_and(|source| source != REGISTRY) {
        complaints.push(format!("{name} comes from {}, not from crates.io", source.as_deref().unwrap_or_default()));
    }
    if !license.as_deref().is_some_and(is_permissive) {
        let licence = license.as_deref().unwrap_or("no licence");
        complaints.push(format!("{name} has {licence}, which is not one of those that xtask/src/deps/origin.rs lists"));
    }
    complaints
}

/// Alternatives within parts that all count, as these expressions are written.
fn is_permissive(expression: &str) -> bool {
    expression.split(" AND ").all(|part| {
        let part = part.trim_matches(['(', ')', ' ']);
        part.split(" OR ").flat_map(|part| part.split('/')).any(|licence| LICENCES.contains(&licence.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_needs_one_that_is_listed() {
        for good in ["MIT", "MIT/Apache-2.0", "(MIT OR Apache-2.0) AND NCSA", "MIT OR LGPL-2.1-or-later"] {
            assert!(is_permissive(good), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND LGPL-2.1-or-later", "(GPL-3.0 OR AGPL-3.0) AND MIT", "SSPL-1.0/GPL-3.0"] {
            assert!(!is_permissive(bad), "{bad}");
        }
    }

    #[test]
    fn other_places_are_named() {
        let source = Some("git+https://example.org/x".to_owned());
        let package = Package { name: "x".to_owned(), license: None, source };
        let complaints = judge(&package);
        assert!(complaints[0].contains("example.org") && complaints[1].contains("no licence"), "{complaints:?}");
    }
}
