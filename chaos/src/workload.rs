//! Writers, and the ways in which their transactions end.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use outbox_sea_orm::{CommitOutcome, commit_outcome};
use outbox_testkit::ledger;
use sea_orm::DbErr;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use uuid::Uuid;

use crate::fault::Link;
use crate::history::History;
use crate::profile::{EVENTS_PER_SECOND, KEYS, WRITERS};
use crate::stage::Stage;
use outbox_testkit::Trap;

/// What a writer says that panics as it should.
const PANIC: &str = "a writer's panic";

/// How a transaction is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    Commit,
    Rollback,
    /// What is entered in a savepoint is rolled back, and the rest committed.
    Savepoint,
    Drop,
    Panic,
    /// The future is dropped after so many polls, wherever that is.
    Cancel {
        polls: u32,
    },
    /// The connection is reset at COMMIT, before or after the database heard it.
    Cut {
        heard: bool,
    },
}

/// What the writer was told about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    Committed,
    RolledBack,
    Unknown,
}

/// What all writers were told.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    pub(crate) entries: Vec<(Uuid, Claim)>,
    /// Transactions by the way they were to end.
    pub(crate) transactions: BTreeMap<&'static str, u64>,
    /// Of each writer, the transactions that it knows to be committed.
    pub(crate) commits: Vec<u64>,
}

/// How long each writer may try, after everything has healed, until a transaction is committed: connections that are
/// dead are found one by one, and who waits for one gives up after 5 s.
const RECOVERY: Duration = Duration::from_secs(15);
/// How long it may take until all have: one that was in the middle of something ends that first.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Workload {
    stop: Arc<AtomicBool>,
    claims: Arc<Mutex<Claims>>,
    committed: Arc<AtomicU64>,
    writers: JoinSet<()>,
}

