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
