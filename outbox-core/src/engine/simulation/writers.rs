use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::facts::Fact;
use super::nodes::at_once;
use super::world::{Action, KEYS, ORDERED, TOPICS, World};
use crate::engine::Event;
use crate::event::{Envelope, EventId, Headers, OrderKey};
use crate::store::Admin;
use crate::testing::Unsettled;

static PAYLOAD: [u8; 2_000] = [0; 2_000];

/// What a writer has under way: events that have their numbers, and may be undone by a savepoint on their own.
#[derive(Debug)]
pub(super) struct Transaction {
    key: usize,
    parts: Vec<Part>,
    commit: bool,
}

#[derive(Debug)]
struct Part {
    rows: Unsettled,
    ids: Vec<EventId>,
    commit: bool,
}

impl World {
    /// Begins a transaction, and locks its aggregate as a good writer does.
    pub(super) fn write(&mut self) {
        if self.left_to_write == 0 {
            return;
        }
        let next = self.random.u64(1..200);
        self.after(next, Action::Write);
        if self.now < self.database_back {
            return;
        }
        let key = self.random.usize(0..KEYS);
        if self.locked.get_mut(key).is_some_and(|locked| std::mem::replace(locked, true)) {
            return;
        }
        self.left_to_write = (self.left_to_write - 1).max(1);
        let savepoints = if self.random.u8(..8) == 0 { 2 } else { 1 };
        let parts = (0..savepoints).map(|_| self.part(key, savepoints > 1)).collect();
        let stall = if self.random.u8(..10) == 0 { self.random.u64(100..8_000) } else { self.random.u64(0..20) };
        let transaction = Transaction { key, parts, commit: self.random.u8(..10) > 0 };
        let number = self.summary.transactions;
        self.summary.transactions += 1;
        self.transactions.insert(number, transaction);
        self.after(stall, Action::End(number));
        if self.random.u8(..4) == 0 {
            self.hint(0..10); // before there is anything to see
        }
    }

    fn part(&mut self, key: usize, may_vanish: bool) -> Part {
        let mut events: Vec<Envelope> = (0..self.random.usize(1..4)).map(|_| self.event(key)).collect();
        let ids = events.iter().map(|event| event.id).collect();
        self.spoil_order(&mut events);
        let commit = !may_vanish || self.random.bool();
        let rows = self.store.begin(events);
        self.note_numbers();
        Part { rows, ids, commit }
    }

    pub(super) fn end(&mut self, number: u64) {
        let Some(Transaction { key, parts, commit }) = self.transactions.remove(&number) else { return };
        if let Some(locked) = self.locked.get_mut(key) {
            *locked = false;
        }
        if !commit {
            return;
        }
        for part in parts.into_iter().filter(|part| part.commit) {
            self.summary.events += part.ids.len();
            self.facts.commit(self.now, &part.ids);
            self.note(|| format!("committed {part:?}"));
            part.rows.commit();
        }
        // It was flushed to disk, and everything before it.
        self.volatile.clear();
        match self.random.u8(..8) {
            // Never: also when the answer of the commit was lost, and nobody knows.
            0 | 1 => {}
            2 => self.hint(0..3_000),
            3 => {
                self.hint(0..1);
                self.hint(0..100);
            }
            _ => self.hint(0..1),
        }
    }

    /// The database has lost all connections.
    pub(super) fn roll_back_all(&mut self) {
        self.transactions.clear();
        self.locked = [false; ORDERED];
    }

    /// Tells some of the nodes that there is work.
    fn hint(&mut self, when: std::ops::Range<u64>) {
        for node in 0..self.nodes.len() {
            if self.random.bool() {
                let (life, when) = (self.nodes[node].life, self.random.u64(when.clone()));
                self.after(when, Action::Arrive(node, life, Event::Woken));
            }
        }
    }

