//! A service of processes.

mod group;
#[cfg(test)]
mod tests;
mod watchdog;

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustix::process::Signal;

use crate::service::{Failure, Service, Stopped};
use group::Group;
use watchdog::Watchdog;

/// How long a process may take to stop after SIGTERM, unless said otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a process may take to start to listen to signals.
const START: Duration = Duration::from_secs(5);
/// How long the system may take to end a process that was killed.
const GONE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A service that is processes of the operating system, one in each place. Needs signals, so Unix, and a `sh`.
///
/// # What a process starts
///
/// Each process is in a process group of its own, and signals go to the group: also to the processes that it starts, as
/// a shell script or `cargo run` does. The group counts as stopped, or gone, when nobody of it is left. How it ended is
/// what the process itself says that was started: a script that is ended by SIGTERM before its service is has ended
/// badly, so let it end with `exec`, or trap the signal and wait.
///
/// What leaves the group (a daemon, `setsid`, a container) gets no signal and is not waited for: start it in the
/// foreground, or write a [`Service`] of your own.
///
/// The group is not in the terminal's foreground: a process that reads from the terminal is stopped by the system, so
/// give those that read something else than the terminal as their standard input.
///
/// # What is left
///
/// Nothing of the processes outlives this: what is left is killed when it is dropped, without a chance to do anything.
/// It is killed also if this program is ended without dropping anything: by Ctrl-C, SIGKILL or an abort; a shell that
/// waits for that does it, unless it is killed too.
pub struct Processes {
    command: Box<dyn Fn(usize) -> Command + Send + Sync>,
    places: Vec<Mutex<Option<Group>>>,
    patience: Duration,
    watchdog: Mutex<Option<Arc<Watchdog>>>,
}

impl Processes {
    /// So many places, each with a process that is started by this command; a process group that it sets is not used.
    ///
    /// The process must stop on SIGTERM, and then end with success, within 30 s. If its stop leaves events open
    /// ([`Report::abandoned`](outbox_core::processor::Report::abandoned)), let it end with failure. In its first 5 s it
    /// may also be ended by the signal, which counts as [`Stopped::Abruptly`]: nobody listens to it yet.
    ///
    /// A place is free again when its process has ended, however that was found out.
    #[must_use]
    pub fn new(places: usize, command: impl Fn(usize) -> Command + Send + Sync + 'static) -> Self {
        let places = (0..places).map(|_| Mutex::default()).collect();
        Self { command: Box::new(command), places, patience: PATIENCE, watchdog: Mutex::default() }
    }

    /// How long a process may take to stop, with all that it started. Default 30 s. Then it is killed.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// A place. A process that had ended by itself is no longer in it, with what it had started, and is a failure.
    fn place(&self, place: usize) -> Result<MutexGuard<'_, Option<Group>>, Failure> {
        let place = self.places.get(place).ok_or("there is no such place")?;
        let mut place = lock(place);
        if let Some(group) = place.as_mut()
            && let Some(status) = group.ended()?
        {
            let asked = group.asked.is_some();
            *place = None;
            if !asked {
                return Err(format!("a process had ended by itself with {status}").into());
            }
        }
        Ok(place)
    }

    fn signal(&self, place: usize, signal: Signal) -> Result<(), Failure> {
        let place = self.place(place)?;
        Ok(place.as_ref().ok_or(NOBODY)?.signal(signal)?)
    }

    /// How a process ended that was asked to stop, if it has, or has had the time to.
    fn stopped(&self, place: usize, asked: Instant) -> Result<Option<Stopped>, Failure> {
        let place = self.places.get(place).ok_or(NOBODY)?;
        let mut place = lock(place);
        let group = place.as_mut().ok_or("a process was gone before it had stopped")?;
        let ended = group.ended()?;
        if asked.elapsed() <= self.patience && (ended.is_none() || group.lives()) {
            return Ok(None);
        }
        let young = asked.duration_since(group.since) < START;
        let is_left = group.lives();
        // Its place is free, and whatever is left of it gets killed.
        *place = None;
        match ended {
            None => Err(format!("a process had not stopped {:?} after SIGTERM", self.patience).into()),
            Some(_) if is_left => {
                Err(format!("what a process had started had not stopped {:?} after SIGTERM", self.patience).into())
            }
            Some(status) if status.success() => Ok(Some(Stopped::Gracefully)),
            Some(status) if young && status.signal() == Some(Signal::TERM.as_raw()) => Ok(Some(Stopped::Abruptly)),
            Some(status) => Err(format!("a process that was asked to stop ended with {status}").into()),
        }
    }

    fn watchdog(&self) -> Result<Arc<Watchdog>, Failure> {
        let mut watchdog = lock(&self.watchdog);
        if let Some(watchdog) = &*watchdog {
            return Ok(Arc::clone(watchdog));
        }
        let started =
            Watchdog::start().map_err(|error| format!("cannot start sh, which watches over processes: {error}"))?;
        Ok(Arc::clone(watchdog.insert(Arc::new(started))))
    }
}

const NOBODY: &str = "there is no process in this place";

/// Each may be dropped while it waits. A process that was to be killed is killed all the same; one that was asked to
/// stop stays in its place until it has ended, and is killed if it has not when this is dropped.
#[async_trait]
impl Service for Processes {
    fn places(&self) -> usize {
        self.places.len()
    }

    async fn start(&self, place: usize) -> Result<(), Failure> {
        let mut running = self.place(place)?;
        if running.is_some() {
            return Err("there is a process in this place".into());
        }
        let command = (self.command)(place);
        let program = command.get_program().to_string_lossy().into_owned();
        let group = Group::start(command, &self.watchdog()?);
        *running = Some(group.map_err(|error| format!("cannot start {program}: {error}"))?);
        Ok(())
    }

    async fn kill(&self, place: usize) -> Result<(), Failure> {
        let mut group = self.place(place)?.take().ok_or(NOBODY)?;
        group.signal(Signal::KILL)?;
        let killed = Instant::now();
        while group.ended()?.is_none() || group.lives() {
            if killed.elapsed() > GONE {
                return Err(format!("the system has not ended a process {GONE:?} after SIGKILL").into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn pause(&self, place: usize) -> Result<(), Failure> {
        self.signal(place, Signal::STOP)
    }

    async fn resume(&self, place: usize) -> Result<(), Failure> {
        self.signal(place, Signal::CONT)
    }

    async fn stop(&self, place: usize) -> Result<Stopped, Failure> {
        let asked = {
            let mut running = self.place(place)?;
            let group = running.as_mut().ok_or(NOBODY)?;
            group.signal(Signal::TERM)?;
            *group.asked.get_or_insert_with(Instant::now)
        };
        loop {
            if let Some(stopped) = self.stopped(place, asked)? {
                return Ok(stopped);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl std::fmt::Debug for Processes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processes").field("places", &self.places).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
