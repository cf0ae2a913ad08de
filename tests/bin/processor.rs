//! A processor in a process of its own, for tests that kill it. With an argument it writes, or requeues, instead.

#[tokio::main]
async fn main() {
    let _armed = outbox_core::failpoints::arm();
    match std::env::args().nth(1).as_deref() {
        Some("write") => outbox_tests::run_writer().await,
        Some("requeue") => outbox_tests::run_requeue().await,
        _ => outbox_tests::run_processor(|publisher| publisher, |processor| processor).await,
    }
}
