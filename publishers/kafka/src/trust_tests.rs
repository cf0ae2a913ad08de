//! Settings that give up the proof of who a broker is.

use crate::KafkaPublisher;
use crate::builder::KafkaPublisherBuilder;
use crate::config_error::ConfigError;

const VERIFICATION: (&str, &str) =
    ("enable.ssl.certificate.verification", "OUTBOX_KAFKA_ENABLE_SSL_CERTIFICATE_VERIFICATION");
const IDENTIFICATION: (&str, &str) =
    ("ssl.endpoint.identification.algorithm", "OUTBOX_KAFKA_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM");

fn builder() -> KafkaPublisherBuilder {
    KafkaPublisher::builder("127.0.0.1:1")
}

fn by_variable(variable: &str, value: &str) -> KafkaPublisherBuilder {
    builder().from_variables([(variable.into(), value.into())]).unwrap()
}

#[test]
fn what_lets_others_pose_as_a_broker_is_refused_by_name() {
    for ((setting, variable), value, required) in [
        (VERIFICATION, "false", "must be true"),
        (VERIFICATION, "False", "must be true"),
        (VERIFICATION, "f", "must be true"),
        (VERIFICATION, "0", "must be true"),
        (VERIFICATION, "", "must be true"),
        (IDENTIFICATION, "none", "must be https"),
        (IDENTIFICATION, " NONE ", "must be https"),
        // What Java's clients call none.
        (IDENTIFICATION, "", "must be https"),
    ] {
        let protocols = ["SSL", "PLAINTEXT"].map(|protocol| builder().set("security.protocol", protocol));
        let mut all = protocols.map(|builder| (setting, builder.set(setting, value))).to_vec();
        all.push((variable, by_variable(variable, value)));
        for (name, builder) in all {
            let error = builder.build().unwrap_err();
            assert!(matches!(&error, ConfigError::Conflict { setting, .. } if setting == name), "{error}");
            let text = error.to_string();
            assert!(text.starts_with(name) && text.contains(required), "{text}");
            assert!(text.contains("danger_accept_unverified_brokers"), "{text}");
        }
    }
}

#[test]
fn the_last_word_counts() {
    for (setting, value) in [(VERIFICATION.0, "false"), (IDENTIFICATION.0, "none")] {
        let accepted = builder().set(setting, value).danger_accept_unverified_brokers(true);
        let error = accepted.danger_accept_unverified_brokers(false).build().unwrap_err();
        assert!(matches!(error, ConfigError::Conflict { .. }), "{error}");
    }
}

/// Without the feature, librdkafka has no such settings.
#[cfg(feature = "tls")]
mod with_tls {
    use std::fmt;
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Level, Metadata, Subscriber};

    use super::*;

    /// Warnings, a line each.
    #[derive(Clone, Default)]
    struct Warnings(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Warnings {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::WARN && metadata.target().starts_with("outbox_kafka")
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut line = Line::default();
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[derive(Default)]
    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0 += &format!("{field}={value:?} ");
        }
    }

    /// What building warns of.
    fn warnings(builder: KafkaPublisherBuilder) -> Vec<String> {
        let warnings = Warnings::default();
        let built = tracing::subscriber::with_default(warnings.clone(), || builder.build());
        drop(built.unwrap());
        warnings.0.lock().unwrap().clone()
    }

    #[test]
    fn whoever_accepts_it_is_warned_of_each_setting_once_per_publisher() {
        let variables =
            [(VERIFICATION.1.into(), "false".into()), ("OUTBOX_KAFKA_SECURITY_PROTOCOL".into(), "SSL".into())];
        let builder = builder()
            .danger_accept_unverified_brokers(true)
            .from_variables(variables)
            .unwrap()
            .set(IDENTIFICATION.0, "none");
        let config = builder.settings().unwrap().pipelined(None);
        assert_eq!(config.get(VERIFICATION.0), Some("false"));
        assert_eq!(config.get(IDENTIFICATION.0), Some("none"));
        for _ in 0..2 {
            let warnings = warnings(builder.clone());
            assert_eq!(warnings.len(), 2, "{warnings:?}");
            for (warning, name, meaning) in [
                (&warnings[0], VERIFICATION.1, "certificates of brokers are not verified"),
                (&warnings[1], IDENTIFICATION.0, "not compared with the names of brokers"),
            ] {
                assert!(warning.contains(&format!("setting={name:?}")) && warning.contains(meaning), "{warning}");
            }
        }
    }

    #[test]
    fn nobody_else_is_warned() {
        let proven = || builder().set("security.protocol", "SSL").set(VERIFICATION.0, "true");
        let proven = || proven().set(IDENTIFICATION.0, "HTTPS");
        for builder in [builder(), proven(), proven().danger_accept_unverified_brokers(true)] {
            assert_eq!(warnings(builder), Vec::<String>::new());
        }
    }
}
