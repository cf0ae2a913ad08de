//! A batch on its way into the pipeline.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outbox_core::{OrderKey, PublishErrorKind};
use rdkafka::error::RDKafkaErrorCode as Code;

use crate::error::{classify, publish_error};
use crate::pipeline::{Pipeline, REMEMBERED, Standing};
use crate::placement;
use crate::session::{Lane, Producer, Session, send};
use crate::sync::lock;
use crate::ticket::{Gauge, Ticket};

/// Brings a batch into the pipeline. When the rest waits long for a partition, a task goes on with it, so that one
/// partition without a leader does not hold up the batches of others.
pub(crate) async fn feed(mut feed: Feed, gauge: &Arc<Gauge>) {
    const INLINE: Duration = Duration::from_millis(250);
    let patience = Instant::now() + INLINE;
    if !advance(&mut feed, gauge, Some(patience)).await {
        let gauge = Arc::clone(gauge);
        drop(tokio::spawn(async move { advance(&mut feed, &gauge, None).await }));
    }
}

/// Takes turns until the batch is through; `false` if it still waits for a partition after `patience`.
async fn advance(feed: &mut Feed, gauge: &Gauge, patience: Option<Instant>) -> bool {
    const SHORTEST: Duration = Duration::from_millis(1);
    const LONGEST: Duration = Duration::from_millis(50);
    let mut pause = SHORTEST;
    loop {
        match feed.turn() {
            Turn::Done | Turn::Ended => return true,
            Turn::More => {
                pause = SHORTEST;
                tokio::task::yield_now().await;
            }
            Turn::Full => {
                // Some room first, or every report would wake us for one message. The short pause is for the room
                // that librdkafka makes after its last report.
                let room = gauge.wait_for(gauge.outstanding() / 8 * 7, pause).await;
                pause = if room { SHORTEST } else { LONGEST.min(pause * 2) };
            }
            Turn::Probing if patience.is_some_and(|until| Instant::now() >= until) => return false,
            Turn::Probing => gauge.wait_for_change(LONGEST).await,
        }
    }
}

/// How far one turn of a [`Feed`] got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// There is more to do at once.
    More,
    /// librdkafka's queue is full.
    Full,
    /// The rest waits for probes.
    Probing,
    /// Everything is enqueued or reported.
    Done,
    /// The session has ended.
    Ended,
}

/// What is left of a batch on its way into the pipeline of one session.
///
/// It is never continued in another session: what came before it may not have been delivered.
pub(crate) struct Feed {
    session: Arc<Session<Pipeline>>,
    left: VecDeque<Ticket>,
    /// Messages that wait for the probe of their partition, in order, ...
    waiting: VecDeque<Ticket>,
    /// ... and these partitions, so that nothing of them passes.
    held: HashSet<(String, usize)>,
    /// Keys with a message that was refused before it was sent.
    stopped: HashSet<OrderKey>,
}

impl Feed {
    pub(crate) fn new(session: Arc<Session<Pipeline>>, tickets: VecDeque<Ticket>) -> Self {
        Self { session, left: tickets, waiting: VecDeque::new(), held: HashSet::new(), stopped: HashSet::new() }
    }

    /// Enqueues up to a few hundred messages without blocking.
    fn turn(&mut self) -> Turn {
        const MESSAGES: usize = 256;
        let lane = Arc::clone(&self.session.lane);
        let turn = lane.gate().with(|producer| {
            let mut topics = lock(&lane.topics);
            let now = Instant::now();
            for _ in 0..MESSAGES {
                let Some(ticket) = self.left.pop_front() else {
                    if self.waiting.is_empty() {
                        return Turn::Done;
                    }
                    self.left = std::mem::take(&mut self.waiting);
                    self.held.clear();
                    return Turn::Probing;
                };
                if let Some(turn) = self.route(producer, &mut topics, ticket, now) {
                    return turn;
                }
            }
            Turn::More
        });
        let turn = turn.unwrap_or(Turn::Ended);
        if turn == Turn::Ended {
            self.left.drain(..).for_each(Ticket::withheld);
            self.waiting.drain(..).for_each(Ticket::withheld);
        }
        turn
    }

    fn route(
        &mut self,
        producer: &Producer<Pipeline>,
        topics: &mut BTreeMap<String, Vec<Standing>>,
        mut ticket: Ticket,
        now: Instant,
    ) -> Option<Turn> {
        let message = Arc::clone(&ticket.message);
        let topic = message.topic();
        let Some(known) = topics.get_mut(topic) else {
            // A message of this topic has just failed, perhaps one of this key: nothing may pass it.
            ticket.withheld();
            return None;
        };
        let mut before = None;
        if let Some(key) = &message.envelope.key {
            if !self.stopped.is_empty() && message.order_key().is_some_and(|key| self.stopped.contains(&key)) {
                ticket.withheld();
                return None;
            }
            let partition = placement::partition(key.as_bytes(), known.len());
            let held = !self.held.is_empty() && self.held.contains(&(topic.to_owned(), partition));
            let standing = &mut known[partition];
            before = Some((partition, *standing));
            ticket.partition = Some(partition);
            match standing {
                _ if held => {
                    self.waiting.push_back(ticket);
                    return None;
                }
                Standing::Proven { last_used } if now.duration_since(*last_used) < REMEMBERED => *last_used = now,
                Standing::Probing => {
                    self.held.insert((topic.to_owned(), partition));
                    self.waiting.push_back(ticket);
                    return None;
                }
                Standing::Unproven | Standing::Proven { .. } => {
                    ticket.probe = true;
                    *standing = Standing::Probing;
                }
            }
        }
        let sent = send(producer, ticket);
        #[cfg(feature = "failpoints")]
        if outbox_core::failpoints::reach_blocking("kafka::enqueue").is_err() {
            // As if librdkafka had given up.
            self.session.stop(crate::session::Ending::Fatal("a failpoint".to_owned()));
        }
        let (code, mut ticket) = sent.err()?;
        if let Some((partition, standing)) = before {
            known[partition] = standing;
            ticket.probe = false;
        }
        match code {
            Code::QueueFull => {
                self.left.push_front(ticket);
                return Some(Turn::Full);
            }
            Code::Fatal => {
                self.left.push_front(ticket);
                return Some(Turn::Ended);
            }
            code => {
                self.stopped.extend(message.order_key());
                if classify(code) == PublishErrorKind::Unreachable {
                    topics.remove(topic);
                }
                ticket.failed(publish_error(code, "librdkafka did not take the message"));
            }
        }
        None
    }
}
