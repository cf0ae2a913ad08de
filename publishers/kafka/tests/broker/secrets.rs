//! Nothing secret is in a log line, an error or debug output: not even with everything logged.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_core::Publisher;
use outbox_kafka::{KafkaPublisher, KafkaPublisherBuilder};
use tracing_subscriber::fmt::MakeWriter;

use crate::access::guarded_unless_left_out;
use crate::own::{ALICE, Guarded};
use crate::support::{Recorder, create_topic, incompressible, message, unique};

const SOON: Duration = Duration::from_secs(30);

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The only test with a subscriber, which is the process's: librdkafka logs from threads of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_and_no_payload_is_ever_shown() {
    let Some(there) = guarded_unless_left_out().await else { return };
    let log = Log::default();
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(log.clone()).init();
    let topic = unique("for-alice-secrets");
    create_topic(there.broker.plain(), &topic, 1, &[("max.message.bytes", "4000")]).await;
    let mut shown = String::new();

    // What works, with a message that is refused, and a login that fails.
    let passwords = [ALICE.1, "canary-that-is-wrong"];
    for publisher in passwords.map(|password| with_password(there, password)).into_iter().flatten() {
        let publisher = publisher
            .set("sasl.username", ALICE.0)
            .set("sasl.oauthbearer.config", "canary-oauth")
            .set("debug", "all")
            .delivery_timeout(Duration::from_secs(3));
        shown += &format!("{publisher:?} {publisher:#?}");
        let publisher = publisher.build().unwrap();
        shown += &format!("{publisher:?} {publisher:#?} {:?}", publisher.health(Duration::from_secs(2)).await);
        let recorder = Recorder::new();
        let mut messages: Vec<_> =
            (0..20).map(|seq| message(&topic, Some("canary-key"), seq, format!("canary-payload-{seq}"))).collect();
        messages[3].envelope.headers.set("x-note", "canary-header").unwrap();
        messages[10].envelope.payload = Some(incompressible(6000).into());
        publisher.publish(recorder.deliveries(messages)).await;
        shown += &format!("{:?}", recorder.all(20, SOON).await);
        publisher.flush(SOON).await;
    }

    // Settings that librdkafka refuses, complains about, or cannot use.
    for (setting, value) in [
        ("ssl.key.pem", "-----BEGIN PRIVATE KEY-----\ncanary-of-the-key\n-----END PRIVATE KEY-----\n"),
        ("ssl.key.password", "canary-of-the-key"),
        ("ssl.keystore.password", "canary-of-the-store"),
        ("sasl.oauthbearer.client.secret", "canary-of-the-client"),
        ("sasl.oauthbearer.config", "canary-of-the-config"),
        ("sasl.password", "canary\0nul"),
        ("sasl.password", "canary-of-nobody"),
    ] {
        let builder = KafkaPublisher::builder(there.broker.listener("SSL")).set("debug", "all").set(setting, value);
        let builder = if cfg!(feature = "tls") { builder.set("security.protocol", "SSL") } else { builder };
        shown += &format!("{builder:?}");
        match builder.build() {
            Ok(publisher) => {
                shown += &format!("{publisher:?} {:?}", publisher.health(Duration::from_millis(500)).await);
            }
            Err(error) => shown += &format!("{error} {error:?}"),
        }
    }

    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    let scram = if cfg!(feature = "tls") { "SCRAM-SHA-512" } else { "SASL" };
    for text in ["librdkafka", "SASL", "refused", scram] {
        assert!(logged.contains(text), "the log does not speak of {text}: nothing was tested");
    }
    for (place, text) in [("log", &logged), ("output", &shown)] {
        let at = text.find("canary").map(|at| text[at.saturating_sub(300)..].chars().take(400).collect::<String>());
        assert_eq!(at, None, "a secret is in the {place}");
    }
}

/// By every mechanism that the broker knows: PLAIN, which says the password to the broker, and SCRAM, which proves it.
fn with_password(there: &Guarded, password: &str) -> Vec<KafkaPublisherBuilder> {
    let login = |protocol, mechanism| {
        KafkaPublisher::builder(there.broker.listener(protocol))
            .set("security.protocol", protocol)
            .set("sasl.mechanism", mechanism)
            .set("sasl.password", password)
    };
    let plain = login("SASL_PLAINTEXT", "PLAIN");
    #[cfg(not(feature = "tls"))]
    return vec![plain];
    #[cfg(feature = "tls")]
    vec![plain, login("SASL_SSL", "SCRAM-SHA-512").set("ssl.ca.location", there.authority.to_str().unwrap())]
}
