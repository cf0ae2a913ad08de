//! A service: axum on PostgreSQL, with the processor inside, publishing to Kafka.
//!
//! ```sh
//! export DATABASE_URL=postgres://user@localhost/shop KAFKA_BROKERS=localhost:9092
//! cargo run --example orders             # sends itself a few requests, reads the topic, and ends
//! cargo run --example orders -- --serve  # stays up, on http://127.0.0.1:8080, until Ctrl-C
//! ```

#![allow(clippy::print_stdout, reason = "an example talks to its terminal")]

use std::env::{args, var};

use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, header::CONTENT_TYPE};
use axum::{Json, Router, routing::post};
use outbox_examples::{Events, Inbox, Result, create_topic};
use outbox_sea_orm::prelude::*;
use sea_orm::{
    ActiveModelTrait, ConnectionTrait, Database, DbErr, EntityTrait, IntoActiveModel, QuerySelect, Schema, Set,
};
use serde::{Deserialize, Serialize};
use tower::ServiceExt;
use uuid::Uuid;

#[derive(Serialize, OutboxEvent)]
#[outbox(aggregate = "order", topic = "example-orders")]
#[serde(untagged)]
enum OrderEvent {
    Placed {
        #[outbox(aggregate_id)]
        order_id: Uuid,
        total_cents: i64,
    },
    Cancelled {
        #[outbox(aggregate_id)]
        order_id: Uuid,
    },
}

#[allow(unreachable_pub, reason = "SeaORM derives public items")]
mod order {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, DeriveEntityModel)]
    #[sea_orm(table_name = "example_order")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub total_cents: i64,
        pub cancelled: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[derive(Deserialize, Serialize)]
struct Accepted {
    order_id: Uuid,
    event_id: Uuid,
}

/// Instead of an answer. The transaction, dropped on the way, rolls back.
type Refusal = (StatusCode, String);

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn internal(error: DbErr) -> Refusal {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

async fn place(State(outbox): State<Outbox>, Json(total_cents): Json<i64>) -> Result<Json<Accepted>, Refusal> {
    let order_id = Uuid::now_v7();
    let txn = outbox.begin().await.map_err(internal)?;
    let row = order::ActiveModel { id: Set(order_id), total_cents: Set(total_cents), cancelled: Set(false) };
    row.insert(&txn).await.map_err(internal)?;
    let event = txn.stage_event(&OrderEvent::Placed { order_id, total_cents }).map_err(|e| internal(e.into()))?;
    txn.commit().await.map_err(internal)?;
    Ok(Json(Accepted { order_id, event_id: event.into() }))
}

async fn cancel(State(outbox): State<Outbox>, Path(order_id): Path<Uuid>) -> Result<Json<Accepted>, Refusal> {
    let txn = outbox.begin().await.map_err(internal)?;
    // The lock decides between two who cancel at once, and puts the order's events in the order of the commits.
    let found = order::Entity::find_by_id(order_id).lock_exclusive().one(&txn).await.map_err(internal)?;
    let order = found.ok_or_else(|| (StatusCode::NOT_FOUND, "no such order".to_owned()))?;
    if order.cancelled {
        return Err((StatusCode::CONFLICT, "cancelled before".to_owned()));
    }
    let row = order::ActiveModel { cancelled: Set(true), ..order.into_active_model() };
    row.update(&txn).await.map_err(internal)?;
    let event = txn.stage_event(&OrderEvent::Cancelled { order_id }).map_err(|e| internal(e.into()))?;
    txn.commit().await.map_err(internal)?;
    Ok(Json(Accepted { order_id, event_id: event.into() }))
}

#[tokio::main]
async fn main() -> Result<()> {
    let db = Database::connect(var("DATABASE_URL").map_err(|error| format!("DATABASE_URL: {error}"))?).await?;
    let brokers = var("KAFKA_BROKERS").map_err(|error| format!("KAFKA_BROKERS: {error}"))?;
    Migrator::up(&db, None).await?;
    let mut table = Schema::new(db.get_database_backend()).create_table_from_entity(order::Entity);
    db.execute(table.if_not_exists()).await?;
    create_topic(&brokers, "example-orders", 3).await?;

    let outbox = Outbox::new(db);
    let processor = outbox.processor(KafkaPublisher::connect(&brokers)?).from_env()?.name("orders").spawn()?;
    let routes = Router::new().route("/orders", post(place)).route("/orders/{id}/cancel", post(cancel));
    let app = routes.with_state(outbox);

    if args().any(|argument| argument == "--serve") {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
        let stop = async { drop(tokio::signal::ctrl_c().await) };
        axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    } else {
        try_out(app, &brokers).await?;
    }
    // Requests first, then the processor: it delivers what the last of them has committed, or leaves it for the next.
    let report = processor.shutdown().await?;
    println!("stopped: {} events delivered", report.counts.delivered);
    Ok(())
}

async fn try_out(app: Router, brokers: &str) -> Result<()> {
    let mut accepted = Events::new();
    for total_cents in [1999, 250, 4500] {
        let placed = ask(&app, "/orders".to_owned(), serde_json::to_vec(&total_cents)?).await?;
        let Accepted { order_id, event_id } = serde_json::from_slice(&placed.1)?;
        let cancelled = ask(&app, format!("/orders/{order_id}/cancel"), Vec::new()).await?;
        let cancelled: Accepted = serde_json::from_slice(&cancelled.1)?;
        accepted.insert(order_id.to_string(), vec![event_id.into(), cancelled.event_id.into()]);
        let (again, _) = ask(&app, format!("/orders/{order_id}/cancel"), Vec::new()).await?;
        println!("order {order_id}: placed, cancelled, and cancelled again: {again}");
    }
    let mut inbox = Inbox::open(brokers, "example-orders", 3)?;
    inbox.wait_for(&accepted).await?;
    let in_order = accepted.iter().all(|(order, events)| inbox.events().get(order) == Some(events));
    if in_order { Ok(()) } else { Err("what was received is not what was accepted".into()) }
}

async fn ask(app: &Router, uri: String, body: Vec<u8>) -> Result<(StatusCode, Vec<u8>)> {
    let request = Request::post(uri).header(CONTENT_TYPE, "application/json").body(Body::from(body))?;
    let response = app.clone().oneshot(request).await?;
    Ok((response.status(), to_bytes(response.into_body(), 64 * 1024).await?.to_vec()))
}
