//! All that the engine does for an event, from the read to its settle, with a store and a broker that cost nothing.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput};
use outbox_core::engine::{Effect, Engine, EngineConfig, Event};
use outbox_core::retry::{RetryPolicy, RetryRules};
use outbox_core::store::{
    LaneRows, Lease, LeaseReply, ReadReply, ReadRequest, Row, SettleReply, SettleRequest, Settled,
};
use outbox_core::{Message, Outcome, Partition, Shard};
use uuid::Uuid;

use crate::count_allocations;
use crate::sample::messages;

/// As the migration makes by default.
pub(crate) const SHARDS: u16 = 64;
const PARTITIONS: u32 = 12;
const EVENTS: usize = 20_000;

pub(crate) fn bench(criterion: &mut Criterion) {
    let all = messages(EVENTS);
    let table = Table::of(all.clone());
    count_allocations("engine", EVENTS, || table.drain());
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(EVENTS as u64)).sample_size(20);
    group.bench_function("20,000 events", |bencher| {
        bencher.iter_batched(|| Table::of(all.clone()), Table::drain, BatchSize::PerIteration);
    });
    group.finish();
}

/// What is pending, by shard.
struct Table(BTreeMap<Shard, VecDeque<Row>>);

impl Table {
    fn of(messages: Vec<Message>) -> Self {
        let mut table: BTreeMap<Shard, VecDeque<Row>> = BTreeMap::new();
        for message in messages {
            let row = Row { message: message.into(), retry_in: None, parked: false, unreadable: None };
            table.entry(row.message.shard).or_default().push_back(row);
        }
        Self(table)
    }

    /// Delivers everything: all that is published is reported at once, in the order of publishing.
    fn drain(mut self) {
        let now = Instant::now();
        let mut engine = Engine::new(now, Uuid::from_u128(1), "one".to_owned(), 1, config()).with_partitions(partition);
        while engine.snapshot().counts.delivered < EVENTS as u64 {
            let effects = engine.poll(now);
            assert!(!effects.is_empty(), "it does not go on");
            for effect in effects {
                for event in self.carry_out(now, effect) {
                    engine.handle(now, event);
                }
            }
        }
    }

    fn carry_out(&mut self, asked: Instant, effect: Effect) -> Vec<Event> {
        let event = match effect {
            Effect::Lease(_) => {
                let held = (0..SHARDS).map(|shard| Lease { shard: Shard::new(shard), epoch: 1 }).collect();
                Event::Leased {
                    asked,
                    answer: Ok(LeaseReply { held, fair_share: usize::from(SHARDS), next_free: None }),
                }
            }
            Effect::Read(request) => Event::Read(Ok(self.read(&request))),
            Effect::Settle(SettleRequest { lanes, .. }) => {
                let lanes = lanes.iter().map(|lane| (lane.lease.shard, Settled::Done)).collect();
                Event::Settled(Ok(SettleReply { lanes }))
            }
            Effect::Promote(_) => Event::Promoted(Ok(None)),
            Effect::Check => Event::Checked(Ok(())),
            Effect::Publish(batch) => {
                let reports = batch.iter().map(|(token, _)| Event::Reported(*token, Outcome::Delivered));
                return std::iter::once(Event::BatchTaken).chain(reports).collect();
            }
        };
        vec![event]
    }

    fn read(&mut self, request: &ReadRequest) -> ReadReply {
        let lanes = request.lanes.iter().map(|lane| {
            let mut rows = Vec::new();
            if let Some(queue) = self.0.get_mut(&lane.lease.shard) {
                rows.extend(queue.drain(..queue.len().min(lane.limit as usize)));
            }
            let more = self.0.get(&lane.lease.shard).is_some_and(|queue| !queue.is_empty());
            let shard = lane.lease.shard;
            LaneRows { shard, generation: 1, rows, more, revisited: Vec::new(), more_revisited: false }
        });
        ReadReply { decided: i64::MAX - 1, lanes: lanes.collect() }
    }
}

fn partition(message: &Message) -> Option<Partition> {
    let sum: u32 = message.key()?.bytes().map(u32::from).sum();
    Some(Partition { number: sum % PARTITIONS, of: PARTITIONS })
}

/// As a processor's defaults are, without waiting.
fn config() -> EngineConfig {
    EngineConfig {
        batch_size: 2_000,
        window: 10_000,
        window_bytes: 16 << 20,
        concurrency: 8,
        lease: Duration::from_secs(15),
        poll: [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5)],
        settle_delay: Duration::ZERO,
        drain: Duration::from_secs(20),
        pause: (Duration::from_millis(100), Duration::from_secs(5)),
        most_held: 100_000,
        retry: RetryRules::new(RetryPolicy::fixed(Duration::from_secs(1))),
        once: None,
    }
}
