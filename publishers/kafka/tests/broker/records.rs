//! What consumers see.

use std::time::Duration;

use bytes::Bytes;
use outbox_core::{Origin, Publisher};
use outbox_kafka::KafkaPublisher;

use crate::support::{Recorder, brokers, create_topic, message, read_topic, unique};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_record_carries_every_field_of_the_contract() {
    let Some(brokers) = brokers() else { return };
    let topic = unique("records");
    create_topic(&brokers, &topic, 3, &[]).await;
    let publisher = KafkaPublisher::connect(&brokers).unwrap();
    let mut sent = message(&topic, Some("k-ü"), 42, "{\"total\":1}");
    sent.envelope.aggregate_id = Some("o-7".into());
    sent.envelope.aggregate_version = Some(9);
    sent.envelope.event_version = 3;
    sent.envelope.headers.set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
    sent.envelope.headers.set("tenant-id", "ß").unwrap();
    sent.origin = Origin::Requeued;
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries([sent.clone()])).await;
    publisher.flush(SOON).await;
    assert_eq!(recorder.all(1, SOON).await[&42], "delivered");

    let records = read_topic(&brokers, &topic).await;
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record.key.as_deref(), Some("k-ü".as_bytes()));
    assert_eq!(record.payload.as_deref(), Some(&b"{\"total\":1}"[..]));
    assert_eq!(record.timestamp, Some(1_700_000_000_123));
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), std::str::from_utf8(value.as_ref().unwrap()).unwrap()))
        .collect();
    assert_eq!(
        headers,
        [
            ("outbox-event-id", sent.id().to_string().as_str()),
            ("outbox-event-type", "order.placed"),
            ("outbox-event-version", "3"),
            ("outbox-aggregate-type", "order"),
            ("outbox-aggregate-id", "o-7"),
            ("outbox-aggregate-version", "9"),
            ("outbox-seq", "42"),
            ("content-type", "application/json"),
            ("outbox-origin", "requeued"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("tenant-id", "ß"),
        ]
    );
}

#[tokio::test]
async fn tombstones_empty_payloads_and_binary_payloads_arrive_as_they_are() {
    let Some(brokers) = brokers() else { return };
    let topic = unique("payloads");
    create_topic(&brokers, &topic, 1, &[]).await;
    let publisher = KafkaPublisher::connect(&brokers).unwrap();
    let mut tombstone = message(&topic, Some("k"), 1, "");
    tombstone.envelope.payload = None;
    let every_byte: Vec<u8> = (0..=255).collect();
    let binary = message(&topic, None, 3, Bytes::from(every_byte.clone()));
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries([tombstone, message(&topic, Some("k"), 2, ""), binary])).await;
    publisher.flush(SOON).await;
    let reports = recorder.all(3, SOON).await;
    assert!(reports.values().all(|report| report == "delivered"), "{reports:?}");
    let mut records = read_topic(&brokers, &topic).await;
    records.sort_by_key(crate::support::Read::seq);
    assert_eq!((&records[0].key, &records[0].payload), (&Some(b"k".to_vec()), &None));
    assert_eq!((&records[1].key, &records[1].payload), (&Some(b"k".to_vec()), &Some(Vec::new())));
    assert_eq!((&records[2].key, &records[2].payload), (&None, &Some(every_byte)));
}

/// Partitions that the Java client's `BuiltInPartitioner.partitionForKey` gives these keys, among 7.
#[tokio::test]
async fn a_key_goes_where_java_clients_send_it() {
    let Some(brokers) = brokers() else { return };
    let topic = unique("placement");
    create_topic(&brokers, &topic, 7, &[]).await;
    let publisher = KafkaPublisher::connect(&brokers).unwrap();
    let vectors: Vec<(String, i32)> = include_str!("../murmur2.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            (fields[0].to_owned(), fields[3].parse().unwrap())
        })
        .collect();
    let messages = vectors.iter().zip(0..).map(|((key, _), seq)| message(&topic, Some(key), seq, "x"));
    let recorder = Recorder::new();
    publisher.publish(recorder.deliveries(messages)).await;
    publisher.flush(SOON).await;
    assert_eq!(recorder.count(), vectors.len());
    let records = read_topic(&brokers, &topic).await;
    assert_eq!(records.len(), vectors.len());
    for record in records {
        let (key, partition) = &vectors[usize::try_from(record.seq()).unwrap()];
        assert_eq!((&record.key_text(), record.partition), (key, *partition));
    }
}
