//! PostgreSQL: one statement text for an event alone, which is the usual case, and one for any number of them, so that each
//! is prepared once per connection. Arrays are worth their while from the second event on.

use outbox_core::Envelope;
use sea_orm::Value;

use super::row::{COLUMNS, Row};
use super::{Sql, Target};

/// Array elements cannot be null, so a bit per nullable column says whether its value counts.
mod present {
    pub(super) const AGGREGATE_ID: i16 = 1;
    pub(super) const AGGREGATE_VERSION: i16 = 2;
    pub(super) const PARTITION_KEY: i16 = 4;
    pub(super) const PAYLOAD: i16 = 8;
}

pub(super) fn insert(sql: &Sql, rows: &[Row<'_>], target: Target, shards: u16, binary: bool) -> (String, Vec<Value>) {
    match rows {
        [row] => one(sql, row, target, shards, binary),
        _ => many(sql, rows, target, shards, binary),
    }
}

fn one(sql: &Sql, row: &Row<'_>, target: Target, shards: u16, binary: bool) -> (String, Vec<Value>) {
    let (table, extra, extra_values) = rest(sql, target, "$14");
    let text = format!(
        "INSERT INTO {table} ({COLUMNS}, shards, {extra}) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, {shards}, {extra_values})"
    );
    let mut values = Vec::from(row.values(binary));
    if target == Target::Scheduled {
        values.push(row.delay().into());
    }
    (text, values)
}

/// The table, its other columns, and what goes into them.
fn rest<'s>(sql: &'s Sql, target: Target, delay: &str) -> (&'s str, &'static str, String) {
    match target {
        Target::Event => (&sql.event, "origin, attempts, next_attempt_at, errors", "0, 0, NULL, NULL".to_owned()),
        Target::Scheduled => {
            let due_at = format!("(extract(epoch FROM clock_timestamp()) * 1000000)::bigint + {delay}");
            (&sql.scheduled, "due_at", due_at)
        }
    }
}

fn many(sql: &Sql, rows: &[Row<'_>], target: Target, shards: u16, binary: bool) -> (String, Vec<Value>) {
    let payload = if binary { "bytea" } else { "text" };
    let (table, extra, extra_values) = rest(sql, target, "v.delay");
    let text = format!(
        "INSERT INTO {table} ({COLUMNS}, shards, {extra}) \
         SELECT v.shard, v.id, v.aggregate_type, \
         CASE WHEN v.present & 1 <> 0 THEN v.aggregate_id END, \
         CASE WHEN v.present & 2 <> 0 THEN v.aggregate_version END, \
         v.event_type, v.event_version, v.topic, \
         CASE WHEN v.present & 4 <> 0 THEN v.partition_key END, \
         CASE WHEN v.present & 8 <> 0 THEN v.payload END, \
         v.content_type, v.headers, v.created_at, {shards}, {extra_values} \
         FROM unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::integer[], \
         $8::text[], $9::text[], $10::{payload}[], $11::text[], $12::text[], $13::bigint[], $14::smallint[], \
         $15::bigint[]) WITH ORDINALITY \
         AS v (shard, id, aggregate_type, aggregate_id, aggregate_version, event_type, event_version, topic, \
         partition_key, payload, content_type, headers, created_at, present, delay, n) ORDER BY v.n"
    );
    (text, columns(rows, binary))
}

fn columns(rows: &[Row<'_>], binary: bool) -> Vec<Value> {
    let text = |pick: fn(&Envelope) -> &str| {
        Value::from(rows.iter().map(|row| pick(row.event).to_owned()).collect::<Vec<_>>())
    };
    vec![
        rows.iter().map(Row::shard).collect::<Vec<_>>().into(),
        rows.iter().map(|row| *row.event.id.as_uuid()).collect::<Vec<_>>().into(),
        text(|event| &event.aggregate_type),
        text(|event| event.aggregate_id.as_deref().unwrap_or_default()),
        rows.iter().map(|row| row.event.aggregate_version.unwrap_or_default()).collect::<Vec<_>>().into(),
        text(|event| &event.event_type),
        rows.iter().map(Row::event_version).collect::<Vec<_>>().into(),
        text(|event| &event.topic),
        text(|event| event.key.as_deref().unwrap_or_default()),
        if binary {
            rows.iter().map(|row| row.bytes().unwrap_or_default()).collect::<Vec<_>>().into()
        } else {
            rows.iter().map(|row| row.text().unwrap_or_default()).collect::<Vec<_>>().into()
        },
        text(|event| &event.content_type),
        rows.iter().map(|row| row.event.headers.to_json()).collect::<Vec<_>>().into(),
        rows.iter().map(Row::created_at).collect::<Vec<_>>().into(),
        rows.iter().map(|row| present(row.event)).collect::<Vec<_>>().into(),
        rows.iter().map(Row::delay).collect::<Vec<_>>().into(),
    ]
}

fn present(event: &Envelope) -> i16 {
    let bit = |there: bool, bit| if there { bit } else { 0 };
    bit(event.aggregate_id.is_some(), present::AGGREGATE_ID)
        | bit(event.aggregate_version.is_some(), present::AGGREGATE_VERSION)
        | bit(event.key.is_some(), present::PARTITION_KEY)
        | bit(event.payload.is_some(), present::PAYLOAD)
}
