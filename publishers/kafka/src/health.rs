//! Whether a broker can be reached now, and if not, why.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use thiserror::Error;

use crate::inner::Inner;
use crate::topics;

/// A cluster that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cluster {
    /// Its brokers, as `host:port`, as they advertise themselves.
    pub brokers: Vec<String>,
}

/// Why no broker can be used now. Texts are librdkafka's, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unhealthy {
    /// The broker refused the credentials, or the way to present them.
    #[error("the broker did not accept the login: {reason}")]
    Authentication {
        /// What is known.
        reason: String,
    },
    /// The encrypted connection failed: the certificate is not trusted, or only one side wants encryption.
    #[error("the encrypted connection failed: {reason}")]
    Tls {
        /// What is known.
        reason: String,
    },
    /// No broker answered in time.
    #[error("no broker answered within {within:?}{}", suffix(.reason))]
    NoAnswer {
        /// How long it was waited.
        within: Duration,
        /// What librdkafka last complained about, or nothing.
        reason: String,
    },
    /// A broker, or librdkafka, answered with an error.
    #[error("the check failed: {reason}")]
    Failed {
        /// What is known.
        reason: String,
    },
}

fn suffix(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!("; last error: {reason}") }
}

/// Asks a broker about a topic that was used before, or about all topics.
pub(crate) async fn check(inner: &Arc<Inner>, within: Duration) -> Result<Cluster, Unhealthy> {
    let asking = tokio::task::spawn_blocking({
        let inner = Arc::clone(inner);
        move || ask(&inner, within)
    });
    match tokio::time::timeout(within, asking).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Err(Unhealthy::Failed { reason: error.to_string() }),
        Err(_) => Err(unhealthy(inner, RDKafkaErrorCode::OperationTimedOut, within)),
    }
}

fn ask(inner: &Inner, within: Duration) -> Result<Cluster, Unhealthy> {
    let session = inner.pipeline().map_err(|error| Unhealthy::Failed { reason: error.to_string() })?;
    let metadata = topics::ask(&*session.lane, session.lane.any_topic().as_deref(), within)
        .map_err(|code| unhealthy(inner, code, within))?;
    inner.notes.forget();
    let address = |broker: &rdkafka::metadata::MetadataBroker| format!("{}:{}", broker.host(), broker.port());
    Ok(Cluster { brokers: metadata.brokers().iter().map(address).collect() })
}

fn unhealthy(inner: &Inner, code: RDKafkaErrorCode, within: Duration) -> Unhealthy {
    use RDKafkaErrorCode as Code;
    let complaint = inner.notes.complaint();
    let reason = complaint.as_ref().map(|complaint| complaint.text.clone()).unwrap_or_default();
    match (complaint.map(|complaint| complaint.code), code) {
        (Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism), _) => {
            Unhealthy::Authentication { reason }
        }
        (Some(Code::SSL), _) => Unhealthy::Tls { reason },
        (_, Code::BrokerTransportFailure | Code::OperationTimedOut | Code::RequestTimedOut | Code::AllBrokersDown) => {
            Unhealthy::NoAnswer { within, reason }
        }
        (_, code) => Unhealthy::Failed { reason: format!("{code}{}", suffix(&reason)) },
    }
}
