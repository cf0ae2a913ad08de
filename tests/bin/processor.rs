//! A processor in a process of its own, for tests that kill it.

#[tokio::main]
async fn main() {
    outbox_tests::run_processor(|publisher| publisher, |processor| processor).await;
}
