//! Ends what this program started if it goes without a chance to do so itself: at Ctrl-C, which ends the groups in the
//! terminal's foreground alone, by SIGKILL, or by an abort.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Pid;

/// Reads lines with all groups that there are, and kills those of the last one when no more can come.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
groups=
while read -r line; do groups=$line; done
for group in $groups; do kill -s KILL -- "-$group"; done
"#;

/// A shell that holds the other end of a pipe of this program's: the system closes it, however the program ends.
#[derive(Debug)]
pub(super) struct Watchdog(Mutex<State>);

#[derive(Debug)]
struct State {
    shell: Child,
    groups: BTreeSet<i32>,
}

impl Watchdog {
    pub(super) fn start() -> io::Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Not in the foreground either.
        let shell = shell.process_group(0).spawn()?;
        Ok(Self(Mutex::new(State { shell, groups: BTreeSet::new() })))
    }

    pub(super) fn watch(&self, group: Pid) -> io::Result<()> {
        let mut state = self.lock();
        state.groups.insert(group.as_raw_nonzero().get());
        let gone = |error: io::Error| io::Error::new(error.kind(), "the shell that watches over processes is gone");
        state.tell().map_err(gone)
    }

    pub(super) fn forget(&self, group: Pid) {
        let mut state = self.lock();
        state.groups.remove(&group.as_raw_nonzero().get());
        // There is nobody to be told if somebody else ended it.
        drop(state.tell());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As when this program ends.
    #[cfg(test)]
    pub(super) fn close(&self) {
        drop(self.lock().shell.stdin.take());
    }
}

impl State {
    fn tell(&mut self) -> io::Result<()> {
        let groups: Vec<String> = self.groups.iter().map(i32::to_string).collect();
        let Some(pipe) = &mut self.shell.stdin else { return Ok(()) };
        pipe.write_all(format!("{}\n", groups.join(" ")).as_bytes())
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let mut state = self.lock();
        drop(state.shell.stdin.take());
        drop(state.shell.wait());
    }
}
