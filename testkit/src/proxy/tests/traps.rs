//! What waits for its moment.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::*;
use crate::proxy::{Direction, Trap, mysql, postgres};

const LONG: Duration = Duration::from_secs(10);

fn query(statement: &str) -> Vec<u8> {
    postgres::tests::query(statement)
}

impl Net {
    /// Of a client that has begun to speak PostgreSQL's protocol.
    async fn postgres(&self) -> Pair {
        let mut pair = self.pair().await;
        passes(&mut pair.client, &mut pair.server, &postgres::tests::startup()).await;
        pair
    }
}

#[tokio::test]
async fn an_allowance_ends_in_the_middle_of_a_message() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    passes(&mut client, &mut server, b"before").await;
    let allowance = net.proxy.cut_after(8);
    passes(&mut server, &mut client, b"hello").await;
    assert!(!allowance.sprung() && !net.proxy.is_untroubled());
    client.write_all(b"hello").await.unwrap();
    assert_eq!(arrives(&mut server, 3).await, b"hel");
    is_reset(&mut client).await;
    assert!(allowance.sprung() && net.proxy.is_untroubled());
    // Once.
    let mut new = net.pair().await;
    passes(&mut new.client, &mut new.server, b"hello, hello").await;
}

#[tokio::test]
async fn an_allowance_can_end_with_a_message() {
    let net = Net::new(Protocol::Database).await;
    let (mut link, mut other) = (net.pair().await, net.pair().await);
    passes(&mut other.client, &mut other.server, b"before").await;
    let allowance = net.proxy.cut_after(5);
    passes(&mut link.server, &mut link.client, b"hello").await;
    is_reset(&mut link.client).await;
    is_reset(&mut other.client).await;
    assert!(allowance.within(LONG).await);
}

#[tokio::test]
async fn each_allowance_is_for_itself() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    let (long, short, gone) = (net.proxy.cut_after(8), net.proxy.cut_after(3), net.proxy.cut_after(1));
    assert!(!gone.disarm());
    client.write_all(b"hello").await.unwrap();
    assert_eq!(arrives(&mut server, 3).await, b"hel");
    is_reset(&mut client).await;
    assert!(short.sprung() && !long.sprung());
    let Pair { mut client, mut server } = net.pair().await;
    client.write_all(b"hello, hello").await.unwrap();
    assert_eq!(arrives(&mut server, 5).await, b"hello");
    is_reset(&mut client).await;
    assert!(long.sprung());
}

#[tokio::test]
async fn a_commit_can_be_cut_before_the_server_hears_it() {
    let net = Net::new(Protocol::Database).await;
    let (mut link, mut other) = (net.postgres().await, net.postgres().await);
    let trap = net.proxy.set(Trap::CutBeforeCommit);
    passes(&mut link.client, &mut link.server, &query("INSERT")).await;
    assert_eq!(net.proxy.cut_commits(), 0);
    link.client.write_all(&query("COMMIT")).await.unwrap();
    is_reset(&mut link.server).await;
    is_reset(&mut link.client).await;
    assert!(trap.sprung() && net.proxy.is_untroubled());
    assert_eq!(net.proxy.cut_commits(), 1);
    // It was for one commit, on one connection.
    passes(&mut other.client, &mut other.server, &query("COMMIT")).await;
    passes(&mut other.server, &mut other.client, b"done").await;
}

#[tokio::test]
async fn a_commit_can_be_cut_when_the_server_has_answered_it() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.postgres().await;
    let trap = net.proxy.set(Trap::CutAfterCommit);
    passes(&mut client, &mut server, &query("INSERT")).await;
    passes(&mut server, &mut client, b"done").await;
    passes(&mut client, &mut server, &query("COMMIT")).await;
    stays_silent(&mut client).await;
    assert!(!trap.sprung() && net.proxy.cut_commits() == 0, "it is not yet cut");
    server.write_all(b"done").await.unwrap();
    is_reset(&mut client).await;
    assert!(trap.within(LONG).await && net.proxy.cut_commits() == 1);
}

#[tokio::test]
async fn a_commit_can_be_swallowed() {
    let net = Net::new(Protocol::Database).await;
    let (mut link, mut other) = (net.postgres().await, net.postgres().await);
    let trap = net.proxy.set(Trap::SwallowCommit);
    passes(&mut link.client, &mut link.server, &query("INSERT")).await;
    assert!(!trap.sprung());
    link.client.write_all(&query("COMMIT")).await.unwrap();
    assert!(trap.within(LONG).await && net.proxy.cut_commits() == 0);
    stays_silent(&mut link.server).await;
    link.client.write_all(&query("SELECT 1")).await.unwrap();
    link.server.write_all(b"done").await.unwrap();
    stays_silent(&mut link.server).await;
    stays_silent(&mut link.client).await;
    // It was for one commit, on one connection.
    passes(&mut other.client, &mut other.server, &query("COMMIT")).await;
    passes(&mut other.server, &mut other.client, b"done").await;
}

