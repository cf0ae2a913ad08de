//! Your own service under faults: its processes are killed, paused and replaced, its connections to the database are
//! cut and held up, and at the end every promise is checked.
//!
//! The service is two relays, which are this program once more. They take events from PostgreSQL to the simplest of
//! brokers, a file with a line per record. The database is reached through a proxy, on which the trouble is made.

#![allow(clippy::print_stdout, reason = "an example talks to its terminal")]

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use outbox_examples::Result;
use outbox_sea_orm::core::store::Admin;
use outbox_sea_orm::prelude::*;
use outbox_testkit::{Nemesis, Processes, Protocol, Proxy, Record, Verdict, ledger};
use sea_orm::{ConnectionTrait, Database};
use tokio::signal::unix::{SignalKind, signal};

const KEYS: usize = 20;
const WINDOW: usize = 100;
const LEASE: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::var("DATABASE_URL")?;
    if let Some(broker) = env::args().nth(1) {
        return relay(&url, PathBuf::from(broker)).await;
    }
    let url = own_database(&url).await?;
    let db = Database::connect(&url).await?;
    Migrator::up(&db, None).await?;
    ledger::create(&db, KEYS).await?;
    let folder = tempfile::tempdir()?;
    let broker = folder.path().join("records");
    std::fs::File::create(&broker)?;

    // The way from the relays to the database.
    let address = &url[url.find('@').map_or(0, |at| at + 1)..url.rfind('/').unwrap_or(url.len())];
    let way = Proxy::start(address.parse()?, Protocol::Database).await?;
    let through = url.replace(address, &way.address().to_string());
    let (program, file) = (env::current_exe()?, broker.clone());
    let relays = Processes::new(2, move |_place| {
        let mut relay = Command::new(&program);
        relay.arg(&file).env("DATABASE_URL", &through);
        relay
    });
    let nemesis = Nemesis::new(relays).pause(2 * LEASE).way("the database", &way);
    nemesis.start().await?;

    // Writers go on until everything that is to happen has happened.
    let outbox = Outbox::new(db.clone());
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(write(outbox.clone(), Arc::clone(&stop)));
    let history = nemesis.torment(7, Duration::from_secs(20)).await;
    stop.store(true, Ordering::Relaxed);
    writing.await??;
    for past in &history.faults {
        println!("{:6} ms  {}", past.to - past.from, past.fault);
    }

    // With everything healed, the rest must be delivered soon.
    let healed = Instant::now();
    while outbox.store().stats().await?.pending_up_to_10_000 > 0 && healed.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    nemesis.stop().await?;

    let entries = ledger::entries(&db).await?;
    let verdict = Verdict::new(ledger::check(&entries, &records(&broker)?), &history, WINDOW);
    println!("{} events, {:.1} s to deliver the rest\n{verdict}", entries.len(), healed.elapsed().as_secs_f32());
    if verdict.holds() { Ok(()) } else { Err("a promise was broken".into()) }
}

/// What runs in the service's processes: stops on SIGTERM, and ends with success.
async fn relay(url: &str, broker: PathBuf) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let outbox = Outbox::new(Database::connect(url).await?);
    let publisher = publish_fn(move |message| {
        let written = append(&broker, &message).map_err(|error| PublishError::unreachable(error.to_string()));
        async { written }
    });
    let processor = outbox.processor(publisher).lease(LEASE).window(WINDOW).batch_size(WINDOW).spawn()?;
    terminate.recv().await;
    // What it leaves open is repeated, so that this was no graceful stop.
    let abandoned = processor.shutdown().await?.abandoned;
    if abandoned == 0 { Ok(()) } else { Err(format!("{abandoned} events were left open").into()) }
}

/// One write per record, so that a process that is killed leaves no half of one.
fn append(broker: &Path, message: &Message) -> std::io::Result<()> {
    let key = message.envelope.key.as_deref().unwrap_or_default();
    let payload = message.envelope.payload.as_deref().unwrap_or_default();
    let header = message.envelope.headers.get(ledger::HEADER).unwrap_or_default();
    let line = format!("{key}\t{}\t{header}\t{}\n", message.id(), String::from_utf8_lossy(payload));
    std::fs::File::options().append(true).open(broker)?.write_all(line.as_bytes())
}

/// What consumers see.
fn records(broker: &Path) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for (line, offset) in std::fs::read_to_string(broker)?.lines().zip(0..) {
        let mut cells = line.splitn(4, '\t').map(|cell| cell.as_bytes().to_vec());
        let (key, id) = (cells.next(), cells.next());
        let headers = vec![("outbox-event-id".to_owned(), id), (ledger::HEADER.to_owned(), cells.next())];
        records.push(Record { offset, key, headers, value: cells.next(), ..Record::default() });
    }
    Ok(records)
}

/// Transactions that commit, roll back, and are dropped, each with its entries in the ledger.
async fn write(outbox: Outbox, stop: Arc<AtomicBool>) -> Result<()> {
    let mut writer = ledger::Writer::new(outbox, "readings", 1);
    while !stop.load(Ordering::Relaxed) {
        writer.write(KEYS as u64, 10).await?;
    }
    Ok(())
}

/// A database that nobody else uses.
async fn own_database(url: &str) -> Result<String> {
    let name = format!("faults_{}", uuid::Uuid::now_v7().simple());
    Database::connect(url).await?.execute_unprepared(&format!("CREATE DATABASE {name}")).await?;
    let server = url.rfind('/').map_or(url, |at| &url[..at]);
    Ok(format!("{server}/{name}"))
}
