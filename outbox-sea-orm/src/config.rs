//! What may be set, and the builder that sets it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use outbox_core::__private::{Env, EnvError};
use outbox_core::StageError as Refused;
use outbox_core::event::{HeaderError, LimitError};
use outbox_core::{Envelope, EventOptions, Headers, Limits, OutboxEvent};
use outbox_migration::{NameError, TableNames};
use sea_orm::DatabaseConnection;

use crate::error::StageError;
use crate::outbox::Outbox;
use crate::trace::{TraceContext, TraceSource};

type AmbientHeaders = dyn Fn(&mut Headers) -> Result<(), HeaderError> + Send + Sync;

#[derive(Clone, Default)]
pub(crate) struct Config {
    pub(crate) names: TableNames,
    pub(crate) limits: Limits,
    pub(crate) strict: bool,
    pub(crate) notify: bool,
    trace: TraceSource,
    ambient: Option<Arc<AmbientHeaders>>,
}

/// Settings of an [`Outbox`]. Made by [`Outbox::builder`].
#[derive(Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct OutboxBuilder {
    db: DatabaseConnection,
    schema: Option<String>,
    prefix: Option<String>,
    config: Config,
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxBuildError {
    /// Schema or table prefix.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A limit is out of its range.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The value of an environment variable cannot be.
    #[error("{variable}: {problem}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What is wrong with its value, and what is allowed.
        problem: String,
    },
}

impl OutboxBuilder {
    pub(crate) fn new(db: DatabaseConnection) -> Self {
        Self { db, schema: None, prefix: None, config: Config::default() }
    }

    /// The schema (on MariaDB: the database) that the tables are in. Default: the connection's own.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// What the names of the tables begin with. Default: `outbox`.
    pub fn table_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// What staging accepts. Default: payloads of 1,000,000 bytes, 10,000 events in a transaction.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Makes every transaction [`strict`](crate::OutboxTransaction::strict).
    pub fn strict(mut self) -> Self {
        self.config.strict = true;
        self
    }

    /// Whether commits are announced to processors of other processes, and processors listen for that, by PostgreSQL's
    /// NOTIFY and LISTEN. Default: false, and then they are found by polling; other databases have nothing like it.
    ///
    /// A notification is sent after the commit, through the connection pool, at most 200 times a second. A processor
    /// listens on one more connection, outside of the pool, and opens another for a moment when it has heard nothing for
    /// a minute.
    ///
    /// Not through a proxy that pools transactions, such as PgBouncer in that mode: LISTEN belongs to a session, which
    /// the proxy lends to others afterwards, and a notification in the middle of their statements breaks their
    /// connections.
    pub fn notify(mut self, notify: bool) -> Self {
        self.config.notify = notify;
        self
    }

    /// Headers that every event gets from its surroundings, such as a tenant or a correlation id: `headers` is called
    /// whenever an event is staged. The event's own headers, and those of the staging call, replace them.
    pub fn ambient_headers(
        mut self,
        headers: impl Fn(&mut Headers) -> Result<(), HeaderError> + Send + Sync + 'static,
    ) -> Self {
        self.config.ambient = Some(Arc::new(headers));
        self
    }

    /// Where the current trace context comes from, asked whenever an event is staged. With the feature
    /// `opentelemetry` the default is the current OpenTelemetry context, without it there is none. What cannot be a
    /// header is left out.
    pub fn trace_context(mut self, current: impl Fn() -> Option<TraceContext> + Send + Sync + 'static) -> Self {
        self.config.trace = TraceSource::Custom(Arc::new(current));
        self
    }

    /// Events carry no trace context, except what they set themselves.
    pub fn without_trace_context(mut self) -> Self {
        self.config.trace = TraceSource::Off;
        self
    }

