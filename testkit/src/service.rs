//! What a nemesis can do to a service.

use std::error::Error;

use async_trait::async_trait;

/// Why something could not be done to a service.
pub type Failure = Box<dyn Error + Send + Sync>;

/// How a process ended that was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// In its own time, with nothing left open: no event may be repeated because of it.
    Gracefully,
    /// At once, although nothing was wrong with it, as a process that does not listen to signals yet: what it had
    /// published may be repeated, as after a kill.
    Abruptly,
}

/// A service whose processors run in several places. `Processes`, on Unix, is one of processes of the operating system;
/// implement it yourself for containers or machines.
///
/// Nothing is done to a place while something else is being done to it. Whatever fails is a complaint in the
/// [`History`](crate::History), and a process is started in the place if that is possible: where the failure is that
/// the process had ended by itself, the place must be free again.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// How many places there are, from 0 on. It must not change.
    fn places(&self) -> usize;

    /// Starts a process in a place that has none. It is a failure if there is one.
    async fn start(&self, place: usize) -> Result<(), Failure>;

    /// Ends the process in a place without a chance to do anything, and returns when it is gone. It is a failure if it
    /// had ended by itself.
    async fn kill(&self, place: usize) -> Result<(), Failure>;

    /// Makes the process in a place stand still, as a virtual machine that is moved. It is a failure if it had ended by
    /// itself.
    async fn pause(&self, place: usize) -> Result<(), Failure>;

    /// Lets it go on as if nothing had been. It is a failure if it has ended.
    async fn resume(&self, place: usize) -> Result<(), Failure>;

    /// Asks the process in a place to stop, and returns when it has. It is a failure if it had ended by itself, does
    /// not stop, or ends badly; it is gone then too.
    async fn stop(&self, place: usize) -> Result<Stopped, Failure>;
}
