//! What cargo knows about this workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// Of any kind: normal, development, build.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
    pub(crate) src_path: PathBuf,
}

/// The root of the checkout that `cargo xtask` was called in.
pub(crate) fn root() -> PathBuf {
    // Set by `cargo run`; the value at build time serves whoever calls the binary directly.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let package = PathBuf::from(package);
    package.parent().map(Path::to_path_buf).unwrap_or(package)
}

/// A cargo that works on this workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    // About this program, which `cargo run` started. Build scripts that watch them (ring's does) would run again.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs cargo for its output.
pub(crate) fn cargo_output(arguments: &[&str]) -> anyhow::Result<String> {
    let output = cargo().args(arguments).output().context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo {} failed\n{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// The packages of the workspace.
pub(crate) fn metadata() -> anyhow::Result<Metadata> {
    let json = cargo_output(&["metadata", "--no-deps", "--format-version", "1"])?;
    serde_json::from_str(&json).context("cargo metadata")
}

/// Servers, their data and what is downloaded for them: a folder that `cargo clean` removes.
pub(crate) fn services_folder() -> anyhow::Result<PathBuf> {
    Ok(metadata()?.target_directory.join("outbox-services"))
}
