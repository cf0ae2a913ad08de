//! PostgreSQL: keeping leases in one statement, where there is nothing else to do about them. That is how it is nearly
//! always, and all that a processor without events asks for.

use outbox_core::store::{Lease, LeaseReply, LeaseRequest, Reach, StoreError};
use sea_orm::{DbBackend, Value};
use uuid::Uuid;

use super::lease::{DOING, REMEMBERED, Seen, next_free, number_of, reach_of};
use super::row::{Cells, number};
use super::sql::{clip, micros};
use super::{Inner, query};
use crate::failpoint::failpoint;

/// What the statement's rows are about.
const PROCESSOR: i32 = 0;
const SHARD: i32 = 1;

/// What the statement found, and did.
#[derive(Debug, Default)]
struct Round {
    living: Vec<(Uuid, Reach)>,
    /// Whether one has been dead for long.
    forgotten: bool,
    seen: Vec<Seen>,
    held: Vec<Lease>,
}

impl Inner {
    /// Renews the leases and the processor's place among the living. `None` where there is more to do, which may have
    /// been done in part: a round in a transaction does it again.
    pub(super) async fn renew(&self, request: &LeaseRequest) -> Result<Option<LeaseReply>, StoreError> {
        if self.sql.backend != DbBackend::Postgres || request.leaving || !request.release.is_empty() {
            return Ok(None);
        }
        let Round { mut living, forgotten, seen, mut held } = self.renew_all(request).await?;
        if !request.guest {
            living.push((request.processor, request.reach));
        }
        let fair_share = request.fair_share(seen.len(), &living);
        let takes = held.len() < fair_share.min(request.most)
            && seen.iter().any(|seen| seen.free && seen.owner != Some(request.processor));
        if seen.is_empty() || takes || forgotten {
            return Ok(None);
        }
        held.sort_unstable();
        Ok(Some(LeaseReply { held, fair_share, next_free: next_free(request.processor, &seen) }))
    }

    /// One statement is a transaction of its own, of the level that sessions have by default. It does nothing unless that
    /// is READ COMMITTED: on another level it could not follow a row that somebody has just changed.
    async fn renew_all(&self, request: &LeaseRequest) -> Result<Round, StoreError> {
        let (processor, shard, now) = (&self.sql.processor, &self.sql.shard, self.sql.now());
        let text = format!(
            "WITH applies AS (SELECT 1 WHERE current_setting('transaction_isolation') = 'read committed'), \
             shown AS (INSERT INTO {processor} (id, name, started_at, alive_until, lease, reach, state) \
             SELECT ?::uuid, ?::text, {now}, {now} + ?::bigint, ?::bigint, ?::smallint, ?::text FROM applies \
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, alive_until = excluded.alive_until, \
             lease = excluded.lease, reach = excluded.reach, state = excluded.state), \
             locked AS (SELECT s.shard, s.epoch FROM {shard} s \
             WHERE s.owner = ? AND EXISTS (SELECT 1 FROM applies) ORDER BY s.shard{for_update}), \
             kept AS (UPDATE {shard} s SET lease_until = {now} + ?, lease = ? FROM locked l WHERE s.shard = l.shard \
             RETURNING s.shard, s.epoch) \
             SELECT {PROCESSOR}, p.id, 0::smallint, p.reach::bigint, CASE WHEN {lives} THEN 1 ELSE 0 END, \
             CASE WHEN p.alive_until < {now} - ? THEN 1 ELSE 0 END FROM {processor} p CROSS JOIN applies WHERE p.id <> ? \
             UNION ALL SELECT {SHARD}, s.owner, s.shard, {left}, CASE WHEN {free} THEN 1 ELSE 0 END, 0 \
             FROM {shard} s CROSS JOIN applies \
             UNION ALL SELECT 2, NULL, k.shard, k.epoch, 0, 0 FROM kept k",
            for_update = self.sql.for_update(),
            lives = self.sql.lasts("p.", "alive_until"),
            free = self.free(),
            left = self.left(),
        );
        let me = Value::from(request.processor);
        let lease = Value::from(micros(request.ttl));
        let counted = if request.guest { 0 } else { micros(request.ttl) };
        let values = [
            me.clone(),
            clip(&request.name, 255).into(),
            counted.into(),
            lease.clone(),
            number_of(request.reach).into(),
            request.state.replace('\0', "").into(),
            me.clone(),
            lease.clone(),
            lease,
            micros(REMEMBERED).into(),
            me,
        ];
        failpoint!("store::lease::before_commit", DOING);
        let mut round = Round::default();
        for row in query(&self.db, self.sql.statement(&text, values), DOING).await? {
            let mut cells = Cells::new(&row, false, DOING);
            let about: i32 = cells.take()?;
            let (id, shard, value): (Option<Uuid>, _, i64) = (cells.take()?, cells.shard()?, cells.take()?);
            let (first, second) = (cells.flag()?, cells.flag()?);
            match (about, id) {
                (PROCESSOR, Some(id)) => {
                    if first {
                        round.living.push((id, reach_of(i16::try_from(value).unwrap_or(0))));
                    }
                    round.forgotten |= second;
                }
                (SHARD, owner) => round.seen.push(Seen { shard: number(shard), owner, free: first, left: value }),
                _ => round.held.push(Lease { shard, epoch: value }),
            }
        }
        Ok(round)
    }
}
