//! The program `outbox-migrate`.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use outbox_migration::{TableNames, check};

use crate::support::{Scratch, count, execute, insert_event, on_each_database, tables};

on_each_database! {
    up_status_down
    four_processes_at_once
    a_killed_process_harms_nothing
}

fn program(url: &str, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbox-migrate"));
    command.args(arguments.split_whitespace()).env("DATABASE_URL", url).env_remove("OUTBOX_DROP_UNDELIVERED");
    command
}

fn run(url: &str, arguments: &str) -> (bool, String) {
    said(&program(url, arguments).output().unwrap())
}

fn said(output: &Output) -> (bool, String) {
    let text = [&*output.stdout, &*output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap().trim().to_owned())
}

async fn up_status_down(Scratch { db, url, .. }: Scratch) {
    assert_eq!(run(&url, "status"), (false, "missing: run outbox-migrate up".to_owned()));
    assert_eq!(run(&url, "--shards 8 --payload=binary up"), (true, "made the outbox's tables".to_owned()));
    assert_eq!(run(&url, "up --shards 8 --payload binary"), (true, "the outbox's tables are there already".to_owned()));
    assert_eq!(
        run(&url, "status"),
        (true, "applied: schema version 1, 8 shards, hash xxh64-1, payload binary".to_owned())
    );
    let (good, text) = run(&url, "up");
    assert!(!good && text.contains("shard_count 8, not 64"), "{text}");

    let backend = db.get_database_backend();
    execute(&db, &insert_event(backend, "outbox_event", 'a', "k").replace("'{}'", "NULL")).await;
    let (good, text) = run(&url, "down");
    assert!(!good && text.contains("--force"), "{text}");
    let forced = program(&url, "down").env("OUTBOX_DROP_UNDELIVERED", "1").output().unwrap();
    assert_eq!(said(&forced), (true, "dropped the outbox's tables".to_owned()));
    assert_eq!(run(&url, "down --force"), (true, "there are no outbox tables".to_owned()));
    assert_eq!(tables(&db).await, ["outbox_migrations"]);
}

async fn four_processes_at_once(Scratch { db, url, .. }: Scratch) {
    let start = || program(&url, "up").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = [start(), start(), start(), start()];
    let said = started.map(|child| said(&child.wait_with_output().unwrap()));
    assert!(said.iter().all(|(good, _)| *good), "{said:?}");
    assert_eq!(said.iter().filter(|(_, text)| text.starts_with("made")).count(), 1, "{said:?}");
    check(&db, &TableNames::default()).await.unwrap();
    assert_eq!(count(&db, "outbox_shard").await, 64);
}

async fn a_killed_process_harms_nothing(Scratch { db, url, .. }: Scratch) {
    for millis in [5, 10, 20, 40, 80] {
        let mut child = program(&url, "up").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Somewhere in the middle, wherever that is on this machine.
        tokio::time::sleep(Duration::from_millis(millis)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let (good, text) = run(&url, "up");
        assert!(good, "after {millis} ms: {text}");
        check(&db, &TableNames::default()).await.unwrap();
        assert_eq!(count(&db, "outbox_shard").await, 64);
        assert!(run(&url, "down").0);
    }
}

#[test]
fn mistakes_are_explained() {
    for (arguments, words) in [
        ("", "a command is missing"),
        ("left", "there is no command"),
        ("up down", "unexpected argument"),
        ("up --prefix x;y", "must match"),
        ("up --schema", "missing argument"),
        ("up --shards 0", "1 to 1024"),
        ("up --shards 99999", "99999"),
        ("up --payload json", "text or binary"),
        ("up --wrong", "invalid option"),
    ] {
        let output = program("sqlite::memory:", arguments).output().unwrap();
        let (good, text) = said(&output);
        assert!(!good && text.contains(words) && text.contains("Usage:"), "{arguments:?}: {text}");
        assert_eq!(output.status.code(), Some(2));
    }
    assert!(run("", "--help").1.contains("Usage:"));
    assert!(run("", "-V").1.starts_with("outbox-migrate "));
    let no_url = program("", "up").env_remove("DATABASE_URL").output().unwrap();
    assert!(said(&no_url).1.contains("DATABASE_URL is not set"));
    for url in [
        "postgres://user:hunter2@127.0.0.1:port/x",
        "postgres://user:hunter2@127.0.0.1:1/x",
        "postgres://user:hunter2@:/",
        "oracle://user:hunter2@127.0.0.1/x",
        "hunter2",
    ] {
        let (good, text) = run(url, "up");
        assert!(!good && text.starts_with("outbox-migrate: ") && !text.contains("hunter2"), "{url}: {text}");
    }
}
