//! Where events go, as far as they share a fate there.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::hash::Set;
use crate::message::Message;
use crate::publisher::Partition;

/// Names of topics that are kept.
const REMEMBERED: usize = 1_000;

/// A topic, or a part of one: what works or does not work as a whole, and has its share of the window.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Destination {
    topic: Topic,
    part: Part,
}

/// The name of a topic. Equal ones are mostly one and the same: then there is nothing to compare.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Topic(Arc<str>);

impl Ord for Topic {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}

impl PartialOrd for Topic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    /// For events with a key, as long as nobody knows the topic's parts.
    Whole,
    /// For events without a key, which may go to any part.
    Any,
    One {
        of: u32,
        number: u32,
    },
}

impl Destination {
    #[cfg(test)]
    pub(super) fn of(topic: &str) -> Self {
        Self { topic: Topic(topic.into()), part: Part::Whole }
    }

    /// The topic as a whole, which comes before its parts.
    pub(super) fn whole(&self) -> Self {
        Self { topic: self.topic.clone(), part: Part::Whole }
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic.0
    }

    /// Whether events of one order key may be some here and some there: while the parts of a topic become known, or
    /// change.
    pub(super) fn may_share_keys(&self, other: &Self) -> bool {
        let divisions = (self.part.division(), other.part.division());
        matches!(divisions, (Some(one), Some(other)) if one != other) && self.topic == other.topic
    }
}

impl Part {
    /// In how many parts the topic is divided; none where there are no keys.
    fn division(self) -> Option<u32> {
        match self {
            Self::Whole => Some(0),
            Self::Any => None,
            Self::One { of, .. } => Some(of),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            Part::Whole | Part::Any => f.write_str(self.topic()),
            Part::One { number, .. } => write!(f, "{}/{number}", self.topic()),
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
pub(super) struct Directory {
    partition_of: Box<PartitionOf>,
    /// Names of topics, which their destinations share.
    names: Set<Arc<str>>,
}

impl Directory {
    pub(super) fn new(partition_of: Box<PartitionOf>) -> Self {
        Self { partition_of, names: Set::default() }
    }

    /// Where a message goes.
    pub(super) fn find(&mut self, message: &Message) -> Destination {
        let part = match message.key().map(|_| (self.partition_of)(message)) {
            None => Part::Any,
            Some(None) => Part::Whole,
            Some(Some(Partition { number, of })) => Part::One { of, number },
        };
        Destination { topic: Topic(self.name(message.topic())), part }
    }

    fn name(&mut self, topic: &str) -> Arc<str> {
        if let Some(name) = self.names.get(topic) {
            return Arc::clone(name);
        }
        if self.names.len() >= REMEMBERED {
            self.names.clear();
        }
        let name: Arc<str> = topic.into();
        self.names.insert(Arc::clone(&name));
        name
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::message;

    fn directory() -> Directory {
        Directory::new(Box::new(|_| None))
    }

    #[test]
    fn the_name_of_a_topic_is_shared() {
        let mut directory = directory();
        let [one, _, again] = ["a", "b", "a"].map(|topic| directory.find(&message(topic, Some("7"), 1, "{}")).topic.0);
        assert!(Arc::ptr_eq(&one, &again));
    }

    #[test]
    fn so_many_names_are_remembered() {
        let mut directory = directory();
        for n in 0..=REMEMBERED {
            directory.find(&message(&n.to_string(), Some("7"), 1, "{}"));
            assert!(directory.names.len() <= REMEMBERED);
        }
    }

    #[test]
    fn one_division_shares_no_key_with_itself_and_all_keys_with_another() {
        let of = |part| Destination { part, ..Destination::of("things") };
        let (whole, any) = (of(Part::Whole), of(Part::Any));
        let (one, other) = (of(Part::One { of: 3, number: 0 }), of(Part::One { of: 3, number: 1 }));
        let divided_again = of(Part::One { of: 4, number: 1 });
        assert!(!one.may_share_keys(&other) && !whole.may_share_keys(&whole));
        assert!(one.may_share_keys(&divided_again) && one.may_share_keys(&whole));
        assert!(!any.may_share_keys(&one) && !one.may_share_keys(&any), "what has no key waits for nobody's");
        assert!(!one.may_share_keys(&Destination { part: divided_again.part, ..Destination::of("others") }));
    }
}
