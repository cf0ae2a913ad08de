#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::destination::{Destination, Directory, PartitionOf};
use super::key::Key;
use super::traffic::Traffic;
use super::window::Window;
use crate::message::Message;
use crate::shard::Shard;

/// How long a topic may be silent before hardly anything of it is kept in memory, and nothing waits behind it any more if
/// it has used up its share of the window.
const STALL: Duration = Duration::from_secs(2);
/// How long a probe may take to find an event to send.
const PROBE: Duration = Duration::from_secs(10);
/// Destinations that are remembered although nothing is under way for them.
const REMEMBERED: usize = 1_000;

/// Topics and their parts: what waits for them, what they may take of the window, and whether they work.
#[derive(Debug)]
pub(super) struct Topics {
    topics: BTreeMap<Destination, Topic>,
    directory: Directory,
    pause: (Duration, Duration),
    /// What a topic may have under way that has not answered.
    trial: usize,
}

#[derive(Debug)]
struct Topic {
    traffic: Traffic,
    ready: VecDeque<(Shard, Key)>,
    breaker: Breaker,
    failures: u32,
    cause: String,
    /// Since when it might have had more to send than its share of the window, and nothing has been reported.
    full: Option<Instant>,
    stalled: bool,
    /// When something was reported last, or the first of what is awaited was sent.
    heard: Option<Instant>,
}

/// The usual three states of a circuit breaker.
#[derive(Debug)]
enum Breaker {
    Closed,
    Open { until: Instant },
    HalfOpen { shard: Shard, admitted: bool, tried: BTreeSet<Shard>, since: Instant },
}

/// What a failure says about a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// It worked until now.
    News,
    /// It was being tried.
    Again,
    /// It is left alone already.
    Known,
}

impl Topics {
    /// `pause` is the first and the longest time for which a topic is left alone, and `trial` what it may have under way
    /// before it answers.
    pub(super) fn new(pause: (Duration, Duration), trial: usize, partition_of: Box<PartitionOf>) -> Self {
        Self { topics: BTreeMap::new(), directory: Directory::new(partition_of), pause, trial }
    }

    /// Where a message goes.
    pub(super) fn find(&mut self, message: &Message) -> Destination {
        self.directory.find(message)
    }

    /// Whether events of the topic can be sent, as far as is known.
    pub(super) fn flows(&self, topic: &Destination) -> bool {
        self.topics.get(topic).is_none_or(|topic| matches!(topic.breaker, Breaker::Closed) && !topic.stalled)
    }

    /// Whether nothing has been heard of the topic for long, although something is awaited.
    pub(super) fn is_silent(&self, now: Instant, topic: &Destination) -> bool {
        let silent = |heard: Instant| now.duration_since(heard) >= STALL;
        self.topics.get(topic).is_some_and(|topic| topic.traffic.awaited() > 0 && topic.heard.is_some_and(silent))
    }

    /// The topic for which this shard is to find one event to try.
    pub(super) fn probe_of(&self, shard: Shard) -> Option<&Destination> {
        let wanted = |topic: &Topic| matches!(&topic.breaker, Breaker::HalfOpen { shard: chosen, admitted: false, .. } if *chosen == shard);
        self.topics.iter().find(|(_, topic)| wanted(topic)).map(|(name, _)| name)
    }

    /// Whether this event of a topic that does not work may be the one to try.
    pub(super) fn admit_probe(&mut self, topic: &Destination, shard: Shard) -> bool {
        match self.topics.get_mut(topic).map(|topic| &mut topic.breaker) {
            Some(Breaker::HalfOpen { shard: chosen, admitted, .. }) if *chosen == shard && !*admitted => {
                *admitted = true;
                true
            }
            _ => false,
        }
    }

    /// The event that was admitted cannot be sent now.
    pub(super) fn probe_lost(&mut self, topic: &Destination, shard: Shard) {
        if let Some(Breaker::HalfOpen { shard: chosen, admitted, .. }) =
            self.topics.get_mut(topic).map(|topic| &mut topic.breaker)
            && *chosen == shard
        {
            *admitted = false;
        }
    }

    /// The shard has been searched; unless an event was admitted, another shard must be.
    pub(super) fn probe_not_found(&mut self, topic: &Destination, shard: Shard) {
        if let Some(Breaker::HalfOpen { shard: chosen, admitted: false, tried, .. }) =
            self.topics.get_mut(topic).map(|topic| &mut topic.breaker)
            && *chosen == shard
        {
            tried.insert(shard);
        }
    }

