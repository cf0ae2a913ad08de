//! What runs, written down so that another call finds it.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::kafka_options::Listener;
use super::process::Process;
use super::service::Service;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) services: BTreeMap<Service, Record>,
}

/// One server. It is written before the server's folder is filled and again with the process, so that a call that
/// is killed half-way leaves nothing that `down` does not know about.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) folder: PathBuf,
    /// The first is the one that clients connect to.
    pub(crate) ports: Vec<u16>,
    /// Further ones, whose ports are the last.
    #[serde(default)]
    pub(crate) listeners: Vec<Listener>,
    /// What a test needs to connect.
    pub(crate) address: String,
    pub(crate) account: Option<Account>,
    /// The program and its arguments, with which it can be started again.
    pub(crate) command: Vec<String>,
    pub(crate) process: Option<Process>,
}

impl Record {
    pub(crate) fn port(&self) -> u16 {
        self.ports.first().copied().unwrap_or_default()
    }

    pub(crate) fn listeners(&self) -> impl Iterator<Item = (Listener, u16)> {
        let own = self.ports.len() - self.listeners.len();
        self.listeners.iter().copied().zip(self.ports.iter().copied().skip(own))
    }
}

impl State {
    pub(crate) fn load(dir: &Path) -> anyhow::Result<Self> {
        let path = file(dir);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("cannot read {}", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Replaces the file in one step: a reader sees the old state or the new one.
    pub(crate) fn save(&self, dir: &Path) -> anyhow::Result<()> {
        let path = file(dir);
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(self)?).with_context(|| format!("cannot write {}", new.display()))?;
        fs::rename(&new, &path).with_context(|| format!("cannot write {}", path.display()))
    }
}

fn file(dir: &Path) -> PathBuf {
    dir.join("state.json")
}

/// Holds the folder against other calls until it is dropped, or its process ends however it ends.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closing the file releases the lock")] File);

impl Lock {
    pub(crate) fn wait(dir: &Path) -> anyhow::Result<Self> {
        let file = Self::open(dir)?;
        file.lock().with_context(|| format!("cannot lock {}", dir.display()))?;
        Ok(Self(file))
    }

    /// `None` when somebody holds it.
    pub(crate) fn attempt(dir: &Path) -> anyhow::Result<Option<Self>> {
        let file = Self::open(dir)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", dir.display())),
        }
    }

    fn open(dir: &Path) -> anyhow::Result<File> {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let path = dir.join("lock");
        File::options().create(true).append(true).open(&path).with_context(|| format!("cannot open {}", path.display()))
    }
}
