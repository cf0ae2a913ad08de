//! Each fault does what it says.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{Direction, Protocol, Proxy, Trap};

/// Long enough for anything that is going to happen, and short enough to wait for what is not.
const SOON: Duration = Duration::from_millis(200);

/// A client and what the server has of it.
struct Pair {
    client: TcpStream,
    server: TcpStream,
}

struct Net {
    proxy: Proxy,
    listener: TcpListener,
}

impl Net {
    async fn new(protocol: Protocol) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap(), protocol).await.unwrap();
        Self { proxy, listener }
    }

    async fn pair(&self) -> Pair {
        let client = TcpStream::connect(self.proxy.address()).await.unwrap();
        Pair { client, server: self.listener.accept().await.unwrap().0 }
    }
}

/// A broker's address as a response has it.
fn address(port: u16) -> Vec<u8> {
    [b"127.0.0.1".as_slice(), &u32::from(port).to_be_bytes()].concat()
}

async fn passes(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).await.unwrap();
    assert_eq!(arrives(to, bytes.len()).await, bytes);
}

async fn arrives(at: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    timeout(Duration::from_secs(10), at.read_exact(&mut bytes)).await.expect("something arrives").unwrap();
    bytes
}

async fn stays_silent(at: &mut TcpStream) {
    assert!(timeout(SOON, at.read_u8()).await.is_err(), "something came, or the connection ended");
}

async fn is_reset(at: &mut TcpStream) {
    let ending = timeout(Duration::from_secs(10), at.read(&mut [0])).await.expect("an end").unwrap_err();
    assert_eq!(ending.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn bytes_pass_both_ways_and_an_end_ends_both_sides() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    passes(&mut client, &mut server, b"question").await;
    passes(&mut server, &mut client, b"answer").await;
    drop(client);
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn nobody_behind_the_proxy_is_nobody_at_all() {
    let net = Net::new(Protocol::Database).await;
    drop(net.listener);
    let mut client = TcpStream::connect(net.proxy.address()).await.unwrap();
    is_reset(&mut client).await;
}

#[tokio::test]
async fn a_cut_resets_what_is_there_and_not_what_comes() {
    let net = Net::new(Protocol::Database).await;
    let (mut one, mut other) = (net.pair().await, net.pair().await);
    passes(&mut one.client, &mut one.server, b"x").await;
    passes(&mut other.client, &mut other.server, b"x").await;
    net.proxy.cut();
    for end in [&mut one.client, &mut one.server, &mut other.client, &mut other.server] {
        is_reset(end).await;
    }
    let mut new = net.pair().await;
    passes(&mut new.client, &mut new.server, b"x").await;
}

#[tokio::test]
async fn what_is_held_in_one_direction_goes_on_later() {
    for held in [Direction::ToServer, Direction::ToClient] {
        let net = Net::new(Protocol::Database).await;
        let Pair { mut client, mut server } = net.pair().await;
        let (from, to) = match held {
            Direction::ToServer => (&mut client, &mut server),
            Direction::ToClient => (&mut server, &mut client),
        };
        net.proxy.hold(held);
        passes(to, from, b"the other way").await;
        from.write_all(b"late").await.unwrap();
        stays_silent(to).await;
        // For new connections too.
        let mut new = net.pair().await;
        let (from_new, to_new) = match held {
            Direction::ToServer => (&mut new.client, &mut new.server),
            Direction::ToClient => (&mut new.server, &mut new.client),
        };
        from_new.write_all(b"late").await.unwrap();
        stays_silent(to_new).await;
        net.proxy.release(held);
        assert_eq!(arrives(to, 4).await, b"late");
        assert_eq!(arrives(to_new, 4).await, b"late");
    }
}

#[tokio::test]
async fn a_black_hole_can_be_cut() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    net.proxy.hold(Direction::ToServer);
    net.proxy.hold(Direction::ToClient);
    client.write_all(b"never").await.unwrap();
    stays_silent(&mut server).await;
    net.proxy.cut();
    is_reset(&mut client).await;
    is_reset(&mut server).await;
}

#[tokio::test]
async fn a_silenced_connection_stays_and_says_nothing() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    passes(&mut client, &mut server, b"before").await;
    net.proxy.silence();
    client.write_all(b"never").await.unwrap();
    stays_silent(&mut server).await;
    net.proxy.cut();
    net.proxy.heal();
    stays_silent(&mut client).await;
    drop(client);
    stays_silent(&mut server).await;
    let mut new = net.pair().await;
    passes(&mut new.client, &mut new.server, b"x").await;
}

