use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::message::Message;
use crate::publisher::futures::caught;
use crate::publisher::remaining::Remaining;
use crate::publisher::tasks::{Tasks, lock};
use crate::publisher::{Delivery, Partition, PublishError, Publisher};

/// One route's publisher, and what waits for it.
///
/// Up to `concurrency` tasks call the publisher, each with everything that has come in since. They live only while
/// there is something to do.
pub(super) struct Outlet {
    line: Arc<Line>,
    tasks: Tasks,
    concurrency: usize,
    most_waiting: usize,
}

/// What an outlet's tasks share. They hold nothing else of it, so dropping the outlet ends them.
struct Line {
    name: String,
    publisher: Arc<dyn Publisher>,
    queue: Mutex<Queue>,
    waiting: watch::Sender<usize>,
}

#[derive(Default)]
struct Queue {
    waiting: Remaining,
    callers: usize,
}

impl Outlet {
    pub(super) fn new(name: String, publisher: Arc<dyn Publisher>, concurrency: usize, most_waiting: usize) -> Self {
        let line = Line { name, publisher, queue: Mutex::default(), waiting: watch::Sender::new(0) };
        Self { line: Arc::new(line), tasks: Tasks::new(), concurrency, most_waiting }
    }

    pub(super) fn name(&self) -> &str {
        &self.line.name
    }

    pub(super) fn partition(&self, message: &Message) -> Option<Partition> {
        self.line.publisher.partition(message)
    }

    /// Takes messages over. Never waits.
    pub(super) fn enqueue(&self, part: Vec<Delivery>) {
        if part.is_empty() {
            return;
        }
        let mut queue = lock(&self.line.queue);
        part.into_iter().for_each(|delivery| queue.waiting.push(delivery));
        self.line.waiting.send_replace(queue.waiting.len());
        if queue.callers < self.concurrency {
            queue.callers += 1;
            self.tasks.spawn(call(Arc::clone(&self.line)));
        }
    }

    /// Waits until the queue is shorter than it may be.
    pub(super) async fn room(&self) {
        let mut waiting = self.line.waiting.subscribe();
        // The sender is in `self`, so this cannot fail.
        drop(waiting.wait_for(|waiting| *waiting < self.most_waiting).await);
    }

    pub(super) async fn flush(&self, deadline: Duration) {
        let started = Instant::now();
        let left = || deadline.saturating_sub(started.elapsed());
        loop {
            // A call may be waiting for what only a flush sends, so flush before it has returned and again after.
            let last = self.tasks.are_done();
            if let Err(panic) = caught(self.line.publisher.flush(left())).await {
                tracing::error!(route = self.name(), panic, "a publisher panicked in its flush");
            }
            if last {
                return;
            }
            if !self.tasks.done(left()).await {
                break;
            }
        }
        // What the publisher has is its own affair; what it has not seen is still ours.
        let unsent = std::mem::take(&mut lock(&self.line.queue).waiting);
        self.line.waiting.send_replace(0);
        drop(unsent);
    }

    pub(super) async fn check(&self) -> Result<(), PublishError> {
        let answer = caught(self.line.publisher.check()).await;
        answer.unwrap_or_else(|panic| Err(PublishError::unreachable(format!("the check panicked: {panic}"))))
    }
}

impl Line {
    fn next_batch(&self) -> Option<Vec<Delivery>> {
        const MOST: usize = 1_000;
        let mut queue = lock(&self.queue);
        let batch = queue.waiting.take(MOST);
        self.waiting.send_replace(queue.waiting.len());
        if batch.is_empty() {
            queue.callers -= 1;
            return None;
        }
        Some(batch)
    }
}

async fn call(line: Arc<Line>) {
    while let Some(batch) = line.next_batch() {
        // A panic drops the deliveries that were not reported, which rejects them.
        if let Err(panic) = caught(line.publisher.publish(batch)).await {
            tracing::error!(route = line.name, panic, "a publisher panicked");
        }
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet")
            .field("name", &self.line.name)
            .field("publisher", &self.line.publisher)
            .field("waiting", &*self.line.waiting.borrow())
            .finish_non_exhaustive()
    }
}
