//! Clauses about leases.

use std::collections::BTreeSet;
use std::time::Duration;

use super::support::{LONG, Processor, SHORT, bodies, commit_of, dead, retry, shards};
use super::{Fixture, SHARDS};
use crate::shard::Shard;
use crate::store::{Change, Fate, LaneSettle, Lease, LeaseReply, LeaseRequest, Reach, SettleRequest, Settled};

/// See [`Store`](crate::store::Store), clause 1.
pub async fn no_shard_is_held_twice(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Processor::new(fixture), Processor::new(fixture));
    assert_eq!(one.lease(LONG).await.held.len(), 8, "alone");
    assert_eq!(other.lease(LONG).await.held, [], "nothing is free");
    let release = one.held[5..].to_vec();
    one.ask(LeaseRequest { release, ..one.request(LONG) }).await;
    assert_eq!(one.held.len(), 5);
    other.lease(LONG).await;
    assert_eq!(other.held.len(), 3);
    assert!(shards(&one.held).is_disjoint(&shards(&other.held)));
    one.lease(LONG).await;
    assert_eq!((one.held.len(), other.held.len()), (5, 3), "renewing takes nothing from others");
}

/// A processor takes what is free up to the fair share.
pub async fn everybody_gets_a_fair_share(fixture: &dyn Fixture) {
    let mut all: Vec<Processor<'_>> = (0..3).map(|_| Processor::new(fixture)).collect();
    // All are known before anybody takes anything.
    for (n, processor) in all.iter_mut().enumerate() {
        let reply = processor.ask(LeaseRequest { most: 0, ..processor.request(LONG) }).await;
        assert_eq!((reply.held.len(), reply.fair_share), (0, usize::from(SHARDS) / (n + 1)), "the last one's");
    }
    let mut held = Vec::new();
    for (processor, share) in all.iter_mut().zip([3, 3, 2]) {
        assert_eq!(processor.lease(LONG).await.fair_share, share);
        held.push(processor.held.len());
    }
    assert_eq!(held, [3, 3, 2]);
    let distinct: BTreeSet<Shard> = all.iter().flat_map(|processor| shards(&processor.held)).collect();
    assert_eq!(distinct.len(), 8);
}

/// See [`Store`](crate::store::Store), clause 1.
pub async fn a_lease_that_ran_out_is_taken_over_with_a_new_epoch(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Processor::new(fixture), Processor::new(fixture));
    one.lease(SHORT).await;
    let before = one.held.clone();
    fixture.pass(SHORT).await;
    let reply = other.lease(LONG).await;
    assert_eq!(reply.fair_share, 8, "the first is no longer alive");
    assert_eq!(shards(&other.held), shards(&before));
    for (old, new) in before.iter().zip(&other.held) {
        assert!(new.epoch > old.epoch, "{old:?} {new:?}");
    }
    assert_eq!(one.lease(LONG).await.held, [], "it has lost everything");
}

/// See [`LeaseReply::next_free`](crate::store::LeaseReply::next_free).
pub async fn a_round_tells_when_the_first_lease_of_others_runs_out(fixture: &dyn Fixture) {
    let half = LONG / 2;
    let (mut one, mut two, mut other) = (Processor::new(fixture), Processor::new(fixture), Processor::new(fixture));
    for processor in [&mut one, &mut two] {
        let reply = processor.ask(LeaseRequest { most: 0, ..processor.request(LONG) }).await;
        assert_eq!(reply.next_free, None, "nobody holds any");
    }
    assert_eq!(one.lease(LONG).await.next_free, None, "its own do not count");
    two.lease(half).await;
    assert_eq!((one.held.len(), two.held.len()), (4, 4));
    let within = |reply: &LeaseReply, least: Duration, most: Duration| {
        let next = reply.next_free.expect("others hold shards");
        assert!(least < next && next <= most, "{next:?}");
    };
    within(&other.ask(LeaseRequest { most: 0, ..other.request(LONG) }).await, Duration::ZERO, half);
    within(&two.lease(LONG).await, half, LONG);
    within(&one.lease(half).await, half, LONG);
    within(&other.ask(LeaseRequest { most: 0, ..other.request(LONG) }).await, Duration::ZERO, half);
    one.ask(LeaseRequest { leaving: true, ..one.request(LONG) }).await;
    within(&other.ask(LeaseRequest { most: 0, ..other.request(LONG) }).await, half, LONG);
}

