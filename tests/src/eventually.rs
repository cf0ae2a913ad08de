//! Waiting for something to become true.

use std::fmt::Debug;
use std::panic::Location;
use std::time::{Duration, Instant};

/// How often to look.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks until the answer is `true`, `Some` or `Ok`, and gives what was in it.
///
/// # Panics
///
/// When that has not happened after `deadline`, naming the caller and the last answer.
#[track_caller]
pub fn eventually<F, T>(deadline: Duration, mut ask: impl FnMut() -> F) -> impl Future<Output = T::Value>
where
    F: Future<Output = T>,
    T: Condition,
{
    let caller = Location::caller();
    async move {
        let start = Instant::now();
        loop {
            match ask().await.met() {
                Ok(value) => return value,
                Err(last) => assert!(start.elapsed() < deadline, "{caller}: still {last} after {deadline:?}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// An answer that is a yes or a not yet.
pub trait Condition {
    /// What a yes comes with.
    type Value;

    /// The value, or the answer as text for the message of a test that waited in vain.
    ///
    /// # Errors
    ///
    /// Not yet.
    fn met(self) -> Result<Self::Value, String>;
}

impl Condition for bool {
    type Value = ();

    fn met(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("false".to_owned()) }
    }
}

impl<T> Condition for Option<T> {
    type Value = T;

    fn met(self) -> Result<T, String> {
        self.ok_or_else(|| "None".to_owned())
    }
}

impl<T, E: Debug> Condition for Result<T, E> {
    type Value = T;

    fn met(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:?}"))
    }
}
