//! The contract of [`Store`] and [`Admin`].
//!
//! Each public function is one clause and wants empty tables of its own with eight shards. An implementation runs all
//! of them with [`for_every_store_clause!`](crate::for_every_store_clause), and has a [`Fixture`] to write events.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::event::{Envelope, EventId, Headers, OrderKey};
use crate::message::Origin;
use crate::shard::Shard;
use crate::store::{
    Admin, AdminError, Change, DeadState, Fate, LaneRead, LaneRows, LaneSettle, Lease, LeaseReply, LeaseRequest,
    ReadReply, ReadRequest, Revisit, Row, SettleRequest, Settled, Store,
};

/// Shards of the tables that a clause wants.
pub const SHARDS: u16 = 8;

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(300);
const TOPIC: &str = "topic";

/// Tables, and how to write events into them.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The tables.
    fn store(&self) -> &dyn Store;

    /// The same tables.
    fn admin(&self) -> &dyn Admin;

    /// Writes events in a transaction that stays open.
    async fn begin(&self, events: Vec<Envelope>) -> Box<dyn Open>;

    /// Whether several transactions can be open that have written events.
    fn writes_at_once(&self) -> bool;

    /// Lets so much time pass on the store's clock.
    async fn pass(&self, time: Duration);
}

/// A transaction with events.
#[async_trait]
pub trait Open: Send {
    /// Commits it.
    async fn commit(self: Box<Self>);

    /// Rolls it back.
    async fn rollback(self: Box<Self>);
}

/// Calls a macro with the names of all clauses, separated by commas.
#[macro_export]
macro_rules! for_every_store_clause {
    ($with:ident) => {
        $with! {
            no_shard_is_held_twice,
            everybody_gets_a_fair_share,
            a_lease_that_ran_out_is_taken_over_with_a_new_epoch,
            a_lease_that_is_renewed_lasts,
            giving_up_is_compare_and_set,
            who_leaves_keeps_nothing_and_counts_for_nothing,
            no_more_than_asked_for_is_taken,
            a_stale_lease_neither_reads_nor_settles,
            settling_twice_is_settling_once,
            number_and_id_must_both_match,
            a_rejected_event_waits_and_remembers,
            ten_rejections_are_kept,
            a_dead_event_moves_aside,
            a_parked_key_moves_aside_and_comes_back_in_its_order,
            parking_under_an_old_generation_is_ignored,
            a_read_honours_its_limits,
            a_read_leaves_out_what_is_known,
            a_revisit_finds_what_was_passed_over,
            what_is_uncommitted_is_not_decided,
            what_is_rolled_back_is_decided,
            a_lower_number_that_commits_late_is_shown,
            delayed_events_take_their_places_when_they_are_due,
            delayed_events_of_others_stay,
            every_column_comes_back_as_it_was_written,
            unordered_events_are_never_parked,
            giving_up_an_event_by_hand,
            requeueing_an_event_puts_it_last,
            requeueing_a_key_that_went_on_puts_it_last,
            a_parked_event_is_not_requeued_alone,
            everything_is_requeued,
            a_deleted_dead_letter_is_gone,
            lists_come_in_pages,
            stats_count,
        }
    };
}

/// One that holds leases.
struct Processor<'f> {
    fixture: &'f dyn Fixture,
    id: Uuid,
    held: Vec<Lease>,
}

impl<'f> Processor<'f> {
    fn new(fixture: &'f dyn Fixture) -> Self {
        Self { fixture, id: Uuid::now_v7(), held: Vec::new() }
    }

    /// One that holds every shard for long.
    async fn alone(fixture: &'f dyn Fixture) -> Self {
        let mut this = Self::new(fixture);
        this.lease(LONG).await;
        assert_eq!(this.held.len(), usize::from(SHARDS));
        this
    }

    fn request(&self, ttl: Duration) -> LeaseRequest {
        let state = String::from("{}");
        LeaseRequest {
            processor: self.id,
            name: "a processor".to_owned(),
            ttl,
            release: Vec::new(),
            most: usize::from(SHARDS),
            leaving: false,
            state,
        }
    }

    async fn lease(&mut self, ttl: Duration) -> LeaseReply {
        self.ask(self.request(ttl)).await
    }

    async fn ask(&mut self, request: LeaseRequest) -> LeaseReply {
        let reply = self.fixture.store().lease(request).await.expect("leases");
        self.held.clone_from(&reply.held);
        assert!(self.held.is_sorted_by_key(|lease| lease.shard), "by shard");
        reply
    }

    fn lane(&self, shard: Shard) -> LaneRead {
        let lease = *self.held.iter().find(|lease| lease.shard == shard).expect("a lease");
        LaneRead { lease, after: 0, known: Vec::new(), limit: 1_000, bytes: usize::MAX, revisit: None }
    }

    async fn read_with(&self, lanes: Vec<LaneRead>) -> ReadReply {
        let request = ReadRequest { processor: self.id, lanes };
        self.fixture.store().read(request).await.expect("a read")
    }

    async fn read_lane(&self, lane: LaneRead) -> LaneRows {
        let mut reply = self.read_with(vec![lane]).await;
        reply.lanes.pop().expect("the lane")
    }

