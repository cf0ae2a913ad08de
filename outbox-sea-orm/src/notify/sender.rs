use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use outbox_migration::TableNames;
use sea_orm::{ConnectionTrait, DatabaseConnection};
use tokio::runtime::Handle;

/// Between two notifications, so that a busy program sends few of them. A processor that has just been woken reads
/// again by itself as long as it finds something.
const PAUSE: Duration = Duration::from_millis(5);

/// Nobody sends.
const IDLE: u8 = 0;
/// Somebody sends.
const SENDING: u8 = 1;
/// Somebody sends, and something was committed since.
const AGAIN: u8 = 2;

/// Tells other processes about commits, in the background, many at a time.
#[derive(Debug)]
pub(crate) struct Sender(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    db: DatabaseConnection,
    statement: String,
    state: AtomicU8,
}

impl Sender {
    /// One that sends nothing where there is no NOTIFY.
    pub(crate) fn new(db: &DatabaseConnection, names: &TableNames) -> Self {
        let inner = || Inner { db: db.clone(), statement: super::statement(names), state: AtomicU8::new(IDLE) };
        Self(super::pool(db).map(|_| Arc::new(inner())))
    }

    /// Something was committed. Never blocks, and what goes wrong is nobody's concern.
    pub(crate) fn send(&self) {
        let (Some(inner), Ok(runtime)) = (&self.0, Handle::try_current()) else { return };
        if inner.state.swap(AGAIN, Ordering::SeqCst) == IDLE {
            drop(runtime.spawn(Sending { inner: Arc::clone(inner), ended: false }.run()));
        }
    }
}

/// Leaves the sender idle also when its runtime ends in the middle: the outbox may be used from another one.
struct Sending {
    inner: Arc<Inner>,
    ended: bool,
}

impl Sending {
    async fn run(mut self) {
        loop {
            self.inner.state.store(SENDING, Ordering::SeqCst);
            if let Err(error) = self.inner.db.execute_unprepared(&self.inner.statement).await {
                tracing::debug!(%error, "no notification was sent; processors of other processes look by themselves");
            }
            tokio::time::sleep(PAUSE).await;
            self.ended = self.inner.state.compare_exchange(SENDING, IDLE, Ordering::SeqCst, Ordering::SeqCst).is_ok();
            if self.ended {
                return;
            }
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.ended {
            self.inner.state.store(IDLE, Ordering::SeqCst);
        }
    }
}