#[tokio::test]
async fn latency_is_for_a_while() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    net.proxy.slow(SOON);
    let asked = Instant::now();
    passes(&mut client, &mut server, b"x").await;
    passes(&mut server, &mut client, b"x").await;
    assert!(asked.elapsed() >= 2 * SOON);
    net.proxy.heal();
    // Behind a day of latency this would not arrive.
    net.proxy.slow(Duration::from_secs(86_400));
    net.proxy.heal();
    passes(&mut client, &mut server, b"x").await;
}

#[tokio::test]
async fn an_allowance_ends_in_the_middle_of_a_message() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    passes(&mut client, &mut server, b"before").await;
    net.proxy.cut_after(8);
    assert!(net.proxy.is_set());
    passes(&mut server, &mut client, b"hello").await;
    client.write_all(b"hello").await.unwrap();
    assert_eq!(arrives(&mut server, 3).await, b"hel");
    is_reset(&mut client).await;
    assert!(!net.proxy.is_set());
    // Once.
    let mut new = net.pair().await;
    passes(&mut new.client, &mut new.server, b"hello, hello").await;
}

#[tokio::test]
async fn a_commit_can_be_cut_before_the_server_hears_it() {
    let net = Net::new(Protocol::Database).await;
    let (mut link, mut other) = (net.pair().await, net.pair().await);
    net.proxy.set(Trap::CutBeforeCommit);
    passes(&mut link.client, &mut link.server, b"INSERT").await;
    link.client.write_all(b"Q\0\0\0\x0bCOMMIT\0").await.unwrap();
    is_reset(&mut link.server).await;
    is_reset(&mut link.client).await;
    assert!(!net.proxy.is_set());
    assert_eq!(net.proxy.cut_commits(), 1);
    // It was for one commit, on one connection.
    passes(&mut other.client, &mut other.server, b"COMMIT").await;
    passes(&mut other.server, &mut other.client, b"done").await;
}

#[tokio::test]
async fn a_commit_can_be_cut_when_the_server_has_answered_it() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    net.proxy.set(Trap::CutAfterCommit);
    passes(&mut client, &mut server, b"INSERT").await;
    passes(&mut server, &mut client, b"done").await;
    passes(&mut client, &mut server, b"COMMIT").await;
    stays_silent(&mut client).await;
    server.write_all(b"done").await.unwrap();
    is_reset(&mut client).await;
}

#[tokio::test]
async fn a_trap_that_is_disarmed_catches_nobody() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    net.proxy.set(Trap::CutBeforeCommit);
    net.proxy.cut_after(3);
    net.proxy.disarm();
    passes(&mut client, &mut server, b"COMMIT").await;
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
    net.proxy.set(Trap::DropProduceResponse(2));
    for (kind, correlation) in [(PRODUCE, 1), (FETCH, 2), (PRODUCE, 3), (PRODUCE, 4), (FETCH, 5)] {
        passes(&mut client, &mut server, &request(kind, correlation)).await;
    }
    for correlation in 1..=5 {
        server.write_all(&response(correlation)).await.unwrap();
    }
    let expected: Vec<u8> = [1, 2, 4, 5].into_iter().flat_map(response).collect();
    assert_eq!(arrives(&mut client, expected.len()).await, expected);
    assert!(!net.proxy.is_set());
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
    client.write_all(&[0xff; 16]).await.unwrap();
    is_reset(&mut client).await;
    is_reset(&mut server).await;
}
