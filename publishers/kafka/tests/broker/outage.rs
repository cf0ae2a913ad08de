//! No topic, no broker, no time.

use std::time::{Duration, Instant};

use outbox_core::Publisher;
use outbox_kafka::KafkaPublisher;

use crate::support::{Recorder, brokers, create_topic, delete_topic, message, read_topic, unique};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_topic_is_unreachable_and_disturbs_nobody() {
    let Some(brokers) = brokers() else { return };
    let (known, unknown) = (unique("known"), unique("unknown"));
    create_topic(&brokers, &known, 3, &[]).await;
    let publisher = KafkaPublisher::builder(&brokers).set("topic.metadata.propagation.max.ms", "1500").build().unwrap();
    let recorder = Recorder::new();
    let messages = (0..200).map(|seq| {
        let topic = if seq % 2 == 0 { &known } else { &unknown };
        message(topic, Some(&format!("k{}", seq % 10)), seq, "x")
    });
    publisher.publish(recorder.deliveries(messages)).await;
    let started = Instant::now();
    while recorder.count() < 100 {
        assert!(started.elapsed() < Duration::from_millis(1000), "{} reports", recorder.count());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let reports = recorder.all(200, SOON).await;
    for (seq, report) in &reports {
        match seq % 2 {
            0 => assert_eq!(report, "delivered"),
            _ if *seq < 10 => assert!(report.starts_with("Unreachable"), "{seq}: {report}"),
            _ => assert_eq!(report, "withheld"),
        }
    }
    // Once it is there, it works without a new publisher.
    create_topic(&brokers, &unknown, 1, &[]).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries((0..50).map(|seq| message(&unknown, Some("k"), seq, "x")))).await;
    let reports = recorder.all(50, SOON).await;
    assert!(reports.values().all(|report| report == "delivered"), "{reports:?}");
    let seqs: Vec<i64> = read_topic(&brokers, &unknown).await.iter().map(crate::support::Read::seq).collect();
    assert_eq!(seqs, (0..50).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_deleted_becomes_unreachable_and_others_go_on() {
    let Some(brokers) = brokers() else { return };
    let (stays, goes) = (unique("stays"), unique("goes"));
    create_topic(&brokers, &stays, 1, &[]).await;
    create_topic(&brokers, &goes, 1, &[]).await;
    let publisher = KafkaPublisher::builder(&brokers).set("topic.metadata.propagation.max.ms", "1500").build().unwrap();
    let recorder = Recorder::new();
    publisher
        .publish(recorder.deliveries([message(&stays, Some("k"), 0, "x"), message(&goes, Some("k"), 1, "x")]))
        .await;
    assert!(recorder.all(2, SOON).await.values().all(|report| report == "delivered"));
    delete_topic(&brokers, &goes).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    for round in 0..3 {
        let recorder = Recorder::new();
        let messages = (0..20).map(|seq| message(if seq % 2 == 0 { &stays } else { &goes }, Some("k"), seq, "x"));
        publisher.publish(recorder.deliveries(messages)).await;
        for (seq, report) in recorder.all(20, SOON).await {
            match seq {
                seq if seq % 2 == 0 => assert!(report == "delivered" || report == "withheld", "{round} {seq} {report}"),
                1 => assert!(report.starts_with("Unreachable"), "{round} {seq} {report}"),
                _ => assert!(report == "withheld" || report.starts_with("Unreachable"), "{round} {seq} {report}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_messages_wait_until_the_flush_gives_up() {
    if brokers().is_none() {
        return;
    }
    let publisher = KafkaPublisher::connect("127.0.0.1:1").unwrap();
    let error = publisher.check().await.unwrap_err();
    assert!(error.to_string().starts_with("destination unreachable"), "{error}");
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries((0..10).map(|seq| message("nowhere", Some("k"), seq, "x")))).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(recorder.count(), 0);
    let started = Instant::now();
    publisher.flush(Duration::from_millis(500)).await;
    assert_eq!(recorder.count(), 10);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let reports = recorder.all(10, SOON).await;
    assert!(reports.values().all(|report| report == "withheld"), "{reports:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_broker_takes_in_time_is_unreachable() {
    if brokers().is_none() {
        return;
    }
    let publisher =
        KafkaPublisher::builder("127.0.0.1:1").delivery_timeout(Duration::from_millis(1500)).build().unwrap();
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries((0..3).map(|seq| message("nowhere", Some("k"), seq, "x")))).await;
    let reports = recorder.all(3, SOON).await;
    assert!(reports[&0].starts_with("Unreachable"), "{reports:?}");
    assert!(reports[&0].contains("1.5s"), "{reports:?}");
    assert_eq!((reports[&1].as_str(), reports[&2].as_str()), ("withheld", "withheld"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reachable_broker_passes_the_check() {
    let Some(brokers) = brokers() else { return };
    KafkaPublisher::connect(brokers).unwrap().check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_publisher_reports_everything() {
    let Some(brokers) = brokers() else { return };
    let topic = unique("dropped");
    create_topic(&brokers, &topic, 3, &[]).await;
    let publisher = KafkaPublisher::connect(&brokers).unwrap();
    let recorder = Recorder::new();
    publisher
        .publish(recorder.deliveries((0..5000).map(|seq| message(&topic, Some(&format!("k{seq}")), seq, "x"))))
        .await;
    drop(publisher);
    let reports = recorder.all(5000, SOON).await;
    let logged = read_topic(&brokers, &topic).await;
    for record in &logged {
        assert_ne!(reports[&u64::try_from(record.seq()).unwrap()], "withheld", "a withheld message is in the log");
    }
    let delivered = reports.values().filter(|report| *report == "delivered").count();
    assert!(delivered <= logged.len());
}
