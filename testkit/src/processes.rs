//! A service of processes.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::service::{Failure, Service, Stopped};

/// As POSIX numbers it.
const SIGTERM: i32 = 15;
/// How long a process may take to stop after SIGTERM, unless said otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a process may take to start to listen to signals.
const START: Duration = Duration::from_secs(5);

/// A service that is processes of the operating system, one in each place. Those that are left are killed when this is
/// dropped. Needs signals, so Unix.
pub struct Processes {
    command: Box<dyn Fn(usize) -> Command + Send + Sync>,
    places: Vec<Mutex<Option<Running>>>,
    patience: Duration,
}

#[derive(Debug)]
struct Running {
    child: Child,
    since: Instant,
}

impl Processes {
    /// So many places, each with a process that is started by this command. It must stop on SIGTERM, and then end with
    /// success, within 30 s. In its first 5 s it may also be ended by the signal: nobody listens to it yet.
    #[must_use]
    pub fn new(places: usize, command: impl Fn(usize) -> Command + Send + Sync + 'static) -> Self {
        let places = (0..places).map(|_| Mutex::default()).collect();
        Self { command: Box::new(command), places, patience: PATIENCE }
    }

    /// How long a process may take to stop.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The process in a place, unless it ended by itself, which is a failure.
    fn running(&self, place: usize) -> Result<(u32, MutexGuard<'_, Option<Running>>), Failure> {
        let mut guard = self.place(place)?;
        let child = &mut guard.as_mut().ok_or("there is no process in this place")?.child;
        let id = child.id();
        if let Some(status) = child.try_wait()? {
            // Its place is free for another one.
            *guard = None;
            return Err(format!("a process had ended by itself with {status}").into());
        }
        Ok((id, guard))
    }

    /// How a process ended that was asked to stop, if it has, or has had the time to.
    fn stopped(&self, place: usize, asked: Instant) -> Result<Option<Result<Stopped, Failure>>, Failure> {
        let mut running = self.place(place)?;
        let Some(Running { child, since }) = running.as_mut() else {
            return Ok(Some(Ok(Stopped::Gracefully)));
        };
        let young = asked.duration_since(*since) < START;
        let ended = match child.try_wait()? {
            Some(status) if status.success() => Ok(Stopped::Gracefully),
            Some(status) if young && status.signal() == Some(SIGTERM) => Ok(Stopped::Abruptly),
            Some(status) => Err(format!("a process that was asked to stop ended with {status}").into()),
            None if asked.elapsed() <= self.patience => return Ok(None),
            None => {
                child.kill()?;
                child.wait()?;
                Err(format!("a process had not stopped {:?} after SIGTERM", self.patience).into())
            }
        };
        *running = None;
        Ok(Some(ended))
    }

    fn place(&self, place: usize) -> Result<MutexGuard<'_, Option<Running>>, Failure> {
        let place = self.places.get(place).ok_or("there is no such place")?;
        Ok(place.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

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
        *running = Some(Running { child: (self.command)(place).spawn()?, since: Instant::now() });
        Ok(())
    }

    async fn kill(&self, place: usize) -> Result<(), Failure> {
        let (_, mut running) = self.running(place)?;
        if let Some(Running { mut child, .. }) = running.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    async fn pause(&self, place: usize) -> Result<(), Failure> {
        signal(self.running(place)?.0, "STOP")
    }

    async fn resume(&self, place: usize) -> Result<(), Failure> {
        signal(self.running(place)?.0, "CONT")
    }

    async fn stop(&self, place: usize) -> Result<Stopped, Failure> {
        signal(self.running(place)?.0, "TERM")?;
        let asked = Instant::now();
        loop {
            // It stays in its place until it has ended, whoever stops waiting for it.
            if let Some(ended) = self.stopped(place, asked)? {
                return ended;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for place in &mut self.places {
            if let Some(Running { child, .. }) = place.get_mut().unwrap_or_else(PoisonError::into_inner) {
                // It may have ended already.
                drop(child.kill());
                drop(child.wait());
            }
        }
    }
}

impl std::fmt::Debug for Processes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processes").field("places", &self.places).finish_non_exhaustive()
    }
}

fn signal(process: u32, name: &str) -> Result<(), Failure> {
    let status = Command::new("kill").args(["-s", name, &process.to_string()]).status()?;
    if status.success() { Ok(()) } else { Err(format!("kill -s {name} {process}: {status}").into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends well on SIGTERM.
    fn polite() -> Processes {
        let script = "trap 'exit 0' TERM; while :; do sleep 0.01; done";
        Processes::new(1, move |_| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        })
    }

    /// As Linux has it: running or sleeping, stopped, or nothing.
    fn state(processes: &Processes) -> Option<char> {
        let id = processes.place(0).ok()?.as_ref()?.child.id();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit(')').next()?.trim().chars().next()
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn processes_are_paused_and_go_on() {
        let processes = polite();
        processes.start(0).await.unwrap();
        processes.pause(0).await.unwrap();
        while state(&processes) != Some('T') {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        processes.resume(0).await.unwrap();
        while state(&processes) == Some('T') {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        processes.kill(0).await.unwrap();
        assert_eq!(state(&processes), None);
    }

    #[tokio::test]
    async fn a_place_has_one_process_at_a_time() {
        let processes = polite();
        assert!(processes.kill(0).await.is_err() && processes.stop(0).await.is_err());
        processes.start(0).await.unwrap();
        assert!(processes.start(0).await.is_err() && processes.start(1).await.is_err());
        processes.kill(0).await.unwrap();
        processes.start(0).await.unwrap();
    }

    #[tokio::test]
    async fn who_ends_by_itself_or_badly_or_not_at_all_is_reported() {
        let shell = |script: String| {
            let processes = Processes::new(1, move |_| {
                let mut command = Command::new("sh");
                command.args(["-c", script.as_str()]);
                command
            });
            processes.patience(Duration::from_millis(300))
        };
        let gone = shell("exit 3".to_owned());
        gone.start(0).await.unwrap();
        // To go on is all that may be asked of it: paused before it ends, it would never end.
        let ended = async || gone.resume(0).await.is_err_and(|error| error.to_string().contains("by itself"));
        while !ended().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        gone.start(0).await.unwrap(); // its place is free
        let ready = std::env::temp_dir().join(format!("outbox-testkit-{}", std::process::id()));
        for (trap, complaint) in [("exit 3", "ended with"), ("", "had not stopped")] {
            drop(std::fs::remove_file(&ready));
            let script = format!("trap '{trap}' TERM; : > {}; while :; do sleep 0.01; done", ready.display());
            let processes = shell(script);
            processes.start(0).await.unwrap();
            while !ready.exists() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let error = processes.stop(0).await.unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
        }
        drop(std::fs::remove_file(&ready));
    }

    /// Nobody is there yet who would listen.
    #[tokio::test]
    async fn one_that_has_just_begun_may_be_ended_by_the_signal() {
        let processes = Processes::new(1, |_| {
            let mut command = Command::new("sleep");
            command.arg("60");
            command
        });
        processes.start(0).await.unwrap();
        assert_eq!(processes.stop(0).await.unwrap(), Stopped::Abruptly);
    }
}
