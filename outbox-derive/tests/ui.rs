//! What compiles and what does not: one folder for each rule.
//!
//! The messages are those of the toolchain in `rust-toolchain.toml`; `TRYBUILD=overwrite` writes them anew.

#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*/*.rs");
    cases.compile_fail("tests/ui/fail/*/*.rs");
}
