//! How the thread of a producer rests while there is nothing to wait for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

/// A thread that rests, and those who wake it.
///
/// librdkafka cannot be asked to wait for an event for long and yet to return when somebody else has something to say,
/// so whoever waits there has to look up often. Where librdkafka has nothing to report that costs more than all else
/// that an idle process does.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    resting: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Rest {
    /// Waits until somebody calls [`wake`](Self::wake), or for `longest`; not at all where there is something to do
    /// already. One thread alone may call it. It may return early.
    pub(crate) fn rest(&self, longest: Duration, something_to_do: impl Fn() -> bool) {
        self.thread.get_or_init(thread::current);
        self.resting.store(true, Ordering::SeqCst);
        // Who made something to do before this look is seen by it; who does so later sees that we rest.
        if !something_to_do() {
            thread::park_timeout(longest);
        }
        self.resting.store(false, Ordering::SeqCst);
    }

    /// There is something to do, which a look of the thread would show by now. Costs little unless the thread rests.
    pub(crate) fn wake(&self) {
        if self.resting.load(Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn who_has_something_to_do_does_not_rest() {
        let start = Instant::now();
        Rest::default().rest(LONG, || true);
        assert!(start.elapsed() < LONG);
    }

    /// Each round is over when both have counted: one wake that goes unheard, and it takes a minute.
    #[test]
    fn no_wake_is_missed() {
        let (rest, made) = (Arc::new(Rest::default()), Arc::new(AtomicUsize::new(0)));
        let done = Arc::new(AtomicUsize::new(0));
        let start = Instant::now();
        let rested = {
            let (rest, made, done) = (Arc::clone(&rest), Arc::clone(&made), Arc::clone(&done));
            thread::spawn(move || {
                for round in 1..=20_000 {
                    while made.load(Ordering::SeqCst) < round {
                        rest.rest(LONG, || made.load(Ordering::SeqCst) >= round);
                    }
                    done.store(round, Ordering::SeqCst);
                }
            })
        };
        for round in 1..=20_000 {
            made.store(round, Ordering::SeqCst);
            rest.wake();
            while done.load(Ordering::SeqCst) < round {
                thread::yield_now();
            }
        }
        rested.join().unwrap();
        assert!(start.elapsed() < LONG, "a wake was missed");
    }
}
