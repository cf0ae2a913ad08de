//! Logins, rights, and listeners that speak another protocol.

use std::time::{Duration, Instant};

use outbox_core::store::Admin;
use outbox_core::testing::MemoryStore;
use outbox_core::{Processor, Publisher, RetryPolicy};
use outbox_kafka::{KafkaPublisher, KafkaPublisherBuilder, Unhealthy};

use crate::own::{ALICE, Guarded, MALLORY, guarded};
use crate::rights::{Right, grant};
use crate::support::{Recorder, brokers, create_topic, message, read_topic, unique, until_all_are_delivered};

const SOON: Duration = Duration::from_secs(30);
/// More than enough for a broker on the same machine, also when it is busy.
const PATIENCE: Duration = Duration::from_secs(4);

pub(crate) async fn guarded_unless_left_out() -> Option<&'static Guarded> {
    brokers()?;
    Some(guarded().await)
}

fn login(there: &Guarded, (user, password): (&str, &str)) -> KafkaPublisherBuilder {
    KafkaPublisher::builder(there.broker.listener("SASL_PLAINTEXT"))
        .set("security.protocol", "SASL_PLAINTEXT")
        .set("sasl.mechanism", "PLAIN")
        .set("sasl.username", user)
        .set("sasl.password", password)
        .set("topic.metadata.propagation.max.ms", "1500")
}

/// Ten messages of one key arrive.
pub(crate) async fn assert_works(publisher: &KafkaPublisher, broker: &str, topic: &str) {
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries((0..10).map(|seq| message(topic, Some("k"), seq, "x")))).await;
    let reports = recorder.all(10, SOON).await;
    assert!(reports.values().all(|report| report == "delivered"), "{reports:?}");
    let seqs: Vec<i64> = read_topic(broker, topic).await.iter().map(crate::support::Read::seq).collect();
    assert_eq!(seqs, (0..10).collect::<Vec<_>>());
}

