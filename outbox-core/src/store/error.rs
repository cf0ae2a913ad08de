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
        write!(f, "the outbox store failed while {}", self.doing)?;
        // With all that it came from: `{}` is what most programs print. Some causes repeat their own.
        let mut said = String::new();
        let mut next = self.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            next = cause.source();
        }
        Ok(())
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("query error: {0}")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("no such table")]
    struct Inner;

    #[test]
    fn the_causes_are_in_the_text_once() {
        let error = StoreError::new(StoreErrorKind::Broken, "settling", Outer(Inner));
        assert_eq!(error.to_string(), "the outbox store failed while settling: query error: no such table");
    }
}
