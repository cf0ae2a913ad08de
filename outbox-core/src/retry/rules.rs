use std::collections::BTreeMap;
use std::time::Duration;

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

    /// Whether a rejected event can have so long to wait. If not, the clock has gone back since its rejection, or its
    /// policy was another one.
    pub(crate) fn allows(&self, message: &Message, wait: Duration) -> bool {
        let policy = self.policy(&message.envelope.event_type, &message.envelope.topic);
        policy.longest(message.attempts).is_none_or(|longest| wait <= longest)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::message;

    #[test]
    fn an_event_type_goes_before_a_topic_and_a_topic_before_the_default() {
        let seconds = Duration::from_secs;
        let of = |topic: &str, event_type: &str| {
            let mut message = message(topic, Some("7"), 1, "{}");
            message.envelope.event_type = event_type.into();
            message
        };
        let mut rules = RetryRules::new(RetryPolicy::fixed(seconds(1)));
        rules.set_topic("orders", RetryPolicy::fixed(seconds(2)));
        rules.set_event_type("order.paid", RetryPolicy::fixed(seconds(3)));
        for (topic, event_type, delay) in [
            ("orders", "order.paid", 3),
            ("elsewhere", "order.paid", 3),
            ("orders", "order.placed", 2),
            ("elsewhere", "order.placed", 1),
            // Names of the other kind mean nothing.
            ("order.paid", "orders", 1),
        ] {
            let verdict = rules.verdict(&of(topic, event_type), 1, 0.5);
            assert_eq!(verdict, Verdict::RetryIn(seconds(delay)), "{topic}, {event_type}");
        }
        rules.set_default(RetryPolicy::fixed(seconds(4)));
        assert_eq!(rules.verdict(&of("elsewhere", "order.placed"), 1, 0.5), Verdict::RetryIn(seconds(4)));
    }

    #[test]
    fn a_problem_is_found_in_any_of_them() {
        let wrong = || RetryPolicy::never().max_attempts(0);
        assert_eq!(RetryRules::default().problem(), None);
        assert!(RetryRules::new(wrong()).problem().is_some());
        let (mut by_topic, mut by_event_type) = (RetryRules::default(), RetryRules::default());
        by_topic.set_topic("orders", wrong());
        by_event_type.set_event_type("order.paid", wrong());
        assert!(by_topic.problem().is_some() && by_event_type.problem().is_some());
    }
}
