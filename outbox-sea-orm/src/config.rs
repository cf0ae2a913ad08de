//! What may be set, and the builder that sets it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use outbox_core::event::HeaderError;
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
    #[error("limit {limit} is {value}, which is not {range}")]
    Limit {
        /// Which one.
        limit: &'static str,
        /// As it was given.
        value: usize,
        /// What it may be.
        range: &'static str,
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
        let Limits { payload_bytes, events_per_transaction, .. } = config.limits;
        let bad = |limit, value, range| Err(OutboxBuildError::Limit { limit, value, range });
        if payload_bytes > Limits::MOST_PAYLOAD_BYTES {
            return bad("payload_bytes", payload_bytes, "at most 16,777,216");
        }
        if events_per_transaction == 0 {
            return bad("events_per_transaction", 0, "at least 1");
        }
        Ok(Outbox::with(self.db, config))
    }
}

impl Config {
    pub(crate) fn encode(
        &self,
        event: &(impl OutboxEvent + ?Sized),
        options: EventOptions,
    ) -> Result<Envelope, StageError> {
        // The closures are the user's, and a panic in one must not unwind out of the middle of a transaction.
        let surroundings = catch_unwind(AssertUnwindSafe(|| self.surroundings())).map_err(|panic| {
            drop(panic);
            panicked(event)
        })?;
        let ambient =
            surroundings.map_err(|source| outbox_core::StageError::Header { event_type: name(event), source })?;
        Ok(Envelope::encode(event, options, ambient, &self.limits)?)
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

fn panicked(event: &(impl OutboxEvent + ?Sized)) -> outbox_core::StageError {
    outbox_core::StageError::Panicked { event_type: name(event), method: "source of ambient headers" }
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
            .finish_non_exhaustive()
    }
}
