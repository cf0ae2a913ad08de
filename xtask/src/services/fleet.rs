//! The servers of one folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::Signal;

use super::kafka_options::KafkaOptions;
use super::launch::{Place, Recipe, log, recipe};
use super::process::{Process, spawn_detached, tail};
use super::service::Service;
use super::state::{Lock, Record, State};
use super::{account, ports, probe};
use crate::interrupt::Interrupt;

/// How long a server may take to answer on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between finding a port free and binding it, somebody else can take it.
const ATTEMPTS: usize = 3;

#[derive(Debug)]
pub(crate) struct Fleet {
    dir: PathBuf,
    cache: PathBuf,
    state: State,
    interrupt: Interrupt,
    _lock: Lock,
}

impl Fleet {
    /// The servers in `dir`, held against other calls. What is downloaded for them stays in `cache`.
    pub(crate) fn open(dir: &Path, cache: &Path, interrupt: Interrupt) -> anyhow::Result<Self> {
        let lock = Lock::wait(dir)?;
        Self::holding(lock, dir, cache, interrupt)
    }

    pub(super) fn holding(lock: Lock, dir: &Path, cache: &Path, interrupt: Interrupt) -> anyhow::Result<Self> {
        let dir = dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))?;
        let state = State::load(&dir)?;
        Ok(Self { dir, cache: cache.to_path_buf(), state, interrupt, _lock: lock })
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = (Service, &Record)> {
        self.state.services.iter().map(|(service, record)| (*service, record))
    }

    /// Starts those of `services` that do not run, all at once, and returns when every one answers. One that ran
    /// before starts on its old ports with its old data. After a failure no new one is left.
    pub(crate) fn up(&mut self, services: &[Service], kafka: &KafkaOptions) -> anyhow::Result<()> {
        let mut new = Vec::new();
        let result = self.start(services, kafka, &mut new);
        if result.is_err() {
            for service in new {
                self.stop(service).unwrap_or_else(|error| eprintln!("error: {error:#}"));
            }
        }
        result
    }

    fn start(&mut self, services: &[Service], kafka: &KafkaOptions, new: &mut Vec<Service>) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut launched = Vec::new();
        for &service in services {
            self.interrupt.check()?;
            match self.state.services.get(&service) {
                Some(record) if is_up(service, record) => {
                    println!("{service:8} is already up at {}", record.address);
                    continue;
                }
                Some(Record { process: Some(process), .. }) => {
                    // If it is there after all and does not answer, it is of no use.
                    process.stop(stop_signal(service))?;
                    launched.push((service, None, self.spawn(service)?));
                    continue;
                }
                // The call that prepared it was killed.
                Some(Record { process: None, .. }) => self.stop(service)?,
                None => {}
            }
            let postgres = self.state.services.get(&Service::Postgres).map(Record::port);
            let recipe = recipe(service, &self.cache, kafka, postgres)?;
            new.push(service);
            let child = self.launch(service, recipe.as_ref())?;
            launched.push((service, Some(recipe), child));
        }
        for (service, recipe, child) in launched {
            self.wait(service, recipe.as_deref(), child)?;
            println!(
                "{service:8} is up at {} ({:.1} s)",
                self.record(service)?.address,
                started.elapsed().as_secs_f32()
            );
        }
        Ok(())
    }

    /// Ends a server as a crash would, without a word to its clients. Its ports and data stay for the next `up`.
    pub(crate) fn crash(&self, service: Service) -> anyhow::Result<()> {
        let process = self.record(service)?.process.as_ref().with_context(|| format!("{service} was never up"))?;
        process.stop(match service {
            // "Immediate shutdown": nothing is flushed, the next start recovers. SIGKILL would leave its children.
            Service::Postgres => Signal::QUIT,
            Service::MariaDb | Service::Kafka | Service::PgBouncer => Signal::KILL,
        })
    }

    /// Stops everything and removes its data.
    pub(crate) fn down(&mut self) -> anyhow::Result<()> {
        let services: Vec<_> = self.state.services.keys().copied().collect();
        // One that does not stop must not keep the others running.
        let failures: Vec<_> = services.into_iter().filter_map(|service| self.stop(service).err()).collect();
        match failures.into_iter().next() {
            None => Ok(()),
            Some(first) => Err(first),
        }
    }

    fn launch(&mut self, service: Service, recipe: &dyn Recipe) -> anyhow::Result<Child> {
        let account = recipe.account()?;
        let folder = account::folder(&self.dir, service.name(), account)?;
        let ports = 0..recipe.ports() + recipe.listeners().len();
        let ports = ports.map(|_| ports::free()).collect::<anyhow::Result<Vec<_>>>()?;
        let place = Place { folder, ports, account };
        let record = Record {
            folder: place.folder.clone(),
            ports: place.ports.clone(),
            listeners: recipe.listeners().to_vec(),
            address: recipe.address(place.port()),
            account,
            command: Vec::new(),
            process: None,
        };
        self.state.services.insert(service, record.clone());
        self.state.save(&self.dir)?;

        let command = recipe.prepare(&place)?;
        self.state.services.insert(service, Record { command, ..record });
        self.interrupt.check()?;
        self.spawn(service)
    }

    /// Starts the process of a server whose folder is prepared.
    fn spawn(&mut self, service: Service) -> anyhow::Result<Child> {
        let record = self.record(service)?.clone();
        let log = log(&record.folder);
        let (program, arguments) = record.command.split_first().context("no command")?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&record.folder);
        let child = spawn_detached(command, record.account, &log)?;
        let process = Process::of(&child).with_context(|| tail(&log))?;
        self.state.services.insert(service, Record { process: Some(process), ..record });
        self.state.save(&self.dir)?;
        Ok(child)
    }

    fn wait(&mut self, service: Service, recipe: Option<&dyn Recipe>, mut child: Child) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut attempt = 1;
        loop {
            self.interrupt.check()?;
            let record = self.record(service)?;
            let log = log(&record.folder);
            // First of all, lest somebody else's server on the same port answers for ours.
            if let Some(status) = child.try_wait()? {
                let end = tail(&log);
                match recipe {
                    Some(recipe) if attempt < ATTEMPTS && is_port_conflict(&end) => {
                        attempt += 1;
                        self.stop(service)?;
                        child = self.launch(service, recipe)?;
                    }
                    _ => bail!("{service} ended ({status}) instead of answering; {end}"),
                }
            } else if let Err(reason) = probe::answers(service, record.port()) {
                if Instant::now() > deadline {
                    bail!("{service} did not answer within {} s ({reason}); {}", PATIENCE.as_secs(), tail(&log));
                }
            } else {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn record(&self, service: Service) -> anyhow::Result<&Record> {
        self.state.services.get(&service).with_context(|| format!("{service} is not up"))
    }

    fn stop(&mut self, service: Service) -> anyhow::Result<()> {
        let Some(record) = self.state.services.get(&service) else { return Ok(()) };
        if let Some(process) = &record.process {
            process.stop(stop_signal(service)).with_context(|| format!("cannot stop {service}"))?;
        }
        if record.folder.exists() {
            fs::remove_dir_all(&record.folder).with_context(|| format!("cannot remove {}", record.folder.display()))?;
        }
        self.state.services.remove(&service);
        self.state.save(&self.dir)
    }
}

pub(crate) fn is_up(service: Service, record: &Record) -> bool {
    record.process.as_ref().is_some_and(Process::is_alive) && probe::answers(service, record.port()).is_ok()
}

/// The signal by which a server ends without waiting for its clients.
fn stop_signal(service: Service) -> Signal {
    match service {
        // "Fast shutdown"; SIGTERM would wait until every client has gone.
        Service::Postgres => Signal::INT,
        Service::MariaDb | Service::Kafka => Signal::TERM,
        // Without waiting for clients.
        Service::PgBouncer => Signal::QUIT,
    }
}

fn is_port_conflict(log: &str) -> bool {
    let log = log.to_lowercase();
    log.contains("address already in use") || log.contains("bindexception")
}
