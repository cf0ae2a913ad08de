//! Does things to a service.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;

use crate::history::{History, Past, now};
use crate::proxy::{Protocol, Proxy};
use crate::schedule::{carry_out, schedule};
use crate::service::{Failure, Service, Stopped};
use crate::trouble::Trouble;

/// How long a process that was started is left alone.
const READY: Duration = Duration::from_secs(1);

type Happen = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> + Send + Sync>;

/// Does to a service what happens in production, by a schedule that a seed decides.
///
/// It kills processes and starts others in their places, pauses them for longer than their leases, replaces them as a
/// rolling deploy does, and troubles the ways on which [proxies](Proxy) stand. What is beyond that, such as restarting
/// a server, is a [`fault`](Self::fault) of yours.
pub struct Nemesis<S> {
    service: S,
    /// What happens in a place happens one after the other.
    places: Vec<tokio::sync::Mutex<()>>,
    pause: Duration,
    ways: Vec<Way>,
    own: Vec<Own>,
}

/// A way between the service and a server.
struct Way {
    name: String,
    proxy: Proxy,
    /// Who takes it.
    places: BTreeSet<usize>,
}

impl Way {
    /// How many places may lose their leases when so many connections are troubled. Leases are kept in the database.
    fn windows(&self, touched: usize) -> usize {
        match self.proxy.protocol() {
            Protocol::Database => touched.min(self.places.len()),
            Protocol::Kafka | Protocol::Broker => 0,
        }
    }
}

/// A fault of the user's.
struct Own {
    name: String,
    happen: Happen,
    /// Whom it may strike.
    places: BTreeSet<usize>,
}

/// A kind of fault.
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
enum Fault {
    Kill { place: usize, absent: Duration },
    Pause { place: usize },
    Replace { place: usize },
    Way { way: usize, trouble: Trouble, length: Duration },
    Own { own: usize },
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

    /// A way that is troubled too, and that the processes in all places take. `name` is for people.
    #[must_use]
    pub fn way(self, name: impl Into<String>, proxy: &Proxy) -> Self {
        let places = 0..self.places.len();
        self.way_of(name, proxy, places)
    }

    /// A way that only the processes in these places take, or none of them but the writers: others repeat nothing
    /// because of what happens there.
    #[must_use]
    pub fn way_of(mut self, name: impl Into<String>, proxy: &Proxy, places: impl IntoIterator<Item = usize>) -> Self {
        let places = places.into_iter().collect();
        self.ways.push(Way { name: name.into(), proxy: proxy.clone(), places });
        self
    }

    /// A fault of your own, from its beginning to its healing: restart the database's server, say. The processes in all
    /// places may lose their leases by it, or die. `name` is for people.
    #[must_use]
    pub fn fault<Healed>(self, name: impl Into<String>, happen: impl Fn() -> Healed + Send + Sync + 'static) -> Self
    where
        Healed: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let places = 0..self.places.len();
        self.fault_of(name, places, happen)
    }

    /// A fault of your own by which only the processes in these places may lose their leases, or die; or none of them,
    /// as when the broker is restarted.
    #[must_use]
    pub fn fault_of<Healed>(
        mut self,
        name: impl Into<String>,
        places: impl IntoIterator<Item = usize>,
        happen: impl Fn() -> Healed + Send + Sync + 'static,
    ) -> Self
    where
        Healed: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let happen: Happen = Arc::new(move || Box::pin(happen()));
        self.own.push(Own { name: name.into(), happen, places: places.into_iter().collect() });
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
    /// What the service says, of each place.
    pub async fn start(&self) -> Result<(), Failure> {
        self.everywhere(|place| self.start_in(place)).await
    }

    /// Asks the processes in all places to stop, and returns when they have.
    ///
    /// # Errors
    ///
    /// What the service says, of each place; the others have stopped. How it ended in time is no error.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves processes that were asked to stop; they may be asked again.
    pub async fn stop(&self) -> Result<(), Failure> {
        self.everywhere(async |place| self.service.stop(place).await.map(drop)).await
    }

    async fn everywhere<Done>(&self, act: impl Fn(usize) -> Done) -> Result<(), Failure>
    where
        Done: Future<Output = Result<(), Failure>>,
    {
        let act = &act;
        let acts = self.places.iter().enumerate().map(|(place, alone)| async move {
            let _alone = alone.lock().await;
            act(place).await.err().map(|error| format!("process {place}: {error}"))
        });
        let failures: Vec<String> = join_all(acts).await.into_iter().flatten().collect();
        if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
    }

    async fn start_in(&self, place: usize) -> Result<(), Failure> {
        self.service.start(place).await?;
        tokio::time::sleep(READY).await;
        Ok(())
    }

