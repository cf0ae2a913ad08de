use std::time::Duration;

use uuid::Uuid;

use crate::event::EventId;

/// What is known of an event.
#[derive(Debug, Default)]
pub(super) struct Fact {
    pub(super) key: usize,
    pub(super) delayed: bool,
    /// The broker rejects it.
    pub(super) poison: bool,
    /// Its row cannot be understood.
    pub(super) garbled: bool,
    /// It was one or the other.
    pub(super) was_poison: bool,
    pub(super) given_up: bool,
    /// It died, and its key went on without it.
    pub(super) left_behind: bool,
    /// How often the broker has rejected it since it was staged, or requeued. A row that cannot be understood is as good
    /// as rejected for the last time.
    pub(super) rejections: u32,
    pub(super) committed_at: Option<Duration>,
    /// The server that took over has not heard of it.
    pub(super) undone: bool,
    /// The database lost its deletion.
    pub(super) revived: bool,
    pub(super) delivered: u32,
    /// It was handed to a publisher; and that was before a fail-over, or by a processor that had not heard of it.
    pub(super) sent: bool,
    pub(super) known_before: bool,
    /// How many times something happened that may have it published again.
    pub(super) may_repeat: u32,
}

/// What is known of all events, in the order of staging. An event's id says which it is.
#[derive(Debug, Default)]
pub(super) struct Facts {
    all: Vec<Fact>,
    /// Of each key, in the order of commits, which is the order that consumers must see.
    pub(super) committed: Vec<Vec<usize>>,
}

impl Facts {
    /// Remembers an event. Its id is random where it matters for an order by ids.
    pub(super) fn add(&mut self, chance: u64, fact: Fact) -> EventId {
        self.all.push(fact);
        EventId::from(Uuid::from_u128(u128::from(chance) << 64 | (self.all.len() - 1) as u128))
    }

    pub(super) fn index(id: EventId) -> usize {
        usize::try_from(id.as_uuid().as_u128() & u128::from(u64::MAX)).expect("an id that was made here")
    }

    pub(super) fn of(&mut self, id: EventId) -> &mut Fact {
        &mut self.all[Self::index(id)]
    }

    pub(super) fn get(&self, index: usize) -> &Fact {
        &self.all[index]
    }

    pub(super) fn at(&mut self, index: usize) -> &mut Fact {
        &mut self.all[index]
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Fact)> {
        self.all.iter_mut().enumerate()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Fact)> {
        self.all.iter().enumerate()
    }

    pub(super) fn commit(&mut self, now: Duration, ids: &[EventId]) {
        for id in ids {
            let (index, fact) = (Self::index(*id), self.of(*id));
            fact.committed_at = Some(now);
            let key = fact.key;
            self.committed.resize_with(self.committed.len().max(key + 1), Vec::new);
            self.committed[key].push(index);
        }
    }

    /// Whatever made the broker refuse events does so no more, and rows are as they should be.
    pub(super) fn mend(&mut self) {
        self.all.iter_mut().for_each(|fact| (fact.poison, fact.garbled) = (false, false));
    }
}