#[tokio::test]
async fn a_commit_in_two_reads_is_one() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.postgres().await;
    net.proxy.set(Trap::CutBeforeCommit);
    passes(&mut client, &mut server, &query("COMMIT")[..8]).await;
    client.write_all(&query("COMMIT")[8..]).await.unwrap();
    is_reset(&mut server).await;
}

#[tokio::test]
async fn read_committed_is_no_commit() {
    for kind in [Trap::CutBeforeCommit, Trap::CutAfterCommit] {
        let net = Net::new(Protocol::Database).await;
        let Pair { mut client, mut server } = net.postgres().await;
        let trap = net.proxy.set(kind);
        let begin = query("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SELECT 1");
        passes(&mut client, &mut server, &begin).await;
        passes(&mut server, &mut client, b"done").await;
        assert!(!trap.sprung() && !net.proxy.is_untroubled());
    }
}

#[tokio::test]
async fn a_commit_without_an_answer_leaves_the_trap_for_another() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.postgres().await;
    let trap = net.proxy.set(Trap::CutAfterCommit);
    passes(&mut client, &mut server, &query("COMMIT")).await;
    drop(server);
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    assert!(!trap.sprung() && net.proxy.cut_commits() == 0);
    let Pair { mut client, mut server } = net.postgres().await;
    passes(&mut client, &mut server, &query("COMMIT")).await;
    server.write_all(b"done").await.unwrap();
    is_reset(&mut client).await;
    assert!(trap.sprung());
}

#[tokio::test]
async fn a_commit_is_seen_in_mariadbs_protocol() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    net.proxy.set(Trap::CutBeforeCommit);
    // In TLS it would not be.
    server.write_all(&mysql::tests::greeting([0xff, 0xff])).await.unwrap();
    let greeting = mysql::tests::greeting([0xff, 0xf7]);
    assert_eq!(arrives(&mut client, greeting.len()).await, greeting);
    passes(&mut client, &mut server, &mysql::tests::login()).await;
    client.write_all(&mysql::tests::query("COMMIT")).await.unwrap();
    is_reset(&mut server).await;
}

#[tokio::test]
async fn a_client_that_would_rather_have_encryption_has_none() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    net.proxy.set(Trap::CutBeforeCommit);
    for asks in postgres::ASKS_FOR_ENCRYPTION {
        client.write_all(&asks[..5]).await.unwrap();
        stays_silent(&mut server).await;
        client.write_all(&asks[5..]).await.unwrap();
        assert_eq!(arrives(&mut client, 1).await, b"N");
    }
    passes(&mut client, &mut server, &postgres::tests::startup()).await;
    client.write_all(&query("COMMIT")).await.unwrap();
    is_reset(&mut server).await;
}

#[tokio::test]
async fn a_trap_that_is_disarmed_catches_nobody() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.postgres().await;
    let (trap, later) = (net.proxy.set(Trap::CutBeforeCommit), net.proxy.set(Trap::CutAfterCommit));
    assert!(!trap.disarm());
    passes(&mut client, &mut server, &query("COMMIT")).await;
    // Also not one that waits for the answer.
    assert!(!later.disarm() && net.proxy.is_untroubled());
    passes(&mut server, &mut client, b"done").await;
    let healed = net.proxy.set(Trap::CutBeforeCommit);
    net.proxy.heal();
    passes(&mut client, &mut server, &query("COMMIT")).await;
    assert!(!healed.within(LONG).await);
}

#[tokio::test]
async fn each_trap_is_for_one_commit() {
    let net = Net::new(Protocol::Database).await;
    let (first, second) = (net.proxy.set(Trap::CutBeforeCommit), net.proxy.set(Trap::CutBeforeCommit));
    // Another fault ends, of which they know nothing.
    assert!(!net.proxy.cut_after(1_000_000).disarm());
    drop(net.proxy.hold(Direction::ToServer));
    for trap in [&first, &second] {
        assert!(!trap.sprung());
        let mut link = net.postgres().await;
        link.client.write_all(&query("COMMIT")).await.unwrap();
        is_reset(&mut link.client).await;
        assert!(trap.sprung());
    }
    assert_eq!(net.proxy.cut_commits(), 2);
}
