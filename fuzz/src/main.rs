//! One target under libFuzzer, named by the variable `OUTBOX_FUZZ_TARGET`. Its seeds go into `OUTBOX_FUZZ_CORPUS`.
#![cfg_attr(fuzzing, no_main)]
#![allow(clippy::expect_used, reason = "`cargo xtask fuzz` sets what it needs")]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(
    init: {
        let corpus = std::path::PathBuf::from(std::env::var_os("OUTBOX_FUZZ_CORPUS").expect("OUTBOX_FUZZ_CORPUS"));
        for (n, seed) in target().seeds.iter().enumerate() {
            std::fs::write(corpus.join(format!("seed-{n}")), seed).expect("a seed is written");
        }
    },
    |data: &[u8]| {
        (target().run)(data);
    }
);

#[cfg(fuzzing)]
fn target() -> &'static outbox_sea_orm_fuzz::Target {
    static TARGET: std::sync::OnceLock<&outbox_sea_orm_fuzz::Target> = std::sync::OnceLock::new();
    TARGET.get_or_init(|| {
        let name = std::env::var("OUTBOX_FUZZ_TARGET").expect("OUTBOX_FUZZ_TARGET names a target");
        outbox_sea_orm_fuzz::TARGETS.iter().find(|target| target.name == name).expect("a target of that name")
    })
}

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    Err(std::io::Error::other("without libFuzzer there is nothing to run: `cargo xtask fuzz <target>`"))
}
