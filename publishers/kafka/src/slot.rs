//! The place of a session, and of its successor.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::config_error::ConfigError;
use crate::session::{Ending, Lane, Session};
use crate::sync::lock;

pub(crate) struct Slot<L: Lane> {
    state: Mutex<State<L>>,
}

struct State<L: Lane> {
    session: Option<Arc<Session<L>>>,
    last_try: Option<Instant>,
}

impl<L: Lane> Default for Slot<L> {
    fn default() -> Self {
        Self { state: Mutex::new(State { session: None, last_try: None }) }
    }
}

impl<L: Lane> Slot<L> {
    /// Producers are replaced at most this often, however quickly they fail.
    const BETWEEN_TRIES: Duration = Duration::from_millis(100);

    /// The session, if it has not ended.
    pub(crate) fn open(&self) -> Option<Arc<Session<L>>> {
        lock(&self.state).session.clone().filter(|session| session.is_open())
    }

    /// How long to wait before [`get`](Self::get).
    pub(crate) fn pause(&self) -> Duration {
        let since = lock(&self.state).last_try.map_or(Duration::MAX, |last| last.elapsed());
        Self::BETWEEN_TRIES.saturating_sub(since)
    }

    /// The session; a new one, by `start`, if there is none that has not ended.
    ///
    /// An old session may still be collecting its reports. That does no harm: a processor hands over nothing of a
    /// key before everything of that key has been reported.
    pub(crate) fn get(
        &self,
        start: impl FnOnce() -> Result<Arc<Session<L>>, ConfigError>,
    ) -> Result<Arc<Session<L>>, ConfigError> {
        let mut state = lock(&self.state);
        if let Some(session) = state.session.as_ref().filter(|session| session.is_open()) {
            return Ok(Arc::clone(session));
        }
        state.last_try = Some(Instant::now());
        let session = start()?;
        state.session = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Ends the session, if there is one.
    pub(crate) fn stop(&self, ending: impl FnOnce() -> Ending) {
        if let Some(session) = &lock(&self.state).session {
            session.stop(ending());
        }
    }
}
