//! Finding programs, and installing the packages that have them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::account::is_root;

/// Folders for servers that an ordinary account's `PATH` leaves out.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/libexec"];

/// A program by name, on the `PATH` and in `more` folders.
pub(crate) fn find(program: &str, more: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    more.iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// What `find` finds, if necessary after installing Debian's `packages`.
pub(crate) fn find_or_install<T>(what: &str, packages: &[&str], find: impl Fn() -> Option<T>) -> anyhow::Result<T> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let Some(apt) = self::find("apt-get", &[]).filter(|_| is_root()) else {
        bail!(
            "{what} is not installed, and only root on a Debian system can have it installed from here.\n\
             Install {what} (on Debian: apt-get install {}), or leave it out by name.",
            packages.join(" ")
        );
    };
    println!("{what} is missing: installing {}", packages.join(" "));
    // The lists of a fresh machine are empty, those of an old one name packages that are gone.
    if apt_get(&apt, &["install", "--yes", "--no-install-recommends"], packages).is_err() {
        apt_get(&apt, &["update"], &[])?;
        apt_get(&apt, &["install", "--yes", "--no-install-recommends"], packages)?;
    }
    find().with_context(|| format!("installed {}, but {what} is still not there", packages.join(" ")))
}

fn apt_get(apt: &Path, action: &[&str], packages: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(apt)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .arg("--quiet")
        .args(action)
        .args(packages)
        .stdin(std::process::Stdio::null())
        .output()
        .context("cannot run apt-get")?;
    if !output.status.success() {
        bail!("apt-get {} failed\n{}", action.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
