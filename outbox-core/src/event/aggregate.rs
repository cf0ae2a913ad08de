//! Aggregates that collect their own events.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{EventId, OutboxEvent};

/// An aggregate that collects the events it causes, to be staged when it is saved.
///
/// ```
/// # use outbox_core::{AggregateRoot, OutboxEvent, PendingEvents};
/// struct Order {
///     id: u64,
///     pending: PendingEvents,
/// }
///
/// impl AggregateRoot for Order {
///     fn pending_events(&mut self) -> &mut PendingEvents {
///         &mut self.pending
///     }
/// }
/// ```
pub trait AggregateRoot {
    /// The collector, usually a field.
    fn pending_events(&mut self) -> &mut PendingEvents;
}

/// The events that an aggregate has caused and that are not committed yet: a field of the aggregate.
///
/// An event gets its id when it is [recorded](Self::record) and keeps it, whatever happens to the transaction it is
/// staged in: events of a transaction, or savepoint, that rolls back come back here, in their order and with their
/// ids. So a retry stages the same events again, and if the first attempt was committed after all, consumers
/// recognize the repeats.
///
/// A clone has the same events with the same ids, because a copy of an aggregate may be the one that is saved;
/// save one of them only. Two aggregates that differ in their pending events alone are equal: any two values of this
/// type are. Serialized forms leave it out (`#[serde(skip)]` works: the default is empty).
#[derive(Default)]
pub struct PendingEvents {
    list: Arc<Mutex<List>>,
}

/// Pending events, oldest first. `number` counts what was ever recorded, so that what comes back finds its place.
#[derive(Default, Clone)]
struct List {
    events: Vec<Pending>,
    number: u64,
}

#[derive(Clone)]
struct Pending {
    number: u64,
    id: EventId,
    event: Arc<dyn OutboxEvent + Send + Sync>,
}

/// An event that was taken over to be staged. Dropped, it goes back to its aggregate, if that still exists.
#[must_use = "dropping it gives the event back"]
pub struct TakenEvent {
    /// Where it goes back to; empty once it is settled.
    home: Weak<Mutex<List>>,
    pending: Pending,
}

impl PendingEvents {
    /// Nothing is pending.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers that `event` happened, behind what happened before. Returns the id that it will be staged with.
    pub fn record(&mut self, event: impl OutboxEvent + Send + Sync + 'static) -> EventId {
        let mut list = lock(&self.list);
        let pending = Pending { number: list.number, id: EventId::new(), event: Arc::new(event) };
        let id = pending.id;
        list.number += 1;
        list.events.push(pending);
        id
    }

    /// How many are pending. Events that are staged in an open transaction are not.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.list).events.len()
    }

    /// Whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids of the pending events, oldest first.
    #[must_use]
    pub fn ids(&self) -> Vec<EventId> {
        lock(&self.list).events.iter().map(|pending| pending.id).collect()
    }

    /// Forgets what is pending.
    pub fn clear(&mut self) {
        let forgotten = std::mem::take(&mut lock(&self.list).events);
        drop(forgotten); // runs the events' own code, so not under the lock
    }

    /// Takes all pending events, to stage them. For stores of events, not for domain code.
    pub fn take(&mut self) -> Vec<TakenEvent> {
        let events = std::mem::take(&mut lock(&self.list).events);
        events.into_iter().map(|pending| TakenEvent { home: Arc::downgrade(&self.list), pending }).collect()
    }
}

impl TakenEvent {
    /// The id it was recorded with.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.pending.id
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &(dyn OutboxEvent + Send + Sync) {
        &*self.pending.event
    }

    /// It is committed: it does not go back.
    pub fn settle(mut self) {
        self.home = Weak::new();
    }
}

impl Drop for TakenEvent {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            let mut list = lock(&home);
            let place = list.events.partition_point(|event| event.number < self.pending.number);
            list.events.insert(place, self.pending.clone());
        }
    }
}

impl Clone for PendingEvents {
    fn clone(&self) -> Self {
        Self { list: Arc::new(Mutex::new(lock(&self.list).clone())) }
    }
}

impl PartialEq for PendingEvents {
    /// Always: what is pending is no part of an aggregate's state.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for PendingEvents {}

impl fmt::Debug for PendingEvents {
    /// Shows how many, and nothing of what is in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PendingEvents({})", self.len())
    }
}

impl fmt::Debug for TakenEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TakenEvent").field(&self.pending.id).finish()
    }
}

fn lock(list: &Mutex<List>) -> MutexGuard<'_, List> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::event::Encoded;

    struct Happened;

    impl OutboxEvent for Happened {
        fn aggregate_type(&self) -> Cow<'_, str> {
            "thing".into()
        }
        fn aggregate_id(&self) -> Option<Cow<'_, str>> {
            Some("1".into())
        }
        fn event_type(&self) -> Cow<'_, str> {
            "thing.happened".into()
        }
        fn topic(&self) -> Cow<'_, str> {
            "things".into()
        }
        fn partition_key(&self) -> Option<Cow<'_, str>> {
            self.aggregate_id()
        }
        fn encode(&self) -> Result<Encoded, Box<dyn std::error::Error + Send + Sync>> {
            Ok(Encoded::tombstone())
        }
    }

    #[test]
    fn dropped_events_come_back_to_their_places_with_their_ids() {
        let mut pending = PendingEvents::new();
        let recorded = [pending.record(Happened), pending.record(Happened), pending.record(Happened)];
        let mut taken = pending.take();
        assert!(pending.is_empty());
        let later = pending.record(Happened);
        taken.remove(1).settle();
        taken.reverse();
        drop(taken);
        assert_eq!(pending.ids(), [recorded[0], recorded[2], later]);
    }

    #[test]
    fn a_clone_has_the_same_events_and_its_own_list() {
        let mut pending = PendingEvents::new();
        let id = pending.record(Happened);
        let mut copy = pending.clone();
        let taken = pending.take();
        assert_eq!(copy.ids(), [id]);
        copy.clear();
        drop(taken);
        assert_eq!((pending.len(), copy.len()), (1, 0));
        assert_eq!(pending, copy);
    }

    #[test]
    fn events_outlive_their_aggregate_without_harm() {
        let mut pending = PendingEvents::new();
        pending.record(Happened);
        let taken = pending.take();
        drop(pending);
        assert_eq!(taken[0].event().topic(), "things");
    }
}
