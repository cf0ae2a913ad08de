//! Places in the code where tests make a process fail. Compiled with the feature `failpoints` only, and without effect
//! until [`arm`] is called.
//!
//! What happens where is in the variable `FAILPOINTS`, in the words of the crate `fail`: `name=3*off->1*return(abort)`
//! aborts the process the fourth time that it comes there. Actions are `return(error)`, `return(panic)`,
//! `return(abort)` and `return(delay 500)`: milliseconds, without blocking a thread where that is possible.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fail::FailScenario;
use thiserror::Error;

static ARMED: AtomicBool = AtomicBool::new(false);
static HITS: AtomicUsize = AtomicUsize::new(0);

/// What a failpoint answers that was told to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the failpoint {0} was told to fail")]
pub struct Injected(pub &'static str);

/// While it lives, failpoints do what `FAILPOINTS` says.
#[must_use = "failpoints rest when this is dropped"]
pub struct Armed(Option<FailScenario<'static>>);

impl std::fmt::Debug for Armed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Armed").finish()
    }
}

/// Arms the failpoints of this process as the variable `FAILPOINTS` says.
///
/// # Panics
///
/// When the variable is not understood.
pub fn arm() -> Armed {
    let scenario = FailScenario::setup();
    ARMED.store(true, Ordering::Release);
    Armed(Some(scenario))
}

impl Drop for Armed {
    fn drop(&mut self) {
        ARMED.store(false, Ordering::Release);
        if let Some(scenario) = self.0.take() {
            scenario.teardown();
        }
    }
}

/// How often something was made to happen.
#[must_use]
pub fn hits() -> usize {
    HITS.load(Ordering::Acquire)
}

enum Action {
    Error,
    Delay(Duration),
}

/// # Panics
///
/// When told to, and when the action is not understood.
#[expect(clippy::panic, reason = "a test that is written wrongly must fail")]
fn action(name: &str) -> Option<Action> {
    if !ARMED.load(Ordering::Acquire) {
        return None;
    }
    fail::eval(name, |argument| {
        HITS.fetch_add(1, Ordering::AcqRel);
        let argument = argument.unwrap_or_default();
        match argument.split_once(' ').map(|(word, number)| (word, number.parse())) {
            None if argument == "error" => Action::Error,
            None if argument == "abort" => std::process::abort(),
            None if argument == "panic" => panic!("the failpoint {name} was told to panic"),
            Some(("delay", Ok(milliseconds))) => Action::Delay(Duration::from_millis(milliseconds)),
            _ => panic!("the failpoint {name} does not understand return({argument})"),
        }
    })
}

/// Comes to a failpoint.
///
/// # Errors
///
/// When it was told to fail.
///
/// # Panics
///
/// When it was told to.
pub async fn reach(name: &'static str) -> Result<(), Injected> {
    match action(name) {
        None => Ok(()),
        Some(Action::Error) => Err(Injected(name)),
        Some(Action::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            Ok(())
        }
    }
}

/// Comes to a failpoint in code that is not async: a delay blocks its thread.
///
/// # Errors
///
/// When it was told to fail.
///
/// # Panics
///
/// When it was told to.
pub fn reach_blocking(name: &'static str) -> Result<(), Injected> {
    match action(name) {
        None => Ok(()),
        Some(Action::Error) => Err(Injected(name)),
        Some(Action::Delay(delay)) => {
            std::thread::sleep(delay);
            Ok(())
        }
    }
}