    /// Everything pending, by number.
    async fn read(&self) -> Vec<Row> {
        let lanes = self.held.iter().map(|lease| self.lane(lease.shard)).collect();
        let mut rows: Vec<Row> = self.read_with(lanes).await.lanes.into_iter().flat_map(|lane| lane.rows).collect();
        rows.sort_by_key(|row| row.message.seq);
        rows
    }

    /// Reads until `seq` is decided.
    async fn read_until_decided(&self, seq: i64) -> ReadReply {
        for _ in 0..2_000 {
            let lanes = self.held.iter().map(|lease| self.lane(lease.shard)).collect();
            let reply = self.read_with(lanes).await;
            if reply.decided >= seq {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        unreachable!("{seq} is never decided")
    }

    async fn generation(&self, shard: Shard) -> i64 {
        self.read_lane(self.lane(shard)).await.generation
    }

    /// Settles one event under the generation of now.
    async fn settle(&self, row: &Row, fate: Fate) -> Settled {
        let generation = self.generation(row.message.shard).await;
        self.settle_as(row, generation, vec![fate]).await
    }

    async fn settle_as(&self, row: &Row, generation: i64, fates: Vec<Fate>) -> Settled {
        let (seq, id) = (row.message.seq, row.message.id());
        let changes = fates.into_iter().map(|fate| Change { seq, id, fate }).collect();
        let lane = LaneSettle { lease: self.lane(row.message.shard).lease, generation, changes };
        let request = SettleRequest { processor: self.id, lanes: vec![lane] };
        let reply = self.fixture.store().settle(request).await.expect("a settle");
        assert_eq!(reply.lanes.len(), 1);
        assert_eq!(reply.lanes[0].0, row.message.shard);
        reply.lanes[0].1
    }
}

fn event(key: Option<&str>, body: &str) -> Envelope {
    Envelope {
        id: EventId::new(),
        aggregate_type: "thing".to_owned(),
        aggregate_id: key.map(str::to_owned),
        aggregate_version: None,
        event_type: "thing.happened".to_owned(),
        event_version: 1,
        topic: TOPIC.to_owned(),
        key: key.map(str::to_owned),
        payload: Some(Bytes::from(body.to_owned())),
        content_type: "application/json".to_owned(),
        headers: Headers::new(),
        created_at: std::time::SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456),
        delay: None,
    }
}

fn order_key(key: &str) -> OrderKey {
    OrderKey { topic: TOPIC.to_owned(), key: key.to_owned() }
}

fn bodies(rows: &[Row]) -> Vec<String> {
    rows.iter().map(body).collect()
}

fn body(row: &Row) -> String {
    String::from_utf8(row.message.envelope.payload.clone().unwrap_or_default().to_vec()).expect("text")
}

async fn commit(fixture: &dyn Fixture, events: impl IntoIterator<Item = Envelope>) {
    fixture.begin(events.into_iter().collect()).await.commit().await;
}

/// Commits one event per body, all of one key.
async fn commit_of(fixture: &dyn Fixture, key: &str, bodies: &[&str]) {
    commit(fixture, bodies.iter().map(|body| event(Some(key), body))).await;
}

fn dead(attempts: u32, park: bool) -> Fate {
    Fate::Dead { attempts, error: "it broke".to_owned(), park }
}

fn retry(attempts: u32, delay: Duration) -> Fate {
    Fate::Retry { attempts, delay, error: format!("error {attempts}") }
}

fn shards(leases: &[Lease]) -> BTreeSet<Shard> {
    leases.iter().map(|lease| lease.shard).collect()
}

/// See [`Store`], clause 1.
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
        assert_eq!((reply.held.len(), reply.fair_share), (0, usize::from(SHARDS).div_ceil(n + 1)));
    }
    let mut held = Vec::new();
    for processor in &mut all {
        assert_eq!(processor.lease(LONG).await.fair_share, 3);
        held.push(processor.held.len());
    }
    assert_eq!(held, [3, 3, 2]);
    let distinct: BTreeSet<Shard> = all.iter().flat_map(|processor| shards(&processor.held)).collect();
    assert_eq!(distinct.len(), 8);
}

/// See [`Store`], clause 1.
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

/// See [`LeaseRequest::most`].
pub async fn no_more_than_asked_for_is_taken(fixture: &dyn Fixture) {
    let mut one = Processor::new(fixture);
    one.ask(LeaseRequest { most: 2, ..one.request(LONG) }).await;
    assert_eq!(one.held.len(), 2);
    let before = one.held.clone();
    one.ask(LeaseRequest { most: 0, ..one.request(LONG) }).await;
    assert_eq!(one.held, before, "what is not given up stays");
}

/// See [`Store`], clause 4.
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
    let change = Change { seq: rows[0].message.seq, id: rows[0].message.id(), fate: Fate::Delivered };
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

/// See [`LaneSettle`].
pub async fn settling_twice_is_settling_once(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2", "3", "4"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    for _ in 0..2 {
        assert_eq!(one.settle(&rows[0], Fate::Delivered).await, Settled::Done);
        assert_eq!(one.settle(&rows[1], retry(1, LONG)).await, Settled::Done);
        assert_eq!(one.settle(&rows[2], dead(2, true)).await, Settled::Done);
        assert_eq!(one.settle(&rows[3], Fate::Parked).await, Settled::Done);
        assert_eq!(bodies(&one.read().await), ["2"]);
        let letters = fixture.admin().dead_letters(None, 10).await.unwrap();
        assert_eq!(letters.len(), 2);
        assert_eq!(letters.iter().map(|letter| letter.rejections.len()).sum::<usize>(), 1);
    }
    let pending = fixture.admin().pending(0, 10).await.unwrap();
    assert_eq!((pending[0].attempts, pending[0].rejections.len()), (1, 1));
}

