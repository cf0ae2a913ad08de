//! SQLite: the writers come one after the other, so a plain INSERT numbers events in the order of their commits.

use sea_orm::Value;

use super::row::{COLUMN_COUNT, COLUMNS, Row, placeholders};
use super::{Sql, Target};

/// Microseconds since the epoch, from a clock with milliseconds.
const NOW: &str =
    "(CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000)";

pub(super) fn insert(sql: &Sql, rows: &[Row<'_>], target: Target, shards: u16, binary: bool) -> (String, Vec<Value>) {
    let mut values = Vec::with_capacity(rows.len() * (COLUMN_COUNT + 1));
    let mut text = match target {
        Target::Event => {
            format!("INSERT INTO {} ({COLUMNS}, shards, origin, attempts, next_attempt_at, errors) VALUES ", sql.event)
        }
        Target::Scheduled => format!("INSERT INTO {} ({COLUMNS}, shards, due_at) VALUES ", sql.scheduled),
    };
    let believed = format!(", {shards}");
    for (n, row) in rows.iter().enumerate() {
        text.push_str(if n == 0 { "(" } else { ", (" });
        placeholders(&mut text, COLUMN_COUNT);
        values.extend(row.values(binary));
        text.push_str(&believed);
        match target {
            Target::Event => text.push_str(", 0, 0, NULL, NULL)"),
            Target::Scheduled => {
                text.push_str(", ");
                text.push_str(NOW);
                text.push_str(" + ?)");
                values.push(row.delay().into());
            }
        }
    }
    (text, values)
}
