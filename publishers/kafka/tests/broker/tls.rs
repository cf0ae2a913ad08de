//! Encrypted connections. Only with the feature `tls`.

use std::time::Duration;

use outbox_kafka::{KafkaPublisher, KafkaPublisherBuilder, Unhealthy};

use crate::access::{assert_waits, assert_works, guarded_unless_left_out};
use crate::own::{ALICE, Guarded};
use crate::support::{create_topic, unique};

const SOON: Duration = Duration::from_secs(30);

fn encrypted(there: &Guarded) -> KafkaPublisherBuilder {
    KafkaPublisher::builder(there.broker.listener("SSL")).set("security.protocol", "SSL")
}

fn with_login(there: &Guarded, (user, password): (&str, &str)) -> KafkaPublisherBuilder {
    KafkaPublisher::builder(there.broker.listener("SASL_SSL"))
        .set("security.protocol", "SASL_SSL")
        .set("sasl.mechanism", "SCRAM-SHA-512")
        .set("sasl.username", user)
        .set("sasl.password", password)
        .set("ssl.ca.location", there.authority.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_connection_works() {
    let Some(there) = guarded_unless_left_out().await else { return };
    let topic = unique("encrypted");
    create_topic(there.broker.plain(), &topic, 1, &[]).await;
    let publisher = encrypted(there).set("ssl.ca.location", there.authority.to_str().unwrap()).build().unwrap();
    publisher.health(SOON).await.unwrap();
    assert_works(&publisher, there.broker.plain(), &topic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_by_scram_over_an_encrypted_connection_works() {
    let Some(there) = guarded_unless_left_out().await else { return };
    let topic = unique("for-alice-encrypted");
    create_topic(there.broker.plain(), &topic, 1, &[]).await;
    let publisher = with_login(there, ALICE).build().unwrap();
    assert_works(&publisher, there.broker.plain(), &topic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_by_scram_is_reported() {
    let Some(there) = guarded_unless_left_out().await else { return };
    let problem = assert_waits(&with_login(there, (ALICE.0, "canary-that-is-wrong")).build().unwrap()).await;
    assert!(matches!(problem, Unhealthy::Authentication { .. }), "{problem:?}");
    assert!(!problem.to_string().contains("canary"), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_nobody_trusts_is_refused() {
    let Some(there) = guarded_unless_left_out().await else { return };
    let problem = assert_waits(&encrypted(there).build().unwrap()).await;
    assert!(matches!(problem, Unhealthy::Tls { .. }), "{problem:?}");
    assert!(problem.to_string().contains("certificate verify failed"), "{problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_another_host_is_refused() {
    let Some(there) = guarded_unless_left_out().await else { return };
    let (_, port) = there.broker.listener("SSL").split_once(':').unwrap();
    let publisher = encrypted(there)
        .set("ssl.ca.location", there.authority.to_str().unwrap())
        .set("bootstrap.servers", format!("localhost:{port}"))
        .set("broker.address.family", "v4")
        .build();
    let problem = assert_waits(&publisher.unwrap()).await;
    assert!(matches!(problem, Unhealthy::Tls { .. }), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encryption_towards_a_listener_without_is_reported() {
    let Some(there) = guarded_unless_left_out().await else { return };
    let publisher = encrypted(there).set("bootstrap.servers", there.broker.plain()).build().unwrap();
    let problem = assert_waits(&publisher).await;
    assert!(matches!(problem, Unhealthy::Tls { .. } | Unhealthy::NoAnswer { .. }), "{problem:?}");
    assert!(problem.to_string().contains("SSL"), "{problem}");
}
