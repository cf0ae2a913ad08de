//! What is done to Kafka's messages.

use tokio::io::AsyncWriteExt;

use super::*;
use crate::proxy::Trap;
use crate::proxy::metadata::tests::answer;

/// A broker's address as a response has it.
fn address(port: u16) -> Vec<u8> {
    [b"127.0.0.1".as_slice(), &u32::from(port).to_be_bytes()].concat()
}

fn frame(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

fn request(kind: u8, correlation: u8) -> Vec<u8> {
    frame(&[0, kind, 0, 9, 0, 0, 0, correlation, b'.', b'.'])
}

fn response(correlation: u8) -> Vec<u8> {
    frame(&[0, 0, 0, correlation, b'!'])
}

#[tokio::test]
async fn the_nth_response_to_produce_is_dropped_and_nothing_else() {
    const PRODUCE: u8 = 0;
    const FETCH: u8 = 1;
    let net = Net::new(Protocol::Kafka).await;
    let Pair { mut client, mut server } = net.pair().await;
    let trap = net.proxy.set(Trap::DropProduceResponse(2));
    for (kind, correlation) in [(PRODUCE, 1), (FETCH, 2), (PRODUCE, 3), (PRODUCE, 4), (FETCH, 5)] {
        passes(&mut client, &mut server, &request(kind, correlation)).await;
    }
    for correlation in 1..=5 {
        server.write_all(&response(correlation)).await.unwrap();
    }
    let expected: Vec<u8> = [1, 2, 4, 5].into_iter().flat_map(response).collect();
    assert_eq!(arrives(&mut client, expected.len()).await, expected);
    assert!(trap.sprung());
}

#[tokio::test]
async fn the_brokers_address_becomes_the_proxys() {
    let net = Net::new(Protocol::Kafka).await;
    let (broker, proxy) = (net.listener.local_addr().unwrap().port(), net.proxy.address().port());
    let Pair { mut client, mut server } = net.pair().await;
    let body = |port| [b"....".as_slice(), &address(port), b"..", &address(port), &address(1)].concat();
    server.write_all(&frame(&body(broker))).await.unwrap();
    let expected = frame(&body(proxy));
    assert_eq!(arrives(&mut client, expected.len()).await, expected);
    // What clients say is left alone.
    passes(&mut client, &mut server, &frame(&body(broker))).await;
}

#[tokio::test]
async fn what_is_not_kafka_ends_the_connection() {
    let net = Net::new(Protocol::Kafka).await;
    let Pair { mut client, mut server } = net.pair().await;
    passes(&mut client, &mut server, &request(1, 1)).await;
    assert_eq!(net.proxy.bypassed(), None);
    // As TLS begins.
    client.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1]).await.unwrap();
    is_reset(&mut client).await;
    is_reset(&mut server).await;
    assert!(net.proxy.bypassed().unwrap().contains("not Kafka's protocol"));
}

#[tokio::test]
async fn each_trap_has_a_response_of_its_own() {
    const PRODUCE: u8 = 0;
    let net = Net::new(Protocol::Kafka).await;
    let Pair { mut client, mut server } = net.pair().await;
    let traps = [1, 1].map(|nth| net.proxy.set(Trap::DropProduceResponse(nth)));
    let allowance = net.proxy.cut_after(1_000_000);
    assert!(!net.proxy.set(Trap::DropProduceResponse(1)).disarm());
    for correlation in 1..=3 {
        passes(&mut client, &mut server, &request(PRODUCE, correlation)).await;
    }
    server.write_all(&response(1)).await.unwrap();
    eventually(|| traps[0].sprung()).await;
    assert!(!traps[1].sprung());
    server.write_all(&[response(2), response(3)].concat()).await.unwrap();
    assert_eq!(arrives(&mut client, response(3).len()).await, response(3));
    assert!(traps[1].sprung() && !allowance.sprung());
}

/// Of a client that asks which brokers there are, in version 9.
async fn asked(net: &Net) -> Pair {
    const METADATA: u8 = 3;
    let mut pair = net.pair().await;
    passes(&mut pair.client, &mut pair.server, &request(METADATA, 7)).await;
    pair
}

#[tokio::test]
async fn a_broker_with_another_name_is_found_behind_the_proxy() {
    let net = Net::new(Protocol::Kafka).await;
    assert!(net.proxy.bypassed().unwrap().contains(&net.proxy.address().to_string()), "nobody was here");
    let Pair { mut client, mut server } = asked(&net).await;
    server.write_all(&answer(9, 7, &[("localhost", 9092)])).await.unwrap();
    let expected = answer(9, 7, &[("127.0.0.1", net.proxy.address().port())]);
    assert_eq!(arrives(&mut client, expected.len()).await, expected);
    assert_eq!((net.proxy.bypassed(), net.proxy.connections()), (None, 1));
}

#[tokio::test]
async fn brokers_elsewhere_are_told_and_not_reached() {
    let net = Net::new(Protocol::Kafka).await;
    let broker = net.listener.local_addr().unwrap().port();
    let Pair { mut client, mut server } = asked(&net).await;
    server.write_all(&answer(9, 7, &[("localhost", broker), ("localhost", 1)])).await.unwrap();
    is_reset(&mut client).await;
    assert_eq!(net.proxy.elsewhere(), ["localhost:1"]);
    assert!(net.proxy.bypassed().unwrap().contains("localhost:1"));
}
