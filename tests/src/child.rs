//! Processors in processes of their own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// A running `outbox-test-processor`; killed when dropped.
#[derive(Debug)]
pub struct ProcessorProcess {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl ProcessorProcess {
    /// Starts one. `variables` are `OUTBOX_*` settings.
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    #[must_use]
    pub fn start(program: &Path, database: &str, brokers: &str, variables: &[(&str, &str)]) -> Self {
        Self::run(Command::new(program), database, brokers, variables)
    }

    /// Starts one as `command`, whose process calls [`run_processor`](crate::run_processor).
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    #[must_use]
    pub fn run(mut command: Command, database: &str, brokers: &str, variables: &[(&str, &str)]) -> Self {
        command.env("DATABASE_URL", database).env("KAFKA_BROKERS", brokers).envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the test's processor");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (output, sink) = (child.stdout.take().expect("its output"), Arc::clone(&lines));
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { child, lines }
    }

    /// The system's number for it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many events it has delivered, by its own word.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.lines().iter().rev().find_map(|line| line.parse().ok()).unwrap_or(0)
    }

    /// Ends it without a chance to do anything (SIGKILL), and waits until it is gone.
    ///
    /// # Panics
    ///
    /// When the system refuses.
    pub fn kill(&mut self) {
        self.child.kill().expect("SIGKILL");
        self.child.wait().expect("its end");
    }

    /// Sends a signal by name, for example `TERM` or `STOP`.
    ///
    /// # Panics
    ///
    /// When the system refuses.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("kill");
        assert!(status.success(), "kill -s {name} {pid}: {status}");
    }

    /// Whether it has ended, and how.
    ///
    /// # Panics
    ///
    /// When the system refuses.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("its state")
    }
}

impl Drop for ProcessorProcess {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