    /// Takes settings from their environment variables, where these are set and not empty; what is set after it wins.
    ///
    /// | variable | sets |
    /// |---|---|
    /// | `OUTBOX_SCHEMA` | [`schema`](Self::schema) |
    /// | `OUTBOX_TABLE_PREFIX` | [`table_prefix`](Self::table_prefix) |
    /// | `OUTBOX_PAYLOAD_BYTES` | [`limits`](Self::limits): [`payload_bytes`](Limits::payload_bytes) |
    /// | `OUTBOX_EVENTS_PER_TRANSACTION` | [`limits`](Self::limits): [`events_per_transaction`](Limits::events_per_transaction) |
    /// | `OUTBOX_STRICT` | [`strict`](Self::strict): `true`, `false`, `1` or `0` |
    /// | `OUTBOX_NOTIFY` | [`notify`](Self::notify), likewise |
    ///
    /// # Errors
    ///
    /// A value cannot be; the error names the variable.
    pub fn from_env(self) -> Result<Self, OutboxBuildError> {
        self.from_variables(&Env::of_process())
    }

    /// [`from_env`](Self::from_env) with other variables. Not part of the interface: it may change without notice.
    #[doc(hidden)]
    pub fn from_variables(mut self, env: &Env<impl Fn(&str) -> Option<String>>) -> Result<Self, OutboxBuildError> {
        let (schema, prefix) = ("OUTBOX_SCHEMA", "OUTBOX_TABLE_PREFIX");
        let refused = |variable| move |error: NameError| variable_error(variable, &error);
        if let Some(name) = env.text(schema) {
            TableNames::default().in_schema(name.clone()).map_err(refused(schema))?;
            self.schema = Some(name);
        }
        if let Some(name) = env.text(prefix) {
            TableNames::new(name.clone()).map_err(refused(prefix))?;
            self.prefix = Some(name);
        }
        let (bytes, events) = ("OUTBOX_PAYLOAD_BYTES", "OUTBOX_EVENTS_PER_TRANSACTION");
        if let Some(most) = env.number(bytes)? {
            Limits::new().payload_bytes(most).check().map_err(|error| variable_error(bytes, &error))?;
            self.config.limits.payload_bytes = most;
        }
        if let Some(most) = env.number(events)? {
            Limits::new().events_per_transaction(most).check().map_err(|error| variable_error(events, &error))?;
            self.config.limits.events_per_transaction = most;
        }
        if let Some(strict) = env.flag("OUTBOX_STRICT")? {
            self.config.strict = strict;
        }
        if let Some(notify) = env.flag("OUTBOX_NOTIFY")? {
            self.config.notify = notify;
        }
        Ok(self)
    }

    /// Checks the settings. Nothing is read or written.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be.
    pub fn build(self) -> Result<Outbox, OutboxBuildError> {
        let mut config = self.config;
        if let Some(prefix) = self.prefix {
            config.names = TableNames::new(prefix)?;
        }
        if let Some(schema) = self.schema {
            config.names = config.names.in_schema(schema)?;
        }
        config.limits.check()?;
        Ok(Outbox::with(self.db, config))
    }
}

impl Config {
    pub(crate) fn encode(
        &self,
        event: &(impl OutboxEvent + ?Sized),
        options: EventOptions,
    ) -> Result<Envelope, StageError> {
        let ambient = self.ambient(|| name(event))?;
        Ok(Envelope::encode(event, options, ambient, &self.limits)?)
    }

    /// Adds the surroundings to an event that was encoded without them, and holds it to the limits.
    pub(crate) fn adopt(&self, mut envelope: Envelope) -> Result<Envelope, StageError> {
        let event_type = || envelope.event_type.to_string();
        let mut headers = self.ambient(event_type)?;
        for (name, value) in envelope.headers.iter() {
            headers.set(name, value).map_err(|source| Refused::Header { event_type: event_type(), source })?;
        }
        let (bytes, limit) = (envelope.payload.as_ref().map_or(0, bytes::Bytes::len), self.limits.payload_bytes);
        if bytes > limit {
            return Err(Refused::PayloadTooLarge { event_type: event_type(), bytes, limit }.into());
        }
        envelope.headers = headers;
        Ok(envelope)
    }

