//! Each fault does what it says.

mod kafka;
mod traps;
mod troubles;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{Protocol, Proxy};

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
async fn to_another_broker_bytes_pass_as_they_are() {
    let net = Net::new(Protocol::Broker).await;
    let Pair { mut client, mut server } = net.pair().await;
    let greeting = super::mysql::tests::greeting([0xff, 0xff]);
    passes(&mut server, &mut client, &greeting).await;
    let trap = net.proxy.set(super::Trap::CutBeforeCommit);
    for bytes in [&super::postgres::ASKS_FOR_ENCRYPTION[0], &[0xff; 8]] {
        passes(&mut client, &mut server, bytes).await;
    }
    passes(&mut client, &mut server, &super::postgres::tests::query("COMMIT")).await;
    assert!(!trap.disarm());
    assert_eq!(net.proxy.bypassed(), None);
    assert_eq!(net.proxy.cut(), 1);
    is_reset(&mut client).await;
}

#[tokio::test]
async fn nobody_behind_the_proxy_is_nobody_at_all() {
    let net = Net::new(Protocol::Database).await;
    drop(net.listener);
    let mut client = TcpStream::connect(net.proxy.address()).await.unwrap();
    is_reset(&mut client).await;
}

async fn eventually(condition: impl Fn() -> bool) {
    let patience = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(10), patience).await.expect("it comes to be so");
}
