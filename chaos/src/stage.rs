//! The processes of a run, and the ways between them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail, ensure};
use outbox_sea_orm::Outbox;
use outbox_sea_orm::migration::Migrator;
use outbox_testkit::ledger::{self, Refused};
use outbox_tests::{Kafka, Kind, OwnServer, ProcessorProcess, Server, TestDatabase, on_server, sqlite};
use tokio::sync::{Mutex, MutexGuard};

use crate::broken::Broken;
use crate::clock::{Clock, Clocks};
use crate::fault::Link;
use crate::figures::Figures;
use crate::history::History;
use crate::profile::{KEYS, PARTITIONS, SHUTDOWN, WRITERS};
use outbox_testkit::{Protocol, Proxy};

/// The servers, which may serve one run after the other.
pub(crate) struct Servers {
    kind: Kind,
    /// None on SQLite.
    database: Option<Mutex<OwnServer>>,
    kafka: Mutex<OwnServer>,
    /// The database server's. None on SQLite, and where no clock can be moved.
    clock: Option<Clock>,
    clocks: Option<Clocks>,
}

impl Servers {
    pub(crate) async fn launch(kind: Kind) -> anyhow::Result<Self> {
        let clocks = if cfg!(target_os = "linux") { Some(Clocks::build()?) } else { None };
        let clock = clocks.as_ref().filter(|_| kind != Kind::Sqlite);
        let clock = clock.map(|clocks| clocks.clock("database")).transpose()?;
        let variables = clock.as_ref().map(Clock::variables).transpose()?;
        let own = async |server| {
            let variables = variables.as_ref().map_or(&[][..], |variables| variables);
            Some(Mutex::new(OwnServer::launch_with(server, variables).await))
        };
        let database = match kind {
            Kind::Postgres => own(Server::Postgres).await,
            Kind::MariaDb => own(Server::MariaDb).await,
            Kind::Sqlite => None,
        };
        Ok(Self { kind, database, kafka: Mutex::new(OwnServer::launch(Server::Kafka).await), clock, clocks })
    }
}

/// Writers' connections and processors, with a proxy on every way between them and the servers.
pub(crate) struct Stage {
    pub(crate) database: TestDatabase,
    pub(crate) kafka: Kafka,
    pub(crate) topic: String,
    /// The writers', through their proxy.
    pub(crate) outbox: Outbox,
    pub(crate) history: History,
    servers: Arc<Servers>,
    broken: Option<Broken>,
    /// None on SQLite.
    writers: Option<Proxy>,
    places: Vec<Place>,
    logs: PathBuf,
    started: AtomicU32,
}

/// Where a processor runs, one after the other.
struct Place {
    /// None on SQLite.
    database: Option<Proxy>,
    kafka: Proxy,
    /// None where no clock can be moved.
    clock: Option<Clock>,
    running: Mutex<Option<ProcessorProcess>>,
}

impl Stage {
    /// Starts everything else, with tables and a topic of its own. `logs` is a folder for what the processors have to
    /// say; they may have a mistake.
    pub(crate) async fn set(
        servers: &Arc<Servers>,
        processors: usize,
        logs: &Path,
        broken: Option<Broken>,
    ) -> anyhow::Result<Self> {
        let kind = servers.kind;
        let database = match &servers.database {
            Some(server) => on_server(server.lock().await.address()).await,
            None => sqlite().await,
        };
        Migrator::up(database.connection(), None).await?;
        ledger::create(database.connection(), KEYS).await?;
        let kafka = Kafka::at(servers.kafka.lock().await.address());
        // The broker's time, to know when a repeat came.
        let settings = [("max.message.bytes", Refused::TOPIC_LIMIT), ("message.timestamp.type", "LogAppendTime")];
        let topic = kafka.topic_with(PARTITIONS, &settings).await;

        let writers = database_proxy(&database).await?;
        let url = through(database.url(), writers.as_ref());
        let connections = u32::try_from(WRITERS + 2)?;
        let db = match kind {
            Kind::Sqlite => database.connection().clone(),
            _ => connect(&url, connections).await?,
        };
        let mut places = Vec::new();
        for place in 0..processors {
            let name = format!("{topic}-{place}");
            let clock = servers.clocks.as_ref().map(|clocks| clocks.clock(&name)).transpose()?;
            let broker: SocketAddr = kafka.brokers().parse().context("Kafka's address")?;
            let kafka = Proxy::start(broker, Protocol::Kafka).await?;
            places.push(Place { database: database_proxy(&database).await?, kafka, clock, running: Mutex::new(None) });
        }
        let stage = Self {
            database,
            kafka,
            topic,
            outbox: Outbox::new(db),
            history: History::default(),
            servers: Arc::clone(servers),
            broken,
            writers,
            places,
            logs: logs.to_owned(),
            started: AtomicU32::new(0),
        };
        for place in 0..processors {
            let process = stage.start(place)?;
            *stage.place(place).await = Some(process);
        }
        Ok(stage)
    }

    /// Another processor in a place.
    pub(crate) fn start(&self, place: usize) -> anyhow::Result<ProcessorProcess> {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let log = std::fs::File::create(self.logs.join(format!("processor-{number}-at-{place}.log")))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("processor").stderr(log);
        if let Some(broken) = self.broken {
            command.args(["--broken", broken.name()]);
        }
        let Place { database, kafka, clock, .. } = &self.places[place];
        if let Some(clock) = clock {
            command.envs(clock.variables()?);
        }
        let url = through(self.database.url(), database.as_ref());
        Ok(ProcessorProcess::run(command, &url, &kafka.address().to_string(), &[]))
    }

