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
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::fault::Link;
use crate::profile::{EVENTS_PER_SECOND, KEYS, WRITERS};
use crate::stage::Stage;
use outbox_testkit::Trap;

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
}

pub(crate) struct Workload {
    stop: Arc<AtomicBool>,
    claims: Arc<Mutex<Claims>>,
    committed: Arc<AtomicU64>,
    writers: JoinSet<()>,
}

impl Workload {
    pub(crate) fn start(stage: &Arc<Stage>, seed: u64) -> Self {
        let (stop, claims) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Claims>>::default());
        let committed = Arc::<AtomicU64>::default();
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS as u64 {
            let random = Rng::with_seed(seed.wrapping_mul(1_000).wrapping_add(writer));
            let work = write(Arc::clone(stage), random, Arc::clone(&stop), Arc::clone(&claims), Arc::clone(&committed));
            writers.spawn(work);
        }
        Self { stop, claims, committed, writers }
    }

    /// Events that writers know to be committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Returns when every writer has finished its transaction.
    pub(crate) async fn stop(self) -> anyhow::Result<Claims> {
        self.stop.store(true, Ordering::Relaxed);
        self.writers.join_all().await;
        Ok(std::mem::take(&mut *self.claims.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

async fn write(
    stage: Arc<Stage>,
    mut random: Rng,
    stop: Arc<AtomicBool>,
    claims: Arc<Mutex<Claims>>,
    committed: Arc<AtomicU64>,
) {
    while !stop.load(Ordering::Relaxed) {
        let (began, count) = (tokio::time::Instant::now(), random.u32(1..=10));
        let ending = Ending::draw(&mut random);
        let hot = random.u8(..10) == 0;
        let key = format!("key-{}", if hot { 0 } else { random.usize(..KEYS) });
        let entered = Arc::<Mutex<Vec<Entered>>>::default();
        let work = transaction(Arc::clone(&stage), key, count, ending, Arc::clone(&entered));
        // In a task of its own, which may panic.
        let outcome = match ending {
            Ending::Cancel { polls } => tokio::spawn(at_most(polls, work)).await,
            _ => tokio::spawn(async { Some(work.await) }).await,
        };
        let failed = matches!(outcome, Ok(Some(Err(_))));
        let claim = match outcome {
            Ok(Some(Ok(claim))) => claim,
            Ok(Some(Err(error))) if commit_outcome(&error) == CommitOutcome::RolledBack => Claim::RolledBack,
            Ok(Some(Err(_)) | None) => Claim::Unknown,
            Err(_) => Claim::RolledBack,
        };
        {
            let mut claims = claims.lock().unwrap_or_else(PoisonError::into_inner);
            *claims.transactions.entry(ending.name()).or_default() += 1;
            let entered = std::mem::take(&mut *entered.lock().unwrap_or_else(PoisonError::into_inner));
            let claim_of = |entry: &Entered| if entry.in_savepoint { Claim::RolledBack } else { claim };
            let now = entered.iter().filter(|entry| claim_of(entry) == Claim::Committed).count();
            committed.fetch_add(now as u64, Ordering::Relaxed);
            claims.entries.extend(entered.iter().map(|entry| (entry.event, claim_of(entry))));
        }
        let share = Duration::from_secs(WRITERS as u64) * count / EVENTS_PER_SECOND;
        let pause = if failed { Duration::from_millis(200) } else { share.mul_f32(2.0 * random.f32()) };
        tokio::time::sleep_until(began + pause).await;
    }
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
        Ending::Panic => std::panic::resume_unwind(Box::new("a writer's panic")),
        Ending::Cut { heard } => {
            if let Some(proxy) = stage.proxy(Link::Writers) {
                proxy.set(if heard { Trap::CutAfterCommit } else { Trap::CutBeforeCommit });
            }
            txn.commit().await?;
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
