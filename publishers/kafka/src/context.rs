//! What librdkafka tells us: reports, errors and log lines.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;

use crate::error::code_of;
use crate::redact::Secrets;
use crate::rest::Rest;
use crate::sync::lock;
use crate::ticket::{Load, Ticket};

/// Takes the reports of one producer, in the thread that polls it.
pub(crate) trait Reporter: Send + Sync + 'static {
    /// The broker has the message durably, in `partition`.
    fn delivered(&self, ticket: Ticket, partition: i32);

    /// It has not, or nobody knows.
    fn failed(&self, ticket: Ticket, partition: i32, code: RDKafkaErrorCode);
}

/// What librdkafka last complained about, without secrets: it says more than a timeout does.
#[derive(Default)]
pub(crate) struct Notes {
    last_error: Mutex<Option<Complaint>>,
    secrets: Secrets,
}

#[derive(Clone)]
pub(crate) struct Complaint {
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) text: String,
}

impl Notes {
    pub(crate) fn new(secrets: Secrets) -> Self {
        Self { last_error: Mutex::new(None), secrets }
    }

    pub(crate) fn complaint(&self) -> Option<Complaint> {
        lock(&self.last_error).clone()
    }

    pub(crate) fn last_error(&self) -> String {
        self.complaint().map(|complaint| complaint.text).unwrap_or_default()
    }

    pub(crate) fn hide(&self, text: &str) -> String {
        self.secrets.hide(text)
    }

    /// Everything works.
    pub(crate) fn forget(&self) {
        if let Ok(mut last) = self.last_error.try_lock() {
            *last = None;
        }
    }
}

pub(crate) struct Context<R> {
    pub(crate) reporter: Arc<R>,
    pub(crate) notes: Arc<Notes>,
    /// Messages that librdkafka has and has not reported. Its own count takes log lines for messages.
    pub(crate) held: AtomicUsize,
    /// Of the thread that polls while it holds none.
    pub(crate) rest: Arc<Rest>,
    /// Set when the brokers turn out to belong to another cluster than before. librdkafka tells by its log alone.
    pub(crate) other_cluster: Arc<AtomicBool>,
}

impl<R: Reporter> ClientContext for Context<R> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        if facility == "CLUSTERID" && matches!(level, RDKafkaLogLevel::Warning) {
            self.other_cluster.store(true, Ordering::Release);
        }
        let text = self.notes.hide(text);
        match level {
            // A fatal error of a producer is a normal way for it to end here, so nothing is above a warning.
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{text}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", facility, "{text}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{text}"),
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        tracing::debug!(target: "librdkafka", statistics = %String::from_utf8_lossy(statistics));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = code_of(&error);
        let mut text = self.notes.hide(&format!("{code}: {reason}"));
        tracing::debug!(target: "librdkafka", "{text}");
        if code == RDKafkaErrorCode::AllBrokersDown {
            // All that is known of a broker that hangs up without a word.
            text.push_str("; if they run, check security.protocol: they may want a login or encryption");
        }
        let mut last = lock(&self.notes.last_error);
        // It follows on every other error and says less.
        if code != RDKafkaErrorCode::AllBrokersDown || last.is_none() {
            *last = Some(Complaint { code, text });
        }
    }
}

impl<R: Reporter> ProducerContext for Context<R> {
    type DeliveryOpaque = Box<Load>;

    fn delivery(&self, result: &DeliveryResult<'_>, load: Box<Load>) {
        self.held.fetch_sub(1, Ordering::AcqRel);
        let ticket = Ticket(load);
        let report = AssertUnwindSafe(|| {
            // As if the broker's answer had been lost.
            #[cfg(feature = "failpoints")]
            if outbox_core::failpoints::reach_blocking("kafka::report").is_err() {
                return ticket.unknown();
            }
            match result {
                Ok(message) => {
                    if ticket.probe {
                        self.notes.forget();
                    }
                    self.reporter.delivered(ticket, message.partition());
                }
                Err((error, message)) => self.reporter.failed(ticket, message.partition(), code_of(error)),
            }
        });
        // The ticket reports when it is dropped, so a panic loses nothing; it must only not end the thread.
        if catch_unwind(report).is_err() {
            tracing::error!("a delivery report could not be taken");
        }
    }
}
