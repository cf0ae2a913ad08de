//! Writing an event at once, through any connection.

use std::sync::Arc;

use outbox_core::{Envelope, EventId, EventOptions, OutboxEvent};
use sea_orm::{ConnectionTrait, DbErr};

use crate::config::Config;
use crate::error::StageError;
use crate::flush;
use crate::outbox::Shared;

/// Writes an event at once through any SeaORM connection, with the default tables and limits.
///
/// For places that have no [`OutboxTransaction`](crate::OutboxTransaction) in their hands: a hook of
/// `ActiveModelBehavior`, or a transaction that was begun on a plain `DatabaseConnection`.
/// [`Outbox::record`](crate::Outbox::record) does the same with an outbox's settings and reads `outbox_meta` only
/// once; this function reads it every time, which is one more query.
///
/// # What it promises
///
/// The event commits and rolls back with whatever `conn` is: a transaction, a savepoint, or, on a bare pool, the
/// INSERT alone. On a bare pool, `ActiveModelTrait::insert` and its hooks are separate commits; begin a transaction,
/// or save through `ActiveModelEx`, which begins one.
///
/// The event counts from its INSERT, not from the commit: writers that lock nothing may commit in another order. Use
/// it after the row is written (`after_save`), where the row's lock is held, or with a
/// [strict](crate::OutboxBuilder::strict) outbox.
///
/// Through an `OutboxTransaction` it comes before everything that is staged there and not yet written, also what was
/// staged earlier, because a generic `conn` does not show what it is. Call
/// [`OutboxTransaction::flush`](crate::OutboxTransaction::flush) before, or use
/// [`OutboxTransaction::record`](crate::OutboxTransaction::record), where that matters.
///
/// The commit does not wake a processor in this process: the event waits for the next poll.
///
/// # Errors
///
/// A [`StageError`] or what the database says, in a `DbErr`.
pub fn record<'c, C: ConnectionTrait, E: OutboxEvent + ?Sized>(
    conn: &'c C,
    event: &E,
) -> impl Future<Output = Result<EventId, DbErr>> + Send + use<'c, C, E> {
    let shared = plain(conn);
    let envelope = shared.encode(event, EventOptions::new());
    write(shared, conn, envelope)
}

/// [`record`](record()) with headers, another key or topic, a delay or an id of its own.
///
/// # Errors
///
/// As [`record`](record()).
pub fn record_with<'c, C: ConnectionTrait, E: OutboxEvent + ?Sized, O: FnOnce(EventOptions) -> EventOptions>(
    conn: &'c C,
    event: &E,
    options: O,
) -> impl Future<Output = Result<EventId, DbErr>> + Send + use<'c, C, E, O> {
    let shared = plain(conn);
    let envelope = shared.encode(event, options(EventOptions::new()));
    write(shared, conn, envelope)
}

fn plain(conn: &impl ConnectionTrait) -> Arc<Shared> {
    Arc::new(Shared::new(Config::default(), conn.get_database_backend()))
}

pub(crate) async fn write<C: ConnectionTrait>(
    shared: Arc<Shared>,
    conn: &C,
    envelope: Result<Envelope, StageError>,
) -> Result<EventId, DbErr> {
    let envelope = envelope?;
    let mode = flush::Mode { strict: shared.config.strict, inside: false };
    flush::write(conn, &shared, &[&envelope], mode).await?;
    Ok(envelope.id)
}
