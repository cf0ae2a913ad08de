//! Servers for one test each, which may crash.

use std::env;
use std::ffi::OsString;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use uuid::Uuid;

use crate::server::Server;

/// The program behind `cargo xtask`, given by `cargo xtask test`.
const XTASK: &str = "OUTBOX_XTASK";
/// A folder that goes with the run of the tests, and takes the servers in it along, however a test ends.
const RUN: &str = "OUTBOX_TEST_RUN";

/// A server that belongs to one test, to be crashed; it goes when this is dropped. It takes seconds to start: a test
/// that crashes nothing uses the server that all tests share.
#[derive(Debug)]
pub struct OwnServer {
    server: Server,
    folder: PathBuf,
    address: String,
}

impl OwnServer {
    /// Starts one; `None` when it is left out by request.
    ///
    /// # Panics
    ///
    /// When it cannot be started, or the tests were not started by `cargo xtask test`.
    pub async fn start(server: Server) -> Option<Self> {
        server.address()?;
        Some(Self::launch(server).await)
    }

    /// Starts one, whatever was left out.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn launch(server: Server) -> Self {
        Self::launch_with(server, &[]).await
    }

    /// Starts one with variables in its environment.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn launch_with(server: Server, variables: &[(&str, String)]) -> Self {
        let run = env::var_os(RUN).expect("a server of its own: run `cargo xtask test`");
        let folder = Path::new(&run).join(format!("own-{}", Uuid::now_v7().simple()));
        let mut this = Self { server, folder, address: String::new() };
        let mut words = vec!["up".to_owned(), server.name().to_owned()];
        for (name, value) in variables {
            words.extend(["--env".to_owned(), format!("{name}={value}")]);
        }
        services(&this.folder, &words).await;
        let exports = services(&this.folder, &["env"]).await;
        let prefix = format!("export {}=", server.variable());
        let address = exports.lines().find_map(|line| line.strip_prefix(&prefix)).expect("the server's address");
        this.address = address.to_owned();
        this
    }

    /// A URL, or Kafka's `bootstrap.servers`. It outlives a crash.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends the server without a word to its clients, and without flushing anything.
    pub async fn crash(&self) {
        services(&self.folder, &["crash", self.server.name()]).await;
    }

    /// Starts the server after a crash, with its data, and returns when it answers.
    pub async fn restart(&self) {
        services(&self.folder, &["up", self.server.name()]).await;
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // What fails here is done again at the end of the run.
        if let Ok(mut down) = command(&self.folder, &["down"]) {
            drop(down.stdout(Stdio::null()).stderr(Stdio::null()).status());
        }
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

async fn services(folder: &Path, words: &[impl AsRef<str> + Debug]) -> String {
    let mut command = command(folder, words).expect("the tests were started by `cargo xtask test`");
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("xtask runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "services {words:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

fn command(folder: &Path, words: &[impl AsRef<str>]) -> Result<Command, env::VarError> {
    let xtask: OsString = env::var_os(XTASK).ok_or(env::VarError::NotPresent)?;
    let mut command = Command::new(xtask);
    command.arg("services").args(words.iter().map(AsRef::as_ref)).arg("--dir").arg(folder).stdin(Stdio::null());
    Ok(command)
}
