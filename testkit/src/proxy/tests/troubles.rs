//! Resets, holds, silence and latency.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use super::*;
use crate::proxy::Direction;

#[tokio::test]
async fn a_cut_resets_what_is_there_and_not_what_comes() {
    let net = Net::new(Protocol::Database).await;
    let (mut one, mut other) = (net.pair().await, net.pair().await);
    passes(&mut one.client, &mut one.server, b"x").await;
    passes(&mut other.client, &mut other.server, b"x").await;
    assert_eq!(net.proxy.cut(), 2);
    assert_eq!(net.proxy.cut(), 0, "they are gone");
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
        let spell = net.proxy.hold(held);
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
        drop(spell);
        assert_eq!(arrives(to, 4).await, b"late");
        assert_eq!(arrives(to_new, 4).await, b"late");
    }
}

#[tokio::test]
async fn a_black_hole_ends_with_a_reset() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    passes(&mut client, &mut server, b"before").await;
    let proxy = net.proxy.clone();
    let hole = tokio::spawn(async move { proxy.black_hole(3 * SOON).await });
    eventually(|| !net.proxy.is_untroubled()).await;
    client.write_all(b"never").await.unwrap();
    server.write_all(b"never").await.unwrap();
    assert_eq!(hole.await.unwrap(), 1);
    is_reset(&mut client).await;
    is_reset(&mut server).await;
    assert!(net.proxy.is_untroubled());
}

#[tokio::test]
async fn what_is_on_its_way_comes_after_all_if_a_black_hole_is_given_up() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    passes(&mut client, &mut server, b"before").await;
    let proxy = net.proxy.clone();
    let hole = tokio::spawn(async move { proxy.black_hole(Duration::from_secs(86_400)).await });
    eventually(|| !net.proxy.is_untroubled()).await;
    client.write_all(b"late").await.unwrap();
    stays_silent(&mut server).await;
    hole.abort();
    assert_eq!(arrives(&mut server, 4).await, b"late");
}

#[tokio::test]
async fn one_way_is_held_for_a_while() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    passes(&mut client, &mut server, b"before").await;
    let proxy = net.proxy.clone();
    let held = tokio::spawn(async move { proxy.one_way(Direction::ToServer, 3 * SOON).await });
    eventually(|| !net.proxy.is_untroubled()).await;
    client.write_all(b"late").await.unwrap();
    passes(&mut server, &mut client, b"the other way").await;
    stays_silent(&mut server).await;
    assert_eq!(arrives(&mut server, 4).await, b"late");
    assert_eq!(held.await.unwrap(), 1);
    assert!(net.proxy.is_untroubled());
}

#[tokio::test]
async fn what_two_hold_goes_on_when_both_have_let_go() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    passes(&mut client, &mut server, b"before").await;
    let long = net.proxy.hold(Direction::ToServer);
    assert_eq!(net.proxy.one_way(Direction::ToServer, Duration::ZERO).await, 1);
    client.write_all(b"late").await.unwrap();
    stays_silent(&mut server).await;
    drop(long);
    assert_eq!(arrives(&mut server, 4).await, b"late");
}

#[tokio::test]
async fn what_was_healed_ends_nothing_that_began_later() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    let (old, old_too) = (net.proxy.hold(Direction::ToServer), net.proxy.slow(Duration::from_secs(1)));
    net.proxy.heal();
    assert!(net.proxy.is_untroubled());
    passes(&mut client, &mut server, b"before").await;
    let new = net.proxy.hold(Direction::ToServer);
    drop((old, old_too));
    client.write_all(b"late").await.unwrap();
    stays_silent(&mut server).await;
    drop(new);
    assert_eq!(arrives(&mut server, 4).await, b"late");
}

#[tokio::test]
async fn what_is_held_can_be_cut() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    let _there = net.proxy.hold(Direction::ToServer);
    let _back = net.proxy.hold(Direction::ToClient);
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
    assert_eq!(net.proxy.silence(), 1);
    client.write_all(b"never").await.unwrap();
    stays_silent(&mut server).await;
    assert_eq!(net.proxy.cut(), 0, "it is as if it were not there");
    net.proxy.heal();
    stays_silent(&mut client).await;
    drop(client);
    stays_silent(&mut server).await;
    let mut new = net.pair().await;
    passes(&mut new.client, &mut new.server, b"x").await;
}

#[tokio::test]
async fn a_silenced_connection_is_given_up_after_a_minute() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    passes(&mut client, &mut server, b"before").await;
    net.proxy.silence();
    stays_silent(&mut client).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(58)).await;
    tokio::time::resume();
    stays_silent(&mut client).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    is_reset(&mut client).await;
    is_reset(&mut server).await;
}

#[tokio::test]
async fn latency_is_for_a_while() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    let slow = net.proxy.slow(SOON);
    let asked = Instant::now();
    passes(&mut client, &mut server, b"x").await;
    passes(&mut server, &mut client, b"x").await;
    assert!(asked.elapsed() >= 2 * SOON);
    drop(slow);
    // Behind a day of latency this would not arrive.
    let _slow = net.proxy.slow(Duration::from_secs(86_400));
    net.proxy.heal();
    passes(&mut client, &mut server, b"x").await;
}

#[tokio::test]
async fn latencies_add_up_and_end_alone() {
    let net = Net::new(Protocol::Database).await;
    let Pair { mut client, mut server } = net.pair().await;
    passes(&mut client, &mut server, b"before").await;
    let slow = net.proxy.slow(2 * SOON);
    assert_eq!(net.proxy.slow_for(Duration::from_secs(86_400), Duration::ZERO).await, 1);
    let asked = Instant::now();
    passes(&mut client, &mut server, b"x").await;
    assert!(asked.elapsed() >= 2 * SOON, "the longer one has ended, this one has not");
    let more = net.proxy.slow(2 * SOON);
    let asked = Instant::now();
    passes(&mut client, &mut server, b"x").await;
    assert!(asked.elapsed() >= 4 * SOON);
    drop((slow, more));
    assert!(net.proxy.is_untroubled());
}

#[tokio::test]
async fn connections_are_counted_that_something_happens_to() {
    let net = Net::new(Protocol::Database).await;
    let held = net.proxy.hold(Direction::ToServer);
    assert_eq!((held.touched(), net.proxy.cut(), net.proxy.silence()), (0, 0, 0));
    assert_eq!(net.proxy.black_hole(Duration::ZERO).await, 0);
    let Pair { mut client, mut server } = net.pair().await;
    passes(&mut server, &mut client, b"one").await;
    assert_eq!(held.touched(), 1, "one that was made meanwhile");
    drop(client);
    // It is seen when it ends, too.
    drop(held);
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
    drop(server);
    eventually(|| net.proxy.hold(Direction::ToServer).touched() == 0).await;
    let held = net.proxy.hold(Direction::ToServer);
    let Pair { mut client, mut server } = net.pair().await;
    passes(&mut server, &mut client, b"another").await;
    assert_eq!(held.touched(), 1);
}
