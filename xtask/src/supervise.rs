//! A program that we wait for, and that ends with us.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::interrupt::Interrupt;

/// How long a program may take to end when asked to.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `command` to its end. An interrupt or the `limit` ends it, and is an error.
pub(crate) fn run(mut command: Command, interrupt: &Interrupt, limit: Option<Duration>) -> anyhow::Result<ExitStatus> {
    // A group of its own, so that one signal reaches the program and what it started, whether the interrupt was
    // typed at the terminal or sent to us alone.
    let program = command.get_program().to_owned();
    let mut child = command
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            interrupt.check()?;
            return Ok(status);
        }
        if interrupt.happened() {
            end_group(&mut child)?;
            interrupt.check()?;
        }
        if let Some(limit) = limit.filter(|limit| start.elapsed() > *limit) {
            end_group(&mut child)?;
            bail!("{} did not end within {} s", program.display(), limit.as_secs());
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn end_group(child: &mut Child) -> anyhow::Result<()> {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("not a process number")?;
    // It may have ended since we looked, which is no error.
    kill_process_group(group, Signal::INT).ok();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait()?.is_none() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(50));
    }
    // What ignores the signal would outlive its parent.
    kill_process_group(group, Signal::KILL).ok();
    child.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_limit_ends_a_program_and_its_children() {
        let (mut output, writer) = std::io::pipe().unwrap();
        let mut command = Command::new("sh");
        // The child ignores the polite signal, and would hold the pipe open for as long as it lives.
        command.args(["-c", "(trap '' INT; echo started; sleep 1000) & wait"]).stdout(writer);

        let error = run(command, &Interrupt::default(), Some(Duration::from_secs(1))).unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error:#}");
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text, "started\n");
    }

    #[test]
    fn a_program_that_ends_in_time_gives_its_status() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 7"]);
        assert_eq!(run(command, &Interrupt::default(), None).unwrap().code(), Some(7));
    }
}
