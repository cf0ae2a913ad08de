//! `cargo xtask chaos`: the fault suite, which starts servers of its own through this program.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::interrupt::Interrupt;
use crate::program::{self, Profile};
use crate::services::runs;
use crate::{supervise, workspace};

const PACKAGE: &str = "outbox-sea-orm-chaos";

pub(crate) fn run(arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let mut suite = program::build(PACKAGE, Profile::Dev, &interrupt)?;
    let (fleet, folder) = runs::begin(&workspace::services_folder()?, interrupt.clone())?;
    suite.args(arguments);
    suite.env("OUTBOX_XTASK", std::env::current_exe()?).env("OUTBOX_TEST_RUN", &folder);
    let status = supervise::run(suite, &interrupt, None);
    // The suite stops its servers; what it left behind ends here.
    runs::end(fleet, &folder)?;
    Ok(if status?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
