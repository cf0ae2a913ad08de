//! [`Holds`]: what a lane has passed over, and where to look for it again.

#[cfg(test)]
mod tests;
#[cfg(test)]
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

#[cfg(test)]
pub(super) use self::view::Remembered;
use super::destination::Destination;
use super::hash::Map;
use super::key::Key;
use crate::store::Revisit;

/// Most keys, or unordered events, that one pass looks for.
const PASS_KEYS: usize = 1_000;
/// How long a topic may fill a pass for which others wait.
const SLICE: Duration = Duration::from_secs(1);

/// What a lane has passed over, and where to look for it again.
///
/// Every pending event that the lane has seen and does not have in memory is covered: by the hold of its key or by
/// the hold of its topic, whose `from` is at or below its number. What is held costs memory per key, not per event.
#[derive(Debug, Default)]
pub(super) struct Holds {
    keys: Map<Key, KeyHold>,
    due: BTreeMap<(Instant, u64), Key>,
    serial: u64,
    topics: BTreeMap<Destination, i64>,
    pass: Option<Pass>,
}

#[derive(Debug)]
struct KeyHold {
    from: i64,
    /// Its place in `due`; none while it waits for a settle or is part of the pass.
    until: Option<(Instant, u64)>,
    in_pass: bool,
    /// Seen behind the pass's position while it ran: look again from here.
    again: Option<i64>,
}

/// One walk over what is held and may go now: all due keys and topics together, in the order of numbers. A topic with a
/// large backlog leaves it for a while when others wait behind it.
#[derive(Debug)]
struct Pass {
    cursor: i64,
    keys: BTreeSet<Key>,
    topics: BTreeSet<Destination>,
    /// Topics seen behind the position: look again from here.
    again: BTreeMap<Destination, i64>,
    /// The topic of the pass, when it may send just one event, to find out whether it works.
    probe: Option<Destination>,
    /// When others were looked for last, which topics have been found since, and which of them left then.
    since: Instant,
    found: BTreeSet<Destination>,
    left: BTreeSet<Destination>,
}

impl Holds {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether a row of this key, met outside the pass, must be passed over; notes it if so.
    pub(super) fn covers_key(&mut self, key: &Key, seq: i64) -> bool {
        let cursor = self.pass.as_ref().map_or(i64::MAX, |pass| pass.cursor);
        let Some(hold) = self.keys.get_mut(key) else { return false };
        if !hold.in_pass {
            hold.from = hold.from.min(seq);
        } else if seq < cursor {
            hold.again = Some(hold.again.map_or(seq, |again| again.min(seq)));
        }
        true
    }

    /// The same for a row that the pass found, which can belong to others than the pass looks for.
    pub(super) fn covers_revisited(&mut self, key: &Key, topic: &Destination, seq: i64) -> bool {
        if let Some(pass) = &mut self.pass
            && pass.topics.contains(topic)
            && !pass.found.contains(topic)
        {
            pass.found.insert(topic.clone());
        }
        // Where earlier events had to be left for the next pass, this one must be too.
        let lets_go = |held: &Destination| {
            self.pass.as_ref().is_some_and(|pass| pass.topics.contains(held) && !pass.again.contains_key(held))
        };
        if self.of_topic(topic).any(|held| concerns(held, key, topic) && !lets_go(held)) {
            self.hold_revisited(topic, seq);
            return true;
        }
        let Some(hold) = self.keys.get_mut(key) else { return false };
        if hold.in_pass {
            // An earlier event of the key has come to light behind the pass: this one must be left with it.
            return hold.again.is_some_and(|again| again < seq);
        }
        hold.from = hold.from.min(seq);
        true
    }

    /// Whether the pass is looking for one event of this topic, to find out whether it works.
    pub(super) fn is_probing(&self, topic: &Destination) -> bool {
        self.pass.as_ref().is_some_and(|pass| pass.probe.as_ref() == Some(topic))
    }

    /// Whether the pass is such a search at all.
    pub(super) fn is_probe(&self) -> bool {
        self.pass.as_ref().is_some_and(|pass| pass.probe.is_some())
    }

    /// Whether a key is held, or looked for.
    pub(super) fn has_key(&self, key: &Key) -> bool {
        self.keys.contains_key(key)
    }

    /// Whether a topic, or this part of it, is held.
    pub(super) fn has_topic(&self, topic: &Destination) -> bool {
        self.topics.contains_key(topic)
    }

    /// Whether rows of a topic, met outside the pass, must be passed over although the topic works again.
    pub(super) fn covers_topic(&mut self, key: &Key, topic: &Destination, seq: i64) -> bool {
        let covered = self.of_topic(topic).any(|held| concerns(held, key, topic));
        if covered {
            self.hold_topic(topic, seq);
        }
        covered
    }

