use std::sync::Arc;

use thiserror::Error;

use super::Router;
use super::outlet::Outlet;
use super::pattern::Pattern;
use crate::publisher::Publisher;

/// Collects the routes of a [`Router`].
#[derive(Debug)]
#[must_use = "nothing is routed until the router is built"]
pub struct RouterBuilder {
    routes: Vec<(String, Arc<dyn Publisher>)>,
    otherwise: Vec<Arc<dyn Publisher>>,
    concurrency: usize,
    queue: usize,
}

/// Why a [`Router`] was not built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RouterError {
    /// There is neither a route nor an `otherwise`.
    #[error("a router needs at least one route")]
    Empty,
    /// A pattern can match no topic.
    #[error("route {pattern:?}: the pattern {problem}")]
    Pattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A pattern, or `otherwise`, was given twice.
    #[error("route {pattern:?} is there twice")]
    Duplicate {
        /// Which one.
        pattern: String,
    },
    /// A route would never get a message, because an earlier one takes all of its topics.
    #[error("route {pattern:?} gets no message: route {by:?} comes before it and takes them all")]
    Shadowed {
        /// The route that gets nothing.
        pattern: String,
        /// The earlier one.
        by: String,
    },
}

/// What `otherwise` is called in errors and logs.
const OTHERWISE: &str = "otherwise";

impl RouterBuilder {
    pub(super) fn new() -> Self {
        Self { routes: Vec::new(), otherwise: Vec::new(), concurrency: 4, queue: 10_000 }
    }

    /// Sends topics that match `pattern`, and no pattern before it, to `publisher`.
    ///
    /// A pattern is a topic's name, or the beginning of one with a `*` behind it: `audit.*` matches `audit.login` and
    /// `audit.a.b`, but not `audit`; `*` matches every topic. Pass an [`Arc`] to use one publisher for several routes.
    pub fn route(mut self, pattern: impl Into<String>, publisher: impl Publisher) -> Self {
        self.routes.push((pattern.into(), Arc::new(publisher)));
        self
    }

    /// Sends every other topic to `publisher`. Without it, messages of other topics are unreachable.
    pub fn otherwise(mut self, publisher: impl Publisher) -> Self {
        self.otherwise.push(Arc::new(publisher));
        self
    }

    /// Most calls at a time of the publisher behind one route, at least 1. Default 4.
    pub fn concurrency(self, calls: usize) -> Self {
        Self { concurrency: calls.max(1), ..self }
    }

    /// Most messages that wait for one route's publisher before [`publish`](Publisher::publish) makes its caller wait,
    /// at least 1. Default 10,000.
    ///
    /// Choose more than what a processor may have under way; less makes the other routes wait for a slow one.
    pub fn queue(self, messages: usize) -> Self {
        Self { queue: messages.max(1), ..self }
    }

    /// Checks the routes.
    ///
    /// # Errors
    ///
    /// See [`RouterError`].
    pub fn build(self) -> Result<Router, RouterError> {
        let mut routes: Vec<(Pattern, Outlet)> = Vec::new();
        let outlet = |name: &str, publisher| Outlet::new(name.to_owned(), publisher, self.concurrency, self.queue);
        for (text, publisher) in self.routes {
            let pattern = match Pattern::parse(&text) {
                Ok(pattern) => pattern,
                Err(problem) => return Err(RouterError::Pattern { pattern: text, problem }),
            };
            if routes.iter().any(|(earlier, _)| *earlier == pattern) {
                return Err(RouterError::Duplicate { pattern: text });
            }
            if let Some((earlier, _)) = routes.iter().find(|(earlier, _)| earlier.covers(&pattern)) {
                return Err(RouterError::Shadowed { pattern: text, by: earlier.to_string() });
            }
            routes.push((pattern, outlet(&text, publisher)));
        }
        let everything = Pattern::Prefix(String::new());
        for publisher in self.otherwise {
            if let Some((_, earlier)) = routes.iter().find(|(earlier, _)| *earlier == everything) {
                let pattern = OTHERWISE.to_owned();
                return Err(match earlier.name() {
                    OTHERWISE => RouterError::Duplicate { pattern },
                    by => RouterError::Shadowed { pattern, by: by.to_owned() },
                });
            }
            routes.push((everything.clone(), outlet(OTHERWISE, publisher)));
        }
        if routes.is_empty() { Err(RouterError::Empty) } else { Ok(Router { routes }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publisher::NoopPublisher;

    fn build(patterns: &[&str]) -> Result<Router, RouterError> {
        let route = |router: RouterBuilder, pattern: &&str| router.route(*pattern, NoopPublisher::new());
        patterns.iter().fold(Router::builder(), route).build()
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(build(&[]).unwrap_err(), RouterError::Empty);
        let error = build(&["a*b"]).unwrap_err();
        assert_eq!(error.to_string(), "route \"a*b\": the pattern has a '*' that is not its last character");
        assert_eq!(build(&["a", "b", "a"]).unwrap_err(), RouterError::Duplicate { pattern: "a".to_owned() });
        let shadowed = RouterError::Shadowed { pattern: "a.b".to_owned(), by: "a.*".to_owned() };
        assert_eq!(build(&["a.*", "a.b"]).unwrap_err(), shadowed);
        assert!(build(&["a.b", "a.*", "*"]).is_ok());
    }

    #[test]
    fn otherwise_is_there_once_and_last() {
        let noop = NoopPublisher::new();
        let twice = Router::builder().otherwise(noop).route("a", noop).otherwise(noop).build();
        assert_eq!(twice.unwrap_err(), RouterError::Duplicate { pattern: "otherwise".to_owned() });
        let useless = Router::builder().route("*", noop).otherwise(noop).build();
        let shadowed = RouterError::Shadowed { pattern: "otherwise".to_owned(), by: "*".to_owned() };
        assert_eq!(useless.unwrap_err(), shadowed);
        assert!(Router::builder().otherwise(noop).route("a", noop).build().is_ok());
    }
}