    /// Lets things happen for at least so long, and returns when all is healed and every place has a process again: up to
    /// 10 s later, or as much later as pauses, stops and faults of your own take. The same seed lets the same things
    /// happen; how the service fares is its own affair.
    ///
    /// About a quarter of the time is [quiet](crate::schedule), so less than a minute may pass without much.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves what is under way unhealed: places without a process, processes that stand still, traps. So
    /// does a panic in a fault of your own.
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
                let Some((windows, result)) = self.happen(fault).await else { return };
                let past = Past { fault: self.describe(fault), windows, from, to: now() };
                let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
                history.complaints.extend(result.err().map(|error| format!("{}: {error}", past.fault)));
                history.faults.push(past);
            },
        )
        .await;
        self.ways.iter().for_each(|way| way.proxy.heal());
        let mut history = history.into_inner().unwrap_or_else(PoisonError::into_inner);
        history.complaints.extend(self.misuse());
        history.faults.sort_by_key(|past| past.from);
        history
    }

    /// Why what happened did not happen to whom it was meant for.
    fn misuse(&self) -> impl Iterator<Item = String> {
        let bypassed =
            self.ways.iter().filter_map(|way| Some(format!("on the way to {}: {}", way.name, way.proxy.bypassed()?)));
        let named = self.ways.iter().map(|way| (&way.name, &way.places));
        let named = named.chain(self.own.iter().map(|own| (&own.name, &own.places)));
        let beyond = named.filter_map(|(name, places)| {
            let place = places.iter().find(|place| **place >= self.places.len())?;
            Some(format!("{name}: there is no place {place}; there are {}, counted from 0", self.places.len()))
        });
        bypassed.chain(beyond)
    }

    fn draw(&self, kind: Kind, random: &mut Rng) -> Fault {
        let place = if self.places.is_empty() { 0 } else { random.usize(..self.places.len()) };
        let length = Duration::from_millis(random.u64(500..5_000));
        match kind {
            Kind::Kill => Fault::Kill { place, absent: length },
            Kind::Pause => Fault::Pause { place },
            Kind::Replace => Fault::Replace { place },
            Kind::Way(way) => {
                Fault::Way { way, trouble: Trouble::draw(random, self.ways[way].proxy.protocol()), length }
            }
            Kind::Own(own) => Fault::Own { own },
        }
    }

    /// From its beginning to its healing. Says how many windows it may cost, and how it went; `None` if it happened to
    /// nobody.
    async fn happen(&self, fault: Fault) -> Option<(usize, Result<(), Failure>)> {
        match fault {
            Fault::Kill { place, absent } => Some((1, self.kill(place, absent).await)),
            Fault::Pause { place } => Some((1, self.pause_in(place).await)),
            Fault::Replace { place } => {
                let stopped = self.replace(place).await;
                let windows = usize::from(!matches!(stopped, Ok(Stopped::Gracefully)));
                Some((windows, stopped.map(drop)))
            }
            Fault::Way { way, trouble, length } => {
                let way = &self.ways[way];
                let touched = trouble.happen(&way.proxy, length).await;
                (touched > 0).then(|| (way.windows(touched), Ok(())))
            }
            Fault::Own { own } => Some((self.own[own].places.len(), (self.own[own].happen)().await)),
        }
    }

    async fn kill(&self, place: usize, absent: Duration) -> Result<(), Failure> {
        let _alone = self.places[place].lock().await;
        let killed = self.service.kill(place).await;
        tokio::time::sleep(absent).await;
        // Also when it had ended by itself.
        let started = self.start_in(place).await;
        killed.and(started)
    }

    async fn pause_in(&self, place: usize) -> Result<(), Failure> {
        let _alone = self.places[place].lock().await;
        let pause = async {
            self.service.pause(place).await?;
            tokio::time::sleep(self.pause).await;
            self.service.resume(place).await
        };
        let paused = pause.await;
        if paused.is_err() {
            // Where there is one still, this is an error and changes nothing.
            drop(self.start_in(place).await);
        }
        paused
    }

    async fn replace(&self, place: usize) -> Result<Stopped, Failure> {
        let _alone = self.places[place].lock().await;
        let stopped = self.service.stop(place).await;
        // Whether it stopped well or not.
        let started = self.start_in(place).await;
        let stopped = stopped?;
        started.map(|()| stopped)
    }

    fn describe(&self, fault: Fault) -> String {
        match fault {
            Fault::Kill { place, absent } => {
                format!("process {place} killed, and another one started {absent:?} later")
            }
            Fault::Pause { place } => format!("process {place} paused for {:?}", self.pause),
            Fault::Replace { place } => format!("process {place} replaced"),
            Fault::Way { way, trouble, length } => {
                format!("on the way to {}: {trouble:?}, {length:?}", self.ways[way].name)
            }
            Fault::Own { own } => self.own[own].name.clone(),
        }
    }
}

impl<S> fmt::Debug for Nemesis<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways: Vec<_> = self.ways.iter().map(|way| (&way.name, &way.proxy)).collect();
        f.debug_struct("Nemesis").field("places", &self.places.len()).field("ways", &ways).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "nemesis_tests.rs"]
mod tests;