    /// Passes over a row of a topic that does not work.
    pub(super) fn hold_topic(&mut self, topic: &Destination, seq: i64) {
        if let Some(pass) = &mut self.pass
            && pass.topics.contains(topic)
        {
            if seq < pass.cursor {
                let again = pass.again.entry(topic.clone()).or_insert(seq);
                *again = seq.min(*again);
            }
            return;
        }
        if let Some(from) = self.topics.get_mut(topic) {
            *from = seq.min(*from);
        } else {
            self.topics.insert(topic.clone(), seq);
        }
    }

    /// Passes over a row that the pass found, because its topic does not work.
    pub(super) fn hold_revisited(&mut self, topic: &Destination, seq: i64) {
        match self.pass.as_mut().filter(|pass| pass.topics.contains(topic)) {
            Some(pass) => {
                let again = pass.again.entry(topic.clone()).or_insert(seq);
                *again = seq.min(*again);
            }
            None => self.hold_topic(topic, seq),
        }
    }

    /// Holds a key from `from` on, until told otherwise.
    pub(super) fn hold_key(&mut self, key: Key, from: i64) {
        // What a pass that looks for it has not come to is still passed over.
        let left = self.pass.as_mut().and_then(|pass| pass.keys.remove(&key).then_some(pass.cursor));
        let entry = self.keys.entry(key).or_insert(KeyHold { from, until: None, in_pass: false, again: None });
        let from = left.into_iter().chain(entry.again.take()).fold(from, i64::min);
        entry.from = if entry.in_pass { from } else { entry.from.min(from) };
        entry.in_pass = false;
        if let Some(until) = entry.until.take() {
            self.due.remove(&until);
        }
    }

    /// Lets a held key go at `until`.
    pub(super) fn release_key(&mut self, key: &Key, until: Instant) {
        self.serial += 1;
        let Some(hold) = self.keys.get_mut(key) else { return };
        if let Some(old) = hold.until.replace((until, self.serial)) {
            self.due.remove(&old);
        }
        self.due.insert((until, self.serial), key.clone());
    }

