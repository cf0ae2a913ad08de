//! Writing outcomes back, behind the fence.
//!
//! The lease rows are locked before anything else is. A join to them is not enough: a settle that waits for an event's
//! row, and goes on after the lease has changed hands, would still see the lease as it was.

use std::collections::HashMap;

use outbox_core::Place;
use outbox_core::event::EventId;
use outbox_core::store::{Change, Fate, Lease, Rejection, SettleReply, SettleRequest, Settled, StoreError};
use sea_orm::{DatabaseTransaction, DbBackend, Value};
use serde_json::json;

use super::lease::Held;
use super::row::{Cells, body, body_of, errors, number, places};
use super::sql::{Column, WHICH, array, clip, count, hex, micros};
use super::steady::Work;
use super::{Inner, execute, query};
use crate::failpoint::failpoint;

const DOING: &str = "settling";

/// Rejections that are kept.
const KEPT: usize = 10;
/// Most characters of an error that are kept.
const ERROR: usize = 1_000;
/// Most events with errors in one statement: MariaDB takes 16 MiB.
const MOST_ERRORS: usize = 100;
/// Most events in one statement.
const MOST: usize = 10_000;

pub(super) const BEHIND: &str = "behind a dead event of its key";

/// An event's place and identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Which {
    pub(super) shard: i16,
    pub(super) seq: i64,
    pub(super) id: EventId,
}

/// Something other than a success, ready to be written.
struct Careful<'c> {
    which: Which,
    fate: &'c Fate,
}

impl Inner {
    pub(super) async fn settle(&self, request: &SettleRequest) -> Result<SettleReply, StoreError> {
        if request.lanes.is_empty() {
            return Ok(SettleReply::default());
        }
        let leases: Vec<Lease> = request.lanes.iter().map(|lane| lane.lease).collect();
        let mut changes = request.lanes.iter().flat_map(|lane| &lane.changes);
        let deliveries = changes.all(|change| change.fate == Fate::Delivered);
        let (txn, held) = if self.sql.backend == DbBackend::Postgres {
            let work = if deliveries { Work::Deliveries } else { Work::Outcomes };
            let (txn, rows) = self.begin_steady(work, |first| self.fence(&leases, first), DOING).await?;
            (txn, Held::of(&rows, request.processor, &leases, DOING))
        } else {
            let txn = self.begin(DOING).await?;
            let held = self.held(&txn, request.processor, &leases, DOING).await;
            (txn, held)
        };
        let reply = match held {
            Ok(held) => self.settle_in(&txn, request, &held).await,
            Err(error) => Err(error),
        };
        let reply = self.end(txn, reply, DOING).await?;
        failpoint!("store::settle::after_commit", DOING);
        Ok(reply)
    }

    async fn settle_in(
        &self,
        txn: &DatabaseTransaction,
        request: &SettleRequest,
        held: &Held,
    ) -> Result<SettleReply, StoreError> {
        let mut reply = SettleReply::default();
        let placed = self.sql.backend == DbBackend::Postgres;
        let (mut seen, mut gone, mut careful) = (Vec::new(), Vec::new(), Vec::new());
        for lane in &request.lanes {
            let Some((_, generation)) = held.leases.iter().find(|(lease, _)| *lease == lane.lease) else {
                reply.lanes.push((lane.lease.shard, Settled::LeaseLost));
                continue;
            };
            let current = self.generation(*generation) == lane.generation;
            for Change { seq, id, place, fate } in &lane.changes {
                let which = Which { shard: number(lane.lease.shard), seq: *seq, id: *id };
                match fate {
                    Fate::Delivered if placed && *place != Place::default() => seen.push((*place, which)),
                    Fate::Delivered => gone.push(which),
                    _ if current => careful.push(Careful { which, fate }),
                    // An operator has put events back since they were judged.
                    _ => {}
                }
            }
            reply.lanes.push((lane.lease.shard, if current { Settled::Done } else { Settled::Regenerated }));
        }
        for careful in careful.chunks(MOST_ERRORS) {
            gone.extend(self.write_carefully(txn, careful, held.now).await?);
        }
        for seen in seen.chunks(MOST) {
            if self.remove_where_seen(txn, seen).await? < seen.len() as u64 {
                gone.extend(seen.iter().map(|(_, which)| *which));
            }
        }
        for gone in gone.chunks(MOST) {
            self.remove(txn, gone, DOING).await?;
        }
        failpoint!("store::settle::before_commit", DOING);
        Ok(reply)
    }

