//! Per key nothing overtakes, whatever the broker refuses.

use std::collections::BTreeMap;
use std::time::Duration;

use outbox_core::{Message, Publisher};
use outbox_kafka::KafkaPublisher;

use crate::support::{
    Recorder, assert_in_order, brokers, create_topic, incompressible, message, raise_limit, read_topic, see_through,
    unique,
};

const SOON: Duration = Duration::from_secs(60);
/// Over the limit of the topics below.
fn poison() -> Vec<u8> {
    incompressible(6000)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tiny_queue_does_not_disturb_the_order() {
    let Some(brokers) = brokers() else { return };
    let topic = unique("tiny-queue");
    create_topic(&brokers, &topic, 1, &[]).await;
    let publisher = KafkaPublisher::builder(&brokers).set("queue.buffering.max.messages", "100").build().unwrap();
    let recorder = Recorder::new();
    let messages = (0..10_000).map(|seq| message(&topic, Some("one"), seq, "x"));
    publisher.publish(recorder.deliveries(messages)).await;
    let reports = recorder.all(10_000, SOON).await;
    assert!(reports.values().all(|report| report == "delivered"));
    let records = read_topic(&brokers, &topic).await;
    let seqs: Vec<i64> = records.iter().map(crate::support::Read::seq).collect();
    assert_eq!(seqs, (0..10_000).collect::<Vec<_>>());
}

/// One key without pause, and 20 others in the same partition.
fn dense(topic: &str, count: i64, poisoned: &[i64]) -> Vec<Message> {
    let one = |seq: i64| {
        let key = if seq % 2 == 0 { "dense".to_owned() } else { format!("other-{}", seq / 2 % 20) };
        let payload = if poisoned.contains(&seq) { poison() } else { format!("{{\"n\":{seq}}}").into_bytes() };
        message(topic, Some(&key), seq, payload)
    };
    (0..count).map(one).collect()
}

async fn poisoned_run(name: &str, poisoned: &[i64], batch: &str) {
    let Some(brokers) = brokers() else { return };
    let topic = unique(name);
    create_topic(&brokers, &topic, 1, &[("max.message.bytes", "4000")]).await;
    let publisher = KafkaPublisher::builder(&brokers).set("batch.num.messages", batch).build().unwrap();
    let fate = see_through(&publisher, dense(&topic, 400, poisoned), 3).await;
    let mut dead = fate.dead.clone();
    dead.sort_unstable();
    assert_eq!(dead, poisoned);
    assert_eq!(fate.rejections, poisoned.iter().map(|seq| (*seq, 3)).collect::<BTreeMap<_, _>>(), "{fate:?}");
    let records = read_topic(&brokers, &topic).await;
    assert_in_order(&records);
    let mut seqs: Vec<i64> = records.iter().map(crate::support::Read::seq).collect();
    seqs.sort_unstable();
    let expected: Vec<i64> = (0..400).filter(|seq| !poisoned.contains(seq)).collect();
    assert_eq!(seqs, expected, "every innocent message exactly once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_key_passes_a_message_that_the_topic_refuses() {
    poisoned_run("poison-middle", &[200], "10000").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_batches_in_flight_behind_a_refused_one_do_not_pass_either() {
    poisoned_run("poison-small-batches", &[100, 102, 301], "3").await;
}

/// A broker takes any first sequence number from a producer that it does not know in a partition.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_first_message_of_a_partition_is_not_passed() {
    poisoned_run("poison-first", &[0], "1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_one_round_the_log_is_a_prefix_of_every_key() {
    let Some(brokers) = brokers() else { return };
    let topic = unique("prefix");
    create_topic(&brokers, &topic, 1, &[("max.message.bytes", "4000")]).await;
    let publisher = KafkaPublisher::builder(&brokers).set("batch.num.messages", "5").build().unwrap();
    let messages = dense(&topic, 400, &[100]);
    let keys: BTreeMap<i64, String> =
        messages.iter().map(|message| (message.seq, message.key().unwrap().to_owned())).collect();
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries(messages)).await;
    let reports = recorder.all(400, SOON).await;
    assert!(reports[&100].starts_with("Rejected"), "{}", reports[&100]);
    let failed: Vec<_> =
        reports.iter().filter(|(_, report)| !["delivered", "withheld"].contains(&report.as_str())).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    let mut ended: BTreeMap<&str, u64> = BTreeMap::new();
    for (seq, report) in &reports {
        let key = keys[&i64::try_from(*seq).unwrap()].as_str();
        if report == "delivered" {
            assert!(!ended.contains_key(key), "{key}: {seq} was delivered behind {}", ended[key]);
        } else {
            ended.entry(key).or_insert(*seq);
        }
    }
    let logged: Vec<u64> =
        read_topic(&brokers, &topic).await.iter().map(|record| u64::try_from(record.seq()).unwrap()).collect();
    assert_eq!(logged.len(), reports.values().filter(|report| *report == "delivered").count());
    assert!(logged.iter().all(|seq| reports[seq] == "delivered"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_with_a_limit_below_the_batch_size_rejects_nobody() {
    let Some(brokers) = brokers() else { return };
    let topic = unique("small-limit");
    create_topic(&brokers, &topic, 1, &[("max.message.bytes", "20000")]).await;
    let publisher = KafkaPublisher::builder(&brokers).compression(outbox_kafka::Compression::None).build().unwrap();
    let messages = (0..3000).map(|seq| message(&topic, Some(&format!("k{}", seq % 50)), seq, vec![b'x'; 500]));
    let fate = see_through(&publisher, messages.collect(), 3).await;
    assert!(fate.rejections.is_empty(), "{fate:?}");
    let records = read_topic(&brokers, &topic).await;
    assert_eq!(records.len(), 3000);
    assert_in_order(&records);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_over_the_publishers_own_limit_is_rejected_alone() {
    let Some(brokers) = brokers() else { return };
    let topic = unique("oversize");
    create_topic(&brokers, &topic, 2, &[]).await;
    let publisher = KafkaPublisher::builder(&brokers).max_message_bytes(10_000).build().unwrap();
    let messages = (0..6).map(|seq| {
        let payload = if seq == 2 { vec![b'x'; 20_000] } else { b"x".to_vec() };
        message(&topic, Some(if seq % 2 == 0 { "even" } else { "odd" }), seq, payload)
    });
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries(messages)).await;
    let reports = recorder.all(6, SOON).await;
    assert!(reports[&2].starts_with("Rejected"), "{}", reports[&2]);
    assert_eq!(reports[&4], "withheld");
    assert!([0, 1, 3, 5].iter().all(|seq| reports[seq] == "delivered"), "{reports:?}");
}

/// Nobody gives up: three processors share a publisher, some messages are over the topic's limit, and after a while an
/// operator raises it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_messages_that_are_accepted_later_leave_no_trace() {
    let Some(brokers) = brokers() else { return };
    let topic = unique("repaired");
    create_topic(&brokers, &topic, 3, &[("max.message.bytes", "4000")]).await;
    let publisher = std::sync::Arc::new(KafkaPublisher::connect(&brokers).unwrap());
    let mut processors = tokio::task::JoinSet::new();
    for processor in 0..3_i64 {
        let messages = (0..600).map(|n| {
            let poisoned = [7, 200, 201, 399].contains(&(n + processor));
            let payload = if poisoned { poison() } else { b"{}".to_vec() };
            message(&topic, Some(&format!("{processor}-{}", n % 10)), processor * 1000 + n, payload)
        });
        let (publisher, messages) = (std::sync::Arc::clone(&publisher), messages.collect());
        processors.spawn(async move { see_through(&publisher, messages, u32::MAX).await });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(read_topic(&brokers, &topic).await.len() < 1800, "nothing was refused");
    raise_limit(&brokers, &topic).await;
    for fate in processors.join_all().await {
        assert!(fate.rejections.values().sum::<u32>() > 0, "{fate:?}");
    }
    let records = read_topic(&brokers, &topic).await;
    assert_in_order(&records);
    assert_eq!(records.len(), 1800, "every message exactly once");
}
