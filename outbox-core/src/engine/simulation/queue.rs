use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// What will happen, in the order of time, and at one time in the order in which it was planned.
#[derive(Debug)]
pub(super) struct Queue<T> {
    order: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    places: Vec<Option<T>>,
    free: Vec<usize>,
    serial: u64,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self { order: BinaryHeap::new(), places: Vec::new(), free: Vec::new(), serial: 0 }
    }

    pub(super) fn push(&mut self, at: Duration, what: T) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(what);
        self.serial += 1;
        self.order.push(Reverse((at, self.serial, place)));
    }

    pub(super) fn next_at(&self) -> Option<Duration> {
        self.order.peek().map(|Reverse((at, ..))| *at)
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let Reverse((_, _, place)) = self.order.pop()?;
        self.free.push(place);
        self.places[place].take()
    }
}