impl Workload {
    pub(crate) fn start(stage: &Arc<Stage>, seed: u64) -> Self {
        let claims = Claims { commits: vec![0; WRITERS], ..Claims::default() };
        let (stop, claims) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(claims)));
        let committed = Arc::<AtomicU64>::default();
        let mut writers = JoinSet::new();
        for number in 0..WRITERS {
            let random = Rng::with_seed(seed.wrapping_mul(1_000).wrapping_add(number as u64));
            let writer = Writer {
                number,
                stage: Arc::clone(stage),
                stop: Arc::clone(&stop),
                claims: Arc::clone(&claims),
                committed: Arc::clone(&committed),
            };
            writers.spawn(writer.write(random));
        }
        Self { stop, claims, committed, writers }
    }

    /// Events that writers know to be committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// When everything has healed: returns when every writer has got one more transaction committed, or has given up,
    /// which is a complaint.
    pub(crate) async fn stop(mut self, history: &History) -> anyhow::Result<Claims> {
        self.stop.store(true, Ordering::Relaxed);
        let all = async {
            while let Some(ended) = self.writers.join_next().await {
                ended?;
            }
            anyhow::Ok(())
        };
        match tokio::time::timeout(PATIENCE, all).await {
            Ok(ended) => ended?,
            Err(_) => history.complain(format!(
                "{} writers were still in a transaction {PATIENCE:?} after everything had healed",
                self.writers.len()
            )),
        }
        self.writers.shutdown().await;
        Ok(std::mem::take(&mut *self.claims.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

struct Writer {
    number: usize,
    stage: Arc<Stage>,
    stop: Arc<AtomicBool>,
    claims: Arc<Mutex<Claims>>,
    committed: Arc<AtomicU64>,
}

impl Writer {
    async fn write(self, mut random: Rng) {
        let mut since_healed = None;
        loop {
            let (began, count) = (Instant::now(), random.u32(1..=10));
            let is_healed = self.stop.load(Ordering::Relaxed);
            let ending = if is_healed { Ending::Commit } else { Ending::draw(&mut random) };
            let hot = random.u8(..10) == 0;
            let key = format!("key-{}", if hot { 0 } else { random.usize(..KEYS) });
            let (claim, error) = self.one(key, count, ending).await;
            if is_healed {
                let healed = *since_healed.get_or_insert(began);
                if claim == Claim::Committed {
                    return;
                }
                if healed.elapsed() > RECOVERY {
                    let error = error.map_or("no error".to_owned(), |error| error.to_string());
                    let number = self.number;
                    let complaint = format!("writer {number} cannot commit {RECOVERY:?} after all had healed: {error}");
                    return self.stage.history.complain(complaint);
                }
            }
            let share = Duration::from_secs(WRITERS as u64) * count / EVENTS_PER_SECOND;
            let failed = error.is_some();
            let pause = if failed { Duration::from_millis(200) } else { share.mul_f32(2.0 * random.f32()) };
            tokio::time::sleep_until(began + pause).await;
        }
    }

    /// One transaction. Returns what is known about it, and why it failed.
    async fn one(&self, key: String, count: u32, ending: Ending) -> (Claim, Option<DbErr>) {
        let entered = Arc::<Mutex<Vec<Entered>>>::default();
        let work = transaction(Arc::clone(&self.stage), key, count, ending, Arc::clone(&entered));
        // In a task of its own, which may panic.
        let outcome = match ending {
            Ending::Cancel { polls } => tokio::spawn(at_most(polls, work)).await,
            _ => tokio::spawn(async { Some(work.await) }).await,
        };
        let (claim, error) = match outcome {
            Ok(Some(Ok(claim))) => (claim, None),
            Ok(Some(Err(error))) if commit_outcome(&error) == CommitOutcome::RolledBack => {
                (Claim::RolledBack, Some(error))
            }
            Ok(Some(Err(error))) => (Claim::Unknown, Some(error)),
            Ok(None) => (Claim::Unknown, None),
            Err(ended) => (self.ended(ending, ended), None),
        };
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        *claims.transactions.entry(ending.name()).or_default() += 1;
        claims.commits[self.number] += u64::from(claim == Claim::Committed);
        let entered = std::mem::take(&mut *entered.lock().unwrap_or_else(PoisonError::into_inner));
        let claim_of = |entry: &Entered| if entry.in_savepoint { Claim::RolledBack } else { claim };
        let now = entered.iter().filter(|entry| claim_of(entry) == Claim::Committed).count();
        self.committed.fetch_add(now as u64, Ordering::Relaxed);
        claims.entries.extend(entered.iter().map(|entry| (entry.event, claim_of(entry))));
        (claim, error)
    }

    /// A transaction's task that panicked, which may have been meant to.
    fn ended(&self, ending: Ending, ended: JoinError) -> Claim {
        match unexpected(ending, ended) {
            None => Claim::RolledBack,
            Some(complaint) => {
                self.stage.history.complain(complaint);
                // It may have been in the middle of its COMMIT.
                Claim::Unknown
            }
        }
    }
}

/// What is wrong with a transaction's task that did not come to its end.
fn unexpected(ending: Ending, ended: JoinError) -> Option<String> {
    let Ok(panic) = ended.try_into_panic() else { return Some("a writer's transaction was aborted".to_owned()) };
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let is_meant = ending == Ending::Panic && text == Some(PANIC);
    (!is_meant).then(|| format!("a writer panicked: {} ({})", text.unwrap_or("something"), ending.name()))
}

struct Entered {
    event: Uuid,
    in_savepoint: bool,
}

async fn transaction(
    stage: Arc<Stage>,
    key: String,
    count: u32,
    ending: Ending,
    entered: Arc<Mutex<Vec<Entered>>>,
) -> Result<Claim, DbErr> {
    let note = |event, in_savepoint| {
        entered.lock().unwrap_or_else(PoisonError::into_inner).push(Entered { event, in_savepoint });
    };
    let txn = stage.outbox.begin().await?;
    if ending == Ending::Savepoint {
        let savepoint = txn.begin().await?;
        note(ledger::enter(&savepoint, &stage.topic, &key).await?, true);
        savepoint.rollback().await?;
    }
    // Some one by one, some together.
    for count in [count / 2, count - count / 2] {
        let events = ledger::enter_many(&txn, &stage.topic, &key, count).await?;
        events.into_iter().for_each(|event| note(event, false));
    }
    match ending {
        Ending::Commit | Ending::Savepoint | Ending::Cancel { .. } => txn.commit().await?,
        Ending::Rollback => {
            txn.rollback().await?;
            return Ok(Claim::RolledBack);
        }
        Ending::Drop => return Ok(Claim::RolledBack),
        // As a panic, but without a message for each of thousands.
        Ending::Panic => std::panic::resume_unwind(Box::new(PANIC)),
        Ending::Cut { heard } => {
            let trap = if heard { Trap::CutAfterCommit } else { Trap::CutBeforeCommit };
            let armed = stage.proxy(Link::Writers).map(|proxy| proxy.set(trap));
            let committed = txn.commit().await;
            // Another writer's COMMIT went into it, or none at all.
            if let Some(armed) = armed {
                armed.disarm();
            }
            committed?;
        }
    }
    Ok(Claim::Committed)
}

/// Polls a future so many times, and drops it.
async fn at_most<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

impl Ending {
    fn draw(random: &mut Rng) -> Self {
        match random.u32(..80) {
            0..4 => Self::Rollback,
            4..8 => Self::Savepoint,
            8..10 => Self::Drop,
            10..12 => Self::Panic,
            12..16 => Self::Cancel { polls: random.u32(1..100) },
            16 => Self::Cut { heard: random.bool() },
            _ => Self::Commit,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Commit => "committed",
            Self::Rollback => "rolled back",
            Self::Savepoint => "with a savepoint rolled back",
            Self::Drop => "dropped",
            Self::Panic => "panicked",
            Self::Cancel { .. } => "cancelled",
            Self::Cut { .. } => "cut at commit",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_that_was_not_meant_is_a_complaint() {
        let panicked = async |text: String| {
            let payload = if text == PANIC { Box::new(PANIC) as Box<dyn std::any::Any + Send> } else { Box::new(text) };
            tokio::spawn(async { std::panic::resume_unwind(payload) }).await.unwrap_err()
        };
        assert_eq!(unexpected(Ending::Panic, panicked(PANIC.to_owned()).await), None);
        // Of the library, while it was on its way to that, or anywhere else.
        for ending in [Ending::Panic, Ending::Commit, Ending::Cancel { polls: 3 }] {
            let complaint = unexpected(ending, panicked("index out of bounds".to_owned()).await);
            assert!(complaint.is_some_and(|complaint| complaint.contains("index out of bounds")), "{ending:?}");
        }
        assert!(unexpected(Ending::Commit, panicked(PANIC.to_owned()).await).is_some());
    }
}
