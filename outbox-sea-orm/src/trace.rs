//! The trace context that events carry from where they are staged to where they are consumed.

use std::sync::Arc;

use outbox_core::Headers;
use outbox_core::event::{HeaderError, names};

/// A place in a trace, as the W3C trace context (level 1) writes it into headers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceContext {
    /// The header `traceparent`.
    pub traceparent: String,
    /// The header `tracestate`, if there is one.
    pub tracestate: Option<String>,
}

impl TraceContext {
    /// A context without vendors' additions. Nothing is checked.
    pub fn new(traceparent: impl Into<String>) -> Self {
        Self { traceparent: traceparent.into(), tracestate: None }
    }

    /// Adds vendors' additions.
    #[must_use]
    pub fn with_tracestate(self, tracestate: impl Into<String>) -> Self {
        Self { tracestate: Some(tracestate.into()), ..self }
    }

    pub(crate) fn write(&self, headers: &mut Headers) -> Result<(), HeaderError> {
        headers.set(names::TRACEPARENT, &self.traceparent)?;
        match &self.tracestate {
            Some(state) => headers.set(names::TRACESTATE, state),
            None => Ok(()),
        }
    }
}

impl<S: Into<String>> From<(String, Option<S>)> for TraceContext {
    fn from((traceparent, tracestate): (String, Option<S>)) -> Self {
        Self { traceparent, tracestate: tracestate.map(Into::into) }
    }
}

/// Where the current context comes from.
#[derive(Clone, Default)]
pub(crate) enum TraceSource {
    /// OpenTelemetry's current context, if the feature is on.
    #[default]
    Ambient,
    Custom(Arc<dyn Fn() -> Option<TraceContext> + Send + Sync>),
    Off,
}

impl TraceSource {
    pub(crate) fn current(&self) -> Option<TraceContext> {
        match self {
            Self::Ambient => ambient(),
            Self::Custom(current) => current(),
            Self::Off => None,
        }
    }
}

#[cfg(not(feature = "opentelemetry"))]
fn ambient() -> Option<TraceContext> {
    None
}

/// The context of the current `tracing` span where OpenTelemetry's layer gave it one, else OpenTelemetry's own.
#[cfg(feature = "opentelemetry")]
fn ambient() -> Option<TraceContext> {
    use opentelemetry::Context;
    use opentelemetry::trace::TraceContextExt;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    let of_span = tracing::Span::current().context();
    written(of_span.span().span_context()).or_else(|| written(Context::current().span().span_context()))
}

#[cfg(feature = "opentelemetry")]
fn written(span: &opentelemetry::trace::SpanContext) -> Option<TraceContext> {
    if !span.is_valid() {
        return None;
    }
    let flags = span.trace_flags().to_u8() & 1; // level 1 defines the one flag
    let context = TraceContext::new(format!("00-{}-{}-{flags:02x}", span.trace_id(), span.span_id()));
    let state = span.trace_state().header();
    Some(if state.is_empty() { context } else { context.with_tracestate(state) })
}
