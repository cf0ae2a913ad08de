//! `cargo xtask prepare`: what `--all-features` is built with, beyond a compiler and `make`.

use std::process::{Command, Stdio};

use anyhow::Context;

use crate::services::install::{find, find_or_install};

/// Libraries for TLS and SASL in librdkafka.
const PACKAGES: [&str; 3] = ["pkg-config", "libssl-dev", "libsasl2-dev"];

pub(crate) fn run() -> anyhow::Result<()> {
    find_or_install("what --all-features is built with (the headers of OpenSSL and Cyrus SASL)", &PACKAGES, is_there)
        .context("without it, name the features to build with: cargo xtask test -- --features <features>")
}

/// Whether it is there, without installing anything.
pub(crate) fn is_there() -> Option<()> {
    let mut libraries = Command::new(find("pkg-config", &[])?);
    libraries.args(["--exists", "openssl", "libsasl2"]).stdout(Stdio::null()).stderr(Stdio::null());
    libraries.status().is_ok_and(|status| status.success()).then_some(())
}
