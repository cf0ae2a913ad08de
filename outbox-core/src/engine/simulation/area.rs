//! What of the broker does not work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::world::{Action, SHAKY, World};
use crate::message::Message;
use crate::publisher::Partition;

/// What is away, or silent. All of it is of the topic that is shaky.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Area {
    Topic,
    Partition(u32),
    Key(usize),
}

impl World {
    /// Whether an event is in an area.
    pub(super) fn is_in(&self, area: Area, key: usize, message: &Message) -> bool {
        match area {
            Area::Topic => message.topic() == SHAKY,
            Area::Partition(number) => message.topic() == SHAKY && partition(key, self.partitions) == Some(number),
            Area::Key(of) => key == of,
        }
    }

    /// The topic has so many partitions from now on. Publishers learn that when they ask next.
    pub(super) fn divide(&mut self, partitions: u32) {
        self.partitions = partitions;
        for node in 0..self.nodes.len() {
            self.will_learn(node);
        }
    }

    /// A publisher asks how many partitions there are.
    pub(super) fn will_learn(&mut self, node: usize) {
        let after = if self.fast { 0 } else { self.random.u64(0..3_000) };
        self.after(after, Action::Learn(node, self.nodes[node].life));
    }

    pub(super) fn learn(&mut self, node: usize, life: u64) {
        let node = &self.nodes[node];
        if node.life == life {
            node.partitions.store(self.partitions, Ordering::Relaxed);
        }
    }
}

/// The partition of a key. Nobody knows it as long as there are none.
pub(super) fn partition(key: usize, of: u32) -> Option<u32> {
    // All keys of the topic are odd.
    u32::try_from(key / 2).ok()?.checked_rem(of)
}

/// What a publisher says of a message, as far as it has learnt `of` how many partitions there are.
pub(super) fn partition_of(message: &Message, of: &Arc<AtomicU32>) -> Option<Partition> {
    let key = message.key()?.strip_prefix("key-")?.parse().ok()?;
    let of = of.load(Ordering::Relaxed);
    let number = partition(key, of).filter(|_| message.topic() == SHAKY)?;
    Some(Partition { number, of })
}

/// For as long as the silence lasts, the broker takes messages and says nothing about them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silence {
    pub(super) area: Area,
    pub(super) until: Duration,
}
