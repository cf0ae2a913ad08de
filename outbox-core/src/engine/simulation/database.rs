//! What the database makes of calls, and what happens to it.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::nodes::{at_once, failed};
use super::world::{Action, World};
use crate::engine::{Effect, Event};
use crate::publisher::PublishError;
use crate::store::{Fate, LeaseReply, LeaseRequest, ReadReply, ReadRequest, Row, SettleReply, SettleRequest, Store};

/// How long a deletion may not be durable.
const VOLATILE: Duration = Duration::from_millis(600);

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Refused, as by a deadlock, or lost on the way.
    Refused,
    /// A settle writes some of its shards, and then fails.
    Half,
    /// Done, and the answer is lost.
    AnswerLost,
    /// Done, and the answer takes long.
    AnswerLate,
}

impl World {
    /// A call of a node, in one of its lives, reaches the store. Somebody waits for an answer for so long.
    pub(super) fn call(
        &mut self,
        (n, life, id): (usize, u64, Uuid),
        effect: Effect,
        asked: Instant,
        patience: Option<Duration>,
    ) {
        if let Effect::Check = effect {
            let cut = self.nodes[n].cut && !self.blind;
            let answer = if cut { Err(PublishError::unreachable("cut off")) } else { Ok(()) };
            self.schedule(self.now, Action::Arrive(n, life, Event::Checked(answer)));
            return;
        }
        if patience.is_none() && self.cut_off(n) {
            return;
        }
        let fault = self.fault_of_call();
        let failure = failed(&effect, asked);
        let event = match fault {
            Fault::Refused => None,
            Fault::None | Fault::Half | Fault::AnswerLost | Fault::AnswerLate => {
                self.do_call((n, life, id), effect, asked, fault == Fault::Half)
            }
        };
        let lost = matches!(fault, Fault::Half | Fault::AnswerLost);
        let late = fault == Fault::AnswerLate;
        let latency = if late { self.milliseconds(0..6_000) } else { self.latency(20) };
        let latency = latency.max(self.tricks.gap.take().unwrap_or_default());
        let Some(patience) = patience else { return };
        let event = if lost || latency > patience { failure } else { event.or(failure) };
        if let Some(event) = event {
            self.schedule(self.now + latency.min(patience), Action::Arrive(n, life, event));
        }
    }

    fn fault_of_call(&mut self) -> Fault {
        if self.now < self.database_back {
            return Fault::Refused;
        }
        let drawn = if self.faults { self.random.u16(..400) } else { u16::MAX };
        let fault = match drawn {
            0..=7 => Fault::Refused,
            8 | 9 => Fault::Half,
            10..=19 => Fault::AnswerLost,
            20 | 21 => Fault::AnswerLate,
            _ => Fault::None,
        };
        self.summary.failed_calls += usize::from(fault != Fault::None);
        fault
    }

    fn do_call(
        &mut self,
        (n, life, id): (usize, u64, Uuid),
        effect: Effect,
        asked: Instant,
        half: bool,
    ) -> Option<Event> {
        let current = self.nodes[n].life == life;
        Some(match effect {
            Effect::Lease(request) => Event::Leased { asked, answer: Ok(self.lease(n, current, request)) },
            Effect::Read(request) => Event::Read(Ok(self.read(n, request))),
            Effect::Settle(mut request) => {
                if half {
                    request.lanes.truncate(request.lanes.len() / 2);
                }
                Event::Settled(Ok(self.settle(n, current, request)))
            }
            Effect::Promote(leases) => {
                let id = self.identity(id);
                let due = at_once(self.store.promote(id, &leases, 10));
                Event::Promoted(due.map(|due| self.spoil_due(due)))
            }
            Effect::Check | Effect::Publish(_) => return None,
        })
    }

    fn lease(&mut self, n: usize, current: bool, request: LeaseRequest) -> LeaseReply {
        let request = self.spoil_lease(n, request);
        let reply = at_once(self.store.lease(request.clone())).unwrap();
        self.unspoil_clock();
        self.note_leases(n, current, &request, &reply);
        reply
    }

