use criterion::{BatchSize, Criterion, Throughput};
use outbox_sea_orm::{Outbox, OutboxTransaction};
use sea_orm::{Database, DatabaseConnection};

use crate::count_allocations;
use crate::sample::OrderPlaced;

const EVENTS: usize = 100;

/// What `stage_event` costs a transaction, before it writes anything.
pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // A transaction that is dropped rolls back in the background.
    let _inside = runtime.enter();
    let db: DatabaseConnection = runtime.block_on(Database::connect("sqlite::memory:")).expect("a database in memory");
    let outbox = Outbox::new(db);
    let begin = || runtime.block_on(outbox.begin()).expect("the only transaction");
    let end = |txn: OutboxTransaction| runtime.block_on(txn.rollback()).expect("nothing to lose");
    let events: Vec<OrderPlaced> = (0..EVENTS as u64).map(OrderPlaced::new).collect();
    let stage = |txn: &OutboxTransaction| {
        for event in &events {
            txn.stage_event(event).expect("a good event");
        }
    };
    let txn = begin();
    count_allocations("stage", EVENTS, || stage(&txn));
    end(txn);
    let mut group = criterion.benchmark_group("stage");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("100 events", |bencher| {
        bencher.iter_batched(begin, |txn| stage(&txn), BatchSize::PerIteration);
    });
    group.finish();
}
