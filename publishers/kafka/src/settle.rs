//! Who was at fault when a producer ended.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use outbox_core::{OrderKey, PublishErrorKind};
use rdkafka::error::RDKafkaErrorCode;

use crate::error::{classify, overdue, publish_error};
use crate::session::Ending;
use crate::ticket::{Ticket, Trial};

/// A message that librdkafka gave back.
pub(crate) struct Failure {
    pub(crate) ticket: Ticket,
    pub(crate) partition: i32,
    pub(crate) code: RDKafkaErrorCode,
}

/// What is left to do after [`settle`].
#[derive(Default)]
pub(crate) struct Left {
    /// Messages of batches that the broker refused, in order: each is to be sent alone.
    pub(crate) suspects: Vec<Ticket>,
    /// Topics that cannot be written to now.
    pub(crate) troubled: HashSet<String>,
}

/// Reports what a pipelined producer could not deliver, except for messages under suspicion.
///
/// A broker refuses a batch as a whole, so a refusal says who is at fault only if the batch had one message. Of a
/// larger one everybody is a suspect and nobody is reported yet. Nothing of a key is a suspect behind a message that
/// failed for another reason: what follows a failed message is withheld.
pub(crate) fn settle(mut failures: Vec<Failure>, ending: Option<&Ending>, timeout: Duration, last_error: &str) -> Left {
    failures.sort_by_key(|failure| failure.ticket.order);
    let mut refused: HashMap<(String, i32), (usize, usize)> = HashMap::new();
    for Failure { ticket, partition, code } in &failures {
        if classify(*code) == PublishErrorKind::Rejected {
            let (messages, bytes) = refused.entry((ticket.topic().to_owned(), *partition)).or_default();
            *messages += 1;
            *bytes += ticket.message.size();
        }
    }
    let trials: HashMap<_, _> = refused
        .into_iter()
        .filter(|(_, (messages, _))| *messages > 1)
        .map(|(place, (messages, bytes))| (place, Trial::new(messages, bytes)))
        .collect();
    let mut left = Left::default();
    let mut stopped: HashSet<OrderKey> = HashSet::new();
    for Failure { mut ticket, partition, code } in failures {
        let key = ticket.message.order_key();
        if key.as_ref().is_some_and(|key| stopped.contains(key)) {
            ticket.withheld();
            continue;
        }
        if classify(code) == PublishErrorKind::Rejected
            && let Some(trial) = trials.get(&(ticket.topic().to_owned(), partition))
        {
            ticket.trial = Some(Arc::clone(trial));
            left.suspects.push(ticket);
            continue;
        }
        stopped.extend(key);
        match code {
            RDKafkaErrorCode::PurgeQueue if matches!(ending, Some(Ending::Stalled)) => {
                let late = ticket.batch.since.elapsed() > timeout;
                if late { ticket.failed(overdue(timeout, last_error)) } else { ticket.withheld() }
            }
            RDKafkaErrorCode::PurgeQueue => ticket.withheld(),
            RDKafkaErrorCode::PurgeInflight => ticket.unknown(),
            code => {
                if classify(code) == PublishErrorKind::Unreachable {
                    left.troubled.insert(ticket.topic().to_owned());
                }
                ticket.failed(publish_error(code, ""));
            }
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use outbox_core::publisher::Reports;
    use outbox_core::testing::message;
    use outbox_core::{Delivery, Outcome};

    use super::*;
    use crate::ticket::{Batch, Gauge};
    use RDKafkaErrorCode as Code;

    #[derive(Default)]
    struct Seen(Mutex<BTreeMap<u64, String>>);

    impl Reports for Seen {
        fn report(&self, token: u64, outcome: Outcome) {
            let short = match outcome {
                Outcome::Delivered => "delivered".to_owned(),
                Outcome::Withheld => "withheld".to_owned(),
                Outcome::Failed(error) => format!("{:?}", error.kind()),
            };
            assert!(self.0.lock().unwrap().insert(token, short).is_none(), "{token} was reported twice");
        }
    }

    struct Case {
        seen: Arc<Seen>,
        batch: Arc<Batch>,
        failures: Vec<Failure>,
    }

    impl Case {
        fn new() -> Self {
            let gauge = Arc::new(Gauge::default());
            Self { seen: Arc::default(), batch: Batch::new(&gauge), failures: Vec::new() }
        }

        /// Messages are numbered in the order of these calls.
        fn failed(mut self, key: &str, partition: i32, code: Code) -> Self {
            let order = self.failures.len() as u64;
            let message = message("t", Some(key), 0, "{}");
            let delivery = Delivery::new(message, order, Arc::<Seen>::clone(&self.seen));
            let mut ticket = Ticket::new(delivery, order, Arc::clone(&self.batch));
            ticket.sent = true;
            self.failures.push(Failure { ticket, partition, code });
            self
        }

        /// Reports, suspects and troubled topics. Failures come in the wrong order on purpose.
        fn settle(mut self, ending: &Ending, timeout: Duration) -> (Vec<String>, Vec<u64>, usize) {
            self.failures.reverse();
            let count = self.failures.len() as u64;
            let left = settle(self.failures, Some(ending), timeout, "");
            let suspects: Vec<u64> = left.suspects.iter().map(|ticket| ticket.order).collect();
            let reports = {
                let seen = self.seen.0.lock().unwrap();
                (0..count).map(|token| seen.get(&token).cloned().unwrap_or_else(|| "open".to_owned())).collect()
            };
            (reports, suspects, left.troubled.len())
        }
    }

    fn fatal() -> Ending {
        Ending::Fatal("gap".to_owned())
    }

    #[test]
    fn a_message_refused_alone_is_rejected_and_the_rest_withheld() {
        let (reports, suspects, troubled) = Case::new()
            .failed("a", 0, Code::MessageSizeTooLarge)
            .failed("a", 0, Code::PurgeQueue)
            .failed("b", 0, Code::PurgeQueue)
            .settle(&fatal(), Duration::MAX);
        assert_eq!(reports, ["Rejected", "withheld", "withheld"]);
        assert_eq!((suspects.len(), troubled), (0, 0));
    }

    #[test]
    fn nobody_of_a_refused_batch_is_rejected_yet() {
        let (reports, suspects, _) = Case::new()
            .failed("a", 0, Code::MessageSizeTooLarge)
            .failed("b", 0, Code::MessageSizeTooLarge)
            .failed("a", 0, Code::MessageSizeTooLarge)
            .failed("a", 0, Code::PurgeQueue)
            .failed("c", 1, Code::InvalidRecord)
            .settle(&fatal(), Duration::MAX);
        assert_eq!(reports, ["open", "open", "open", "withheld", "Rejected"]);
        assert_eq!(suspects, [0, 1, 2]);
    }

    #[test]
    fn nothing_is_sent_alone_behind_a_message_that_failed_otherwise() {
        let (reports, suspects, _) = Case::new()
            .failed("a", 0, Code::PurgeInflight)
            .failed("a", 0, Code::MessageSizeTooLarge)
            .failed("b", 0, Code::MessageSizeTooLarge)
            .settle(&fatal(), Duration::MAX);
        assert_eq!(reports, ["Unreachable", "withheld", "open"]);
        assert_eq!(suspects, [2]);
    }

    #[test]
    fn a_topic_that_cannot_be_written_to_is_remembered() {
        let (reports, _, troubled) = Case::new()
            .failed("a", 0, Code::TopicAuthorizationFailed)
            .failed("a", 0, Code::TopicAuthorizationFailed)
            .failed("b", 0, Code::TopicAuthorizationFailed)
            .settle(&fatal(), Duration::MAX);
        assert_eq!(reports, ["Unreachable", "withheld", "Unreachable"]);
        assert_eq!(troubled, 1);
    }

    #[test]
    fn only_what_is_overdue_is_reported_when_a_producer_stalls() {
        let case = || Case::new().failed("a", 0, Code::PurgeQueue).failed("a", 0, Code::PurgeQueue);
        assert_eq!(case().settle(&Ending::Stalled, Duration::ZERO).0, ["Unreachable", "withheld"]);
        assert_eq!(case().settle(&Ending::Stalled, Duration::MAX).0, ["withheld", "withheld"]);
        assert_eq!(case().settle(&Ending::Flushed, Duration::ZERO).0, ["withheld", "withheld"]);
    }
}
