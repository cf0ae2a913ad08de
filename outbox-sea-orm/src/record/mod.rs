//! Writing an event through any connection.

mod offer;

use std::sync::Arc;

use outbox_core::{Envelope, EventId, EventOptions, Headers, Limits, OutboxEvent};
use sea_orm::{ConnectionTrait, DbErr};

use self::offer::Offer;
use crate::config::Config;
use crate::error::StageError;
use crate::failpoint::failpoint;
use crate::flush;
use crate::outbox::Shared;

pub(crate) use offer::take;

/// Writes an event through any SeaORM connection: for a hook of `ActiveModelBehavior`, which sees nothing but a
/// `ConnectionTrait`, and for transactions that were begun on a plain `DatabaseConnection`.
///
/// # What it does
///
/// It depends on what `conn` is, behind whatever generic parameter:
///
/// - An [`OutboxTransaction`](crate::OutboxTransaction) stages the event, as
///   [`stage_event`](crate::OutboxTransaction::stage_event) does: in the order of the calls, with its outbox's tables,
///   limits and ambient headers, and without a statement before the commit.
/// - An [`Outbox`](crate::Outbox) inserts it at once, which is a commit of its own.
/// - Any other connection gets one INSERT at once, into the tables of the default names and with the default limits.
///   [`Outbox::record`](crate::Outbox::record) is for others, and reads `outbox_meta` once, not at every call.
///
/// An event that is inserted at once commits and rolls back with whatever `conn` is: a transaction, a savepoint, or,
/// on a bare pool, the INSERT alone. On a bare pool `ActiveModelTrait::insert` and its hooks are separate commits:
/// begin a transaction, or save through `ActiveModelEx`, which begins one.
/// It counts from its INSERT, not from the commit: writers that lock nothing may commit in another order. Use it after
/// the row is written (`after_save`), where the row's lock is held, or with a
/// [strict](crate::OutboxBuilder::strict) outbox.
/// The commit of a foreign transaction wakes no processor: the event waits for the next poll.
///
/// ```
/// # mod product {
/// use outbox_sea_orm::{OutboxEvent, record};
/// use sea_orm::entity::prelude::*;
///
/// #[derive(serde::Serialize, OutboxEvent)]
/// #[outbox(aggregate = "product", topic = "products")]
/// struct PriceSet {
///     #[outbox(aggregate_id)]
///     product_id: i64,
///     cents: i64,
/// }
/// # #[derive(Clone, Debug, DeriveEntityModel)]
/// # #[sea_orm(table_name = "product")]
/// # pub struct Model {
/// #     #[sea_orm(primary_key)]
/// #     pub id: i64,
/// #     pub cents: i64,
/// # }
/// # #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
/// # pub enum Relation {}
///
/// #[async_trait::async_trait]
/// impl ActiveModelBehavior for ActiveModel {
///     async fn after_save<C: ConnectionTrait>(model: Model, db: &C, _insert: bool) -> Result<Model, DbErr> {
///         record(db, &PriceSet { product_id: model.id, cents: model.cents }).await?;
///         Ok(model)
///     }
/// }
/// # }
/// ```
///
/// # Errors
///
/// A [`StageError`], an [`OutboxError`](crate::OutboxError) or what the database says, in a `DbErr`.
///
/// # Cancel safety
///
/// Cancelled, the event may have been written or not, as with any statement of `conn`.
pub fn record<'c, C: ConnectionTrait, E: OutboxEvent + ?Sized>(
    conn: &'c C,
    event: &E,
) -> impl Future<Output = Result<EventId, DbErr>> + Send + use<'c, C, E> {
    write(None, conn, encode(event, EventOptions::new()))
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
    write(None, conn, encode(event, options(EventOptions::new())))
}

/// Encodes an event whose outbox is not known yet. What depends on it follows with [`Shared::adopt`].
pub(crate) fn encode(event: &(impl OutboxEvent + ?Sized), options: EventOptions) -> Result<Envelope, StageError> {
    let limits = Limits::new().payload_bytes(Limits::MOST_PAYLOAD_BYTES);
    Ok(Envelope::encode(event, options, Headers::new(), &limits)?)
}

/// Writes an event into the tables of `outbox`, or of whatever outbox `conn` belongs to, or of the default names.
pub(crate) async fn write<C: ConnectionTrait>(
    outbox: Option<Arc<Shared>>,
    conn: &C,
    envelope: Result<Envelope, StageError>,
) -> Result<EventId, DbErr> {
    let envelope = envelope?;
    let offer = Offer::new(envelope.clone(), outbox.clone());
    let shared = outbox.unwrap_or_else(|| Arc::new(Shared::new(Config::default(), conn.get_database_backend())));
    offer.or(insert(&shared, conn, envelope)).await
}

/// Inserts an event at once.
pub(crate) async fn insert(shared: &Shared, conn: &impl ConnectionTrait, event: Envelope) -> Result<EventId, DbErr> {
    let event = shared.adopt(event)?;
    let mode = flush::Mode { strict: shared.config.strict, inside: false };
    failpoint!("writer::record::before");
    flush::write(conn, shared, &[&event], mode).await?;
    failpoint!("writer::record::after");
    // On a transaction this is early, and a processor that was just woken looks more often for a while.
    shared.announce();
    Ok(event.id)
}
