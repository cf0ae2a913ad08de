use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::world::{Action, World};
use crate::engine::{Effect, Engine, Event};
use crate::event::OrderKey;
use crate::publisher::PublishError;
use crate::store::{Fate, Store, StoreError, StoreErrorKind};

/// A processor's place: its engine lives, dies and is made again.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) engine: Option<Engine>,
    pub(super) life: u64,
    pub(super) paused_until: Duration,
    /// There is no way from here to the broker.
    pub(super) cut: bool,
    poll_at: Duration,
    /// When the last message of each key reaches the broker: a connection keeps order.
    pub(super) last_append: HashMap<OrderKey, Duration>,
}

impl World {
    pub(super) fn restart(&mut self, n: usize) {
        if self.nodes[n].engine.is_some() {
            return;
        }
        let (id, seed) = (Uuid::from_u128(self.random.u128(..)), self.random.u64(..));
        let engine = Engine::new(self.instant(), id, format!("node-{n}"), seed, self.config());
        let node = &mut self.nodes[n];
        node.engine = Some(engine);
        node.life += 1;
        node.last_append.clear();
        self.poll(n);
    }

    /// What is on its way to the broker stays on its way.
    pub(super) fn crash(&mut self, n: usize) {
        self.excuses += 1;
        self.nodes[n].engine = None;
        let after = self.random.u64(0..5_000);
        self.after(after, Action::Restart(n));
    }

    pub(super) fn poll_if_due(&mut self, n: usize, life: u64) {
        // Later plans replace earlier ones.
        if self.nodes[n].poll_at <= self.now {
            self.arrive(n, life, None);
        }
    }

    pub(super) fn arrive(&mut self, n: usize, life: u64, event: Option<Event>) {
        let (now, node) = (self.instant(), &mut self.nodes[n]);
        if node.life != life {
            return;
        }
        if self.now < node.paused_until {
            let resumed = node.paused_until;
            self.schedule(resumed, event.map_or(Action::Poll(n, life), |event| Action::Arrive(n, life, event)));
            return;
        }
        if let (Some(engine), Some(event)) = (&mut node.engine, event) {
            engine.handle(now, event);
        }
        self.poll(n);
    }

    fn poll(&mut self, n: usize) {
        let (now, life) = (self.instant(), self.nodes[n].life);
        let Some(engine) = &mut self.nodes[n].engine else { return };
        let effects = engine.poll(now);
        let next = engine.next_poll(now);
        assert!(next.is_none_or(|next| next > now), "node {n} would spin");
        for effect in effects {
            if let Some(trace) = &mut self.trace {
                trace.push(format!("{:?} node {n} {effect:?}", self.now));
            }
            if let Effect::Publish(batch) = effect {
                self.publish(n, batch);
            } else {
                let latency = self.random.u64(0..20);
                self.after(latency, Action::Call { node: n, life, effect, asked: now });
            }
        }
        if let Some(next) = next {
            assert!(next > now, "node {n} has done everything, and yet something is due");
            let at = self.now + (next - now);
            self.nodes[n].poll_at = at;
            self.schedule(at, Action::Poll(n, life));
        }
    }

    /// The store does it, unless the request is lost; then the answer comes back, unless that is lost.
    pub(super) fn call(&mut self, n: usize, life: u64, effect: Effect, asked: Instant) {
        let engine = self.nodes[n].engine.as_ref().filter(|_| self.nodes[n].life == life);
        let Some(id) = engine.map(|engine| engine.id) else { return };
        let fault = if self.faults { self.random.u8(..40) } else { u8::MAX };
        self.excuses += usize::from(fault < 2);
        let store = self.store.clone();
        let event = match effect {
            Effect::Lease(request) => {
                let answer = answer(fault, store.lease(request));
                let held = answer.iter().flat_map(|reply| &reply.held);
                self.epochs.extend(held.map(|lease| (lease.shard, lease.epoch)));
                Event::Leased { asked, answer }
            }
            Effect::Read(request) => Event::Read(answer(fault, store.read(request))),
            Effect::Settle(request) => {
                for change in request.lanes.iter().flat_map(|lane| &lane.changes) {
                    let innocent = !self.was_poison.contains(&change.id);
                    self.wrongly_dead += usize::from(innocent && matches!(change.fate, Fate::Dead { .. }));
                }
                let delivered = self.delivered_of(&request);
                let answer = answer(fault, store.settle(request));
                self.check_prefix(&delivered);
                Event::Settled(answer)
            }
            Effect::Promote(leases) => Event::Promoted(answer(fault, store.promote(id, &leases, 10))),
            Effect::Check => {
                let cut = self.nodes[n].cut && !self.blind;
                Event::Checked(if cut { Err(PublishError::unreachable("cut off")) } else { Ok(()) })
            }
            Effect::Publish(_) => return,
        };
        // Now and then an answer takes longer than a lease lasts.
        let late = fault == 2 && self.random.u8(..10) == 0;
        self.excuses += usize::from(late);
        let latency = if late { self.random.u64(0..6_000) } else { self.random.u64(0..20) };
        self.after(latency, Action::Arrive(n, life, event));
    }
}

fn answer<T>(fault: u8, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let lost = || StoreError::new(StoreErrorKind::Unavailable, "simulating", "cut");
    match fault {
        0 => Err(lost()),
        1 => {
            at_once(call)?;
            Err(lost())
        }
        _ => at_once(call),
    }
}

/// The store in memory never waits.
pub(in crate::engine) fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("the store in memory waited"),
    }
}
