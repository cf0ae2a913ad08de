//! Database calls that nobody can leave half-way.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tracing::Instrument;

/// Runs `future` to its end: if its caller goes away, a task goes on with it.
///
/// A `BEGIN` or `COMMIT` that is dropped between request and answer leaves the pooled connection in a state that the
/// driver does not know about. Polled in place as long as somebody waits, so the usual case costs one allocation.
pub(crate) fn finish<F>(future: F) -> Finish<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Finish { future: Some(Box::pin(future)), runtime: Handle::try_current().ok() }
}

pub(crate) struct Finish<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    future: Option<Pin<Box<F>>>,
    runtime: Option<Handle>,
}

impl<F> Future for Finish<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out while it runs: a future that panicked is dropped, not resumed.
        let Some(mut future) = self.future.take() else { return Poll::Pending };
        let poll = future.as_mut().poll(cx);
        if poll.is_pending() {
            self.future = Some(future);
        }
        poll
    }
}

impl<F> Drop for Finish<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn drop(&mut self) {
        if let (Some(future), Some(runtime)) = (self.future.take(), self.runtime.take()) {
            drop(runtime.spawn(future.in_current_span()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Waker;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_was_begun_and_dropped_still_ends() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        {
            let mut call = pin!(finish(async move {
                gone.await.unwrap();
                done.send(7).unwrap();
            }));
            assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        go.send(()).unwrap();
        assert_eq!(ended.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn the_result_comes_back_to_who_waits() {
        assert_eq!(finish(async { 7 }).await, 7);
    }
}
