//! A processor in a process of its own, for tests that kill it.
#![allow(clippy::expect_used, reason = "a fixture that fails is a test that fails")]

#[tokio::main]
async fn main() {
    outbox_tests::run_processor(|outbox, kafka| outbox.processor(kafka.build().expect("a publisher"))).await;
}
