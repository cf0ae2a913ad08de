//! Child processes of ours, so that what a processor or a bare producer uses is its own and nobody else's.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::roles::{DONE, READY, Role};

const PATIENCE: Duration = Duration::from_secs(120);

/// A running child; killed when dropped.
#[derive(Debug)]
pub(crate) struct Child {
    process: tokio::process::Child,
    /// As long as it is open, the child works.
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    /// Just before it was started.
    pub(crate) started: Instant,
}

impl Child {
    pub(crate) fn start(role: &Role) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--play").arg(serde_json::to_string(role)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let started = Instant::now();
        let mut process = command.spawn().context("cannot start a child process")?;
        let output = process.stdout.take().context("no output")?;
        let input = process.stdin.take();
        Ok(Self { process, input, output: BufReader::new(output).lines(), started })
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        self.line(READY).await.map(drop)
    }

    /// Tells it to stop, and waits for its last words.
    pub(crate) async fn finish<T: DeserializeOwned>(mut self) -> anyhow::Result<T> {
        drop(self.input.take());
        let words = self.line(DONE).await?;
        let status = self.process.wait().await?;
        if !status.success() {
            bail!("a child process ended with {status}");
        }
        Ok(serde_json::from_str(&words)?)
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.process.kill().await?)
    }

    /// The rest of the next line that begins with `prefix`.
    async fn line(&mut self, prefix: &str) -> anyhow::Result<String> {
        loop {
            let line = timeout(PATIENCE, self.output.next_line()).await.context("a child process is silent")??;
            let line = line.context("a child process ended")?;
            if let Some(rest) = line.strip_prefix(prefix) {
                return Ok(rest.trim().to_owned());
            }
        }
    }
}
