//! The hot pieces that need no server: encoding, staging, the engine, and the statement of a settle.
//!
//! `cargo bench -p outbox-sea-orm-benches --bench micro` measures time, and says first how often each asks for memory.

#![allow(clippy::print_stdout, reason = "a command-line program talks to its terminal")]
#![allow(clippy::expect_used, reason = "what is measured is set up so that it cannot fail")]
#![allow(missing_docs, reason = "what Criterion's macros make cannot be documented")]

mod encoding;
mod engine;
mod sample;
mod settling;
mod staging;

use criterion::{criterion_group, criterion_main};

/// Says how often `work` asks for memory, for each of so many events.
fn count_allocations(name: &str, events: usize, work: impl FnOnce()) {
    let counted = allocation_counter::measure(work);
    let each = |count: u64| count as f64 / events as f64;
    println!(
        "{name}: {:.1} allocations and {:.0} bytes per event",
        each(counted.count_total),
        each(counted.bytes_total)
    );
}

criterion_group!(pieces, encoding::bench, staging::bench, engine::bench, settling::bench);
criterion_main!(pieces);
