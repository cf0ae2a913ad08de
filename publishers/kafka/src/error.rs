use std::time::Duration;

use outbox_core::{PublishError, PublishErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What an error code of librdkafka or the broker says about the message that it was reported for.
pub(crate) fn classify(code: RDKafkaErrorCode) -> PublishErrorKind {
    use RDKafkaErrorCode as Code;
    match code {
        // The record itself: sending it again unchanged cannot help.
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::InvalidRecord
        | Code::InvalidTimestamp
        | Code::PolicyViolation
        | Code::BadMessage
        | Code::KeySerialization
        | Code::ValueSerialization => PublishErrorKind::Rejected,
        Code::ThrottlingQuotaExceeded => PublishErrorKind::Throttled,
        // Everything else is about the way to the broker, the topic, permissions or the producer. A code that nobody
        // has met here must not use up the attempts of innocent events, so it belongs here too.
        _ => PublishErrorKind::Unreachable,
    }
}

/// The report for a message that failed with `code`; `context` says what is known beyond it.
pub(crate) fn publish_error(code: RDKafkaErrorCode, context: &str) -> PublishError {
    let reason = if context.is_empty() { code.to_string() } else { format!("{code}; {context}") };
    match classify(code) {
        PublishErrorKind::Rejected => PublishError::rejected(reason),
        PublishErrorKind::Throttled => PublishError::throttled(reason, None),
        PublishErrorKind::Unreachable => PublishError::unreachable(reason),
    }
}

/// The report for a message that got no answer within `timeout`.
pub(crate) fn overdue(timeout: Duration, last_error: &str) -> PublishError {
    let hint = if last_error.is_empty() { String::new() } else { format!("; last error: {last_error}") };
    PublishError::unreachable(format!("no broker took the message within {timeout:?}{hint}"))
}

/// The code inside an error, if there is one.
pub(crate) fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code that librdkafka 2.12 knows, from its own table.
    fn all_codes() -> impl Iterator<Item = RDKafkaErrorCode> {
        (-200..=130).filter_map(|code| rdkafka::types::RDKafkaRespErr::try_from(code).ok()).map(RDKafkaErrorCode::from)
    }

    #[test]
    fn only_codes_about_the_record_itself_reject_it() {
        use RDKafkaErrorCode as Code;
        let rejected: Vec<Code> = all_codes().filter(|code| classify(*code) == PublishErrorKind::Rejected).collect();
        assert_eq!(
            rejected,
            [
                Code::BadMessage,
                Code::KeySerialization,
                Code::ValueSerialization,
                Code::InvalidMessage,
                Code::InvalidMessageSize,
                Code::MessageSizeTooLarge,
                Code::MessageBatchTooLarge,
                Code::InvalidTimestamp,
                Code::PolicyViolation,
                Code::InvalidRecord,
            ]
        );
        let throttled: Vec<Code> = all_codes().filter(|code| classify(*code) == PublishErrorKind::Throttled).collect();
        assert_eq!(throttled, [Code::ThrottlingQuotaExceeded]);
        assert!(all_codes().count() > 150, "{}", all_codes().count());
    }

    #[test]
    fn trouble_with_broker_topic_or_permissions_never_counts_as_an_attempt() {
        use RDKafkaErrorCode as Code;
        for code in [
            Code::BrokerTransportFailure,
            Code::AllBrokersDown,
            Code::MessageTimedOut,
            Code::OperationTimedOut,
            Code::RequestTimedOut,
            Code::Resolve,
            Code::SSL,
            Code::Authentication,
            Code::SaslAuthenticationFailed,
            Code::UnsupportedSASLMechanism,
            Code::UnknownTopic,
            Code::UnknownTopicOrPartition,
            Code::UnknownPartition,
            Code::InvalidTopic,
            Code::TopicAuthorizationFailed,
            Code::ClusterAuthorizationFailed,
            Code::NotEnoughReplicas,
            Code::NotEnoughReplicasAfterAppend,
            Code::LeaderNotAvailable,
            Code::NotLeaderForPartition,
            Code::KafkaStorageError,
            Code::OutOfOrderSequenceNumber,
            Code::UnknownProducerId,
            Code::InvalidProducerEpoch,
            Code::UnsupportedCompressionType,
            Code::Unknown,
        ] {
            let error = publish_error(code, "");
            assert_eq!(error.kind(), PublishErrorKind::Unreachable, "{code:?}");
            assert!(!error.summary().is_empty());
        }
    }
}
