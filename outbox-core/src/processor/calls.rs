use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinError;

use crate::store::{StoreError, StoreErrorKind};

/// Most calls that are left behind at a time: as many as a processor has under way, and no more connections of the
/// pool than that.
const LEFT_BEHIND: usize = 4;

/// Calls of the store, in tasks of their own.
///
/// They are never cancelled: a cancelled call can leave a transaction open in the connection pool. But a connection
/// may fall silent without being closed, and a driver waits for it as long as the operating system does, perhaps for
/// ever. So a call that does not answer in time is left behind, as if its connection had been cut: it may still
/// happen, as it may on a server that has not noticed yet. When too many have been left behind, the database is slow
/// rather than out of reach, and asking more often would not help it.
#[derive(Debug, Clone)]
pub(super) struct Calls(Arc<Semaphore>);

impl Calls {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(LEFT_BEHIND)))
    }

    /// Makes the call, and returns its answer, or that there was none for as long as `patience`.
    pub(super) async fn make<T: Send + 'static>(
        self,
        patience: Duration,
        call: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<Result<T, StoreError>, JoinError> {
        let mut call = tokio::spawn(call);
        let impatience = async {
            tokio::time::sleep(patience).await;
            self.0.acquire_owned().await
        };
        tokio::select! {
            biased;
            answer = &mut call => answer,
            // It is never closed.
            Ok(place) = impatience => {
                drop(tokio::spawn(async move {
                    drop(call.await);
                    drop(place);
                }));
                let silence = format!("the database has not answered for {patience:?}");
                Ok(Err(StoreError::new(StoreErrorKind::Unavailable, "waiting for an answer", silence)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    async fn silence() -> Result<(), StoreError> {
        std::future::pending().await
    }

    async fn is_left_behind(calls: &Calls) -> bool {
        let answer = calls.clone().make(PATIENCE, silence());
        let answer = tokio::time::timeout(2 * PATIENCE, answer).await;
        answer.is_ok_and(|answer| answer.unwrap().unwrap_err().kind() == StoreErrorKind::Unavailable)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_time_is_returned_and_a_panic_too() {
        let slowly = async {
            tokio::time::sleep(PATIENCE * 9 / 10).await;
            Ok(7)
        };
        assert_eq!(Calls::new().make(PATIENCE, slowly).await.unwrap().unwrap(), 7);
        let panics = async { if true { panic!("a bug") } else { Ok(()) } };
        assert!(Calls::new().make(PATIENCE, panics).await.unwrap_err().is_panic());
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_left_behind_and_then_waited_for() {
        let calls = Calls::new();
        let (finish, finished) = tokio::sync::oneshot::channel::<()>();
        let late = async {
            drop(finished.await);
            Ok(())
        };
        calls.clone().make(PATIENCE, late).await.unwrap().unwrap_err();
        for _ in 1..LEFT_BEHIND {
            assert!(is_left_behind(&calls).await);
        }
        assert!(!is_left_behind(&calls).await, "one too many");
        finish.send(()).unwrap();
        assert!(is_left_behind(&calls).await, "there is room again");
    }
}
