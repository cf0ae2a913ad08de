//! Programs of the workspace that are run on servers.

use std::process::Command;

use anyhow::ensure;

use crate::interrupt::Interrupt;
use crate::{prepare, supervise, workspace};

/// Built together unless they are to be fast: what they depend on has the same features then, and is built once.
const TOGETHER: [&str; 2] = ["outbox-sea-orm-chaos", "outbox-sea-orm-benches"];

/// How a program is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    /// Without the failpoints that the tests bring into a build of the whole workspace.
    Release,
}

/// Builds a program, called like its package, and returns the command that runs it here. Apart from running it, so that
/// its minutes are its own.
pub(crate) fn build(name: &str, profile: Profile, interrupt: &Interrupt) -> anyhow::Result<Command> {
    let mut cargo = workspace::cargo();
    let folder = match profile {
        Profile::Dev => {
            cargo.args(["build", "--workspace"]).args(TOGETHER.iter().flat_map(|name| ["--bin", name]));
            // As the tests are built, where there is what that takes: nothing is built again then. An example brings the
            // features along that only tests and examples ask for.
            if prepare::is_there().is_some() {
                cargo.args(["--all-features", "--example", "quickstart"]);
            }
            "debug"
        }
        Profile::Release => {
            cargo.args(["build", "--release", "--package", name]);
            "release"
        }
    };
    ensure!(supervise::run(cargo, interrupt, None)?.success(), "{name} does not compile");
    let program = workspace::metadata()?.target_directory.join(folder).join(name);
    Ok(Command::new(program))
}
