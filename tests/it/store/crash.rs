//! A server that recovers from the crash of one of its processes.

use std::process::Command;
use std::time::Duration;

use outbox_core::store::{ReadRequest, Store};
use outbox_tests::{OwnServer, Server, eventually, on_server};
use sea_orm::{ConnectionTrait, Statement};

use super::fixture::Outboxed;
use super::owner::{LONG, Owner};

const DEADLINE: Duration = Duration::from_secs(60);

/// PostgreSQL ends all connections and recovers, and may have lost what was committed asynchronously: rows are back
/// that every reader has left behind. The server's start was long before, so only the connections tell.
#[tokio::test(flavor = "multi_thread")]
async fn readers_start_over_after_it_on_postgres() {
    let Some(server) = OwnServer::start(Server::Postgres).await else { return };
    let outboxed = Outboxed::new(on_server(server.address()).await).await;
    let owner = Owner::of(&outboxed.store, LONG).await;
    // Every new connection of the pool makes readers start over: until there are none.
    let before = loop {
        let (one, other) = (generation(&outboxed, &owner).await, generation(&outboxed, &owner).await);
        if one == other {
            break one;
        }
    };

    let victim = outboxed.one_connection().await;
    let pid = Statement::from_string(outboxed.db.backend(), "SELECT pg_backend_pid()");
    let pid: i32 = victim.query_one_raw(pid).await.unwrap().unwrap().try_get_by_index(0).unwrap();
    assert!(Command::new("kill").args(["-s", "KILL", &pid.to_string()]).status().unwrap().success());

    let started_over = || async { generation(&outboxed, &owner).await.is_some_and(|now| Some(now) != before) };
    eventually(DEADLINE, started_over).await;
}

/// As a reader sees it; `None` while nobody answers.
async fn generation(outboxed: &Outboxed, owner: &Owner) -> Option<i64> {
    let lanes = owner.held.iter().take(1).map(Owner::lane).collect();
    let reply = outboxed.store.read(ReadRequest { processor: owner.id, lanes }).await.ok()?;
    Some(reply.lanes[0].generation)
}