    /// The shard's events are gone from memory, and a probe with them.
    pub(super) fn forget_shard(&mut self, now: Instant, shard: Shard) {
        for topic in self.topics.values_mut() {
            if matches!(&topic.breaker, Breaker::HalfOpen { shard: chosen, .. } if *chosen == shard)
                && topic.traffic.awaited() == 0
            {
                topic.breaker = Breaker::Open { until: now };
            }
        }
    }

    /// A key has events to send.
    pub(super) fn ready(&mut self, topic: &Destination, shard: Shard, key: Key) {
        self.entry(topic).ready.push_back((shard, key));
    }

    /// Shards of which keys have events to send to the topic.
    pub(super) fn shards_with_ready(&self, name: &Destination) -> BTreeSet<Shard> {
        self.topics.get(name).into_iter().flat_map(|topic| &topic.ready).map(|(shard, _)| *shard).collect()
    }

    /// Whether a key is among those that have events to send.
    #[cfg(test)]
    pub(super) fn is_ready(&self, shard: Shard, key: &Key) -> bool {
        self.topics.values().flat_map(|topic| &topic.ready).any(|(of, ready)| *of == shard && ready == key)
    }

    /// The next key of a topic that may be tried, and how many of its events.
    pub(super) fn next_ready(
        &mut self,
        now: Instant,
        name: &Destination,
        window: &Window,
    ) -> Option<(Shard, Key, usize)> {
        let topic = self.topics.get_mut(name)?;
        let most = match topic.breaker {
            Breaker::Open { .. } => 0,
            Breaker::HalfOpen { admitted, .. } => usize::from(admitted && topic.traffic.awaited() == 0),
            Breaker::Closed => {
                let share = window.share(topic.traffic.in_flight());
                let trusted = topic.traffic.trusted(self.trial);
                // Half of it for a key: perhaps it is the key that does not answer.
                if trusted < share { trusted.div_ceil(2) } else { share }
            }
        };
        if most == 0 {
            if matches!(topic.breaker, Breaker::Closed) && topic.traffic.awaited() > 0 {
                topic.full.get_or_insert(now);
            }
            return None;
        }
        topic.ready.pop_front().map(|(shard, key)| (shard, key, most))
    }

    /// Forgets keys that have nothing to send any more.
    pub(super) fn keep_ready(&mut self, is_ready: impl Fn(Shard, &Key) -> bool) {
        for topic in self.topics.values_mut() {
            topic.ready.retain(|(shard, key)| is_ready(*shard, key));
        }
    }

    /// Puts a key back that could not be sent for want of room.
    pub(super) fn not_sent(&mut self, name: &Destination, shard: Shard, key: Key) {
        if let Some(topic) = self.topics.get_mut(name) {
            topic.ready.push_front((shard, key));
        }
    }

    /// Names of the topics with keys to send, beginning after `last`.
    pub(super) fn with_ready(&self, last: Option<&Destination>) -> Vec<Destination> {
        let names = self.topics.iter().filter(|(_, topic)| !topic.ready.is_empty()).map(|(name, _)| name.clone());
        let (mut after, before): (Vec<_>, Vec<_>) = names.partition(|name| Some(name) > last);
        after.extend(before);
        after
    }

    /// An event was handed to the publisher.
    pub(super) fn sent(&mut self, now: Instant, name: &Destination, turn: u64) {
        let topic = self.entry(name);
        if topic.traffic.awaited() == 0 {
            topic.heard = Some(now);
        }
        topic.traffic.sent(turn);
    }

    /// The publisher reported an event, whatever the outcome.
    pub(super) fn reported(&mut self, now: Instant, name: &Destination, turn: u64) {
        let topic = self.entry(name);
        topic.traffic.reported(turn);
        (topic.full, topic.stalled, topic.heard) = (None, false, Some(now));
    }

    /// The topic answered: it works. True when that is news.
    pub(super) fn works(&mut self, name: &Destination) -> bool {
        let trial = self.trial;
        let topic = self.entry(name);
        topic.failures = 0;
        topic.traffic.delivered(trial);
        let news = !matches!(topic.breaker, Breaker::Closed);
        topic.breaker = Breaker::Closed;
        news
    }

    /// An event was rejected, perhaps on this side of the broker: a probe has found out nothing, and another is needed.
    pub(super) fn says_nothing(&mut self, now: Instant, name: &Destination) {
        let topic = self.entry(name);
        if matches!(topic.breaker, Breaker::HalfOpen { admitted: true, .. }) && topic.traffic.awaited() == 0 {
            topic.breaker = Breaker::Open { until: now };
        }
    }

