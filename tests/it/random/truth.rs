//! What was staged, and what of it must be seen, in which order.

use std::collections::{HashMap, HashSet};

use outbox_core::MemoryPublisher;
use outbox_core::event::EventId;
use outbox_core::message::Origin;

use super::events::Step;

/// A committed event.
#[derive(Debug)]
struct Committed {
    step: Step,
    /// Its place among all that was staged; none when it was delayed.
    place: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Truth {
    committed: HashMap<EventId, Committed>,
    rolled_back: HashSet<EventId>,
    /// Deleted by an operator: they need not arrive.
    deleted: HashSet<EventId>,
}

impl Truth {
    /// Was staged, and its transaction ended like this.
    pub(super) fn staged(&mut self, id: EventId, step: Step, delayed: bool, is_committed: bool) {
        if is_committed {
            let place = (!delayed).then_some(step.number);
            self.committed.insert(id, Committed { step, place });
        } else {
            self.rolled_back.insert(id);
        }
    }

    pub(super) fn deleted(&mut self, id: EventId) {
        self.deleted.insert(id);
    }

    /// Holds what was published against it; `dead` are the letters that were left on purpose.
    pub(super) fn check(&self, sink: &MemoryPublisher, dead: &HashSet<EventId>) -> Seen {
        let mut first = HashSet::new();
        let mut last: HashMap<(&str, &str), usize> = HashMap::new();
        let mut seen = Seen { committed: self.committed.len(), ..Seen::default() };
        for message in sink.messages() {
            let id = message.id();
            assert!(!self.rolled_back.contains(&id), "{id} was rolled back and published: {message:?}");
            let known = self.committed.get(&id);
            let Committed { step, place } = known.unwrap_or_else(|| panic!("nobody staged {id}: {message:?}"));
            let envelope = &message.envelope;
            assert_eq!((&*envelope.topic, envelope.key.as_deref()), (step.topic, Some(step.key.as_str())));
            assert_eq!(envelope.payload.as_deref(), Some(step.payload().as_bytes()));
            if !first.insert(id) {
                seen.repeats += 1;
                continue;
            }
            seen.requeued += usize::from(message.origin == Origin::Requeued);
            let Some(place) = place.filter(|_| message.origin == Origin::Staged) else { continue };
            let highest = last.entry((step.topic, &step.key)).or_default();
            assert!(
                place >= *highest,
                "{} of key {} of {} was overtaken by {highest}: {:?}",
                step.number,
                step.key,
                step.topic,
                self.history(sink, step)
            );
            *highest = place;
        }
        let lost: Vec<&Step> = self
            .committed
            .iter()
            .filter(|(id, _)| !first.contains(id) && !self.deleted.contains(id) && !dead.contains(id))
            .map(|(_, committed)| &committed.step)
            .collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        seen
    }

    /// What was published of a key, by the places of its events.
    fn history(&self, sink: &MemoryPublisher, of: &Step) -> Vec<(usize, Origin)> {
        let messages = sink.of_topic(of.topic).into_iter();
        let of_key = messages.filter(|message| message.envelope.key.as_deref() == Some(of.key.as_str()));
        of_key.map(|message| (self.committed[&message.id()].step.number, message.origin)).collect()
    }
}

/// How much a run has shown.
#[derive(Debug, Default)]
#[expect(dead_code, reason = "it is printed")]
pub(super) struct Seen {
    pub(super) committed: usize,
    pub(super) repeats: usize,
    pub(super) requeued: usize,
}
