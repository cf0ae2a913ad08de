//! A process with all that it starts.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

use super::watchdog::Watchdog;

/// A process group of its own. What is left of it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Group {
    leader: Child,
    id: Pid,
    watchdog: Arc<Watchdog>,
    pub(super) since: Instant,
    /// When it was asked to stop.
    pub(super) asked: Option<Instant>,
}

impl Group {
    pub(super) fn start(mut command: Command, watchdog: &Arc<Watchdog>) -> io::Result<Self> {
        let leader = command.process_group(0).spawn()?;
        let id = Pid::from_child(&leader);
        let group = Self { leader, id, watchdog: Arc::clone(watchdog), since: Instant::now(), asked: None };
        watchdog.watch(id)?;
        Ok(group)
    }

    #[cfg(test)]
    pub(super) fn id(&self) -> Pid {
        self.id
    }

    /// Whether the process that was started has ended, and how.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.leader.try_wait()
    }

    /// Whether anybody of it is there.
    pub(super) fn lives(&self) -> bool {
        test_kill_process_group(self.id).is_ok() && !self.are_zombies()
    }

    /// To all of it. Its number is nobody else's as long as anybody is in it.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        if self.lives() { Ok(kill_process_group(self.id, signal)?) } else { Ok(()) }
    }

    /// Whether all that is left have ended, and nobody asked how. For orphans that is up to the system's first process,
    /// which in a container may be any program, and not care.
    fn are_zombies(&self) -> bool {
        if !cfg!(target_os = "linux") {
            return false;
        }
        let Ok(processes) = std::fs::read_dir("/proc") else { return false };
        let stat = |process: std::fs::DirEntry| std::fs::read_to_string(process.path().join("stat")).ok();
        !processes.flatten().filter_map(stat).any(|stat| is_alive_in(&stat, self.id))
    }
}

/// By Linux's line about a process: its number, its name in parentheses, its state, its parent and its group.
fn is_alive_in(stat: &str, group: Pid) -> bool {
    let Some((_, stat)) = stat.rsplit_once(')') else { return false };
    let mut fields = stat.split_whitespace();
    let (state, of) = (fields.next(), fields.nth(1));
    !matches!(state, Some("Z" | "X")) && of == Some(group.as_raw_nonzero().to_string().as_str())
}

impl Drop for Group {
    fn drop(&mut self) {
        // They may have ended already.
        drop(self.signal(Signal::KILL));
        drop(self.leader.wait());
        self.watchdog.forget(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_alive_is_told_by_state_and_group() {
        let group = Pid::from_raw(7).unwrap();
        for stat in ["9 (sh) S 1 7 7 0 -1", "9 (a) Z 1 7 (b) R 1 7 7", "7 (sh) T 1 7"] {
            assert!(is_alive_in(stat, group), "{stat}");
        }
        for stat in ["9 (sh) S 7 1 7 0 -1", "9 (sh) Z 1 7 7 0 -1", "9 (sh) X 1 7", "9 (S 1 7 7", "", "9 (sh) S"] {
            assert!(!is_alive_in(stat, group), "{stat}");
        }
    }
}
