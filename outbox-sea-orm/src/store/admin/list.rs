//! Lists in pages, each of which begins behind the last row of the one before.

use std::sync::Arc;

use outbox_core::Message;
use outbox_core::event::{EventId, OrderKey};
use outbox_core::store::{DeadLetter, DeadState, PendingEvent, ScheduledEvent, StoreError};
use outbox_migration::Table;
use sea_orm::{DbBackend, QueryResult, Value};
use uuid::Uuid;

use super::super::error::during;
use super::super::row::{Cells, Read, body_of, message_of, time};
use super::super::steady::Work;
use super::super::{Inner, query};

const DOING: &str = "listing events";

impl Inner {
    pub(in super::super) async fn pending(&self, after: i64, limit: u32) -> Result<Vec<PendingEvent>, StoreError> {
        let binary = self.opened().await?.binary;
        let columns = format!("e.shard, {}, e.errors, {}", message_of("e"), self.sql.until("e.next_attempt_at"));
        let (table, limit) = (&self.sql.event, Value::from(i64::from(limit)));
        let (text, values) = match self.sql.backend {
            // Its only index begins with the shard: some of each, without their payloads, then the first of all.
            DbBackend::Postgres => (
                format!(
                    "SELECT {columns} FROM (SELECT f.shard, f.seq FROM {} s CROSS JOIN LATERAL (\
                     SELECT p.shard, p.seq FROM {table} p WHERE p.shard = s.shard AND p.seq > ? \
                     ORDER BY p.seq LIMIT ?) f ORDER BY f.seq LIMIT ?) k {} ORDER BY e.seq",
                    self.sql.shard,
                    self.sql.look_up_event("k.shard", "k.seq")
                ),
                vec![after.into(), limit.clone(), limit],
            ),
            backend => {
                // Where it believes the table to be small, MariaDB would read all of it.
                let by_seq = match backend {
                    DbBackend::MySql => format!(" FORCE INDEX (`{}`)", self.names.index(Table::Event, "seq")),
                    _ => String::new(),
                };
                let text = format!("SELECT {columns} FROM {table} e{by_seq} WHERE e.seq > ? ORDER BY e.seq LIMIT ?");
                (text, vec![after.into(), limit])
            }
        };
        let statement = self.sql.statement(&text, values);
        let rows = if self.sql.backend == DbBackend::Postgres {
            let nothing = |first: &str| self.sql.statement(&format!("SELECT {first}"), []);
            let (txn, _) = self.begin_steady(Work::Read, nothing, DOING).await?;
            let rows = query(&txn, statement, DOING).await?;
            txn.commit().await.map_err(during(DOING))?;
            rows
        } else {
            query(&self.db, statement, DOING).await?
        };
        let mut events = Vec::new();
        for row in rows {
            let mut cells = Cells::new(&row, binary, DOING);
            let shard = cells.shard()?;
            let Some(Read { message, .. }) = cells.message(shard)? else { continue };
            let Message { envelope, seq, shard, attempts, .. } = Arc::unwrap_or_clone(message);
            events.push(PendingEvent {
                rejections: cells.rejections(),
                retry_in: cells.wait()?,
                envelope,
                shard,
                seq,
                attempts,
            });
        }
        Ok(events)
    }

