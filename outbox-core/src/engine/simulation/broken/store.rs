use std::time::Duration;

use uuid::Uuid;

use super::super::nodes::at_once;
use super::super::world::{Action, World};
use super::Broken;
use crate::event::Envelope;
use crate::shard::Shard;
use crate::store::{LeaseRequest, ReadReply, Row, SettleReply, SettleRequest, Settled, Store};

/// How long a number may take to become visible, as they think who let a mark move by time.
const LAG: Duration = Duration::from_millis(300);

impl World {
    /// As whom a node asks.
    pub(in super::super) fn identity(&self, id: Uuid) -> Uuid {
        if self.is(Broken::RowsWithoutLanes) { Uuid::nil() } else { id }
    }

    pub(in super::super) fn spoil_order(&self, events: &mut [Envelope]) {
        if self.is(Broken::OrderById) {
            events.sort_by_key(|event| event.id);
        }
    }

    pub(in super::super) fn note_numbers(&mut self) {
        if self.is(Broken::MarkByTime) {
            self.tricks.numbers.push_back((self.now, self.store.last_number()));
        }
    }

    pub(in super::super) fn spoil_lease(&mut self, n: usize, mut request: LeaseRequest) -> LeaseRequest {
        if self.is(Broken::RowsWithoutLanes) {
            request = LeaseRequest { processor: Uuid::nil(), release: Vec::new(), leaving: false, ..request };
        }
        if self.is(Broken::LeaseByOwnClock) {
            let clock = self.store.clock();
            self.tricks.clock = Some(clock);
            self.store.set_clock(clock + Duration::from_secs(2) * u32::try_from(n).unwrap_or_default());
        }
        request
    }

    pub(in super::super) fn unspoil_clock(&mut self) {
        if let Some(clock) = self.tricks.clock.take() {
            self.store.set_clock(clock);
        }
    }

    pub(in super::super) fn spoil_read(&mut self, n: usize, mut reply: ReadReply) -> ReadReply {
        match self.broken {
            Some(Broken::CursorAtHighestSeen) => {
                let seen = reply.lanes.iter().flat_map(|lane| &lane.rows).map(|row| row.message.seq);
                reply.decided = seen.max().unwrap_or(0).max(reply.decided);
            }
            Some(Broken::MarkByTime) => {
                let old = self.tricks.numbers.iter().take_while(|(at, _)| *at + LAG <= self.now);
                reply.decided = old.map(|(_, number)| *number).last().unwrap_or(0).max(reply.decided);
            }
            Some(Broken::RetryLetsKeyPass) => self.keep_rows(&mut reply, |_, row| row.retry_in.is_none()),
            Some(Broken::LimitUntold) => {
                reply.lanes.iter_mut().for_each(|lane| (lane.more, lane.more_revisited) = (false, false));
            }
            Some(Broken::MoreForNothing) => reply.lanes.iter_mut().for_each(|lane| lane.more = true),
            Some(Broken::RequeueWithoutGeneration) => reply.lanes.iter_mut().for_each(|lane| lane.generation = 0),
            Some(Broken::RowsWithoutLanes) => self.keep_rows(&mut reply, |world, row| {
                let life = world.nodes[n].life;
                let taken = world.tricks.taken.get(&row.message.seq);
                let free = taken.is_none_or(|(node, life)| *node == n || world.nodes[*node].life != *life);
                if free {
                    world.tricks.taken.insert(row.message.seq, (n, life));
                }
                free
            }),
            _ => {}
        }
        reply
    }

    fn keep_rows(&mut self, reply: &mut ReadReply, keep: impl Fn(&mut Self, &Row) -> bool) {
        for lane in &mut reply.lanes {
            lane.rows.retain(|row| keep(self, row));
            lane.revisited.retain(|row| keep(self, row));
        }
    }

    /// When the next scheduled event is due.
    pub(in super::super) fn spoil_due(&self, due: Option<Duration>) -> Option<Duration> {
        if self.is(Broken::DueForNothing) { Some(Duration::ZERO) } else { due }
    }

