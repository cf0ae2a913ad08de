//! MariaDB. Its DDL commits as it goes, so every statement stands alone and may be repeated.

use sea_orm_migration::sea_orm::DbBackend;

use super::{Step, shards};
use crate::names::Table;
use crate::options::{Options, Payload};

/// Rows of `outbox_lock`.
pub(super) const LOCK_SLOTS: u16 = 256;

/// Rows of `outbox_gate`.
pub(super) const GATE_SLOTS: u16 = 16;

/// Text compares by bytes: without padding, a trailing space makes a difference.
const STORAGE: &str = "ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin";

pub(super) fn create(options: &Options) -> Vec<Step> {
    let names = options.names();
    let table = |table: Table, columns: String| {
        let name = names.sql(table, DbBackend::MySql);
        Step::new(format!("create table {name}"), format!("CREATE TABLE IF NOT EXISTS {name} ({columns}) {STORAGE}"))
    };
    let key = |of: Table, suffix: &str| names.index(of, suffix);
    let body = body(options);
    let (event_shards, event_check) = shards(options, Table::Event, DbBackend::MySql);
    let (due_shards, due_check) = shards(options, Table::Scheduled, DbBackend::MySql);

    vec![
        table(Table::Meta, "name VARCHAR(64) NOT NULL PRIMARY KEY, value VARCHAR(255) NOT NULL".to_owned()),
        table(
            Table::Event,
            format!(
                "shard SMALLINT NOT NULL, seq BIGINT NOT NULL AUTO_INCREMENT, {body}, created_at BIGINT NOT NULL, \
                 {TRAIL}, {event_shards}, {event_check}, PRIMARY KEY (shard, seq), KEY `{}` (seq)",
                key(Table::Event, "seq"),
            ),
        ),
        table(
            Table::Scheduled,
            format!(
                "{body}, created_at BIGINT NOT NULL, shard SMALLINT NOT NULL, due_at BIGINT NOT NULL, \
                 {due_shards}, {due_check}, PRIMARY KEY (id), KEY `{}` (shard, due_at, id)",
                key(Table::Scheduled, "due"),
            ),
        ),
        table(
            Table::Dead,
            format!(
                "shard SMALLINT NOT NULL, seq BIGINT NOT NULL, {body}, created_at BIGINT NOT NULL, {TRAIL}, \
                 state SMALLINT NOT NULL, died_at BIGINT NOT NULL, reason VARCHAR(1000) NOT NULL, \
                 PRIMARY KEY (id), KEY `{}` (died_at, id), KEY `{}` (topic, partition_key, seq)",
                key(Table::Dead, "died"),
                key(Table::Dead, "key"),
            ),
        ),
        table(
            Table::Parked,
            format!(
                "topic VARCHAR(249) NOT NULL, partition_key VARCHAR(512) NOT NULL, shard SMALLINT NOT NULL, \
                 parked_at BIGINT NOT NULL, PRIMARY KEY (topic, partition_key), KEY `{}` (shard)",
                key(Table::Parked, "shard"),
            ),
        ),
        table(
            Table::Shard,
            "shard SMALLINT NOT NULL PRIMARY KEY, owner BINARY(16) NULL, epoch BIGINT NOT NULL DEFAULT 0, \
             lease_until BIGINT NOT NULL DEFAULT 0, lease BIGINT NOT NULL DEFAULT 0, generation BIGINT NOT NULL DEFAULT 0"
                .to_owned(),
        ),
        table(
            Table::Processor,
            "id BINARY(16) NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL, started_at BIGINT NOT NULL, \
             alive_until BIGINT NOT NULL, lease BIGINT NOT NULL DEFAULT 0, reach SMALLINT NOT NULL DEFAULT 0, state LONGTEXT NOT NULL"
                .to_owned(),
        ),
        table(Table::Lock, "slot SMALLINT NOT NULL PRIMARY KEY".to_owned()),
        table(Table::Gate, "slot SMALLINT NOT NULL PRIMARY KEY".to_owned()),
    ]
}

/// What an event carries.
fn body(options: &Options) -> String {
    let payload = match options.payload_column() {
        Payload::Text => "LONGTEXT",
        Payload::Binary => "LONGBLOB",
    };
    format!(
        "id BINARY(16) NOT NULL, aggregate_type VARCHAR(255) NOT NULL, aggregate_id VARCHAR(512) NULL, \
         aggregate_version BIGINT NULL, event_type VARCHAR(255) NOT NULL, event_version INT NOT NULL, \
         topic VARCHAR(249) NOT NULL, partition_key VARCHAR(512) NULL, payload {payload} NULL, \
         content_type VARCHAR(127) NOT NULL, headers LONGTEXT NOT NULL"
    )
}

/// What delivery writes about an event.
const TRAIL: &str = "origin SMALLINT NOT NULL DEFAULT 0, attempts INT NOT NULL DEFAULT 0, next_attempt_at BIGINT NULL, \
     errors LONGTEXT NULL";

pub(super) fn create_migrations(options: &Options) -> Step {
    let name = options.names().migrations(DbBackend::MySql);
    Step::new(
        format!("create table {name}"),
        format!(
            "CREATE TABLE IF NOT EXISTS {name} (version VARCHAR(255) NOT NULL PRIMARY KEY, \
             applied_at BIGINT NOT NULL) {STORAGE}"
        ),
    )
}