    /// The closures are the user's, and a panic in one must not unwind out of the middle of a transaction.
    fn ambient(&self, event_type: impl Fn() -> String) -> Result<Headers, StageError> {
        match catch_unwind(AssertUnwindSafe(|| self.surroundings())) {
            Ok(Ok(headers)) => Ok(headers),
            Ok(Err(source)) => Err(Refused::Header { event_type: event_type(), source }.into()),
            Err(panic) => Err(Refused::panicked(&event_type(), "source of ambient headers", panic).into()),
        }
    }

    fn surroundings(&self) -> Result<Headers, HeaderError> {
        let mut headers = Headers::new();
        // A bad trace context is no reason to fail the business.
        if let Some(context) = self.trace.current()
            && let Err(error) = context.write(&mut headers)
        {
            tracing::debug!(%error, "an event carries no, or not all, trace context");
        }
        if let Some(ambient) = &self.ambient {
            ambient(&mut headers)?;
        }
        Ok(headers)
    }
}

impl From<EnvError> for OutboxBuildError {
    fn from(EnvError { variable, problem }: EnvError) -> Self {
        Self::Variable { variable, problem }
    }
}

fn variable_error(variable: &'static str, error: &dyn std::error::Error) -> OutboxBuildError {
    OutboxBuildError::Variable { variable, problem: error.to_string() }
}

fn name(event: &(impl OutboxEvent + ?Sized)) -> String {
    catch_unwind(AssertUnwindSafe(|| event.event_type().into_owned())).unwrap_or_else(|panic| {
        drop(panic);
        "?".to_owned()
    })
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("names", &self.names)
            .field("limits", &self.limits)
            .field("strict", &self.strict)
            .field("notify", &self.notify)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<OutboxBuilder, String> {
        let env = Env::new(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()));
        OutboxBuilder::new(DatabaseConnection::default()).from_variables(&env).map_err(|error| error.to_string())
    }

    #[test]
    fn the_documentation_names_every_variable() {
        let asked = RefCell::new(Vec::new());
        let nothing_is_set = Env::new(|name| {
            asked.borrow_mut().push(name.to_owned());
            None
        });
        drop(OutboxBuilder::new(DatabaseConnection::default()).from_variables(&nothing_is_set).unwrap());
        assert_eq!(asked.borrow().len(), 6, "{asked:?}");
        let page = include_str!("../../docs/configuration.md");
        for variable in asked.into_inner() {
            assert!(page.contains(&format!("`{variable}`")), "{variable}");
        }
    }

    #[test]
    fn every_variable_sets_what_it_names() {
        let read = read(&[
            ("OUTBOX_SCHEMA", "shop"),
            ("OUTBOX_TABLE_PREFIX", "events"),
            ("OUTBOX_PAYLOAD_BYTES", "1000"),
            ("OUTBOX_EVENTS_PER_TRANSACTION", "20"),
            ("OUTBOX_STRICT", "true"),
            ("OUTBOX_NOTIFY", "1"),
        ])
        .unwrap();
        assert_eq!((read.schema.as_deref(), read.prefix.as_deref()), (Some("shop"), Some("events")));
        assert_eq!(read.config.limits, Limits::new().payload_bytes(1_000).events_per_transaction(20));
        assert!(read.config.strict && read.config.notify);
    }

    #[test]
    fn none_of_them_is_needed_and_a_mistake_names_it() {
        let unset = read(&[("OUTBOX_SCHEMA", "")]).unwrap();
        assert_eq!((unset.schema, unset.prefix, unset.config.strict), (None, None, false));
        assert!(!unset.config.notify);
        for (variable, value) in [
            ("OUTBOX_SCHEMA", "a b"),
            ("OUTBOX_TABLE_PREFIX", "a;b"),
            ("OUTBOX_PAYLOAD_BYTES", "16777217"),
            ("OUTBOX_PAYLOAD_BYTES", "1 MB"),
            ("OUTBOX_EVENTS_PER_TRANSACTION", "0"),
            ("OUTBOX_STRICT", "very"),
            ("OUTBOX_NOTIFY", "sometimes"),
        ] {
            let error = read(&[(variable, value)]).unwrap_err();
            assert!(error.starts_with(&format!("{variable}: ")), "{error}");
        }
    }
}