    /// Writes rejections, and moves what is dead or parked; returns what has been moved and must be removed.
    async fn write_carefully(
        &self,
        txn: &DatabaseTransaction,
        changes: &[Careful<'_>],
        now: i64,
    ) -> Result<Vec<Which>, StoreError> {
        let known = self.known(txn, changes).await?;
        let (mut retried, mut moved, mut parking, mut gone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for Careful { which, fate } in changes {
            // What is not there has been settled before.
            let Some((attempts, before)) = known.get(which) else { continue };
            match fate {
                Fate::Delivered => {}
                // Written after a later one: its connection was lost, but not what had been sent on it.
                Fate::Retry { attempts: late, .. } if late < attempts => {}
                Fate::Retry { attempts, delay, error } => {
                    let errors = errors(&with(before, now, *attempts, error));
                    retried.push(json!({
                        "shard": which.shard, "seq": which.seq, "id": hex(which.id),
                        "attempts": count(*attempts), "delay": micros(*delay), "errors": errors,
                    }));
                }
                Fate::Dead { attempts, error, park } => {
                    let errors = errors(&with(before, now, *attempts, error));
                    let key = if *park { Key::Waits } else { Key::GoesOn };
                    moved.push(letter(which, *attempts, errors.as_deref(), 0, key, error));
                    gone.push(*which);
                    if *park {
                        parking.push(*which);
                    }
                }
                Fate::Parked => {
                    moved.push(letter(which, *attempts, errors(before).as_deref(), 1, Key::Waits, BEHIND));
                    gone.push(*which);
                }
            }
        }
        if !retried.is_empty() {
            self.write_retries(txn, retried).await?;
        }
        if !moved.is_empty() {
            self.write_letters(txn, moved, DOING).await?;
        }
        if !parking.is_empty() {
            self.park(txn, &parking).await?;
            failpoint!("store::park", DOING);
        }
        Ok(gone)
    }

    /// Locks events, and says what is known about their rejections.
    async fn known(
        &self,
        txn: &DatabaseTransaction,
        changes: &[Careful<'_>],
    ) -> Result<HashMap<Which, (u32, Vec<Rejection>)>, StoreError> {
        let events = match self.sql.backend {
            DbBackend::Postgres => self.sql.find_same_event("*", "d", " FOR UPDATE"),
            DbBackend::MySql => format!("{} FOR UPDATE", self.sql.look_up_same_event("d")),
            _ => self.sql.look_up_same_event("d"),
        };
        let source = self.sql.rows("d", &WHICH);
        let text = format!("SELECT e.shard, e.seq, e.id, e.attempts, e.errors FROM {source} {events}");
        let which: Vec<Which> = changes.iter().map(|change| change.which).collect();
        let mut known = HashMap::new();
        for row in query(txn, self.sql.statement(&text, [list(&which)]), DOING).await? {
            let mut cells = Cells::new(&row, false, DOING);
            let which =
                Which { shard: cells.take()?, seq: cells.take()?, id: EventId::from(cells.take::<uuid::Uuid>()?) };
            let attempts = cells.count()?;
            known.insert(which, (attempts, cells.rejections()));
        }
        Ok(known)
    }

    async fn write_retries(&self, txn: &DatabaseTransaction, rows: Vec<serde_json::Value>) -> Result<(), StoreError> {
        let [shard, seq, id] = WHICH;
        let rest = [("attempts", Column::Number), ("delay", Column::Number), ("errors", Column::Text)];
        let columns = [shard, seq, id, rest[0], rest[1], rest[2]];
        let (table, source) = (&self.sql.event, self.sql.rows("d", &columns));
        let now = self.sql.now();
        let set = format!("SET attempts = d.attempts, next_attempt_at = {now} + d.delay, errors = d.errors");
        let text = match self.sql.backend {
            DbBackend::Postgres => format!(
                "UPDATE {table} t {set} FROM (SELECT d.*, e.ctid AS place FROM {source} {}) d WHERE t.ctid = d.place",
                self.sql.find_same_event("e.ctid", "d", "")
            ),
            DbBackend::MySql => format!(
                "UPDATE {source} {} \
                 SET e.attempts = d.attempts, e.next_attempt_at = {now} + d.delay, e.errors = d.errors",
                self.sql.look_up_same_event("d")
            ),
            _ => format!("UPDATE {table} AS e {set} FROM {source} WHERE {}", self.sql.same_event("d")),
        };
        let rows = Value::from(serde_json::Value::from(rows).to_string());
        execute(txn, self.sql.statement(&text, [rows]), DOING).await.map(drop)
    }

    /// Copies events to the dead letters.
    pub(super) async fn write_letters(
        &self,
        txn: &DatabaseTransaction,
        rows: Vec<serde_json::Value>,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let [shard, seq, id] = WHICH;
        let number = |name| (name, Column::Number);
        let columns = [
            shard,
            seq,
            id,
            number("attempts"),
            number("state"),
            number("alone"),
            ("errors", Column::Text),
            ("reason", Column::Text),
        ];
        let (insert, ignore) = self.sql.or_ignore();
        let text = format!(
            "{insert} {} (shard, seq, {}, origin, attempts, next_attempt_at, errors, state, died_at, reason) \
             SELECT e.shard, e.seq, {}, CASE WHEN d.alone = 1 THEN 2 ELSE e.origin END, d.attempts, NULL, d.errors, d.state, {}, d.reason \
             FROM {} {} WHERE 1 = 1{ignore}",
            self.sql.dead,
            body(),
            body_of("e"),
            self.sql.now(),
            self.sql.rows("d", &columns),
            self.sql.look_up_same_event("d"),
        );
        let rows = Value::from(serde_json::Value::from(rows).to_string());
        execute(txn, self.sql.statement(&text, [rows]), doing).await.map(drop)
    }

    /// Parks the keys of events that are still there.
    async fn park(&self, txn: &DatabaseTransaction, which: &[Which]) -> Result<(), StoreError> {
        let (insert, ignore) = self.sql.or_ignore();
        let text = format!(
            "{insert} {} (topic, partition_key, shard, parked_at) \
             SELECT DISTINCT e.topic, e.partition_key, e.shard, {} FROM {} {} \
             WHERE e.partition_key IS NOT NULL{ignore}",
            self.sql.parked,
            self.sql.now(),
            self.sql.rows("d", &WHICH),
            self.sql.look_up_same_event("d"),
        );
        execute(txn, self.sql.statement(&text, [list(which)]), DOING).await.map(drop)
    }

    /// PostgreSQL: removes those of these events that are where they were seen, and says how many. Others may be somewhere
    /// else since an UPDATE, or gone; and something else may be in their place.
    async fn remove_where_seen(&self, txn: &DatabaseTransaction, seen: &[(Place, Which)]) -> Result<u64, StoreError> {
        // Asked for in this way, the list is searched by a hash, whatever is believed about its length.
        let text = format!(
            "DELETE FROM {} WHERE ctid = ANY(?::text::tid[]) \
             AND ((seq, id) IN (SELECT * FROM unnest(?::bigint[], ?::uuid[]))) IS TRUE",
            self.sql.event
        );
        let values = [
            places(seen.iter().map(|(place, _)| *place)).into(),
            array(seen, |(_, which)| which.seq),
            array(seen, |(_, which)| *which.id.as_uuid()),
        ];
        execute(txn, self.sql.statement(&text, values), DOING).await
    }

    /// Removes pending events.
    pub(super) async fn remove(
        &self,
        txn: &DatabaseTransaction,
        which: &[Which],
        doing: &'static str,
    ) -> Result<(), StoreError> {
        if which.is_empty() {
            return Ok(());
        }
        let table = &self.sql.event;
        if self.sql.backend == DbBackend::Postgres {
            let text = format!(
                "DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT e.ctid \
                 FROM unnest(?::smallint[], ?::bigint[], ?::uuid[]) AS d(shard, seq, id) {}))",
                self.sql.find_same_event("e.ctid", "d", "")
            );
            let values = [
                array(which, |which| which.shard),
                array(which, |which| which.seq),
                array(which, |which| *which.id.as_uuid()),
            ];
            return execute(txn, self.sql.statement(&text, values), doing).await.map(drop);
        }
        let source = self.sql.rows("d", &WHICH);
        let text = if self.sql.backend == DbBackend::MySql {
            format!("DELETE e FROM {source} {}", self.sql.look_up_same_event("d"))
        } else {
            let same = self.sql.same_event("d");
            format!("DELETE FROM {table} WHERE seq IN (SELECT e.seq FROM {source} CROSS JOIN {table} e ON {same})")
        };
        execute(txn, self.sql.statement(&text, [list(which)]), doing).await.map(drop)
    }
}

/// The parameter of [`Sql::rows`](super::sql::Sql::rows) with the columns [`WHICH`].
fn list(which: &[Which]) -> Value {
    let rows = which.iter().map(|which| json!({"shard": which.shard, "seq": which.seq, "id": hex(which.id)}));
    serde_json::Value::from_iter(rows).to_string().into()
}

/// What the later events of a dead one's key do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// They wait for it, and it may come back to its old place.
    Waits,
    /// They go on. Should it come back together with a key that parks later, it comes behind them all the same, and
    /// is marked as requeued from now on.
    GoesOn,
}

/// A row for [`Inner::write_letters`].
pub(super) fn letter(
    which: &Which,
    attempts: u32,
    errors: Option<&str>,
    state: i16,
    key: Key,
    reason: &str,
) -> serde_json::Value {
    json!({
        "shard": which.shard, "seq": which.seq, "id": hex(which.id), "attempts": count(attempts), "state": state,
        "alone": i16::from(key == Key::GoesOn),
        "errors": errors, "reason": clip(reason, ERROR),
    })
}

/// The rejections with one more, unless it is there already: a settle may be repeated.
fn with(before: &[Rejection], at: i64, attempt: u32, error: &str) -> Vec<Rejection> {
    let mut all = before.to_vec();
    if all.last().is_none_or(|last| last.attempt != attempt) {
        all.push(Rejection { at, attempt, error: clip(error, ERROR) });
    }
    all.drain(..all.len().saturating_sub(KEPT));
    all
}
