//! `cargo xtask fuzz`: one target of the package `fuzz`, under libFuzzer.
//!
//! The coverage that guides it comes from a pass of LLVM that the stable compiler has, so nothing needs to be
//! installed but a C++ compiler. It runs without sanitizers: there is no unsafe code of ours to find fault with.

use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};

use crate::interrupt::Interrupt;
use crate::{supervise, workspace};

const PACKAGE: &str = "outbox-sea-orm-fuzz";
const PROGRAM: &str = "outbox-fuzz";

const FLAGS: [&str; 8] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Cdebug-assertions",
];

pub(crate) fn run(target: &str, minutes: u64) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let folder = workspace::services_folder()?;
    let folder = folder.parent().context("a target folder")?;
    let (corpus, built) = (folder.join("fuzz-corpus"), folder.join("fuzz"));

    let source = workspace::root().join("fuzz/src/lib.rs");
    let targets = fs::read_to_string(&source).with_context(|| source.display().to_string())?;
    ensure!(
        targets.contains(&format!("name: {target:?}")),
        "there is no fuzz target {target}: see {}",
        source.display()
    );
    let corpus = corpus.join(target);
    fs::create_dir_all(&corpus)?;

    // Named, so that build scripts and macros, which run here, are built without the flags.
    let host = host()?;
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--package", PACKAGE, "--bin", PROGRAM, "--target", &host, "--target-dir"]);
    // Optimized little: it is built seldom, by whoever waits for it.
    build
        .arg(&built)
        .args(["--config", "profile.release.opt-level=1"])
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
    ensure!(supervise::run(build, &interrupt, None)?.success(), "the fuzz targets do not compile for libFuzzer");

    let mut fuzzer = Command::new(built.join(host).join("release").join(PROGRAM));
    fuzzer.env("OUTBOX_FUZZ_TARGET", target).env("OUTBOX_FUZZ_CORPUS", &corpus).arg(&corpus);
    fuzzer.arg(format!("-max_total_time={}", minutes * 60)).args([
        "-max_len=4096",
        "-timeout=10",
        "-print_final_stats=1",
    ]);
    fuzzer.arg(format!("-artifact_prefix={}/finding-{target}-", folder.display()));
    let succeeded = supervise::run(fuzzer, &interrupt, None)?.success();
    Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What this machine is called.
fn host() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot run rustc")?;
    let text = String::from_utf8(output.stdout)?;
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned).context("rustc names no host")
}
