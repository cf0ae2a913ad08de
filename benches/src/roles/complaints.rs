use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Counts what a log would hold of warnings and errors.
#[derive(Debug, Clone, Default)]
pub(super) struct Complaints(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    warnings: AtomicU64,
    errors: AtomicU64,
}

impl Complaints {
    /// Counts from now on, for the whole process.
    pub(super) fn count() -> anyhow::Result<Self> {
        let complaints = Self::default();
        // A level that nobody wants costs nothing where it would be logged, as in a program with such a filter.
        let filter = tracing_subscriber::filter::LevelFilter::WARN;
        tracing_subscriber::registry().with(complaints.clone().with_filter(filter)).try_init()?;
        Ok(complaints)
    }

    pub(super) fn warnings(&self) -> u64 {
        self.0.warnings.load(Ordering::Relaxed)
    }

    pub(super) fn errors(&self) -> u64 {
        self.0.errors.load(Ordering::Relaxed)
    }
}

impl<S: Subscriber> Layer<S> for Complaints {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let count = match *event.metadata().level() {
            Level::ERROR => &self.0.errors,
            Level::WARN => &self.0.warnings,
            _ => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_and_errors_are_counted() {
        let complaints = Complaints::default();
        let subscriber = tracing_subscriber::registry().with(complaints.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("fine");
            tracing::warn!("hm");
            tracing::error!("no");
            tracing::error!("no");
        });
        assert_eq!((complaints.warnings(), complaints.errors()), (1, 2));
    }
}