    /// When the next key is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.keys().next().map(|(until, _)| *until)
    }

    /// Whether there is something to look for now. `flows` tells which topics work.
    pub(super) fn wants_pass(&self, now: Instant, flows: impl Fn(&Destination) -> bool) -> bool {
        self.pass.is_some()
            || self.next_due().is_some_and(|due| due <= now)
            || self.topics.keys().any(|topic| self.may_pass(topic, &flows))
    }

    /// The next part of the walk up to `to`, begun if need be. `probe` is a topic that may try one event.
    pub(super) fn revisit(
        &mut self,
        now: Instant,
        to: i64,
        flows: impl Fn(&Destination) -> bool,
        probe: Option<&Destination>,
    ) -> Option<Revisit> {
        self.interrupt(now, &flows, probe);
        if self.pass.is_none() {
            self.pass = self.begin(now, flows, probe);
        }
        let pass = self.pass.as_ref()?;
        let mut revisit = Revisit { from: pass.cursor, to, ..Revisit::default() };
        for key in &pass.keys {
            match key {
                Key::Ordered(key) => revisit.keys.push(key.key.to_string()),
                Key::Loose(seq) => revisit.seqs.push(*seq),
            }
        }
        revisit.keys.dedup();
        revisit.topics.extend(pass.topics.iter().map(|destination| destination.topic().to_owned()));
        revisit.topics.dedup();
        Some(revisit)
    }

    /// The walk has come to `cursor`, or to its end. Returns the topic that was probed, when it ends.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        cursor: Option<i64>,
        flows: impl Fn(&Destination) -> bool,
    ) -> Option<Destination> {
        if let Some(cursor) = cursor {
            if let Some(pass) = &mut self.pass {
                pass.cursor = cursor;
            }
            return None;
        }
        let mut pass = self.pass.take()?;
        for key in pass.keys {
            let Some(hold) = self.keys.remove(&key) else { continue };
            if let Some(until) = hold.until {
                self.due.remove(&until);
            }
            if let Some(from) = hold.again {
                self.hold_key(key.clone(), from);
                self.release_key(&key, now);
            }
        }
        for topic in pass.topics {
            let again = pass.again.remove(&topic);
            let kept = !flows(&topic) || pass.probe.as_ref() == Some(&topic);
            let from = if kept { self.topics.get(&topic).copied() } else { None };
            match from.into_iter().chain(again).min() {
                Some(from) => self.topics.insert(topic, from),
                None => self.topics.remove(&topic),
            };
        }
        pass.probe
    }

    /// Whether a pass could let events of this destination go. Where events are held under different divisions of their
    /// topic, nobody knows which keys they share, and all of them go together.
    fn may_pass(&self, topic: &Destination, flows: impl Fn(&Destination) -> bool) -> bool {
        let divided = || self.of_topic(topic).any(|held| held.may_share_keys(topic));
        flows(topic) && (!divided() || self.of_topic(topic).all(&flows))
    }

    /// What is held of the topic of a destination.
    fn of_topic(&self, destination: &Destination) -> impl Iterator<Item = &Destination> {
        let whole = destination.whole();
        let from = self.topics.range(whole.clone()..).map(|(held, _)| held);
        from.take_while(move |held| held.topic() == whole.topic())
    }

    fn begin(
        &mut self,
        now: Instant,
        flows: impl Fn(&Destination) -> bool,
        probe: Option<&Destination>,
    ) -> Option<Pass> {
        let mut pass = Pass::new(now);
        if let Some((topic, from)) = probe.and_then(|topic| self.topics.get_key_value(topic)) {
            // A probe walks alone: it takes one event and leaves everything else of the topic where it is.
            (pass.cursor, pass.probe) = (*from, Some(topic.clone()));
            pass.topics.insert(topic.clone());
        } else {
            self.join(&mut pass, now, flows);
        }
        (pass.cursor < i64::MAX).then_some(pass)
    }

    /// What is due joins a pass, which goes back for it.
    fn join(&mut self, pass: &mut Pass, now: Instant, flows: impl Fn(&Destination) -> bool) {
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 <= now
            && pass.keys.len() < PASS_KEYS
        {
            let key = entry.remove();
            let Some(hold) = self.keys.get_mut(&key) else { continue };
            hold.until = None;
            if !std::mem::replace(&mut hold.in_pass, true) {
                hold.again = None;
                pass.cursor = pass.cursor.min(hold.from);
                pass.keys.insert(key);
            }
        }
        for (topic, from) in &self.topics {
            if !pass.left.contains(topic) && self.may_pass(topic, &flows) && pass.topics.insert(topic.clone()) {
                pass.cursor = pass.cursor.min(*from);
            }
        }
    }

    /// Makes way in a pass for others: for a probe, which walks alone, by ending it; else, when it has lasted for long,
    /// by taking out the topics that filled it.
    fn interrupt(&mut self, now: Instant, flows: impl Fn(&Destination) -> bool, probe: Option<&Destination>) {
        let long = |pass: &Pass| now >= pass.since + SLICE;
        let Some(mut pass) = self.pass.take_if(|pass| pass.probe.is_none() && (probe.is_some() || long(pass))) else {
            return;
        };
        if probe.is_some() {
            for key in std::mem::take(&mut pass.keys) {
                let seen = self.keys.remove(&key).and_then(|hold| hold.again);
                self.hold_key(key.clone(), seen.map_or(pass.cursor, |seen| seen.min(pass.cursor)));
                self.release_key(&key, now);
            }
            let all = std::mem::take(&mut pass.topics);
            all.into_iter().for_each(|topic| self.leave(&mut pass, topic));
            return;
        }
        // Who left before comes back.
        pass.left.clear();
        for topic in std::mem::take(&mut pass.found) {
            if pass.topics.remove(&topic) {
                pass.left.insert(topic.clone());
                self.leave(&mut pass, topic);
            }
        }
        self.join(&mut pass, now, flows);
        pass.since = now;
        // With nobody else in it, it is at its end, and another one begins.
        if !pass.keys.is_empty() || !pass.topics.is_empty() {
            self.pass = Some(pass);
        }
    }

    /// Holds a topic of a pass from where the pass is.
    fn leave(&mut self, pass: &mut Pass, topic: Destination) {
        let seen = pass.again.remove(&topic);
        self.topics.insert(topic, seen.map_or(pass.cursor, |seen| seen.min(pass.cursor)));
    }
}

impl Pass {
    /// One that looks for nothing yet.
    fn new(now: Instant) -> Self {
        Self {
            cursor: i64::MAX,
            keys: BTreeSet::new(),
            topics: BTreeSet::new(),
            again: BTreeMap::new(),
            probe: None,
            since: now,
            found: BTreeSet::new(),
            left: BTreeSet::new(),
        }
    }
}

/// Whether an event may have to wait for what is `held`: for events of its own destination, and for those of its key.
fn concerns(held: &Destination, key: &Key, destination: &Destination) -> bool {
    held == destination || (matches!(key, Key::Ordered(_)) && held.may_share_keys(destination))
}
