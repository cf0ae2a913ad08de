use std::collections::HashSet;

use super::facts::{Fact, Facts};
use super::nodes::at_once;
use super::world::{ORDERED, WINDOW, World};
use crate::event::{EventId, OrderKey};
use crate::message::Message;
use crate::store::{Admin, DeadState, Fate, SettleRequest};

/// How a run broke a promise.
#[derive(Debug)]
#[allow(dead_code, reason = "the texts are for people")]
pub(super) enum Violation {
    Lost(String),
    Phantom(String),
    Misordered(String),
    /// Published again without a cause.
    Repeated(String),
    /// More published and not settled than the window allows.
    Window(String),
    /// Dead, although the broker has not rejected it as often as it may.
    WronglyDead(String),
    /// Published, although its row could not be understood.
    Unreadable(String),
    /// Aside, although nobody would find it there.
    WronglyParked(String),
    /// Published by the owner of the shard while its key was parked.
    NotHeldBack(String),
    /// Settled before an earlier one of its key.
    Gap(String),
    /// Pending, and neither in the memory of its processor nor looked for.
    Forgotten(String),
    /// A shard was handed over although the time for its events was not over.
    GivenUpEarly(String),
    /// Pending for long after the last fault.
    Stuck(String),
    /// Something is due that is done, or was due before.
    Spinning(String),
}

fn holds(condition: bool, otherwise: impl FnOnce() -> Violation) -> Result<(), Violation> {
    if condition { Ok(()) } else { Err(otherwise()) }
}

impl World {
    /// Holds the broker's log against what was committed.
    pub(super) fn check(&mut self) -> Result<(), Violation> {
        self.excuse_the_last();
        let letters = self.store.dead();
        let dead: HashSet<usize> = letters.iter().map(|letter| Facts::index(letter.envelope.id)).collect();
        for (index, fact) in self.facts.iter().filter(|(_, fact)| !fact.undone) {
            let committed = fact.committed_at.is_some();
            let there = fact.delivered > 0 || dead.contains(&index);
            holds(!committed || there, || Violation::Lost(format!("{index} of key {}", fact.key)))?;
            holds(committed || fact.delivered == 0, || Violation::Phantom(format!("{index} of key {}", fact.key)))?;
            let repeats = fact.delivered.saturating_sub(1);
            holds(repeats <= fact.may_repeat, || {
                Violation::Repeated(format!("{index}, {repeats} times for {} causes", fact.may_repeat))
            })?;
        }
        self.check_dead()?;
        for key in 0..ORDERED.min(self.facts.committed.len()) {
            self.check_order(key)?;
        }
        Ok(())
    }

    /// Holds a settle against what is pending, which must be looked at before and after it, in some of the runs.
    ///
    /// What is settled of a key is a prefix of it: after a crash, nothing that was published before something that is
    /// gone can be published again behind it.
    pub(super) fn settled_of(&mut self, request: &SettleRequest) -> Vec<(OrderKey, i64)> {
        self.check_fates(request);
        if !self.audit {
            return Vec::new();
        }
        let changes = request.lanes.iter().flat_map(|lane| &lane.changes);
        let delivered: HashSet<(i64, EventId)> =
            changes.filter(|change| change.fate == Fate::Delivered).map(|change| (change.seq, change.id)).collect();
        let mut found = Vec::new();
        let facts = &self.facts;
        self.store.for_each_pending(|seq, event| {
            // Delayed and requeued events have numbers above those of transactions that are still open.
            let staged = |fact: &Fact| !fact.delayed && !fact.was_poison && !fact.given_up;
            if delivered.contains(&(seq, event.id))
                && staged(facts.get(Facts::index(event.id)))
                && let Some(key) = event.order_key()
            {
                found.push((key, seq));
            }
        });
        found
    }

    pub(super) fn check_prefix(&mut self, settled: &[(OrderKey, i64)]) {
        let mut gap = None;
        for (key, seq) in settled.iter().filter(|(_, seq)| self.store.pending_id(*seq).is_none()) {
            self.store.for_each_pending(|before, event| {
                let revived = self.facts.get(Facts::index(event.id)).revived;
                if before < *seq && !revived && event.order_key().as_ref() == Some(key) {
                    gap = Some(format!("{seq} of {key:?} is settled before {before}"));
                }
            });
        }
        if let Some(gap) = gap {
            self.violated(Violation::Gap(gap));
        }
    }

    /// Only what the broker rejects may die.
    fn check_fates(&mut self, request: &SettleRequest) {
        for change in request.lanes.iter().flat_map(|lane| &lane.changes) {
            let Fate::Dead { park, .. } = change.fate else { continue };
            let fact = self.facts.of(change.id);
            fact.left_behind |= !park;
            if !fact.was_poison {
                self.violated(Violation::WronglyDead(format!("{}, which was never rejected", change.id)));
            }
        }
    }

    /// Nobody knows what to publish of a row that cannot be understood.
    pub(super) fn check_readable(&mut self, message: &Message) {
        if self.facts.of(message.id()).garbled {
            self.violated(Violation::Unreadable(format!("{} of {:?}", message.seq, message.order_key())));
        }
    }

    /// Nothing of a parked key is published until an operator requeues it, except by who has lost the shard.
    pub(super) fn check_parked(&mut self, n: usize, message: &Message) {
        let fact = self.facts.get(Facts::index(message.id()));
        let first = fact.delivered == 0 && !fact.delayed && !fact.given_up && !fact.known_before;
        let parked = first && message.order_key().is_some_and(|key| self.store.is_parked(&key));
        if parked && self.is_owner(n, message.shard) {
            self.violated(Violation::NotHeldBack(format!("{} of {:?}", message.seq, message.order_key())));
        }
    }

    /// What is dead was rejected often enough since an operator last put it back, and what is parked can be found.
    fn check_dead(&self) -> Result<(), Violation> {
        let parked = at_once(self.store.parked_keys(None, u32::MAX)).unwrap();
        for letter in self.store.dead() {
            let id = letter.envelope.id;
            let fact = self.facts.get(Facts::index(id));
            if letter.state == DeadState::Parked {
                let key = letter.envelope.order_key();
                let behind = key.is_some_and(|key| parked.contains(&key));
                holds(behind, || Violation::WronglyParked(format!("{id} is behind a key that is not parked")))?;
            } else if !fact.given_up {
                let often = fact.rejections >= self.most_attempts();
                holds(often, || Violation::WronglyDead(format!("{id}, after {} rejections", fact.rejections)))?;
            }
        }
        Ok(())
    }

    /// First deliveries come in the order of commits. Delayed events take their place when they are due, and dead
    /// ones whose key went on come when they are requeued, or when a processor that has lost its lease still sends them.
    fn check_order(&self, key: usize) -> Result<(), Violation> {
        let mut seen = HashSet::new();
        let firsts = self.delivered.iter().filter(|index| self.facts.get(**index).key == key && seen.insert(**index));
        let in_order = |index: &&usize| {
            let fact = self.facts.get(**index);
            !fact.delayed && !fact.left_behind && !fact.given_up && !fact.undone
        };
        let mut expected = self.facts.committed[key].iter();
        for index in firsts.filter(in_order) {
            let found = expected.any(|next| next == index);
            holds(found, || Violation::Misordered(format!("event {index} of key {key} came late")))?;
        }
        Ok(())
    }

    /// The most that one cause may cost.
    pub(super) fn check_window(&mut self, cause: &str, events: usize) {
        if events > WINDOW {
            self.violated(Violation::Window(format!("{cause} costs {events} repeats")));
        }
    }
}
