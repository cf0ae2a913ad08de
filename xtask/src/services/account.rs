//! The account that a server runs under.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

/// Another account than ours: database servers refuse to run as root.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// The first of `names` that exists, when we are root. `None` means to run as who we are.
    pub(crate) fn for_server(names: &[&str]) -> anyhow::Result<Option<Self>> {
        if !is_root() {
            return Ok(None);
        }
        for name in names {
            if let (Ok(uid), Ok(gid)) = (id("-u", name), id("-g", name)) {
                return Ok(Some(Self { uid, gid }));
            }
        }
        anyhow::bail!("this server refuses to run as root, and there is no account named {}", names.join(" or "))
    }

    pub(crate) fn own(self, path: &Path) -> anyhow::Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("cannot change the owner of {}", path.display()))
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A new folder for `name` below `parent`, or below the system's temporary folder when `parent` lies where other
/// accounts cannot get to, as in root's home folder.
pub(crate) fn folder(parent: &Path, name: &str, account: Option<Account>) -> anyhow::Result<PathBuf> {
    let folder = if account.is_none() || open_to_others(parent)? {
        let folder = parent.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        folder
    } else {
        tempfile::Builder::new().prefix(&format!("outbox-{name}-")).tempdir().context("cannot create a folder")?.keep()
    };
    if let Some(account) = account {
        account.own(&folder)?;
    }
    Ok(folder)
}

fn open_to_others(path: &Path) -> anyhow::Result<bool> {
    const SEARCH_BY_OTHERS: u32 = 0o001;
    for ancestor in path.ancestors() {
        let metadata = fs::metadata(ancestor).with_context(|| format!("cannot look at {}", ancestor.display()))?;
        if metadata.mode() & SEARCH_BY_OTHERS == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn id(what: &str, name: &str) -> anyhow::Result<u32> {
    let output = Command::new("id").args([what, name]).output().context("cannot run id")?;
    ensure!(output.status.success(), "no account {name}");
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}
