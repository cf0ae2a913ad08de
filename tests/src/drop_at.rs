//! Callers who go away.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Polls `future` as a runtime does, and drops it after its `n`-th poll, unless it has completed by then.
pub async fn drop_at<F: Future>(n: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polls = 0;
    poll_fn(|cx| {
        if polls == n {
            return Poll::Ready(None);
        }
        polls += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls == n => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