    pub(in super::super) async fn scheduled(
        &self,
        after: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<ScheduledEvent>, StoreError> {
        let binary = self.opened().await?.binary;
        let (condition, mut values) = match after {
            Some(id) => ("WHERE t.id > ?", vec![Value::from(*id.as_uuid())]),
            None => ("", Vec::new()),
        };
        let text = format!(
            "SELECT t.shard, {}, {} FROM {} t {condition} ORDER BY t.id LIMIT ?",
            self.sql.until("t.due_at"),
            body_of("t"),
            self.sql.scheduled
        );
        values.push(i64::from(limit).into());
        let mut events = Vec::new();
        for row in query(&self.db, self.sql.statement(&text, values), DOING).await? {
            let mut cells = Cells::new(&row, binary, DOING);
            let (shard, due_in) = (cells.shard()?, cells.wait()?);
            events.push(ScheduledEvent { envelope: cells.envelope()?, shard, due_in });
        }
        Ok(events)
    }

    pub(in super::super) async fn dead_letters(
        &self,
        after: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let mut values = Vec::new();
        let mut condition = String::from("1 = 1");
        if let Some(died_at) = self.died_at(after).await? {
            "d.died_at >= ? AND (d.died_at > ? OR d.id > ?)".clone_into(&mut condition);
            let id = after.map(|id| *id.as_uuid());
            values.extend([Value::from(died_at), died_at.into(), id.into()]);
        }
        values.push(i64::from(limit).into());
        self.letters(&format!("WHERE {condition} ORDER BY d.died_at, d.id LIMIT ?"), values).await
    }

    pub(in super::super) async fn dead_letter(&self, id: EventId) -> Result<Option<DeadLetter>, StoreError> {
        let letters = self.letters("WHERE d.id = ?", vec![Value::from(*id.as_uuid())]).await?;
        Ok(letters.into_iter().next())
    }

    /// The dead letter that died first.
    pub(in super::super) async fn first_dead(&self) -> Result<Option<(EventId, Option<OrderKey>)>, StoreError> {
        let text =
            format!("SELECT d.id, d.topic, d.partition_key FROM {} d ORDER BY d.died_at, d.id LIMIT 1", self.sql.dead);
        let rows = query(&self.db, self.sql.statement(&text, []), DOING).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut cells = Cells::new(row, false, DOING);
        let id = EventId::from(cells.take::<Uuid>()?);
        let (topic, key) = (cells.key(), cells.key());
        // What cannot be read is no key, by which its events could be found.
        let key = topic.zip(key).map(|(topic, key)| OrderKey::new(&*topic, &*key));
        Ok(Some((id, key)))
    }

    pub(in super::super) async fn parked_keys(
        &self,
        after: Option<&OrderKey>,
        limit: u32,
    ) -> Result<Vec<OrderKey>, StoreError> {
        let mut values = Vec::new();
        let mut condition = "1 = 1";
        if let Some(OrderKey { topic, key }) = after {
            condition = "topic >= ? AND (topic > ? OR partition_key > ?)";
            values.extend([&**topic, &**topic, &**key].map(Value::from));
        }
        let text = format!(
            "SELECT topic, partition_key FROM {} WHERE {condition} ORDER BY topic, partition_key LIMIT ?",
            self.sql.parked
        );
        values.push(i64::from(limit).into());
        let rows = query(&self.db, self.sql.statement(&text, values), DOING).await?;
        let key = |row| {
            let mut cells = Cells::new(row, false, DOING);
            Ok(OrderKey::new(cells.take::<String>()?, cells.take::<String>()?))
        };
        rows.iter().map(key).collect()
    }

    async fn died_at(&self, id: Option<EventId>) -> Result<Option<i64>, StoreError> {
        let Some(id) = id else { return Ok(None) };
        let text = format!("SELECT died_at FROM {} WHERE id = ?", self.sql.dead);
        let rows = query(&self.db, self.sql.statement(&text, [Value::from(*id.as_uuid())]), DOING).await?;
        rows.first().map(|row| Cells::new(row, false, DOING).take()).transpose()
    }

    async fn letters(&self, rest: &str, values: Vec<Value>) -> Result<Vec<DeadLetter>, StoreError> {
        let binary = self.opened().await?.binary;
        let text = format!(
            "SELECT d.shard, d.seq, d.state, d.attempts, d.errors, d.died_at, d.reason, {} FROM {} d {rest}",
            body_of("d"),
            self.sql.dead
        );
        let rows = query(&self.db, self.sql.statement(&text, values), DOING).await?;
        rows.iter().map(|row| letter(row, binary)).collect()
    }
}

fn letter(row: &QueryResult, binary: bool) -> Result<DeadLetter, StoreError> {
    let mut cells = Cells::new(row, binary, DOING);
    Ok(DeadLetter {
        shard: cells.shard()?,
        seq: cells.take()?,
        state: match cells.kind()? {
            1 => DeadState::Parked,
            _ => DeadState::Dead,
        },
        attempts: cells.count()?,
        rejections: cells.rejections(),
        died_at: time(cells.take()?),
        reason: cells.text("reason").into_owned(),
        envelope: cells.envelope()?,
    })
}
