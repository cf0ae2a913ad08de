//! The migration on real servers, in one binary.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test says what went wrong by failing")]

mod beside;
mod choices;
#[cfg(feature = "cli")]
mod cli;
mod columns;
mod lifecycle;
mod promises;
mod rights;
mod support;
mod together;
