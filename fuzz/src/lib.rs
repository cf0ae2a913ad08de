//! Fuzz targets. Each takes any bytes, makes an input of them, and panics when a promise about such inputs is broken.
#![forbid(unsafe_code)]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a finding is a panic")]

mod configuration;
mod headers;
mod identifiers;
mod macros;
mod pieces;
mod rows;

// The sources of the derive macro, where they find each other.
#[path = "../../outbox-derive/src/ast.rs"]
mod ast;
#[path = "../../outbox-derive/src/attr.rs"]
mod attr;
#[path = "../../outbox-derive/src/check.rs"]
mod check;
#[path = "../../outbox-derive/src/ctxt.rs"]
mod ctxt;
#[path = "../../outbox-derive/src/derive.rs"]
mod derive;
#[path = "../../outbox-derive/src/expand.rs"]
mod expand;
#[path = "../../outbox-derive/src/fallback.rs"]
mod fallback;
#[path = "../../outbox-derive/src/key.rs"]
mod key;
#[path = "../../outbox-derive/src/name.rs"]
mod name;
#[path = "../../outbox-derive/src/text.rs"]
mod text;

pub use configuration::{is_of_kafka, variables};

/// A target: what it is called, what it does with an input, and inputs to begin with.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
    /// Good and bad ones.
    pub seeds: &'static [&'static [u8]],
}

/// All of them.
pub const TARGETS: [Target; 5] = [
    Target { name: "identifiers", run: identifiers::run, seeds: identifiers::SEEDS },
    Target { name: "headers", run: headers::run, seeds: headers::SEEDS },
    Target { name: "rows", run: rows::run, seeds: rows::SEEDS },
    Target { name: "configuration", run: configuration::run, seeds: configuration::SEEDS },
    Target { name: "derive", run: macros::run, seeds: macros::SEEDS },
];