    pub(in super::super) fn spoil_settle(&self, mut request: SettleRequest) -> SettleRequest {
        request.processor = self.identity(request.processor);
        for lane in &mut request.lanes {
            if self.is(Broken::AlwaysRegenerated) {
                lane.generation = -1;
            }
            if self.is(Broken::RequeueWithoutGeneration) {
                lane.generation = self.store.generation(lane.lease.shard);
            }
            if self.is(Broken::SettlesByNumber) {
                for change in &mut lane.changes {
                    change.id = self.store.pending_id(change.seq).unwrap_or(change.id);
                }
            }
        }
        request
    }

    /// Settles, or says so. Whether it has.
    pub(in super::super) fn write_outcomes(
        &mut self,
        n: usize,
        current: bool,
        request: SettleRequest,
    ) -> (SettleReply, bool) {
        match self.broken {
            Some(Broken::NoFence) => {
                let lanes = request.lanes.into_iter().map(|lane| self.store.settle_unfenced(lane)).collect();
                (SettleReply { lanes }, true)
            }
            Some(Broken::FenceWithoutLock) => (self.check_then_write(n, current, request), false),
            Some(Broken::CallsCutOff) if self.tricks.in_transaction.contains(&n) => {
                self.tricks.in_transaction.retain(|node| *node != n);
                let lanes = request.lanes.iter().map(|lane| (lane.lease.shard, Settled::Done)).collect();
                // It is committed with what somebody else does there, or undone when the connection is closed.
                if self.random.bool() {
                    let late = self.random.u64(0..5_000);
                    self.after(late, Action::Late(n, self.nodes[n].life, request));
                }
                (SettleReply { lanes }, false)
            }
            _ => (at_once(self.store.settle(request)).unwrap(), true),
        }
    }

    fn check_then_write(&mut self, n: usize, current: bool, request: SettleRequest) -> SettleReply {
        let mut reply = SettleReply::default();
        for lane in request.lanes {
            let held = self.store.owner(lane.lease.shard) == Some((request.processor, lane.lease.epoch));
            let settled = if !held {
                (lane.lease.shard, Settled::LeaseLost)
            } else if self.random.u8(..8) == 0 {
                let (shard, gap) = (lane.lease.shard, self.milliseconds(0..6_000));
                self.tricks.gap = self.tricks.gap.max(Some(gap));
                let late = SettleRequest { processor: request.processor, lanes: vec![lane] };
                let life = if current { self.nodes[n].life } else { u64::MAX };
                self.schedule(self.now + gap, Action::Late(n, life, late));
                (shard, Settled::Done)
            } else {
                let now = SettleRequest { processor: request.processor, lanes: vec![lane] };
                self.write_late(n, current, &now)
            };
            reply.lanes.push(settled);
        }
        reply
    }

    /// Writes what was found to be held some time ago, or just now.
    fn write_late(&mut self, n: usize, current: bool, request: &SettleRequest) -> (Shard, Settled) {
        let lanes = request.lanes.iter().cloned().map(|lane| self.store.settle_unfenced(lane)).collect();
        let reply = SettleReply { lanes };
        if current {
            self.note_settled(n, request, &reply);
        }
        reply.lanes[0]
    }

    pub(in super::super) fn settle_late(&mut self, n: usize, life: u64, request: &SettleRequest) {
        let current = self.nodes[n].life == life;
        for lane in &request.lanes {
            let lanes = vec![lane.clone()];
            self.write_late(n, current, &SettleRequest { processor: request.processor, lanes });
        }
    }

    /// Nobody waits for a call any more. Whether it is dropped where it is.
    pub(in super::super) fn cut_off(&mut self, n: usize) -> bool {
        let broken = self.is(Broken::CallsCutOff);
        if broken {
            self.tricks.in_transaction.push(n);
        }
        broken
    }
}
