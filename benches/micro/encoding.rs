use std::hint::black_box;

use criterion::Criterion;
use outbox_core::{Envelope, EventOptions, Headers, Limits};

use crate::count_allocations;
use crate::sample::OrderPlaced;

pub(crate) fn bench(criterion: &mut Criterion) {
    let event = OrderPlaced::new(7);
    let limits = Limits::default();
    let encode = || Envelope::encode(black_box(&event), EventOptions::new(), Headers::new(), &limits);
    count_allocations("encode", 1, || drop(encode()));
    criterion.bench_function("encode", |bencher| bencher.iter(encode));
}