/// The publisher cannot connect: it says why, and its messages wait, unharmed.
pub(crate) async fn assert_waits(publisher: &KafkaPublisher) -> Unhealthy {
    let problem = publisher.health(PATIENCE).await.unwrap_err();
    let error = publisher.check().await.unwrap_err();
    assert_eq!(error.kind(), outbox_core::PublishErrorKind::Unreachable);
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries((0..10).map(|seq| message("nowhere", Some("k"), seq, "x")))).await;
    assert_eq!(recorder.count(), 0, "{problem}");
    publisher.flush(Duration::from_millis(200)).await;
    let reports = recorder.all(10, Duration::from_secs(1)).await;
    assert!(reports.values().all(|report| report == "withheld"), "{reports:?}");
    problem
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_works() {
    let Some(there) = guarded_unless_left_out().await else { return };
    let topic = unique("for-alice");
    create_topic(there.broker.plain(), &topic, 1, &[]).await;
    let publisher = login(there, ALICE).build().unwrap();
    let cluster = publisher.health(SOON).await.unwrap();
    assert_eq!(cluster.brokers, [there.broker.listener("SASL_PLAINTEXT")]);
    assert_works(&publisher, there.broker.plain(), &topic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_reported_and_rejects_nothing() {
    let Some(there) = guarded_unless_left_out().await else { return };
    let publisher = login(there, (ALICE.0, "canary-that-is-wrong")).build().unwrap();
    let problem = assert_waits(&publisher).await;
    assert!(matches!(problem, Unhealthy::Authentication { .. }), "{problem:?}");
    assert!(!problem.to_string().contains("canary"), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_cannot_be_sent_in_time_name_the_login_as_the_cause() {
    let Some(there) = guarded_unless_left_out().await else { return };
    let builder = login(there, (ALICE.0, "wrong")).delivery_timeout(Duration::from_secs(2));
    let (publisher, recorder) = (builder.build().unwrap(), Recorder::new());
    publisher.publish(recorder.deliveries([message("nowhere", Some("k"), 0, "x")])).await;
    let reports = recorder.all(1, SOON).await;
    assert!(reports[&0].starts_with("Unreachable") && reports[&0].contains("uthentication"), "{reports:?}");
}

/// A processor with a wrong login: everything waits, with the cause to see, and goes out when one has the right login.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_with_a_wrong_login_uses_up_no_attempts() {
    let Some(there) = guarded_unless_left_out().await else { return };
    let (topic, store) = (unique("for-alice"), MemoryStore::new(4));
    create_topic(there.broker.plain(), &topic, 1, &[]).await;
    store.commit((0..100).map(|n| message(&topic, Some(&format!("key-{}", n % 7)), n, "x").envelope));
    let processor = |password| {
        let publisher = login(there, (ALICE.0, password)).delivery_timeout(Duration::from_secs(1)).build().unwrap();
        Processor::builder(store.clone(), publisher).retry(RetryPolicy::never()).spawn().unwrap()
    };
    let mistaken = processor("canary-that-is-wrong");
    let started = Instant::now();
    let cause = loop {
        let snapshot = mistaken.snapshot().await.unwrap();
        if let Some((_, cause)) = snapshot.paused.into_iter().find(|(name, _)| *name == topic) {
            break cause;
        }
        assert!(started.elapsed() < SOON, "no cause is shown");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(cause.contains("uthentication") && !cause.contains("canary"), "{cause}");
    let pending = store.pending(0, 1_000).await.unwrap();
    assert_eq!(pending.len(), 100);
    assert!(pending.iter().all(|event| event.attempts == 0));
    let report = mistaken.shutdown().await.unwrap();
    assert_eq!((report.counts.retried, report.counts.dead, report.abandoned), (0, 0, 0));

    let corrected = processor(ALICE.1);
    let started = Instant::now();
    while store.pending_count() > 0 {
        assert!(started.elapsed() < SOON, "{} events left", store.pending_count());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(corrected.shutdown().await.unwrap().counts.delivered, 100);
    assert_eq!(read_topic(there.broker.plain(), &topic).await.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plaintext_to_a_listener_that_wants_a_login_or_encryption_is_unreachable() {
    let Some(there) = guarded_unless_left_out().await else { return };
    for protocol in ["SASL_PLAINTEXT", "SSL", "SASL_SSL"] {
        let publisher = KafkaPublisher::connect(there.broker.listener(protocol)).unwrap();
        let problem = assert_waits(&publisher).await;
        assert!(matches!(problem, Unhealthy::NoAnswer { .. }), "{protocol}: {problem:?}");
        assert!(problem.to_string().contains("security.protocol"), "{protocol}: {problem}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_at_a_listener_without_one_is_unreachable() {
    let Some(there) = guarded_unless_left_out().await else { return };
    let publisher = login(there, ALICE).set("bootstrap.servers", there.broker.plain()).build().unwrap();
    let problem = assert_waits(&publisher).await;
    assert!(matches!(problem, Unhealthy::Authentication { .. } | Unhealthy::NoAnswer { .. }), "{problem:?}");
}

/// Rights that are missing, given at last: to see the topic, or only to write to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_without_rights_is_unreachable_until_they_are_given() {
    let Some(there) = guarded_unless_left_out().await else { return };
    let plain = there.broker.plain();
    for name in ["hidden", "shown"] {
        let (works, denied) = (unique("for-alice"), unique(name));
        create_topic(plain, &works, 1, &[]).await;
        create_topic(plain, &denied, 1, &[]).await;
        let publisher = login(there, ALICE).build().unwrap();
        let recorder = Recorder::new();
        let messages = (0..40).map(|seq| message(if seq % 2 == 0 { &works } else { &denied }, Some("k"), seq, "x"));
        publisher.publish(recorder.deliveries(messages)).await;
        for (seq, report) in recorder.all(40, SOON).await {
            match seq {
                seq if seq % 2 == 0 => assert!(report == "delivered" || report == "withheld", "{seq}: {report}"),
                1 => assert!(report.starts_with("Unreachable") && report.contains("uthoriz"), "{report}"),
                _ => assert_eq!(report, "withheld"),
            }
        }
        assert!(read_topic(plain, &denied).await.is_empty());
        // Trouble with one topic is over for the others at once.
        let recorder = Recorder::new();
        publisher.publish(recorder.deliveries((0..10).map(|seq| message(&works, Some("j"), seq, "x")))).await;
        assert!(recorder.all(10, SOON).await.values().all(|report| report == "delivered"));

        grant(plain, ALICE.0, &denied, Right::Write);
        let left = (0..10).map(|seq| message(&denied, Some("k"), seq, "x")).collect();
        until_all_are_delivered(&publisher, left).await;
        let seqs: Vec<i64> = read_topic(plain, &denied).await.iter().map(crate::support::Read::seq).collect();
        assert_eq!(seqs, (0..10).collect::<Vec<_>>());
    }
}

/// Without any right a producer may not even be idempotent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_any_right_is_unreachable() {
    let Some(there) = guarded_unless_left_out().await else { return };
    let topic = unique("hidden");
    create_topic(there.broker.plain(), &topic, 1, &[]).await;
    let publisher = login(there, MALLORY).delivery_timeout(Duration::from_secs(3)).build().unwrap();
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries((0..5).map(|seq| message(&topic, Some("k"), seq, "x")))).await;
    for (seq, report) in recorder.all(5, SOON).await {
        assert!(report == "withheld" || report.starts_with("Unreachable"), "{seq}: {report}");
    }
}
