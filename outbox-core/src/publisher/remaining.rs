use std::collections::{HashMap, VecDeque};

use super::Delivery;
use crate::event::OrderKey;

/// Deliveries that were not sent, in order. What is left when it goes away is withheld, so that neither cancelling
/// nor a panic makes messages look rejected that nobody has seen.
#[derive(Debug, Default)]
pub(crate) struct Remaining(VecDeque<Delivery>);

impl Remaining {
    pub(crate) fn push(&mut self, delivery: Delivery) {
        self.0.push_back(delivery);
    }

    pub(crate) fn next(&mut self) -> Option<Delivery> {
        self.0.pop_front()
    }

    pub(crate) fn take(&mut self, most: usize) -> Vec<Delivery> {
        self.0.drain(..most.min(self.0.len())).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<Delivery>> for Remaining {
    fn from(batch: Vec<Delivery>) -> Self {
        Self(batch.into())
    }
}

impl Drop for Remaining {
    fn drop(&mut self) {
        for delivery in self.0.drain(..) {
            delivery.withheld();
        }
    }
}

/// The batch as one queue per order key, first seen first; a message without a key is alone.
pub(crate) fn by_key(batch: Vec<Delivery>) -> Vec<Remaining> {
    let mut queues: Vec<Remaining> = Vec::new();
    let mut queue_of: HashMap<OrderKey, usize> = HashMap::new();
    for delivery in batch {
        let next = queues.len();
        let queue = delivery.order_key().map_or(next, |key| *queue_of.entry(key).or_insert(next));
        match queues.get_mut(queue) {
            Some(queue) => queue.push(delivery),
            None => queues.push(vec![delivery].into()),
        }
    }
    queues
}
