//! The fixtures keep their promises.

use std::cell::Cell;
use std::time::Duration;

use outbox_tests::{
    Availability, Kafka, Kind, OwnServer, Server, TestDatabase, availability, eventually, on_every_database, on_server,
};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr, Statement, TransactionTrait};

const DEADLINE: Duration = Duration::from_secs(30);

on_every_database! {
    async fn every_database_is_a_new_one(db: TestDatabase) -> Result<(), DbErr> {
        let other = match db.kind() {
            Kind::Postgres => outbox_tests::postgres().await.unwrap(),
            Kind::MariaDb => outbox_tests::mariadb().await.unwrap(),
            Kind::Sqlite => outbox_tests::sqlite().await,
        };
        assert_ne!(db.url(), other.url());
        for db in [&db, &other] {
            // The second would fail in the first's database.
            db.connection().execute_unprepared("CREATE TABLE thing (id INT)").await?;
        }
        db.connection().execute_unprepared("INSERT INTO thing VALUES (1)").await?;
        assert_eq!(count(db.connection()).await?, 1);
        assert_eq!(count(other.connection()).await?, 0);
        Ok(())
    }

    async fn further_connections_see_the_same_database(db: TestDatabase) -> Result<(), DbErr> {
        db.connection().execute_unprepared("CREATE TABLE thing (id INT)").await?;
        let other = db.connect(|options| { options.max_connections(1); }).await;
        assert_eq!(other.get_database_backend(), db.backend());

        let open = db.connection().begin().await?;
        open.execute_unprepared("INSERT INTO thing VALUES (1)").await?;
        assert_eq!(count(&other).await?, 0, "a reader sees what is committed, and does not wait for a writer");
        open.commit().await?;
        assert_eq!(count(&other).await?, 1);
        Ok(())
    }

    async fn a_database_goes_with_its_test(db: TestDatabase) -> Result<(), DbErr> {
        db.connection().execute_unprepared("CREATE TABLE thing (id INT)").await?;
        // A forgotten transaction in another pool holds a lock on it.
        let other = db.connect(|_| {}).await;
        let open = other.begin().await?;
        open.execute_unprepared("INSERT INTO thing VALUES (1)").await?;

        let url = db.url().replace("?mode=rwc", "");
        drop(db);
        Database::connect(url).await.expect_err("the database is gone");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_is_opened_as_recommended_or_as_by_default() -> Result<(), DbErr> {
    let recommended = outbox_tests::sqlite().await;
    assert_eq!(pragma(recommended.connection(), "journal_mode").await?, "wal");
    assert_eq!(recommended.connection().get_sqlite_connection_pool().options().get_max_connections(), 8);

    let default = outbox_tests::sqlite_default_pool().await;
    assert_eq!(default.connection().get_sqlite_connection_pool().options().get_max_connections(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_produced_is_consumed_byte_for_byte() {
    let Some(kafka) = outbox_tests::kafka() else { return };
    let topic = kafka.topic(3).await;
    let producer: FutureProducer = kafka.config().create().unwrap();
    for partition in 0..3 {
        let headers = OwnedHeaders::new()
            .insert(Header { key: "twice", value: Some(&[0_u8, 255]) })
            .insert(Header { key: "twice", value: None::<&[u8]> });
        let record = FutureRecord::to(&topic)
            .partition(partition)
            .key(&[b'k', 0])
            .payload(&[1_u8, 0])
            .timestamp(1_700_000_000_123)
            .headers(headers);
        producer.send(record, DEADLINE).await.unwrap();
    }

    let records = kafka.consume_all(&topic, 3, DEADLINE).await;
    assert_eq!(records.iter().map(|record| record.partition).collect::<Vec<_>>(), [0, 1, 2]);
    for record in records {
        assert_eq!(record.offset, 0);
        assert_eq!(record.key, Some(vec![b'k', 0]));
        assert_eq!(record.value, Some(vec![1, 0]));
        assert_eq!(record.headers, [("twice".to_owned(), Some(vec![0, 255])), ("twice".to_owned(), None)]);
        assert_eq!(record.timestamp, Some(1_700_000_000_123));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_beyond_the_expected_are_seen() {
    let Some(kafka) = outbox_tests::kafka() else { return };
    let topic = kafka.topic(2).await;
    let producer: FutureProducer = kafka.config().create().unwrap();
    for partition in [0, 0, 1, 1, 1] {
        let record = FutureRecord::<(), _>::to(&topic).partition(partition).payload("x");
        producer.send(record, DEADLINE).await.unwrap();
    }
    assert_eq!(kafka.consume_all(&topic, 1, DEADLINE).await.len(), 5);
    assert_eq!(kafka.consume_all(&kafka.topic(1).await, 0, DEADLINE).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_takes_settings() {
    let Some(kafka) = outbox_tests::kafka() else { return };
    let topic = kafka.topic_with(1, &[("max.message.bytes", "1000")]).await;
    let producer: FutureProducer = kafka.config().create().unwrap();
    let payload = "x".repeat(2000);
    let record = FutureRecord::<(), _>::to(&topic).payload(&payload);
    producer.send(record, DEADLINE).await.expect_err("larger than the topic takes");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_postgres_keeps_what_it_committed_over_a_crash() -> Result<(), DbErr> {
    let Some(server) = OwnServer::start(Server::Postgres).await else { return Ok(()) };
    let db = on_server(server.address()).await;
    survives_a_crash(&server, &db).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_mariadb_keeps_what_it_committed_over_a_crash() -> Result<(), DbErr> {
    let Some(server) = OwnServer::start(Server::MariaDb).await else { return Ok(()) };
    let db = on_server(server.address()).await;
    survives_a_crash(&server, &db).await
}

async fn survives_a_crash(server: &OwnServer, db: &TestDatabase) -> Result<(), DbErr> {
    db.connection().execute_unprepared("CREATE TABLE thing (id INT)").await?;
    db.connection().execute_unprepared("INSERT INTO thing VALUES (1)").await?;
    server.crash().await;
    // A pool goes on asking a server that refuses connections until this has passed.
    let options = ConnectOptions::new(db.url()).acquire_timeout(Duration::from_millis(100)).to_owned();
    Database::connect(options).await.expect_err("the server is gone");
    server.restart().await;
    assert_eq!(count(&db.connect(|_| {}).await).await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_kafka_keeps_its_topics_over_a_crash() {
    let Some(server) = OwnServer::start(Server::Kafka).await else { return };
    let kafka = Kafka::at(server.address());
    let topic = kafka.topic(1).await;
    let producer: FutureProducer = kafka.config().create().unwrap();
    producer.send(FutureRecord::<(), _>::to(&topic).payload("x"), DEADLINE).await.unwrap();
    server.crash().await;
    server.restart().await;
    assert_eq!(kafka.consume_all(&topic, 1, DEADLINE).await.len(), 1);
}

#[tokio::test]
async fn waiting_ends_with_the_condition() {
    let asked = Cell::new(0);
    let answer = eventually(DEADLINE, || async {
        asked.set(asked.get() + 1);
        (asked.get() == 3).then_some("yes")
    });
    assert_eq!(answer.await, "yes");
    assert_eq!(asked.get(), 3);
}

#[tokio::test]
#[should_panic(expected = "still \"closed\"")]
async fn waiting_in_vain_shows_the_last_answer() {
    eventually(Duration::ZERO, || async { Err::<(), _>("closed") }).await;
}

#[test]
fn an_absent_server_is_a_failure_unless_left_out_by_name() {
    let nothing = |_: &str| None;
    let Availability::Absent(message) = availability(Server::MariaDb, nothing) else {
        panic!("neither given nor left out");
    };
    assert!(message.contains("cargo xtask test"), "{message}");
    assert!(message.contains("OUTBOX_TEST_SKIP=mariadb"), "{message}");

    let given = |variable: &str| (variable == "OUTBOX_TEST_MARIADB_URL").then(|| "mysql://there".to_owned());
    assert_eq!(availability(Server::MariaDb, given), Availability::At("mysql://there".to_owned()));
    assert!(matches!(availability(Server::Postgres, given), Availability::Absent(_)));

    let left_out =
        |variable: &str| Some(if variable == "OUTBOX_TEST_SKIP" { "kafka, mariadb" } else { "x" }.to_owned());
    assert_eq!(availability(Server::MariaDb, left_out), Availability::LeftOut);
    assert_eq!(availability(Server::Kafka, left_out), Availability::LeftOut);
    assert_eq!(availability(Server::Postgres, left_out), Availability::At("x".to_owned()));
}

async fn count(db: &DatabaseConnection) -> Result<i64, DbErr> {
    let sql = Statement::from_string(db.get_database_backend(), "SELECT COUNT(*) AS n FROM thing");
    db.query_one_raw(sql).await?.unwrap().try_get("", "n")
}

async fn pragma(db: &DatabaseConnection, name: &str) -> Result<String, DbErr> {
    let sql = Statement::from_string(db.get_database_backend(), format!("PRAGMA {name}"));
    db.query_one_raw(sql).await?.unwrap().try_get("", name)
}
