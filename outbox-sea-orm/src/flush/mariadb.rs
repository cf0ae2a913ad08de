//! MariaDB: every INSERT of events holds one row of `outbox_gate` in share mode until its transaction ends.
//!
//! A reader that locks the row exclusively has therefore waited for the transaction. The row is locked by a subquery
//! in the first row's values, which InnoDB evaluates before it allocates a number, and a plain INSERT .. VALUES
//! allocates the numbers of all its rows at once, in their order.

use sea_orm::Value;

use super::row::{COLUMN_COUNT, COLUMNS, Row, placeholders};
use super::{Sql, Target};

/// Microseconds since the epoch, whatever the session's time zone.
const NOW: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";

pub(super) fn insert(
    sql: &Sql,
    rows: &[Row<'_>],
    target: Target,
    shards: u16,
    binary: bool,
    inside: bool,
) -> (String, Vec<Value>) {
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
        if n == 0 {
            text.push_str(&first_shard(sql, target, inside));
            text.push_str(", ");
            placeholders(&mut text, COLUMN_COUNT - 1);
        } else {
            placeholders(&mut text, COLUMN_COUNT);
        }
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

/// The shard of the first row, in a subquery with effects: it locks the gate, and it finds nothing, which no column
/// takes, when the transaction that should be open has been ended by a deadlock or by DDL.
///
/// The slot changes four times a second, and is computed once: the limit keeps it out of the join.
fn first_shard(sql: &Sql, target: Target, inside: bool) -> String {
    let open = if inside { " WHERE @@in_transaction = 1" } else { "" };
    match target {
        Target::Event => format!(
            "(SELECT ? FROM (SELECT FLOOR(UNIX_TIMESTAMP(SYSDATE(6)) * 4) % 16 AS slot LIMIT 1) c \
             STRAIGHT_JOIN {} g ON g.slot = c.slot{open} LOCK IN SHARE MODE)",
            sql.gate
        ),
        Target::Scheduled if inside => format!("(SELECT ? FROM DUAL{open})"),
        Target::Scheduled => "?".to_owned(),
    }
}
