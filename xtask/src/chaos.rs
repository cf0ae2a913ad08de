//! `cargo xtask chaos`: the fault suite, which starts servers of its own through this program.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::ensure;

use crate::interrupt::Interrupt;
use crate::services::runs;
use crate::{supervise, workspace};

const PACKAGE: &str = "outbox-sea-orm-chaos";

pub(crate) fn run(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    // Built apart, so that its minutes are its own.
    let mut build = workspace::cargo();
    build.args(["build", "--package", PACKAGE]);
    ensure!(supervise::run(build, &interrupt, None)?.success(), "the fault suite does not compile");

    let (fleet, folder) = runs::begin(&workspace::services_folder()?, interrupt.clone())?;
    let mut suite = workspace::cargo();
    suite.args(["run", "--quiet", "--package", PACKAGE, "--"]).args(arguments);
    suite.current_dir(std::env::current_dir()?);
    suite.env("OUTBOX_XTASK", std::env::current_exe()?).env("OUTBOX_TEST_RUN", &folder);
    let status = supervise::run(suite, &interrupt, None);
    // The suite stops its servers; what it left behind ends here.
    runs::end(fleet, &folder)?;
    Ok(if status?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