/// See [`Change::id`].
pub async fn number_and_id_must_both_match(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    let mut other = rows[0].clone();
    other.message.envelope.id = EventId::new();
    for fate in [Fate::Delivered, retry(1, LONG), dead(1, true), Fate::Parked] {
        assert_eq!(one.settle(&other, fate).await, Settled::Done);
    }
    assert_eq!(one.read().await, rows);
    assert_eq!(fixture.admin().dead_letters(None, 10).await.unwrap(), []);
}

/// See [`Fate::Retry`].
pub async fn a_rejected_event_waits_and_remembers(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    one.settle(&rows[0], retry(1, SHORT)).await;
    let waiting = one.read().await;
    assert_eq!(bodies(&waiting), ["1", "2"], "it keeps its place");
    assert!(waiting[0].retry_in.is_some_and(|wait| wait <= SHORT), "{:?}", waiting[0].retry_in);
    assert_eq!(waiting[0].message.attempts, 1);
    assert_eq!((waiting[1].retry_in, waiting[1].message.attempts), (None, 0));
    fixture.pass(SHORT).await;
    assert_eq!(one.read().await[0].retry_in, None);

    one.settle(&rows[0], retry(2, LONG)).await;
    let pending = fixture.admin().pending(0, 10).await.unwrap();
    assert_eq!(pending[0].attempts, 2);
    assert!(pending[0].retry_in.is_some_and(|wait| wait <= LONG));
    let rejections: Vec<(u32, &str)> =
        pending[0].rejections.iter().map(|rejection| (rejection.attempt, rejection.error.as_str())).collect();
    assert_eq!(rejections, [(1, "error 1"), (2, "error 2")]);
    assert!(pending[0].rejections[0].at > 0 && pending[0].rejections[0].at < pending[0].rejections[1].at);

    // Somebody else sees the same.
    let waiting = one.read().await;
    assert!(waiting[0].retry_in.is_some_and(|wait| wait > SHORT));
    // A delay that no clock can add.
    one.settle(&rows[0], retry(3, Duration::MAX)).await;
    assert_eq!(one.read().await[0].message.attempts, 3);
}

/// See [`DeadLetter::rejections`](crate::store::DeadLetter::rejections).
pub async fn ten_rejections_are_kept(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    for attempt in 1..=11 {
        one.settle(&rows[0], retry(attempt, Duration::ZERO)).await;
    }
    one.settle(&rows[0], dead(12, false)).await;
    let letter = fixture.admin().dead_letter(rows[0].message.id()).await.unwrap();
    let attempts: Vec<u32> = letter.rejections.iter().map(|rejection| rejection.attempt).collect();
    assert_eq!(attempts, (3..=12).collect::<Vec<_>>());
    assert_eq!(letter.attempts, 12);
}