    fn read(&mut self, n: usize, mut request: ReadRequest) -> ReadReply {
        request.processor = self.identity(request.processor);
        let mut reply = at_once(self.store.read(request)).unwrap();
        for row in reply.lanes.iter_mut().flat_map(|lane| lane.rows.iter_mut().chain(&mut lane.revisited)) {
            self.garble(row);
        }
        self.spoil_read(n, reply)
    }

    /// Something is written in the row that nobody understands.
    fn garble(&mut self, row: &mut Row) {
        let most = self.most_attempts();
        let fact = self.facts.of(row.message.id());
        if fact.garbled {
            row.unreadable = Some("the headers are not what headers are".to_owned());
            fact.rejections = most;
            self.summary.unreadable += 1;
        }
    }

    /// Writes outcomes, and notes what that means.
    pub(super) fn settle(&mut self, n: usize, current: bool, request: SettleRequest) -> SettleReply {
        let settled = self.settled_of(&request);
        let kept: Vec<_> = deliveries(&request).filter_map(|(seq, id)| self.store.keep(seq, id)).collect();
        let request = self.spoil_settle(request);
        let (reply, written) = self.write_outcomes(n, current, request.clone());
        self.check_prefix(&settled);
        if request.lanes.iter().flat_map(|lane| &lane.changes).all(|change| change.fate == Fate::Delivered) {
            let gone = kept.into_iter().filter(|kept| self.store.pending_id(kept.seq()).is_none());
            self.volatile.extend(gone.map(|kept| (self.now, kept)));
        } else {
            self.volatile.clear();
        }
        if current && written {
            self.note_settled(n, &request, &reply);
        }
        reply
    }

    /// The database crashes: open transactions are gone, and what was committed asynchronously may be.
    pub(super) fn crash_database(&mut self, away: Duration) {
        if !self.faults {
            return;
        }
        self.summary.database_crashes += 1;
        self.database_back = self.now + away;
        self.roll_back_all();
        self.store.restart();
        let durable = self.random.usize(..=self.volatile.len());
        let since = self.now.saturating_sub(VOLATILE);
        for (_, kept) in self.volatile.drain(durable..).filter(|(at, _)| *at >= since).collect::<Vec<_>>() {
            let id = kept.id();
            if self.store.put_back(kept) {
                self.may_repeat(id);
                self.facts.of(id).revived = true;
                self.summary.lost_deletions += 1;
            }
        }
        self.volatile.clear();
    }

    /// The tables are copied, and what is known of rejections.
    pub(super) fn take_image(&mut self) {
        let rejections = self.facts.iter().map(|(_, fact)| fact.rejections).collect();
        self.image = Some((self.store.image(), rejections));
    }

    /// Everything that has been committed since the image was made is undone, and numbers are given out again.
    pub(super) fn fail_over(&mut self) {
        let Some((image, rejections)) = self.image.take() else { return };
        self.summary.fail_overs += 1;
        let behind = image.made_at();
        let now = self.store.clock();
        self.roll_back_all();
        for letter in self.store.dead() {
            // Perhaps it is pending again, and its key went on.
            let fact = self.facts.of(letter.envelope.id);
            (fact.left_behind, fact.revived) = (true, true);
        }
        self.note_fail_over(&image);
        self.store.fail_over(image);
        for letter in self.store.dead() {
            // Perhaps it had been requeued, and who has it in memory delivers it: requeued again, it is a repeat.
            self.facts.of(letter.envelope.id).revived = true;
        }
        let since = self.now - (now - behind);
        for (_, fact) in self.facts.iter_mut() {
            fact.undone |= fact.committed_at.is_some_and(|at| at >= since);
            fact.revived |= fact.delivered > 0 || fact.left_behind;
        }
        // What was requeued is dead again, by the rejections of before.
        for (index, before) in rejections.into_iter().enumerate() {
            let fact = self.facts.at(index);
            fact.rejections = fact.rejections.max(before);
        }
        self.volatile.clear();
    }
}

fn deliveries(request: &SettleRequest) -> impl Iterator<Item = (i64, crate::event::EventId)> {
    let changes = request.lanes.iter().flat_map(|lane| &lane.changes);
    changes.filter(|change| change.fate == Fate::Delivered).map(|change| (change.seq, change.id))
}