    /// The topic does not work: leaves it alone for a while, for `wait` if somebody knows.
    pub(super) fn fails(
        &mut self,
        now: Instant,
        name: &Destination,
        cause: String,
        wait: Option<Duration>,
        random: f64,
    ) -> Failure {
        let (base, longest) = self.pause;
        let topic = self.entry(name);
        topic.cause = cause;
        topic.traffic.start_over();
        let failure = match topic.breaker {
            Breaker::Closed => Failure::News,
            Breaker::HalfOpen { .. } => Failure::Again,
            Breaker::Open { .. } => return Failure::Known,
        };
        let pause = wait.unwrap_or_else(|| {
            let range = base.saturating_mul(1 << topic.failures.min(20)).min(longest);
            // Half fixed, half random: never at once, never all together.
            range.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
        });
        if wait.is_none() {
            topic.failures += 1;
        }
        topic.breaker = Breaker::Open { until: now + pause.min(Duration::from_secs(3600)) };
        failure
    }

    /// Moves breakers on with time. `holders` names the shards that hold events of a topic. Returns topics that have
    /// just stopped answering.
    pub(super) fn tick(&mut self, now: Instant, holders: impl Fn(&Destination) -> Vec<Shard>) -> Vec<Destination> {
        let mut stalled = Vec::new();
        for (name, topic) in &mut self.topics {
            let tried = match &mut topic.breaker {
                Breaker::Closed => {
                    if !topic.stalled && topic.full.is_some_and(|since| now.duration_since(since) >= STALL) {
                        topic.stalled = true;
                        topic.traffic.start_over();
                        stalled.push(name.clone());
                    }
                    continue;
                }
                Breaker::Open { until } if *until > now => continue,
                Breaker::Open { .. } => BTreeSet::new(),
                Breaker::HalfOpen { shard, admitted, tried, since } => {
                    let quiet = topic.traffic.awaited() == 0;
                    let lost = quiet && now.duration_since(*since) >= PROBE;
                    // What it was to be tried with can be gone.
                    let searched = || tried.contains(shard) || (!quiet && !holders(name).contains(shard));
                    if !lost && (*admitted || !searched()) {
                        continue;
                    }
                    let mut tried = std::mem::take(tried);
                    tried.insert(*shard);
                    tried
                }
            };
            let next = holders(name).into_iter().find(|shard| !tried.contains(shard));
            topic.breaker = match next {
                Some(shard) => Breaker::HalfOpen { shard, admitted: false, tried, since: now },
                // Nobody has anything to try it with: the next event will.
                None => Breaker::Closed,
            };
        }
        if self.topics.len() > REMEMBERED {
            let idle = |topic: &Topic| topic.traffic.in_flight() == 0 && topic.ready.is_empty();
            self.topics.retain(|_, topic| !idle(topic) || !matches!(topic.breaker, Breaker::Closed));
        }
        stalled
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        let next = |topic: &Topic| match &topic.breaker {
            Breaker::Open { until } => Some(*until),
            // While the probe is with the publisher, only its report can move anything on.
            Breaker::HalfOpen { since, .. } => (topic.traffic.awaited() == 0).then_some(*since + PROBE),
            Breaker::Closed if !topic.stalled => topic.full.map(|since| since + STALL),
            Breaker::Closed => None,
        };
        self.topics.values().filter_map(next).min()
    }

    /// Topics that do not work now, and why.
    pub(super) fn paused(&self) -> Vec<(String, String)> {
        let broken = self.topics.iter().filter(|(_, topic)| !matches!(topic.breaker, Breaker::Closed));
        let mut paused: Vec<_> =
            broken.map(|(destination, topic)| (destination.to_string(), topic.cause.clone())).collect();
        // With and without keys.
        paused.dedup_by(|one, other| one.0 == other.0);
        paused
    }

    fn entry(&mut self, name: &Destination) -> &mut Topic {
        self.topics.entry(name.clone()).or_insert_with(Topic::new)
    }
}

impl Topic {
    fn new() -> Self {
        Self {
            traffic: Traffic::default(),
            ready: VecDeque::new(),
            breaker: Breaker::Closed,
            failures: 0,
            cause: String::new(),
            full: None,
            stalled: false,
            heard: None,
        }
    }
}