/// Renewing keeps the epoch, and a lease that ran out while nobody wanted it is still held.
pub async fn a_lease_that_is_renewed_lasts(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Processor::new(fixture), Processor::new(fixture));
    one.lease(SHORT).await;
    let before = one.held.clone();
    fixture.pass(SHORT).await;
    one.lease(LONG).await;
    assert_eq!(one.held, before);
    fixture.pass(SHORT).await;
    assert_eq!(other.lease(LONG).await.held, []);
    one.lease(LONG).await;
    assert_eq!(one.held, before);
}

/// A lease under another epoch is another lease.
pub async fn giving_up_is_compare_and_set(fixture: &dyn Fixture) {
    let mut one = Processor::alone(fixture).await;
    let before = one.held.clone();
    let mut other = Processor::new(fixture);
    // It shows up, so that the fair share leaves room for it.
    other.lease(LONG).await;
    let stale = before.iter().map(|lease| Lease { epoch: lease.epoch - 1, ..*lease }).collect();
    one.ask(LeaseRequest { release: stale, ..one.request(LONG) }).await;
    assert_eq!(one.held, before);
    // Nor can anybody give up what is not theirs.
    other.ask(LeaseRequest { release: before.clone(), ..other.request(LONG) }).await;
    one.lease(LONG).await;
    assert_eq!(one.held, before);

    one.ask(LeaseRequest { release: before.clone(), most: 0, ..one.request(LONG) }).await;
    assert_eq!(one.held, []);
    other.lease(LONG).await;
    assert_eq!(other.held.len(), 4);
    for lease in &other.held {
        assert!(before.iter().any(|old| old.shard == lease.shard && old.epoch < lease.epoch));
    }
}

/// Who leaves gives up everything.
pub async fn who_leaves_keeps_nothing_and_counts_for_nothing(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Processor::alone(fixture).await, Processor::new(fixture));
    assert_eq!(other.lease(LONG).await.fair_share, 4);
    let reply = one.ask(LeaseRequest { leaving: true, ..one.request(LONG) }).await;
    assert_eq!((reply.held.len(), reply.fair_share), (0, 8));
    other.lease(LONG).await;
    assert_eq!(other.held.len(), 8);
    // Leaving twice does no harm.
    one.ask(LeaseRequest { leaving: true, ..one.request(LONG) }).await;
    assert_eq!(other.lease(LONG).await.held.len(), 8);
}

/// See [`LeaseRequest::guest`].
pub async fn who_only_visits_counts_for_nothing(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Processor::alone(fixture).await, Processor::new(fixture));
    let visit = |processor: &Processor<'_>| LeaseRequest { guest: true, ..processor.request(LONG) };
    let request = visit(&other);
    let reply = other.ask(request).await;
    assert_eq!((reply.held.len(), reply.fair_share), (0, 0), "somebody else is there");
    assert_eq!(one.lease(LONG).await.fair_share, 8);
    // One that stops is a guest from then on: what it gives up is for others, and what it does not stays its own.
    let request = LeaseRequest { release: one.held[3..].to_vec(), most: 0, ..visit(&one) };
    one.ask(request).await;
    assert_eq!(one.held.len(), 3);
    let request = visit(&other);
    let reply = other.ask(request).await;
    assert_eq!((reply.held.len(), reply.fair_share), (5, 8), "nobody is there who counts");
}

