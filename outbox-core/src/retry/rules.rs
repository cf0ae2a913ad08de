use std::collections::BTreeMap;

use super::{RetryPolicy, Verdict};
use crate::message::Message;

/// Which policy applies to which event: the one of its event type, else the one of its topic, else the default.
#[derive(Debug, Clone, Default)]
pub struct RetryRules {
    pub(super) otherwise: RetryPolicy,
    by_event_type: BTreeMap<String, RetryPolicy>,
    by_topic: BTreeMap<String, RetryPolicy>,
}

impl RetryRules {
    /// One policy for everything.
    #[must_use]
    pub fn new(otherwise: RetryPolicy) -> Self {
        Self { otherwise, ..Self::default() }
    }

    /// Sets the policy for everything that has none of its own.
    pub fn set_default(&mut self, policy: RetryPolicy) {
        self.otherwise = policy;
    }

    /// Sets the policy of an event type.
    pub fn set_event_type(&mut self, event_type: impl Into<String>, policy: RetryPolicy) {
        self.by_event_type.insert(event_type.into(), policy);
    }

    /// Sets the policy of a topic.
    pub fn set_topic(&mut self, topic: impl Into<String>, policy: RetryPolicy) {
        self.by_topic.insert(topic.into(), policy);
    }

    /// See [`RetryPolicy::verdict`].
    #[must_use]
    pub fn verdict(&self, message: &Message, attempts: u32, random: f64) -> Verdict {
        self.policy(&message.envelope.event_type, &message.envelope.topic).verdict(message, attempts, random)
    }

    pub(crate) fn problem(&self) -> Option<&'static str> {
        let all = self.by_event_type.values().chain(self.by_topic.values());
        all.chain([&self.otherwise]).find_map(RetryPolicy::problem)
    }

    fn policy(&self, event_type: &str, topic: &str) -> &RetryPolicy {
        let own = self.by_event_type.get(event_type).or_else(|| self.by_topic.get(topic));
        own.unwrap_or(&self.otherwise)
    }
}
