//! Running a processor, and asking one that runs.

use std::time::Duration;

use futures_util::poll;
use outbox_core::{MemoryPublisher, Processor, ProcessorHandle, Wake};
use outbox_tests::{drop_at, eventually};

use super::world::{World, event};
use super::{Done, Left};

const PATIENCE: Duration = Duration::from_secs(30);

struct Running {
    sent: MemoryPublisher,
    processor: Processor,
}

/// A processor, and an event for it.
async fn start(world: &World, label: &str) -> Running {
    world.free_shards().await;
    let txn = world.outbox.begin().await.unwrap();
    txn.stage_event(&event(label)).unwrap();
    txn.commit().await.unwrap();
    let sent = MemoryPublisher::new();
    let processor = world.outbox.processor(sent.clone()).build().unwrap();
    Running { sent, processor }
}

impl Running {
    /// Whoever comes later delivers what is left, and nothing twice: what was dropped stops as if it had been asked to.
    async fn is_delivered_once(&self, world: &World, label: &str) {
        let copies = || {
            let messages = self.sent.messages();
            messages.iter().filter(|message| message.envelope.key.as_deref() == Some(label)).count()
        };
        let later = world.outbox.processor(self.sent.clone()).build().unwrap();
        eventually(PATIENCE, || async {
            // It publishes nothing while the one that was dropped still counts.
            later.run_once(usize::MAX).await.unwrap();
            world.count("outbox_event", label).await == 0
        })
        .await;
        assert_eq!(copies(), 1);
    }
}

pub(super) async fn run_once(world: &World, label: &str, n: usize) -> Done {
    let running = start(world, label).await;
    let answer = drop_at(n, running.processor.run_once(usize::MAX)).await.map(Result::unwrap);
    running.is_delivered_once(world, label).await;
    Done::new(answer.as_ref(), Left::Nothing, Left::Nothing)
}

pub(super) async fn run_until(world: &World, label: &str, n: usize) -> Done {
    let Running { sent, processor } = start(world, label).await;
    let delivered = sent.clone();
    let shutdown = async move {
        delivered.wait_for(1, PATIENCE).await.unwrap();
    };
    let answer = drop_at(n, processor.run_until(shutdown)).await.map(Result::unwrap);
    let processor = world.outbox.processor(sent.clone()).build().unwrap();
    Running { sent, processor }.is_delivered_once(world, label).await;
    Done::new(answer.as_ref(), Left::Nothing, Left::Nothing)
}

/// A processor in its task, which has delivered what there was, and what is to be dropped.
async fn asked<T>(world: &World, label: &str, n: usize, ask: impl AsyncFnOnce(&ProcessorHandle) -> T) -> Done {
    let Running { sent, processor } = start(world, label).await;
    let handle = processor.spawn();
    sent.wait_for(1, PATIENCE).await.unwrap();
    let answer = drop_at(n, ask(&handle)).await;
    let report = handle.shutdown().await.unwrap();
    assert_eq!((report.counts.delivered, report.abandoned, sent.messages().len()), (1, 0, 1));
    Done::new(answer.as_ref(), Left::Nothing, Left::Nothing)
}

pub(super) async fn shutdown(world: &World, label: &str, n: usize) -> Done {
    asked(world, label, n, async |handle| handle.shutdown().await.unwrap()).await
}

pub(super) async fn snapshot(world: &World, label: &str, n: usize) -> Done {
    asked(world, label, n, async |handle| handle.snapshot().await.unwrap()).await
}

/// It would wait for ever, so each of its polls is the last.
pub(super) async fn join(world: &World, label: &str, n: usize) -> Done {
    let mut done = asked(world, label, n.min(1), async |handle| handle.join().await.unwrap()).await;
    done.completed = true;
    done
}

/// A wake that was not returned is kept for the next call: also one that came to a call which was dropped before it
/// was polled again.
pub(super) async fn woken(_world: &World, _label: &str, n: usize) -> Done {
    let wake = Wake::new();
    let mut waiting = Box::pin(wake.woken());
    for _ in 0..n {
        assert!(poll!(&mut waiting).is_pending());
    }
    wake.wake();
    drop(waiting);
    assert!(drop_at(1, wake.woken()).await.is_some());
    assert!(drop_at(1, wake.woken()).await.is_none(), "it is returned once");
    Done { completed: n == 3, left: Left::Nothing }
}
