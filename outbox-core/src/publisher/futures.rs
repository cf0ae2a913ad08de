use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

use crate::panics;

/// What `future` returns, or the text of its panic.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    // A future that panicked is never polled again, so no broken state of it is seen.
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panics::text(panic.as_ref()))),
    })
    .await
}

/// What all of them return, in their order; they run at the same time.
pub(super) async fn all<'a, T>(
    futures: impl IntoIterator<Item = Pin<Box<dyn Future<Output = T> + Send + 'a>>>,
) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (future, None)).collect();
    poll_fn(|cx| {
        let mut ready = true;
        for (future, result) in &mut futures {
            if result.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(value) => *result = Some(value),
                    Poll::Pending => ready = false,
                }
            }
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    futures.into_iter().filter_map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_its_text() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        assert_eq!(caught(async { panic!("plain") }).await, Err::<(), _>("plain".to_owned()));
        let number = 7;
        assert_eq!(caught(async { panic!("number {number}") }).await, Err::<(), _>("number 7".to_owned()));
    }

    #[tokio::test]
    async fn all_run_at_the_same_time_and_answer_in_order() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let first: Pin<Box<dyn Future<Output = u8> + Send>> = Box::pin(async { receiver.await.unwrap() });
        let second: Pin<Box<dyn Future<Output = u8> + Send>> = Box::pin(async {
            sender.send(1).unwrap();
            2
        });
        assert_eq!(all([first, second]).await, [1, 2]);
    }
}
