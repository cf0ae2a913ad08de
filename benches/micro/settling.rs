use std::collections::BTreeMap;

use criterion::{BatchSize, Criterion, Throughput};
use outbox_core::store::{Change, Fate, LaneSettle, Lease, SettleRequest, Store};
use outbox_core::{EventId, Place, Shard};
use outbox_sea_orm::Outbox;
use sea_orm::{DatabaseBackend, MockDatabase, MockExecResult, Value};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::count_allocations;

const PROCESSOR: Uuid = Uuid::from_u128(1);
const LANES: u16 = 10;
const EACH: usize = 100;

/// What it costs to put a settle's statements together: the database answers at once.
pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let events = usize::from(LANES) * EACH;
    let mut group = criterion.benchmark_group("settle");
    group.throughput(Throughput::Elements(events as u64));
    for backend in [DatabaseBackend::Postgres, DatabaseBackend::MySql, DatabaseBackend::Sqlite] {
        let name = format!("{backend:?}, {events} events");
        let (store, request) = prepared(backend);
        count_allocations(&format!("settle {name}"), events, || settle(&runtime, &store, request));
        group.bench_function(name, |bencher| {
            let settle = |(store, request): (_, _)| settle(&runtime, &store, request);
            bencher.iter_batched(|| prepared(backend), settle, BatchSize::PerIteration);
        });
    }
    group.finish();
}

fn settle(runtime: &Runtime, store: &impl Store, request: SettleRequest) {
    runtime.block_on(store.settle(request)).expect("the answers are prepared");
}

/// A store whose database has one answer per statement, and what to settle with it.
fn prepared(backend: DatabaseBackend) -> (impl Store, SettleRequest) {
    let lease = |shard| Lease { shard: Shard::new(shard), epoch: 1 };
    // By the position of the column.
    let row = |shard: u16| -> BTreeMap<&str, Value> {
        let level = Value::from("read committed");
        let cells = [level, (shard as i16).into(), PROCESSOR.into(), 1_i64.into(), 1_i64.into(), 0_i64.into()];
        ["0", "1", "2", "3", "4", "5"].into_iter().zip(cells).collect()
    };
    // More than any of the databases needs; everything is where it was seen.
    let done = vec![MockExecResult { last_insert_id: 0, rows_affected: LANES as u64 * EACH as u64 }; 8];
    let db = MockDatabase::new(backend)
        .append_query_results([(0..LANES).map(row).collect::<Vec<_>>()])
        .append_exec_results(done)
        .into_connection();
    let change =
        |n: usize| Change { seq: n as i64, id: EventId::new(), place: Place(n as u64 + 1), fate: Fate::Delivered };
    let lane = |shard| LaneSettle { lease: lease(shard), generation: 1, changes: (0..EACH).map(change).collect() };
    let request = SettleRequest { processor: PROCESSOR, lanes: (0..LANES).map(lane).collect() };
    (Outbox::new(db).store(), request)
}
