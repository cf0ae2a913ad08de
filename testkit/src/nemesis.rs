//! What happens to a service.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use fastrand::Rng;
use futures_util::future::try_join_all;

use crate::proxy::{Direction, Protocol, Proxy, Trap};
use crate::schedule::{carry_out, schedule};

/// How long a process that was started is left alone.
const READY: Duration = Duration::from_secs(1);

/// Why something could not be done to a service.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A service whose processors run in several places. [`Processes`](crate::Processes) is one of processes of the
/// operating system; implement it yourself for containers or machines.
///
/// Nothing is done to a place while something else is being done to it.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// How many places there are, from 0 on.
    fn places(&self) -> usize;

    /// Starts a process in a place that has none.
    async fn start(&self, place: usize) -> Result<(), Failure>;

    /// Ends the process in a place without a chance to do anything, and returns when it is gone.
    async fn kill(&self, place: usize) -> Result<(), Failure>;

    /// Makes the process in a place stand still, as a virtual machine that is moved.
    async fn pause(&self, place: usize) -> Result<(), Failure>;

    /// Lets it go on as if nothing had been.
    async fn resume(&self, place: usize) -> Result<(), Failure>;

    /// Asks the process in a place to stop, and returns when it has. It is a failure if it does not, or ends badly.
    async fn stop(&self, place: usize) -> Result<(), Failure>;
}

type Own = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> + Send + Sync>;

/// Does to a service what happens in production, by a schedule that a seed decides.
///
/// It kills processes and starts others in their places, pauses them for longer than their leases, replaces them as a
/// rolling deploy does, and troubles the ways on which [proxies](Proxy) stand. What is beyond that, such as restarting a
/// server, is a [`fault`](Self::fault) of yours.
pub struct Nemesis<S> {
    service: S,
    /// What happens in a place happens one after the other.
    places: Vec<tokio::sync::Mutex<()>>,
    pause: Duration,
    ways: Vec<(String, Proxy)>,
    own: Vec<(String, Own)>,
}

/// What happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// In the order of their beginnings. What happened to nobody is not among them: a way without a connection was
    /// troubled, or nobody went into a trap.
    pub faults: Vec<Past>,
    /// What a service must never do: end by itself, or not stop when asked to. Also why a way was troubled for nothing:
    /// nobody ever came to its proxy, or clients go [past](Proxy::bypassed) it.
    pub complaints: Vec<String>,
}

/// A fault that is over. Times are milliseconds since 1970, as in Kafka's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// In words.
    pub fault: String,
    /// Whether repeats may follow: after a kill or a pause, after trouble on the way to a database, and after faults of
    /// your own.
    pub can_repeat: bool,
    /// When it began.
    pub from: i64,
    /// When it was healed.
    pub to: i64,
}

impl History {
    /// How many faults may each cost as many repeats as a processor has published and not settled.
    #[must_use]
    pub fn causes_of_repeats(&self) -> usize {
        self.faults.iter().filter(|past| past.can_repeat).count()
    }
}

/// A kind of fault, and whom it strikes.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Kill,
    Pause,
    Replace,
    /// One of the ways, by its number.
    Way(usize),
    /// One of the user's, by its number.
    Own(usize),
}

/// A fault with all its chances drawn.
#[derive(Debug, Clone, Copy)]
struct Fault {
    kind: Kind,
    place: usize,
    trouble: Trouble,
    length: Duration,
}

/// What happens on a way.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Reset,
    BlackHole,
    OneWay(Direction),
    Slow(Duration),
    CutAfter(u64),
    Trap(Trap),
}

impl<S: Service> Nemesis<S> {
    /// For a service that is not started yet.
    #[must_use]
    pub fn new(service: S) -> Self {
        let places = (0..service.places()).map(|_| tokio::sync::Mutex::default()).collect();
        Self { service, places, pause: Duration::from_secs(20), ways: Vec::new(), own: Vec::new() }
    }

    /// How long processes are paused: longer than their leases, or it shows nothing. Default 20 s, which is longer than
    /// the default of leases.
    #[must_use]
    pub fn pause(mut self, length: Duration) -> Self {
        self.pause = length;
        self
    }

    /// A way that is troubled too. `name` is for people.
    #[must_use]
    pub fn way(mut self, name: impl Into<String>, proxy: &Proxy) -> Self {
        self.ways.push((name.into(), proxy.clone()));
        self
    }

    /// A fault of your own, from its beginning to its healing: restart a server, say. It counts as one that can cost
    /// repeats. `name` is for people.
    #[must_use]
    pub fn fault<Healed>(mut self, name: impl Into<String>, happen: impl Fn() -> Healed + Send + Sync + 'static) -> Self
    where
        Healed: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.own.push((name.into(), Arc::new(move || Box::pin(happen()))));
        self
    }

    /// The service.
    pub fn service(&self) -> &S {
        &self.service
    }

    /// Starts a process in every place. As always, it has a second before anything happens to it: until it can stop
    /// when it is asked to.
    ///
    /// # Errors
    ///
    /// What the service says.
    pub async fn start(&self) -> Result<(), Failure> {
        let started = (0..self.places.len()).map(|place| self.start_in(place));
        try_join_all(started).await.map(drop)
    }

    async fn start_in(&self, place: usize) -> Result<(), Failure> {
        self.service.start(place).await?;
        tokio::time::sleep(READY).await;
        Ok(())
    }

    /// Asks the processes in all places to stop, and returns when they have.
    ///
    /// # Errors
    ///
    /// What the service says.
    pub async fn stop(&self) -> Result<(), Failure> {
        for place in 0..self.places.len() {
            self.service.stop(place).await?;
        }
        Ok(())
    }

