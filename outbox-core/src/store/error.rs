use std::error::Error;
use std::fmt;

/// What kind of failure it was, which decides what a processor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The database cannot be reached, is busy, or chose this transaction to resolve a conflict: try again later.
    Unavailable,
    /// The tables are missing, or were made for something this library does not understand: nothing can be done.
    Schema,
    /// A row cannot be understood, or the database refused the statement for a reason that will not go away.
    Broken,
}

/// Why the store did not do what it was asked.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    doing: &'static str,
    source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    /// An error of `kind` while `doing` something (a phrase such as `"settling"`).
    pub fn new(kind: StoreErrorKind, doing: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, doing, source: source.into() }
    }

    /// See [`StoreErrorKind`].
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the outbox store failed while {}", self.doing)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}
