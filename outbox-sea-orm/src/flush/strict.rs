//! Locks on order keys, for writers that lock nothing else.

use std::collections::BTreeSet;

use outbox_core::Envelope;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use xxhash_rust::xxh64::Xxh64;

use super::Sql;

/// Rows of `outbox_lock`.
const SLOTS: u64 = 256;

/// Waits for, and takes, a lock per order key, in an order that is the same for everybody, to be held until the
/// transaction ends.
pub(super) async fn lock(conn: &impl ConnectionTrait, sql: &Sql, events: &[&Envelope]) -> Result<(), DbErr> {
    let backend = conn.get_database_backend();
    let hashes = events.iter().filter_map(|event| event.key.as_deref().map(|key| hash(sql, &event.topic, key)));
    let statement = match backend {
        #[cfg(feature = "postgres")]
        DbBackend::Postgres => {
            let keys: BTreeSet<i64> = hashes.map(u64::cast_signed).collect();
            if keys.is_empty() {
                return Ok(());
            }
            let text = "SELECT pg_catalog.pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) AS k";
            Statement::from_sql_and_values(backend, text, [keys.into_iter().collect::<Vec<_>>().into()])
        }
        DbBackend::MySql => {
            let slots: BTreeSet<u64> = hashes.map(|hash| hash % SLOTS).collect();
            if slots.is_empty() {
                return Ok(());
            }
            let slots: Vec<_> = slots.iter().map(u64::to_string).collect();
            let text = format!(
                "SELECT slot FROM {} FORCE INDEX (PRIMARY) WHERE slot IN ({}) ORDER BY slot FOR UPDATE",
                sql.lock,
                slots.join(", ")
            );
            Statement::from_string(backend, text)
        }
        // SQLite has one writer at a time.
        _ => return Ok(()),
    };
    conn.query_all_raw(statement).await.map(drop)
}

/// Advisory locks share one space with those of the program, so the table's name goes in.
fn hash(sql: &Sql, topic: &str, key: &str) -> u64 {
    let mut hash = Xxh64::new(0);
    for part in [&sql.event, topic, key] {
        hash.update(part.as_bytes());
        hash.update(&[0]);
    }
    hash.digest()
}