    fn event(&mut self, key: usize) -> Envelope {
        let poison = match (self.harsh, self.faults) {
            (true, _) => self.random.u8(..4) == 0,
            (_, true) => self.random.u8(..20) == 0,
            _ => false,
        };
        let garbled = self.faults && self.random.u8(..150) == 0;
        let delay = (self.random.u8(..20) == 0).then(|| self.milliseconds(0..3_000));
        let was_poison = poison || garbled;
        let fact = Fact { key, poison, garbled, was_poison, delayed: delay.is_some(), ..Fact::default() };
        let id = self.facts.add(self.random.u64(..), fact);
        Envelope {
            id,
            aggregate_type: "thing".into(),
            aggregate_id: None,
            aggregate_version: None,
            event_type: "thing.happened".into(),
            event_version: 1,
            topic: TOPICS[key % 2].into(),
            key: (key < ORDERED).then(|| format!("key-{key}").into()),
            payload: Some(Bytes::from_static(&PAYLOAD[..self.random.usize(0..2_000)])),
            content_type: "application/json".into(),
            headers: Headers::new(),
            created_at: SystemTime::UNIX_EPOCH,
            delay,
        }
    }

    /// An operator has mended what was wrong with the dead events, and requeues some of the keys, or everything.
    pub(super) fn requeue(&mut self) {
        for letter in self.store.dead() {
            self.facts.of(letter.envelope.id).poison = false;
        }
        if self.random.u8(..4) == 0 {
            self.put_back(None);
        } else {
            for key in 0..ORDERED {
                if self.random.bool() {
                    self.put_back(Some(key));
                }
            }
        }
    }

    /// Requeues what is dead of a key, or everything.
    pub(super) fn put_back(&mut self, key: Option<usize>) {
        let parked: Vec<bool> = (0..ORDERED).map(|key| self.store.is_parked(&order_key(key))).collect();
        let before = self.store.dead();
        match key {
            Some(key) => at_once(self.store.requeue_key(&order_key(key))).unwrap(),
            None => at_once(self.store.requeue_all(u32::MAX)).unwrap(),
        };
        let left = self.store.dead();
        for letter in before.iter().filter(|was| left.iter().all(|is| is.envelope.id != was.envelope.id)) {
            let fact = self.facts.of(letter.envelope.id);
            fact.rejections = 0;
            fact.left_behind |= !parked.get(fact.key).is_some_and(|parked| *parked);
            self.may_repeat(letter.envelope.id);
        }
    }

    /// Commits some events of a key that is locked by nobody, of which the first may be poison.
    pub(super) fn commit_of(&mut self, key: usize, count: usize, poison: bool) {
        let events: Vec<Envelope> = (0..count).map(|_| Envelope { delay: None, ..self.event(key) }).collect();
        let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
        for (n, id) in ids.iter().enumerate() {
            let fact = self.facts.of(*id);
            (fact.delayed, fact.poison, fact.was_poison) = (false, poison && n == 0, poison && n == 0);
        }
        self.summary.events += count;
        self.facts.commit(self.now, &ids);
        self.store.commit(events);
    }

    /// An operator gives up an event, which may be with a publisher at this moment and arrive all the same.
    pub(super) fn give_up(&mut self) {
        let pending = at_once(self.store.pending(0, 10)).unwrap();
        if pending.is_empty() {
            return;
        }
        let id = pending[self.random.usize(..pending.len())].envelope.id;
        at_once(self.store.give_up(id, "not wanted")).unwrap();
        self.facts.of(id).given_up = true;
    }

    /// What was committed by then, of some keys, and is not delivered.
    pub(super) fn undelivered_of(&self, by: Duration, keys: impl Fn(usize) -> bool) -> Vec<(usize, usize)> {
        let old = |fact: &Fact| fact.committed_at.is_some_and(|at| at <= by) && !fact.delayed && keys(fact.key);
        let late = self.facts.iter().filter(|(_, fact)| old(fact) && fact.delivered == 0);
        late.map(|(index, fact)| (index, fact.key)).collect()
    }
}

/// The order key of events of a key.
pub(super) fn order_key(key: usize) -> OrderKey {
    OrderKey::new(TOPICS[key % 2], format!("key-{key}"))
}
