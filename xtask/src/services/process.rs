//! Processes that outlive us, and are still recognized later.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::account::Account;

/// A process by its number and its moment of birth: numbers are given again, so the number alone could be somebody
/// else's process by the time we stop it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    born: String,
}

impl Process {
    pub(crate) fn of(child: &Child) -> anyhow::Result<Self> {
        let pid = child.id();
        let born = birth(pid).with_context(|| format!("process {pid} ended at once"))?;
        Ok(Self { pid, born })
    }

    pub(crate) fn is_alive(&self) -> bool {
        birth(self.pid).is_some_and(|born| born == self.born)
    }

    /// Asks politely with `signal`, and after a while no longer politely.
    pub(crate) fn stop(&self, signal: Signal) -> anyhow::Result<()> {
        for (signal, patience) in [(signal, Duration::from_secs(20)), (Signal::KILL, Duration::from_secs(20))] {
            if !self.is_alive() {
                return Ok(());
            }
            let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("not a process number")?;
            // It may have ended since we looked; what counts is whether it is alive below.
            kill_process(pid, signal).or_else(|error| if self.is_alive() { Err(error) } else { Ok(()) })?;
            let deadline = Instant::now() + patience;
            while self.is_alive() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(20));
            }
        }
        if self.is_alive() {
            bail!("process {} does not end", self.pid);
        }
        Ok(())
    }
}

/// Starts `command` away from our terminal: signals typed there do not reach it, and it writes to `log`.
pub(crate) fn spawn_detached(mut command: Command, account: Option<Account>, log: &Path) -> anyhow::Result<Child> {
    let program = command.get_program().to_owned();
    let file = File::options().create(true).append(true).open(log)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
    run_as(&mut command, account);
    command.spawn().with_context(|| format!("cannot start {}", program.display()))
}

/// Runs a preparing command to its end, adding its output to `log`.
pub(crate) fn run_to_end(mut command: Command, account: Option<Account>, log: &Path) -> anyhow::Result<()> {
    let program = command.get_program().to_owned();
    let file = File::options().create(true).append(true).open(log)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    run_as(&mut command, account);
    let status = command.status().with_context(|| format!("cannot run {}", program.display()))?;
    if !status.success() {
        bail!("{} failed ({status})\n{}", program.display(), tail(log));
    }
    Ok(())
}

fn run_as(command: &mut Command, account: Option<Account>) {
    if let Some(account) = account {
        // As root this also drops the supplementary groups.
        command.uid(account.uid).gid(account.gid);
    }
}

/// The end of a log, to be shown with an error.
pub(crate) fn tail(log: &Path) -> String {
    const LINES: usize = 25;
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(LINES)..];
    format!("the end of {}:\n  {}", log.display(), shown.join("\n  "))
}

/// When the process was started, as an opaque text; `None` when there is none, or only a zombie.
fn birth(pid: u32) -> Option<String> {
    if Path::new("/proc/self/stat").exists() {
        birth_from_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    } else {
        let output = Command::new("ps").args(["-o", "stat=,lstart=", "-p", &pid.to_string()]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let (state, born) = text.trim().split_once(char::is_whitespace)?;
        (!state.starts_with('Z')).then(|| born.trim().to_owned())
    }
}

/// `pid (name) state ppid ...`, where the name may contain anything and the start time is field 22.
fn birth_from_stat(stat: &str) -> Option<String> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let born = fields.nth(18)?;
    (state != "Z" && state != "X").then(|| born.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn birth_is_read_behind_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 2";
        assert_eq!(birth_from_stat(stat).as_deref(), Some("987654"));
        assert_eq!(birth_from_stat(&stat.replace(" S ", " Z ")), None);
    }

    #[test]
    fn only_the_process_that_was_started_is_stopped() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::of(&child).unwrap();
        let another = Process { pid: process.pid, born: "another time".to_owned() };

        another.stop(Signal::TERM).unwrap();
        assert!(process.is_alive(), "a process of another birth was stopped");

        process.stop(Signal::TERM).unwrap();
        assert!(!process.is_alive());
        child.wait().unwrap();
    }
}
