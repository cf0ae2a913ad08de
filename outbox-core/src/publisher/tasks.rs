use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

/// Tasks that end with their owner, so that nothing of a publisher outlives it.
pub(super) struct Tasks {
    set: Mutex<JoinSet<()>>,
    running: Arc<watch::Sender<usize>>,
}

/// A task and its place in the count. The count goes down after everything of the task is gone, reports included:
/// fields are dropped in this order.
struct Counted<F> {
    task: Pin<Box<F>>,
    _place: Place,
}

struct Place(Arc<watch::Sender<usize>>);

impl Tasks {
    pub(super) fn new() -> Self {
        Self { set: Mutex::default(), running: Arc::new(watch::Sender::new(0)) }
    }

    /// Needs a Tokio runtime around it.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.running.send_modify(|running| *running += 1);
        let task = Counted { task: Box::pin(task), _place: Place(Arc::clone(&self.running)) };
        let mut set = lock(&self.set);
        while set.try_join_next().is_some() {}
        set.spawn(task);
    }

    pub(super) fn are_done(&self) -> bool {
        *self.running.borrow() == 0
    }

    /// Waits until no task is left. False when that takes longer than `most`.
    pub(super) async fn done(&self, most: Duration) -> bool {
        let mut running = self.running.subscribe();
        tokio::time::timeout(most, running.wait_for(|running| *running == 0)).await.is_ok()
    }

    pub(super) fn abort(&self) {
        lock(&self.set).abort_all();
    }
}

impl<F: Future<Output = ()>> Future for Counted<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.task.as_mut().poll(cx)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").field("running", &*self.running.borrow()).finish()
    }
}

/// What these mutexes guard is valid after every statement, so a panic elsewhere is no reason to stop.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