/// See [`Fate::Dead`].
pub async fn a_dead_event_moves_aside(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    one.settle(&rows[0], retry(1, Duration::ZERO)).await;
    one.settle(&rows[0], dead(2, false)).await;
    let left = one.read().await;
    assert_eq!(bodies(&left), ["2"]);
    assert!(!left[0].parked, "the key goes on");
    let letters = fixture.admin().dead_letters(None, 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(letter.envelope, rows[0].message.envelope);
    assert_eq!((letter.shard, letter.seq), (rows[0].message.shard, rows[0].message.seq));
    assert_eq!((letter.state, letter.attempts, letter.reason.as_str()), (DeadState::Dead, 2, "it broke"));
    let errors: Vec<&str> = letter.rejections.iter().map(|rejection| rejection.error.as_str()).collect();
    assert_eq!(errors, ["error 1", "it broke"]);
    assert!(letter.died_at > std::time::SystemTime::UNIX_EPOCH);
    assert_eq!(fixture.admin().dead_letter(letter.envelope.id).await.unwrap(), *letter);
}

/// Park, move aside, requeue: the key ends up as if nothing had happened.
pub async fn a_parked_key_moves_aside_and_comes_back_in_its_order(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2", "3"]).await;
    commit_of(fixture, "b", &["other"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    let shard = rows[0].message.shard;
    let generation = one.generation(shard).await;
    one.settle(&rows[0], dead(1, true)).await;
    commit_of(fixture, "a", &["4"]).await;
    let now = one.read().await;
    let parked: Vec<(String, bool)> = now.iter().map(|row| (body(row), row.parked)).collect();
    let expected = [("2", true), ("3", true), ("other", false), ("4", true)];
    assert_eq!(parked, expected.map(|(body, parked)| (body.to_owned(), parked)));
    assert_eq!(fixture.admin().parked_keys(None, 10).await.unwrap(), [order_key("a")]);

    assert_eq!(one.settle_as(&rows[1], generation, vec![Fate::Parked]).await, Settled::Done);
    assert_eq!(one.settle_as(&rows[2], generation, vec![Fate::Parked]).await, Settled::Done);
    let letters = fixture.admin().dead_letters(None, 10).await.unwrap();
    assert_eq!(letters.iter().filter(|letter| letter.state == DeadState::Parked).count(), 2);
    let behind = letters.iter().find(|letter| letter.seq == rows[1].message.seq).expect("2 is among them");
    assert_eq!((behind.attempts, behind.rejections.len()), (0, 0));

    assert_eq!(fixture.admin().requeue_key(&order_key("a")).await.unwrap(), 3);
    let after = one.read().await;
    assert_eq!(bodies(&after), ["1", "2", "3", "other", "4"]);
    for (before, after) in rows.iter().zip(&after) {
        assert_eq!(after.message.seq, before.message.seq, "old places");
        assert_eq!((after.message.attempts, after.retry_in, after.parked), (0, None, false));
        assert_eq!(after.message.envelope, before.message.envelope);
    }
    assert!(one.generation(shard).await > generation);
    assert_eq!(fixture.admin().parked_keys(None, 10).await.unwrap(), []);
    assert_eq!(fixture.admin().dead_letters(None, 10).await.unwrap(), []);
    assert_eq!(fixture.admin().requeue_key(&order_key("a")).await.unwrap(), 0);
}

/// See [`Fate::Parked`].
pub async fn parking_under_an_old_generation_is_ignored(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2", "3"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    let generation = one.generation(rows[0].message.shard).await;
    one.settle(&rows[0], dead(1, true)).await;
    fixture.admin().requeue_key(&order_key("a")).await.unwrap();
    assert_eq!(one.settle_as(&rows[1], generation, vec![Fate::Parked]).await, Settled::Regenerated);
    assert_eq!(bodies(&one.read().await), ["1", "2", "3"]);
    // Everything else is written.
    assert_eq!(one.settle_as(&rows[2], generation, vec![Fate::Delivered]).await, Settled::Regenerated);
    assert_eq!(bodies(&one.read().await), ["1", "2"]);
}

/// See [`LaneRead::limit`] and [`LaneRead::bytes`].
pub async fn a_read_honours_its_limits(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1234", "1234", "1234", "1234"]).await;
    let one = Processor::alone(fixture).await;
    let shard = Shard::of_key("a", SHARDS);
    let lane = one.lane(shard);
    for (limit, bytes, count) in [
        (4, usize::MAX, 4),
        (5, 16, 4),
        (3, usize::MAX, 3),
        (1, usize::MAX, 1),
        (9, 15, 3),
        (9, 12, 3),
        (9, 4, 1),
        (9, 0, 1),
        (0, usize::MAX, 0),
        (0, 0, 0),
    ] {
        let found = one.read_lane(LaneRead { limit, bytes, ..lane.clone() }).await;
        assert_eq!((found.rows.len(), found.more), (count, count < 4), "{limit} events, {bytes} bytes");
    }
    let rows = one.read_lane(lane.clone()).await.rows;
    let after = rows[1].message.seq;
    let found = one.read_lane(LaneRead { after, ..lane.clone() }).await;
    assert_eq!(found.rows, rows[2..]);
    let after = rows[3].message.seq;
    let found = one.read_lane(LaneRead { after, ..lane.clone() }).await;
    assert_eq!((found.rows.len(), found.more), (0, false));
    let found = one.read_lane(LaneRead { after, limit: 0, ..lane }).await;
    assert_eq!((found.rows.len(), found.more), (0, true), "whoever asks for nothing is not told that there is nothing");
}

/// See [`LaneRead::known`].
pub async fn a_read_leaves_out_what_is_known(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2", "3", "4", "5"]).await;
    let one = Processor::alone(fixture).await;
    let lane = one.lane(Shard::of_key("a", SHARDS));
    let rows = one.read_lane(lane.clone()).await.rows;
    let seqs: Vec<i64> = rows.iter().map(|row| row.message.seq).collect();
    for (known, limit, bodies_, more) in [
        (vec![seqs[0], seqs[2]], 9, vec!["2", "4", "5"], false),
        (vec![seqs[0], seqs[1], seqs[2]], 1, vec!["4"], true),
        (vec![seqs[1], seqs[4] + 7], 9, vec!["1", "3", "4", "5"], false),
        (seqs.clone(), 9, vec![], false),
    ] {
        let found = one.read_lane(LaneRead { known, limit, ..lane.clone() }).await;
        assert_eq!((bodies(&found.rows), found.more), (bodies_.iter().map(|&b| b.to_owned()).collect(), more));
    }
}

/// See [`Revisit`].
pub async fn a_revisit_finds_what_was_passed_over(fixture: &dyn Fixture) {
    let shard = Shard::of_key("a", SHARDS);
    let sibling = (0..)
        .map(|n| format!("b{n}"))
        .find(|key| Shard::of_key(key, SHARDS) == shard)
        .expect("a key of the same shard");
    let elsewhere = Envelope { topic: "elsewhere".to_owned(), ..event(Some(&sibling), "3") };
    let events = [event(Some("a"), "1"), event(Some(&sibling), "2"), elsewhere, event(Some("a"), "4")];
    commit(fixture, events).await;
    let one = Processor::alone(fixture).await;
    let lane = one.lane(shard);
    let rows = one.read_lane(lane.clone()).await.rows;
    let seqs: Vec<i64> = rows.iter().map(|row| row.message.seq).collect();
    let all = Revisit { from: 0, to: i64::MAX, limit: 10, bytes: usize::MAX, ..Revisit::default() };
    let key = |key: &str| vec![key.to_owned()];
    for (revisit, expected, more) in [
        (Revisit { keys: key("a"), ..all.clone() }, vec!["1", "4"], false),
        (Revisit { keys: vec!["a".to_owned(), sibling.clone()], ..all.clone() }, vec!["1", "2", "3", "4"], false),
        (Revisit { keys: key("a"), limit: 1, ..all.clone() }, vec!["1"], true),
        (Revisit { keys: key("a"), bytes: 1, ..all.clone() }, vec!["1"], true),
        (Revisit { keys: key("a"), from: seqs[1], ..all.clone() }, vec!["4"], false),
        (Revisit { keys: key("a"), to: seqs[2], ..all.clone() }, vec!["1"], false),
        (Revisit { topics: key("elsewhere"), ..all.clone() }, vec!["3"], false),
        (Revisit { topics: key("elsewhere"), seqs: vec![seqs[1]], ..all.clone() }, vec!["2", "3"], false),
        (Revisit { seqs: vec![seqs[0], seqs[3]], from: seqs[0] + 1, ..all.clone() }, vec!["4"], false),
        (Revisit { keys: key("nobody"), ..all.clone() }, vec![], false),
        (Revisit { keys: key("a"), from: 5, to: 4, ..all.clone() }, vec![], false),
        (all.clone(), vec![], false),
    ] {
        // What is passed over is behind the mark.
        let lane = LaneRead { after: seqs[3], revisit: Some(revisit.clone()), ..lane.clone() };
        let found = one.read_lane(lane).await;
        assert_eq!(bodies(&found.revisited), expected, "{revisit:?}");
        assert_eq!(found.more_revisited, more, "{revisit:?}");
        assert_eq!(found.rows, []);
    }
}

/// See [`Store`], clause 3.
pub async fn what_is_uncommitted_is_not_decided(fixture: &dyn Fixture) {
    let one = Processor::alone(fixture).await;
    commit_of(fixture, "a", &["1"]).await;
    let first = one.read().await[0].message.seq;
    one.read_until_decided(first).await;
    let open = fixture.begin(vec![event(Some("a"), "2")]).await;
    if fixture.writes_at_once() {
        commit_of(fixture, "b", &["3"]).await;
    }
    for _ in 0..20 {
        let lanes = one.held.iter().map(|lease| one.lane(lease.shard)).collect();
        let reply = one.read_with(lanes).await;
        assert!(reply.decided <= first, "{} is past the number of an open transaction", reply.decided);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    open.commit().await;
    let last = one.read().await.iter().map(|row| row.message.seq).max().expect("events");
    assert!(last > first);
    one.read_until_decided(last).await;
}

/// See [`Store`], clause 3.
pub async fn what_is_rolled_back_is_decided(fixture: &dyn Fixture) {
    let one = Processor::alone(fixture).await;
    commit_of(fixture, "a", &["1"]).await;
    let open = fixture.begin(vec![event(Some("a"), "2")]).await;
    if fixture.writes_at_once() {
        commit_of(fixture, "b", &["3"]).await;
    }
    open.rollback().await;
    commit_of(fixture, "c", &["4"]).await;
    let rows = one.read().await;
    let last = rows.last().expect("events").message.seq;
    let reply = one.read_until_decided(last).await;
    let count: usize = reply.lanes.iter().map(|lane| lane.rows.len()).sum();
    assert_eq!(count, rows.len(), "what is decided is shown");
    assert!(!bodies(&rows).contains(&"2".to_owned()));
}

/// See [`Store`], clause 2.
pub async fn a_lower_number_that_commits_late_is_shown(fixture: &dyn Fixture) {
    if !fixture.writes_at_once() {
        return;
    }
    let one = Processor::alone(fixture).await;
    let lane = one.lane(Shard::of_key("a", SHARDS));
    let open = fixture.begin(vec![event(Some("a"), "late")]).await;
    commit_of(fixture, "a", &["early"]).await;
    let reply = one.read_with(vec![lane.clone()]).await;
    assert_eq!(bodies(&reply.lanes[0].rows), ["early"]);
    let early = reply.lanes[0].rows[0].message.seq;
    assert!(reply.decided < early);
    open.commit().await;
    let found = one.read_lane(LaneRead { after: reply.decided, known: vec![early], ..lane }).await;
    assert_eq!(bodies(&found.rows), ["late"]);
    assert!(found.rows[0].message.seq < early);
}

/// See [`Store::promote`].
pub async fn delayed_events_take_their_places_when_they_are_due(fixture: &dyn Fixture) {
    let one = Processor::alone(fixture).await;
    let store = fixture.store();
    assert_eq!(store.promote(one.id, &one.held, 10).await.unwrap(), None);
    let delayed = |body: &str, delay| Envelope { delay: Some(delay), ..event(Some("a"), body) };
    let millis = Duration::from_millis;
    commit(fixture, [delayed("3", millis(300)), delayed("1", millis(100)), delayed("2", millis(200))]).await;
    commit(fixture, [delayed("later", LONG)]).await;
    assert_eq!(one.read().await, []);
    let next = store.promote(one.id, &one.held, 10).await.unwrap();
    assert!(next.is_some_and(|wait| wait <= millis(100)), "{next:?}");
    fixture.pass(millis(400)).await;
    commit_of(fixture, "a", &["0"]).await;
    assert_eq!(store.promote(one.id, &one.held, 0).await.unwrap(), Some(Duration::ZERO));
    assert_eq!(store.promote(one.id, &one.held, 2).await.unwrap(), Some(Duration::ZERO));
    assert_eq!(bodies(&one.read().await), ["0", "1", "2"]);
    let next = store.promote(one.id, &one.held, 2).await.unwrap();
    assert!(next.is_some_and(|wait| wait > millis(1) && wait <= LONG), "{next:?}");
    let rows = one.read().await;
    assert_eq!(bodies(&rows), ["0", "1", "2", "3"]);
    let origins: Vec<Origin> = rows.iter().map(|row| row.message.origin).collect();
    assert_eq!(origins, [Origin::Staged, Origin::Delayed, Origin::Delayed, Origin::Delayed]);
    assert_eq!(rows[1].message.envelope.delay, None);
    one.read_until_decided(rows[3].message.seq).await;
}

/// See [`Store::promote`].
pub async fn delayed_events_of_others_stay(fixture: &dyn Fixture) {
    let (mut one, mut other) = (Processor::new(fixture), Processor::new(fixture));
    one.lease(SHORT).await;
    let events = (0..20).map(|n| Envelope { delay: Some(Duration::ZERO), ..event(Some(&format!("{n}")), "x") });
    commit(fixture, events).await;
    fixture.pass(SHORT).await;
    other.lease(LONG).await;
    assert_eq!(fixture.store().promote(one.id, &one.held, 100).await.unwrap(), None, "the leases are lost");
    assert_eq!(other.read().await, []);
    let half = &other.held[..4];
    assert_eq!(fixture.store().promote(other.id, half, 100).await.unwrap(), None);
    let rows = other.read().await;
    assert!(!rows.is_empty() && rows.len() < 20);
    assert!(rows.iter().all(|row| half.iter().any(|lease| lease.shard == row.message.shard)));
    fixture.store().promote(other.id, &other.held, 100).await.unwrap();
    assert_eq!(other.read().await.len(), 20);
}

/// Nothing is lost or changed on the way through the tables.
pub async fn every_column_comes_back_as_it_was_written(fixture: &dyn Fixture) {
    let one = Processor::alone(fixture).await;
    let mut headers = Headers::new();
    for (name, value) in [("z", "1"), ("a", "\"quoted\" \\ and ünicode\t😀"), ("empty", "")] {
        headers.set(name, value).expect("a header");
    }
    let full = Envelope {
        aggregate_type: "Bestellung ß".to_owned(),
        aggregate_id: Some("ключ 1 ".to_owned()),
        aggregate_version: Some(i64::MAX),
        event_type: "bestellung.aufgegeben".to_owned(),
        event_version: 7,
        content_type: "application/json; charset=utf-8".to_owned(),
        headers,
        created_at: std::time::SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_999_999),
        ..event(Some("ключ 😀 "), "{\"text\": \"日本語 \\u0000 \\\\ '\"}")
    };
    let events = vec![
        full.clone(),
        Envelope { payload: None, ..event(Some("tombstone"), "") },
        event(Some("empty"), ""),
        Envelope { aggregate_id: None, aggregate_version: Some(-1), ..event(None, "unordered") },
        event(Some("large"), &"x".repeat(1024 * 1024)),
        // These differ in what careless collations take for the same.
        event(Some("A"), "upper"),
        event(Some("a "), "space"),
        event(Some("ä"), "umlaut"),
    ];
    commit(fixture, events.clone()).await;
    let rows = one.read().await;
    let envelopes: Vec<Envelope> = rows.iter().map(|row| row.message.envelope.clone()).collect();
    assert_eq!(envelopes.len(), events.len());
    for (read, written) in envelopes.iter().zip(&events) {
        assert!(read == written, "{read:?} is not {written:?}");
    }
    for row in &rows {
        assert_eq!((row.message.origin, row.message.attempts, row.parked), (Origin::Staged, 0, false));
    }
    // And through the dead letters, and back.
    for row in &rows {
        one.settle(row, dead(1, row.message.seq % 2 == 0)).await;
    }
    assert_eq!(one.read().await, []);
    for (row, written) in rows.iter().zip(&events) {
        let letter = fixture.admin().dead_letter(row.message.id()).await.unwrap();
        assert!(letter.envelope == *written, "{letter:?}");
    }
    assert_eq!(fixture.admin().requeue_all(100).await.unwrap(), 8);
    let mut read: Vec<Envelope> = one.read().await.into_iter().map(|row| row.message.envelope).collect();
    read.sort_by_key(|envelope| events.iter().position(|event| event.id == envelope.id));
    assert!(read == events);
    // And out of the schedule.
    let delayed = Envelope { id: EventId::new(), delay: Some(Duration::ZERO), ..full };
    commit(fixture, [delayed.clone()]).await;
    fixture.pass(Duration::from_millis(5)).await;
    fixture.store().promote(one.id, &one.held, 10).await.unwrap();
    let rows = one.read().await;
    let row = rows.iter().find(|row| row.message.id() == delayed.id).expect("it is due");
    assert!(row.message.envelope == Envelope { delay: None, ..delayed });
}

/// An event without a key has nothing that could be parked.
pub async fn unordered_events_are_never_parked(fixture: &dyn Fixture) {
    commit(fixture, [event(None, "1"), event(None, "2")]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    for row in &rows {
        assert_eq!(row.message.shard, Shard::of_id(row.message.id(), SHARDS));
        assert_eq!(row.message.order_key(), None);
    }
    one.settle(&rows[0], dead(1, true)).await;
    assert_eq!(fixture.admin().parked_keys(None, 10).await.unwrap(), []);
    let left = one.read().await;
    assert_eq!(bodies(&left), ["2"]);
    assert!(!left[0].parked);
    fixture.admin().requeue(rows[0].message.id()).await.unwrap();
    assert_eq!(bodies(&one.read().await), ["2", "1"]);
}

/// See [`Admin::give_up`].
pub async fn giving_up_an_event_by_hand(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    let generation = one.generation(rows[0].message.shard).await;
    let id = rows[0].message.id();
    assert!(fixture.admin().give_up(id, "nobody wants it").await.unwrap());
    assert!(!fixture.admin().give_up(id, "nobody wants it").await.unwrap());
    assert!(!fixture.admin().give_up(EventId::new(), "it is not there").await.unwrap());
    assert_eq!(bodies(&one.read().await), ["2"]);
    assert!(one.generation(rows[0].message.shard).await > generation);
    let letter = fixture.admin().dead_letter(id).await.unwrap();
    assert_eq!((letter.state, letter.reason.as_str()), (DeadState::Dead, "nobody wants it"));
    assert_eq!((letter.attempts, letter.rejections.len(), letter.seq), (0, 0, rows[0].message.seq));
    assert_eq!(fixture.admin().parked_keys(None, 10).await.unwrap(), []);
}

/// See [`Admin::requeue`].
pub async fn requeueing_an_event_puts_it_last(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    one.settle(&rows[0], dead(5, false)).await;
    let id = rows[0].message.id();
    fixture.admin().requeue(id).await.unwrap();
    assert!(matches!(fixture.admin().requeue(id).await, Err(AdminError::NotFound(missing)) if missing == id));
    let after = one.read().await;
    assert_eq!(bodies(&after), ["2", "1"]);
    assert_eq!(after[1].message.origin, Origin::Requeued);
    assert_eq!((after[1].message.attempts, after[1].retry_in, after[1].parked), (0, None, false));
    assert_eq!(after[1].message.envelope, rows[0].message.envelope);
    let pending = fixture.admin().pending(0, 10).await.unwrap();
    assert_eq!(pending[1].rejections, []);
    assert_eq!(fixture.admin().dead_letters(None, 10).await.unwrap(), []);
    one.read_until_decided(after[1].message.seq).await;
}

/// See [`Admin::requeue_key`].
pub async fn requeueing_a_key_that_went_on_puts_it_last(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2", "3"]).await;
    commit_of(fixture, "b", &["other"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    let generation = one.generation(rows[0].message.shard).await;
    // The later one dies first.
    one.settle(&rows[1], dead(1, false)).await;
    one.settle(&rows[0], dead(1, false)).await;
    one.settle(&rows[3], dead(1, false)).await;
    assert_eq!(fixture.admin().requeue_key(&order_key("a")).await.unwrap(), 2);
    let after = one.read().await;
    assert_eq!(bodies(&after), ["3", "1", "2"]);
    assert_eq!(after[1].message.origin, Origin::Requeued);
    assert_eq!(one.generation(rows[0].message.shard).await, generation, "nothing took an old place");
    let letters = fixture.admin().dead_letters(None, 10).await.unwrap();
    assert_eq!(letters.len(), 1, "another key's stays");
}

/// See [`AdminError::KeyParked`].
pub async fn a_parked_event_is_not_requeued_alone(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    one.settle(&rows[0], dead(1, true)).await;
    one.settle(&rows[1], Fate::Parked).await;
    for row in &rows {
        let id = row.message.id();
        let refused = fixture.admin().requeue(id).await;
        assert!(matches!(refused, Err(AdminError::KeyParked { key, .. }) if key == order_key("a")));
    }
    assert_eq!(one.read().await, []);
    assert_eq!(fixture.admin().dead_letters(None, 10).await.unwrap().len(), 2);
}

/// See [`Admin::requeue_all`].
pub async fn everything_is_requeued(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["a1", "a2"]).await;
    commit_of(fixture, "b", &["b1", "b2"]).await;
    commit(fixture, [event(None, "u1"), event(None, "u2")]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    one.settle(&rows[0], dead(1, true)).await;
    one.settle(&rows[1], Fate::Parked).await;
    for row in &rows[2..] {
        one.settle(row, dead(1, false)).await;
    }
    assert_eq!(fixture.admin().requeue_all(0).await.unwrap(), 0);
    assert_eq!(fixture.admin().requeue_all(1).await.unwrap(), 2, "one key");
    assert_eq!(bodies(&one.read().await), ["a1", "a2"]);
    assert_eq!(fixture.admin().requeue_all(100).await.unwrap(), 4);
    assert_eq!(bodies(&one.read().await), ["a1", "a2", "b1", "b2", "u1", "u2"]);
    assert_eq!(fixture.admin().requeue_all(100).await.unwrap(), 0);
    assert_eq!(fixture.admin().parked_keys(None, 10).await.unwrap(), []);
}

/// See [`Admin::delete`].
pub async fn a_deleted_dead_letter_is_gone(fixture: &dyn Fixture) {
    commit_of(fixture, "a", &["1", "2"]).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;
    let id = rows[0].message.id();
    assert!(matches!(fixture.admin().delete(id).await, Err(AdminError::NotFound(_))), "it is not dead");
    one.settle(&rows[0], dead(1, true)).await;
    fixture.admin().delete(id).await.unwrap();
    assert!(matches!(fixture.admin().delete(id).await, Err(AdminError::NotFound(_))));
    assert!(matches!(fixture.admin().dead_letter(id).await, Err(AdminError::NotFound(_))));
    assert_eq!(fixture.admin().parked_keys(None, 10).await.unwrap(), [order_key("a")], "the key stays parked");
    assert_eq!(fixture.admin().requeue_key(&order_key("a")).await.unwrap(), 0);
    assert_eq!(fixture.admin().parked_keys(None, 10).await.unwrap(), []);
    assert_eq!(bodies(&one.read().await), ["2"]);
}

/// Pages have no gaps and no repeats.
pub async fn lists_come_in_pages(fixture: &dyn Fixture) {
    let admin = fixture.admin();
    let keys: Vec<String> = (0..7).map(|n| format!("key-{n}")).collect();
    commit(fixture, keys.iter().map(|key| event(Some(key), key))).await;
    let one = Processor::alone(fixture).await;
    let rows = one.read().await;

    let (mut after, mut pending) = (0, Vec::new());
    loop {
        let page = admin.pending(after, 3).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.seq;
        pending.extend(page.into_iter().map(|event| event.envelope.id));
    }
    assert_eq!(pending, rows.iter().map(|row| row.message.id()).collect::<Vec<_>>());

    // Some at the same moment.
    let by_shard = |shard: Shard| rows.iter().filter(move |row| row.message.shard == shard);
    for lease in &one.held {
        let changes =
            by_shard(lease.shard).map(|row| Change { seq: row.message.seq, id: row.message.id(), fate: dead(1, true) });
        let lane =
            LaneSettle { lease: *lease, generation: one.generation(lease.shard).await, changes: changes.collect() };
        fixture.store().settle(SettleRequest { processor: one.id, lanes: vec![lane] }).await.unwrap();
    }
    let all = admin.dead_letters(None, 100).await.unwrap();
    assert_eq!(all.len(), 7);
    assert!(all.is_sorted_by_key(|letter| (letter.died_at, letter.envelope.id)));
    let (mut after, mut paged) = (None, Vec::new());
    loop {
        let page = admin.dead_letters(after, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.envelope.id);
        paged.extend(page);
    }
    assert_eq!(paged, all);

    let (mut after, mut parked) = (None, Vec::new());
    loop {
        let page = admin.parked_keys(after.as_ref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.clone());
        parked.extend(page);
    }
    assert_eq!(parked, keys.iter().map(|key| order_key(key)).collect::<Vec<_>>());
}

/// See [`Admin::stats`].
pub async fn stats_count(fixture: &dyn Fixture) {
    let empty = fixture.admin().stats().await.unwrap();
    assert_eq!((empty.pending_up_to_10_000, empty.oldest_pending, empty.processors), (0, None, 0));
    assert_eq!(empty.free_shards, 8);
    commit_of(fixture, "a", &["1", "2", "3"]).await;
    let mut one = Processor::new(fixture);
    one.ask(LeaseRequest { most: 3, ..one.request(LONG) }).await;
    let stats = fixture.admin().stats().await.unwrap();
    assert_eq!((stats.pending_up_to_10_000, stats.processors, stats.free_shards), (3, 1, 5));
    assert!(stats.oldest_pending.is_some());
    one.lease(LONG).await;
    let rows = one.read().await;
    one.settle(&rows[0], dead(1, true)).await;
    let stats = fixture.admin().stats().await.unwrap();
    assert_eq!((stats.pending_up_to_10_000, stats.dead_up_to_10_000, stats.parked_keys_up_to_10_000), (2, 1, 1));
    assert_eq!(stats.free_shards, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{MemoryStore, Unsettled};

    struct Memory(MemoryStore);

    #[async_trait]
    impl Fixture for Memory {
        fn store(&self) -> &dyn Store {
            &self.0
        }

        fn admin(&self) -> &dyn Admin {
            &self.0
        }

        async fn begin(&self, events: Vec<Envelope>) -> Box<dyn Open> {
            Box::new(self.0.begin(events))
        }

        fn writes_at_once(&self) -> bool {
            true
        }

        async fn pass(&self, time: Duration) {
            self.0.advance(time);
        }
    }

    #[async_trait]
    impl Open for Unsettled {
        async fn commit(self: Box<Self>) {
            (*self).commit();
        }

        async fn rollback(self: Box<Self>) {}
    }

    macro_rules! in_memory {
        ($($clause:ident),+ $(,)?) => {$(
            #[tokio::test]
            async fn $clause() {
                super::$clause(&Memory(MemoryStore::new(SHARDS))).await;
            }
        )+};
    }

    for_every_store_clause!(in_memory);
}
