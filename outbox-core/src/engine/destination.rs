//! Where events go, as far as they share a fate there.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::message::Message;
use crate::publisher::Partition;

/// A topic, or a part of one: what works or does not work as a whole, and has its share of the window.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Destination {
    topic: Arc<str>,
    part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    /// Nobody knows the topic's parts.
    Whole,
    /// For events without a key, which may go to any part.
    Any,
    Number(u32),
}

impl Destination {
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// Whether events of one order key may be some here and some there: only while the parts of a topic become known,
    /// or change.
    pub(super) fn may_share_keys(&self, other: &Self) -> bool {
        self.part != other.part && (self.part == Part::Whole || other.part == Part::Whole) && self.topic == other.topic
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            Part::Whole | Part::Any => f.write_str(&self.topic),
            Part::Number(number) => write!(f, "{}/{number}", self.topic),
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where in its topic the publisher would put a message.
pub(super) type PartitionOf = dyn Fn(&Message) -> Option<Partition> + Send + Sync;

/// Finds the destinations of messages.
///
/// The parts of a topic are used only from when nothing of the topic is held under another division: of the events of
/// a key none is ever held here and a later one sent there.
pub(super) struct Directory {
    partition_of: Box<PartitionOf>,
    /// All topics, and in how many parts they are used.
    topics: HashMap<Arc<str>, Option<u32>>,
    /// Topics that are to be used in so many parts.
    wanted: HashMap<Arc<str>, u32>,
}

impl Directory {
    pub(super) fn new(partition_of: Box<PartitionOf>) -> Self {
        Self { partition_of, topics: HashMap::new(), wanted: HashMap::new() }
    }

    /// Where a message goes.
    pub(super) fn find(&mut self, message: &Message) -> Destination {
        let name = message.topic();
        let (topic, used) = match self.topics.get_key_value(name) {
            Some((topic, used)) => (Arc::clone(topic), *used),
            None => self.remember(message),
        };
        let part = match (message.key(), used) {
            (None, None) => Part::Whole,
            (None, Some(_)) => Part::Any,
            (Some(_), used) => match (self.partition_of)(message) {
                Some(partition) if used == Some(partition.of) => Part::Number(partition.number),
                other => {
                    self.change(&topic, used, other.map(|partition| partition.of));
                    Part::Whole
                }
            },
        };
        Destination { topic, part }
    }

    /// A topic of which nothing can be held, because it was never seen, or is needed no more.
    fn remember(&mut self, message: &Message) -> (Arc<str>, Option<u32>) {
        let topic: Arc<str> = message.topic().into();
        let used = message.key().and_then(|_| (self.partition_of)(message)).map(|partition| partition.of);
        self.topics.insert(Arc::clone(&topic), used);
        (topic, used)
    }

    fn change(&mut self, topic: &Arc<str>, used: Option<u32>, of: Option<u32>) {
        if used.is_some() {
            self.topics.insert(Arc::clone(topic), None);
        }
        match of {
            Some(of) => self.wanted.insert(Arc::clone(topic), of),
            None => self.wanted.remove(topic),
        };
    }

    /// Begins to use the parts of topics of which nothing `is_held`.
    pub(super) fn settle(&mut self, is_held: impl Fn(&str) -> bool) {
        let topics = &mut self.topics;
        self.wanted.retain(|topic, of| {
            let held = is_held(topic);
            if !held {
                topics.insert(Arc::clone(topic), Some(*of));
            }
            held
        });
    }

    /// How many topics are remembered.
    pub(super) fn len(&self) -> usize {
        self.topics.len()
    }

    /// Forgets topics that nobody needs.
    pub(super) fn keep(&mut self, is_needed: impl Fn(&str) -> bool) {
        self.topics.retain(|topic, _| is_needed(topic));
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("topics", &self.topics).finish_non_exhaustive()
    }
}
