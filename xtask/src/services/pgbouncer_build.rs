//! A PgBouncer for systems whose own is too old: from the source of a later Debian release, kept in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::install::{find, find_or_install};

const RELEASE: &str = "trixie";
const SOURCES: &str = "\
Types: deb-src
URIs: http://deb.debian.org/debian
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

/// The program, after half a minute when it is not there yet.
pub(crate) fn built(cache: &Path) -> anyhow::Result<PathBuf> {
    let folder = cache.join(format!("pgbouncer-{RELEASE}"));
    let program = folder.join("pgbouncer");
    if !program.exists() {
        println!("building the PgBouncer of Debian {RELEASE}");
        build(&folder).context(
            "there is no PgBouncer 1.21 or later, and only on a Debian system can one be built from here: install one",
        )?;
    }
    Ok(program)
}

/// In a folder of its own, which takes its place when all is done.
fn build(folder: &Path) -> anyhow::Result<()> {
    find_or_install("what PgBouncer is built with", &["build-essential", "pkg-config", "libevent-dev"], || {
        let library = Command::new(find("pkg-config", &[])?).args(["--exists", "libevent"]).status();
        library.is_ok_and(|status| status.success()).then_some(())
    })?;
    let parent = folder.parent().context("a folder in a cache")?;
    let place = tempfile::Builder::new().prefix("pgbouncer-").tempdir_in(parent)?;
    let place = place.path();
    fs::write(place.join("debian.sources"), SOURCES)?;
    fs::create_dir_all(place.join("lists/partial"))?;
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.arg("--quiet").args(["-o", &format!("Dir::Etc::sourcelist={}/debian.sources", place.display())]);
        apt.args(["-o", "Dir::Etc::sourceparts=-", "-o", &format!("Dir::State::lists={}/lists", place.display())]);
        apt.args(["-o", &format!("Dir::Cache={}/cache", place.display()), "-o", "APT::Sandbox::User=root"]);
        apt.args(arguments);
        run(apt, place)
    };
    fs::create_dir_all(place.join("cache/archives/partial"))?;
    apt(&["update"])?;
    apt(&["source", "--download-only", "pgbouncer"])?;
    let source = place.join("source");
    fs::create_dir(&source)?;
    // The plain archive of the release: the configure script and the manual are in it.
    let archive = fs::read_dir(place)?.flatten().map(|entry| entry.path());
    let archive = archive.into_iter().find(|path| path.to_string_lossy().ends_with(".orig.tar.gz"));
    let archive = archive.context("apt-get downloaded no source of PgBouncer")?;
    let mut unpack = Command::new("tar");
    unpack.arg("--extract").arg("--file").arg(archive).arg("--strip-components=1").arg("--directory").arg(&source);
    run(unpack, place)?;
    let mut configure = Command::new("./configure");
    configure.args(["--quiet", "--without-cares", "--without-openssl"]);
    run(configure, &source)?;
    let mut make = Command::new("make");
    make.args(["--silent", "-j2", "pgbouncer"]);
    run(make, &source)?;
    let ready = place.join("ready");
    fs::create_dir(&ready)?;
    fs::copy(source.join("pgbouncer"), ready.join("pgbouncer"))?;
    // Somebody else may have been faster.
    if !folder.exists() {
        fs::rename(ready, folder)?;
    }
    Ok(())
}

fn run(mut command: Command, folder: &Path) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.current_dir(folder).output().with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} failed\n{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