/// See [`Reach::fair_share`].
pub async fn who_reaches_nothing_leaves_the_shards_to_others(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Processor::alone(fixture).await, Processor::new(fixture));
    let with = |processor: &Processor<'_>, reach| LeaseRequest { reach, ..processor.request(LONG) };
    // Nobody else is there.
    let request = with(&one, Reach::Nothing);
    assert_eq!(one.ask(request).await.fair_share, 8);
    let request = with(&other, Reach::Nothing);
    assert_eq!(other.ask(request).await.fair_share, 4, "nobody works, so all share");
    let request = with(&other, Reach::Works);
    assert_eq!(other.ask(request).await.fair_share, 8);
    assert_eq!(other.held, [], "nothing is free yet");
    let request = with(&one, Reach::Nothing);
    let reply = one.ask(request).await;
    assert_eq!((reply.fair_share, reply.held.len()), (0, 8), "what is not given up stays");
    let request = LeaseRequest { release: one.held.clone(), ..with(&one, Reach::Nothing) };
    assert_eq!(one.ask(request).await.held, [], "and what is given up is not taken again");
    assert_eq!(other.lease(LONG).await.held.len(), 8);

    // One shard to try.
    let request = with(&one, Reach::Trying);
    let reply = one.ask(request).await;
    assert_eq!((reply.fair_share, reply.held.len()), (1, 0));
    assert_eq!(other.lease(LONG).await.fair_share, 7);
    let request = LeaseRequest { release: other.held[..1].to_vec(), ..other.request(LONG) };
    other.ask(request).await;
    assert_eq!(other.held.len(), 7);
    let request = with(&one, Reach::Trying);
    assert_eq!(one.ask(request).await.held.len(), 1);
    assert_eq!(one.lease(LONG).await.fair_share, 4, "and works again");

    // Those that are gone do not count, whatever they said.
    let request = LeaseRequest { ttl: SHORT, ..with(&one, Reach::Works) };
    one.ask(request).await;
    fixture.pass(SHORT).await;
    let request = with(&other, Reach::Nothing);
    assert_eq!(other.ask(request).await.fair_share, 8, "nobody who works is alive");
}

/// See [`LeaseRequest::most`].
pub async fn no_more_than_asked_for_is_taken(fixture: &dyn Fixture) {
    let mut one = Processor::new(fixture);
    one.ask(LeaseRequest { most: 2, ..one.request(LONG) }).await;
    assert_eq!(one.held.len(), 2);
    let before = one.held.clone();
    one.ask(LeaseRequest { most: 0, ..one.request(LONG) }).await;
    assert_eq!(one.held, before, "what is not given up stays");
}

/// See [`Store`](crate::store::Store), clause 4.
pub async fn a_stale_lease_neither_reads_nor_settles(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2"]).await;
    let (mut one, mut other) = (Processor::new(fixture), Processor::new(fixture));
    one.lease(SHORT).await;
    let rows = one.read().await;
    assert_eq!(bodies(&rows), ["1", "2"]);
    fixture.pass(SHORT).await;
    other.lease(LONG).await;

    assert_eq!(one.read_with(vec![one.lane(rows[0].message.shard)]).await.lanes.len(), 0);
    for fate in [Fate::Delivered, retry(1, LONG), dead(1, true), Fate::Parked] {
        assert_eq!(one.settle_as(&rows[0], 0, vec![fate]).await, Settled::LeaseLost);
    }
    let untouched = other.read().await;
    assert_eq!(untouched, rows);
    assert_eq!(fixture.admin().parked_keys(None, 10).await.unwrap(), []);

    // Another shard of the same request is not held up by it.
    let held = other.held.iter().find(|lease| lease.shard == rows[0].message.shard).copied().expect("a lease");
    let elsewhere = Lease { shard: Shard::new((held.shard.number() + 1) % SHARDS), epoch: held.epoch + 9 };
    let change = Change::of(&rows[0].message, Fate::Delivered);
    let lanes = vec![
        LaneSettle { lease: elsewhere, generation: 0, changes: vec![change.clone()] },
        LaneSettle { lease: held, generation: 0, changes: vec![change] },
    ];
    let reply = fixture.store().settle(SettleRequest { processor: other.id, lanes }).await.unwrap();
    let settled: Vec<Settled> = reply.lanes.iter().map(|(_, settled)| *settled).collect();
    assert_eq!(settled[0], Settled::LeaseLost);
    assert_ne!(settled[1], Settled::LeaseLost);
    assert_eq!(bodies(&other.read().await), ["2"]);
}
