//! What was logged, and what was shown otherwise.

use std::error::Error;
use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// In everything that must not be seen.
pub(crate) const CANARY: &str = "canary";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Begins to capture all that this process logs, at every level. All but SeaORM's own traces, of which some show the
/// options of a connection: docs/operations.md says so.
fn captured() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log::default();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(log.clone());
        let filter = EnvFilter::new("trace,sea_orm=debug");
        tracing_subscriber::registry().with(layer.with_filter(filter)).init();
        log
    })
}

/// How often a word has been logged.
pub(crate) fn times(word: &str) -> usize {
    let log = captured().0.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&log).matches(word).count()
}

/// A pool whose driver logs every statement.
pub(crate) async fn chatty(db: &outbox_tests::TestDatabase) -> sea_orm::DatabaseConnection {
    db.connect(|options| {
        options.sqlx_logging(true).acquire_timeout(std::time::Duration::from_secs(30));
    })
    .await
}

/// What one test showed.
pub(crate) struct Shown(String);

impl Shown {
    pub(crate) fn nothing() -> Self {
        captured();
        Self(String::new())
    }

    pub(crate) fn debug(&mut self, value: &impl Debug) {
        self.0 += &format!("{value:?}\n{value:#?}\n");
    }

    /// The error with all that it came from.
    pub(crate) fn error(&mut self, error: &(dyn Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.0 += &format!("{error}\n{error:?}\n{error:#?}\n");
            next = error.source();
        }
    }

    /// Fails when a canary is in it, or in the log; and when it, and the log, do not speak of these, since then nothing
    /// was tested.
    pub(crate) fn check(self, shown: &[&str], logged: &[&str]) {
        let log = String::from_utf8_lossy(&captured().0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
        for (place, text, words) in [("output", &self.0, shown), ("log", &log, logged)] {
            for word in words {
                assert!(text.contains(word), "the {place} does not speak of {word:?}: nothing was tested\n{text}");
            }
            let at = text.find(CANARY).map(|at| {
                let from = (0..=at.saturating_sub(400)).rev().find(|from| text.is_char_boundary(*from)).unwrap_or(0);
                text[from..].chars().take(600).collect::<String>()
            });
            assert_eq!(at, None, "a canary is in the {place}");
        }
    }
}