    /// Lets things happen for at least so long, and returns when all is healed and every place has a process again. The
    /// same seed lets the same things happen; how the service fares is its own affair.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves what is under way unhealed.
    pub async fn torment(&self, seed: u64, length: Duration) -> History {
        let mut kinds = Vec::new();
        if !self.places.is_empty() {
            kinds.extend([(Kind::Kill, 4), (Kind::Pause, 1), (Kind::Replace, 2)]);
        }
        kinds.extend((0..self.ways.len()).map(|way| (Kind::Way(way), 4)));
        kinds.extend((0..self.own.len()).map(|own| (Kind::Own(own), 1)));
        let history = Mutex::new(History::default());
        let periods = schedule(seed, kinds, |kind, random| self.draw(*kind, random));
        carry_out(
            periods,
            |passed| passed >= length,
            async |fault| {
                let from = now();
                let result = self.happen(fault).await;
                if matches!(result, Ok(false)) {
                    return;
                }
                let past = Past { fault: self.describe(fault), can_repeat: self.can_repeat(fault), from, to: now() };
                let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
                history.complaints.extend(result.err().map(|error| format!("{}: {error}", past.fault)));
                history.faults.push(past);
            },
        )
        .await;
        self.ways.iter().for_each(|(_, proxy)| proxy.heal());
        let mut history = history.into_inner().unwrap_or_else(PoisonError::into_inner);
        let bypassed = self.ways.iter().filter_map(|(name, proxy)| Some((name, proxy.bypassed()?)));
        history.complaints.extend(bypassed.map(|(name, why)| format!("on the way to {name}: {why}")));
        history.faults.sort_by_key(|past| past.from);
        history
    }

    fn draw(&self, kind: Kind, random: &mut Rng) -> Fault {
        let place = if self.places.is_empty() { 0 } else { random.usize(..self.places.len()) };
        let length = match kind {
            Kind::Pause => self.pause,
            _ => Duration::from_millis(random.u64(500..5_000)),
        };
        let is_kafka = matches!(kind, Kind::Way(way) if self.ways[way].1.protocol() == Protocol::Kafka);
        let trouble = match random.u8(..6) {
            0 => Trouble::Reset,
            1 => Trouble::BlackHole,
            2 if random.bool() => Trouble::OneWay(Direction::ToServer),
            2 => Trouble::OneWay(Direction::ToClient),
            3 => Trouble::Slow(Duration::from_millis(random.u64(5..150))),
            4 => Trouble::CutAfter(random.u64(1..200_000)),
            _ if is_kafka => Trouble::Trap(Trap::DropProduceResponse(random.u32(1..10))),
            _ if random.bool() => Trouble::Trap(Trap::CutBeforeCommit),
            _ => Trouble::Trap(Trap::CutAfterCommit),
        };
        Fault { kind, place, trouble, length }
    }

    /// From its beginning to its healing. Says whether it happened to anybody.
    async fn happen(&self, fault: Fault) -> Result<bool, Failure> {
        let Fault { kind, place, trouble, length } = fault;
        match kind {
            Kind::Kill => {
                let _alone = self.places[place].lock().await;
                self.service.kill(place).await?;
                tokio::time::sleep(length).await;
                self.start_in(place).await?;
            }
            Kind::Pause => {
                let _alone = self.places[place].lock().await;
                self.service.pause(place).await?;
                tokio::time::sleep(length).await;
                self.service.resume(place).await?;
            }
            Kind::Replace => {
                let _alone = self.places[place].lock().await;
                let stopped = self.service.stop(place).await;
                // Whether it stopped well or not.
                self.start_in(place).await?;
                stopped?;
            }
            Kind::Way(way) => return Ok(trouble.happen(&self.ways[way].1, length).await),
            Kind::Own(own) => (self.own[own].1)().await?,
        }
        Ok(true)
    }

    fn can_repeat(&self, fault: Fault) -> bool {
        match fault.kind {
            Kind::Kill | Kind::Pause | Kind::Own(_) => true,
            Kind::Replace => false,
            Kind::Way(way) => self.ways[way].1.protocol() == Protocol::Database,
        }
    }

    fn describe(&self, fault: Fault) -> String {
        let Fault { kind, place, trouble, length } = fault;
        match kind {
            Kind::Kill => format!("process {place} killed, and another one started {length:?} later"),
            Kind::Pause => format!("process {place} paused for {length:?}"),
            Kind::Replace => format!("process {place} replaced"),
            Kind::Way(way) => format!("on the way to {}: {trouble:?}, {length:?}", self.ways[way].0),
            Kind::Own(own) => self.own[own].0.clone(),
        }
    }
}

impl Trouble {
    /// Says whether it touched a connection.
    async fn happen(self, proxy: &Proxy, length: Duration) -> bool {
        match self {
            Self::Reset => proxy.cut() > 0,
            Self::BlackHole => proxy.black_hole(length).await > 0,
            Self::OneWay(direction) => proxy.one_way(direction, length).await > 0,
            Self::Slow(latency) => proxy.slow_for(latency, length).await > 0,
            Self::CutAfter(bytes) => proxy.cut_after(bytes).within(length).await,
            Self::Trap(trap) => proxy.set(trap).within(length).await,
        }
    }
}

impl<S> fmt::Debug for Nemesis<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nemesis").field("places", &self.places.len()).field("ways", &self.ways).finish_non_exhaustive()
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "nemesis_tests.rs"]
mod tests;
