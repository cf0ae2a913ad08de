//! What happens once, when its moment comes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Something that happens once, when its moment comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trap {
    /// Of a database: the connection is cut when the client says COMMIT; the server never hears it.
    CutBeforeCommit,
    /// Of a database: the connection is cut when the server has answered a COMMIT; the client never hears it.
    CutAfterCommit,
    /// Of a database: the server never hears a client's COMMIT, and the connection says nothing any more until it is reset,
    /// as after [`silence`](super::Proxy::silence). The server keeps the transaction open for as long as it likes.
    SwallowCommit,
    /// Of Kafka: so many responses to Produce requests from now, one is swallowed; the connection stays. 0 counts as 1.
    DropProduceResponse(u32),
}

/// A trap that was [set](super::Proxy::set), or an allowance of bytes that was [given](super::Proxy::cut_after).
///
/// Each knows of itself alone, whatever else is set on the same proxy. Dropping this leaves it in place.
#[derive(Debug)]
pub struct Armed {
    traps: Arc<Traps>,
    id: u64,
    sprung: watch::Receiver<bool>,
}

impl Armed {
    /// Whether its moment came, and it did what it is for.
    #[must_use]
    pub fn sprung(&self) -> bool {
        *self.sprung.borrow()
    }

    /// Waits until it springs, for at most so long, and [disarms](Self::disarm) it. Says whether it sprang. Where the
    /// proxy is healed meanwhile, it does not wait on.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the trap in place.
    pub async fn within(mut self, length: Duration) -> bool {
        drop(tokio::time::timeout(length, self.sprung.wait_for(|sprung| *sprung)).await);
        self.disarm()
    }

    /// Removes it, and says whether it had sprung before. Other traps stay.
    #[expect(clippy::must_use_candidate, reason = "to be rid of it is enough")]
    pub fn disarm(self) -> bool {
        self.traps.lock().waiting.retain(|waiting| waiting.id != self.id);
        self.sprung()
    }
}

/// All traps of a proxy.
#[derive(Debug, Default)]
pub(super) struct Traps(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Those that were set first come first.
    waiting: Vec<Waiting>,
    last: u64,
    cut_commits: u64,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    moment: Moment,
    sprung: watch::Sender<bool>,
}

/// What a trap waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    BeforeCommit,
    InsteadOfCommit,
    AfterCommit,
    /// The answer to a COMMIT that has passed.
    Answer,
    /// So many responses to Produce.
    Responses(u32),
    /// So many bytes.
    Bytes(u64),
}

/// What becomes of a COMMIT.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Commit {
    Passes,
    IsCut,
    IsSwallowed,
    /// It passes, and its answer is for this trap.
    IsCutLater(u64),
}

impl Traps {
    pub(super) fn arm(self: &Arc<Self>, moment: Moment) -> Armed {
        let (sender, sprung) = watch::channel(false);
        let mut state = self.lock();
        state.last += 1;
        let id = state.last;
        state.waiting.push(Waiting { id, moment, sprung: sender });
        Armed { traps: Arc::clone(self), id, sprung }
    }

    pub(super) fn are_none(&self) -> bool {
        self.lock().waiting.is_empty()
    }

    pub(super) fn clear(&self) {
        self.lock().waiting.clear();
    }

    pub(super) fn cut_commits(&self) -> u64 {
        self.lock().cut_commits
    }

    /// A client commits: one trap is for it.
    pub(super) fn commit(&self) -> Commit {
        let mut state = self.lock();
        let is_for_it = |waiting: &Waiting| {
            matches!(waiting.moment, Moment::BeforeCommit | Moment::InsteadOfCommit | Moment::AfterCommit)
        };
        let Some(at) = state.waiting.iter().position(is_for_it) else { return Commit::Passes };
        match state.waiting[at].moment {
            Moment::BeforeCommit => {
                state.spring(at);
                state.cut_commits += 1;
                Commit::IsCut
            }
            Moment::InsteadOfCommit => {
                state.spring(at);
                Commit::IsSwallowed
            }
            _ => {
                state.waiting[at].moment = Moment::Answer;
                Commit::IsCutLater(state.waiting[at].id)
            }
        }
    }

    /// The answer to a COMMIT comes. Says whether the trap for it is still there, and takes it.
    pub(super) fn answer(&self, id: u64) -> bool {
        let mut state = self.lock();
        let Some(at) = state.waiting.iter().position(|waiting| waiting.id == id) else { return false };
        state.spring(at);
        state.cut_commits += 1;
        true
    }

    /// No answer will come; the trap waits for another COMMIT.
    pub(super) fn no_answer(&self, id: u64) {
        if let Some(waiting) = self.lock().waiting.iter_mut().find(|waiting| waiting.id == id) {
            waiting.moment = Moment::AfterCommit;
        }
    }

    /// A response to Produce comes. Says whether it is to be swallowed.
    pub(super) fn response(&self) -> bool {
        let mut state = self.lock();
        let mut due = None;
        for (at, waiting) in state.waiting.iter_mut().enumerate() {
            if let Moment::Responses(left) = &mut waiting.moment {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    due = due.or(Some(at));
                }
            }
        }
        // Others that are due wait for the next one.
        due.map(|at| state.spring(at)).is_some()
    }

    /// So many bytes are to pass. Says how many of them may, and whether an allowance ends with them.
    pub(super) fn spend(&self, bytes: usize) -> (usize, bool) {
        let mut state = self.lock();
        let allowances = || state.waiting.iter().filter_map(Waiting::bytes);
        let Some(least) = allowances().min() else { return (bytes, false) };
        let allowed = bytes.min(usize::try_from(least).unwrap_or(bytes));
        for waiting in &mut state.waiting {
            if let Moment::Bytes(left) = &mut waiting.moment {
                *left -= allowed as u64;
            }
        }
        (allowed, allowed as u64 == least)
    }

    /// What was allowed has passed. Says whether the allowance that ends here is still there, and takes it.
    pub(super) fn end(&self) -> bool {
        let mut state = self.lock();
        let ended = state.waiting.iter().position(|waiting| waiting.bytes() == Some(0));
        ended.map(|at| state.spring(at)).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn spring(&mut self, at: usize) {
        self.waiting.remove(at).sprung.send_replace(true);
    }
}

impl Waiting {
    fn bytes(&self) -> Option<u64> {
        match self.moment {
            Moment::Bytes(left) => Some(left),
            _ => None,
        }
    }
}