    /// The processor in a place, for as long as something happens to it.
    pub(crate) async fn place(&self, place: usize) -> MutexGuard<'_, Option<ProcessorProcess>> {
        self.places[place].running.lock().await
    }

    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn processors_started(&self) -> u32 {
        self.started.load(Ordering::Relaxed)
    }

    /// The proxy on a way. None where there is no network.
    pub(crate) fn proxy(&self, link: Link) -> Option<&Proxy> {
        match link {
            Link::Writers => self.writers.as_ref(),
            Link::Database(place) => self.places[place].database.as_ref(),
            Link::Kafka(place) => Some(&self.places[place].kafka),
        }
    }

    /// Ways that somebody does not take.
    pub(crate) fn bypassed(&self) -> Vec<String> {
        self.proxies().filter_map(|(link, proxy)| Some(format!("{link:?}: {}", proxy.bypassed()?))).collect()
    }

    fn proxies(&self) -> impl Iterator<Item = (Link, &Proxy)> {
        let links = (0..self.places()).flat_map(|place| [Link::Database(place), Link::Kafka(place)]);
        links.chain([Link::Writers]).filter_map(|link| Some((link, self.proxy(link)?)))
    }

    /// How much has happened, but for the events.
    pub(crate) fn figures(&self) -> Figures {
        let ways = self.places.iter().filter_map(|place| place.database.as_ref()).chain(&self.writers);
        Figures { commits: ways.map(Proxy::cut_commits).sum(), ..self.history.figures() }
    }

    pub(crate) async fn database_server(&self) -> Option<MutexGuard<'_, OwnServer>> {
        match &self.servers.database {
            Some(server) => Some(server.lock().await),
            None => None,
        }
    }

    pub(crate) async fn kafka_server(&self) -> MutexGuard<'_, OwnServer> {
        self.servers.kafka.lock().await
    }

    /// Moves the clock of the processors in a place, or of the database's server.
    pub(crate) fn move_clock(&self, place: Option<usize>, ahead: i64) -> anyhow::Result<()> {
        let clock = place.map_or(self.servers.clock.as_ref(), |place| self.places[place].clock.as_ref());
        clock.context("a clock that cannot be moved")?.set(ahead)
    }

    /// Faults end. Clocks stay where they are: they do not go back by themselves either.
    pub(crate) fn heal(&self) {
        self.proxies().for_each(|(_, proxy)| proxy.heal());
    }

    /// Asks a processor to stop, and waits until it has. What it left undone goes into the history.
    pub(crate) async fn stop(&self, mut process: ProcessorProcess) -> anyhow::Result<()> {
        // Its own deadline, and some time for a machine that does other things.
        let patience = SHUTDOWN + Duration::from_secs(20);
        let asked = SystemTime::now();
        // One that has just been started does not hear a signal yet, and is ended by it.
        while process.lines().is_empty() && process.ended().is_none() {
            ensure!(asked.elapsed().unwrap_or_default() < patience, "a processor does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let asked = SystemTime::now();
        process.signal("TERM");
        let status = loop {
            if let Some(status) = process.ended() {
                break status;
            }
            if asked.elapsed().unwrap_or_default() > patience {
                process.kill();
                bail!("a processor had not stopped {patience:?} after SIGTERM");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        ensure!(status.success(), "a processor ended with {status}");
        // The thread that collects the lines may be behind the process's end.
        for _ in 0..100 {
            let lines = process.lines();
            let report = lines.last().and_then(|line| line.strip_prefix("stopped ")?.split_once("abandoned="));
            if let Some((_, abandoned)) = report {
                self.history.stopped(asked, abandoned.parse()?);
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("a processor stopped without a report")
    }
}

async fn database_proxy(database: &TestDatabase) -> anyhow::Result<Option<Proxy>> {
    if database.kind() == Kind::Sqlite {
        return Ok(None);
    }
    let address = &database.url()[authority(database.url())];
    Ok(Some(Proxy::start(address.parse().context("the database's address")?, Protocol::Database).await?))
}

/// The URL of the same database behind a proxy.
fn through(url: &str, proxy: Option<&Proxy>) -> String {
    let Some(proxy) = proxy else { return url.to_owned() };
    let mut url = url.to_owned();
    url.replace_range(authority(&url), &proxy.address().to_string());
    url
}

/// Host and port in a URL.
fn authority(url: &str) -> std::ops::Range<usize> {
    let start = url.find('@').or_else(|| url.find("://").map(|at| at + 2)).map_or(0, |at| at + 1);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    start..end
}

async fn connect(url: &str, connections: u32) -> anyhow::Result<sea_orm::DatabaseConnection> {
    let mut options = sea_orm::ConnectOptions::new(url);
    options.sqlx_logging(false).max_connections(connections).acquire_timeout(Duration::from_secs(5));
    Ok(sea_orm::Database::connect(options).await?)
}

#[cfg(test)]
mod tests {
    use super::authority;

    #[test]
    fn the_authority_of_a_url_is_found() {
        for url in ["postgres://u@h:1/d", "mysql://h:1/d", "postgres://u:p@h:1"] {
            assert_eq!(&url[authority(url)], "h:1", "{url}");
        }
    }
}
