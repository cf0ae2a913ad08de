//! What the simulation asks about holds.

use super::{Holds, Key};

/// How an event is remembered that was passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum Remembered {
    Not,
    /// It is looked for when its key is let go.
    Kept,
    /// It is looked for.
    Sought,
}

impl Holds {
    /// Whether a search will come by `seq`, because of its key.
    pub(in crate::engine) fn remembers_key(&self, key: &Key, seq: i64) -> Remembered {
        let Some(hold) = self.keys.get(key) else { return Remembered::Not };
        let (from, sought) = if hold.in_pass {
            let Some(pass) = self.pass.as_ref().filter(|pass| pass.keys.contains(key)) else { return Remembered::Not };
            (hold.again.map_or(pass.cursor, |again| again.min(pass.cursor)), true)
        } else {
            (hold.from, hold.until.is_some_and(|until| self.due.get(&until) == Some(key)))
        };
        match from <= seq {
            true if sought => Remembered::Sought,
            true => Remembered::Kept,
            false => Remembered::Not,
        }
    }

    /// The same because of its topic, whose parts are not told apart when it is looked for.
    pub(in crate::engine) fn remembers_topic(&self, topic: &str, seq: i64) -> bool {
        self.topics.iter().filter(|(held, _)| held.topic() == topic).any(|(held, from)| {
            let Some(pass) = self.pass.as_ref().filter(|pass| pass.topics.contains(held)) else { return *from <= seq };
            let again = pass.again.get(held).is_some_and(|again| *again <= seq);
            // A search for one event leaves all others where they are.
            again || pass.cursor <= seq || (pass.probe.as_ref() == Some(held) && *from <= seq)
        })
    }
}
