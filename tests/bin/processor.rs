//! A processor in a process of its own, for tests that kill it. With an argument it writes, or requeues, instead.
#![allow(clippy::expect_used, reason = "a fixture that fails is a test that fails")]

#[tokio::main]
async fn main() {
    let _armed = outbox_core::failpoints::arm();
    match std::env::args().nth(1).as_deref() {
        Some("write") => outbox_tests::run_writer().await,
        Some("record") => outbox_tests::run_recorder().await,
        Some("requeue") => outbox_tests::run_requeue().await,
        _ => outbox_tests::run_processor(|outbox, kafka| outbox.processor(kafka.build().expect("a publisher"))).await,
    }
}
