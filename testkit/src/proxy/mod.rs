//! A TCP proxy that does what networks do.

mod kafka;
mod link;
mod spells;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is understood of the bytes that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// PostgreSQL's or MariaDB's: the word COMMIT is seen.
    Database,
    /// Kafka's: requests and responses are told apart, and the broker's address in them becomes the proxy's.
    Kafka,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// Something that happens once, when its moment comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trap {
    /// The connection is cut when the client says COMMIT; the server never hears it.
    CutBeforeCommit,
    /// The connection is cut when the server has answered a COMMIT; the client never hears it.
    CutAfterCommit,
    /// So many responses to Produce requests from now, one is swallowed; the connection stays.
    DropProduceResponse(u32),
}

/// Stands between clients and one server. It lives as long as the program.
#[derive(Debug, Clone)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What all links of a proxy have in common.
#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    address: SocketAddr,
    protocol: Protocol,
    weather: watch::Sender<Weather>,
    trap: Mutex<Option<Trap>>,
    /// Bytes that may still pass before all links are cut.
    allowance: AtomicU64,
    /// How often a connection was cut at COMMIT.
    cut_commits: AtomicU64,
}

/// What links suffer at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Weather {
    /// Nothing passes to the server, or to the client.
    held_to_server: bool,
    held_to_client: bool,
    /// Everything takes so much longer.
    latency: Duration,
    /// Links that were made before this many cuts are gone.
    cuts: u64,
    /// On links that were made before this many silences nothing happens any more.
    silences: u64,
}

impl Weather {
    fn holds(&self, direction: Direction) -> bool {
        match direction {
            Direction::ToServer => self.held_to_server,
            Direction::ToClient => self.held_to_client,
        }
    }
}

impl Proxy {
    /// Listens on a free port of the loopback interface, for clients of `server`. Kafka's brokers must be one broker on
    /// 127.0.0.1, which clients then find behind the proxy.
    ///
    /// # Errors
    ///
    /// When the port cannot be bound.
    pub async fn start(server: SocketAddr, protocol: Protocol) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server,
            address,
            protocol,
            weather: watch::Sender::default(),
            trap: Mutex::default(),
            allowance: AtomicU64::new(u64::MAX),
            cut_commits: AtomicU64::new(0),
        });
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets all connections. New ones work.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// On all connections nothing happens any more, ever: neither bytes nor an end. New ones work.
    pub fn silence(&self) {
        self.shared.weather.send_modify(|weather| weather.silences += 1);
    }

    /// From now on nothing passes in this direction, on new connections neither, until [`release`](Self::release).
    pub fn hold(&self, direction: Direction) {
        self.shared.weather.send_modify(|weather| match direction {
            Direction::ToServer => weather.held_to_server = true,
            Direction::ToClient => weather.held_to_client = true,
        });
    }

    /// From now on each piece of what passes takes so much longer, in both directions.
    pub fn slow(&self, latency: Duration) {
        self.shared.weather.send_modify(|weather| weather.latency = latency);
    }

    /// After so many bytes, in any direction and wherever that is in a message, all connections are reset, once.
    pub fn cut_after(&self, bytes: u64) {
        self.shared.allowance.store(bytes, Ordering::SeqCst);
    }

    /// Sets a trap, in the place of one that nothing went into.
    pub fn set(&self, trap: Trap) {
        *self.shared.trap() = Some(trap);
    }

    /// Whether a trap, or the end of an allowance, is still waiting.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.shared.trap().is_some() || self.shared.allowance.load(Ordering::SeqCst) != u64::MAX
    }

    /// How many connections went into a trap at COMMIT, since the beginning.
    #[must_use]
    pub fn cut_commits(&self) -> u64 {
        self.shared.cut_commits.load(Ordering::Relaxed)
    }

    /// What was held in this direction goes on its way.
    pub fn release(&self, direction: Direction) {
        self.shared.weather.send_modify(|weather| match direction {
            Direction::ToServer => weather.held_to_server = false,
            Direction::ToClient => weather.held_to_client = false,
        });
    }

    /// Removes a trap that nothing went into, and the end of an allowance that was not used up.
    pub fn disarm(&self) {
        *self.shared.trap() = None;
        self.shared.allowance.store(u64::MAX, Ordering::SeqCst);
    }

    /// What it understands.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.shared.protocol
    }

    /// Whether nothing is held, slow, or waiting to happen.
    #[must_use]
    pub fn is_untroubled(&self) -> bool {
        let weather = *self.shared.weather.borrow();
        !self.is_set() && weather == Weather { cuts: weather.cuts, silences: weather.silences, ..Weather::default() }
    }

    /// From now on nothing happens any more.
    pub fn heal(&self) {
        self.disarm();
        self.shared.weather.send_modify(|weather| {
            *weather = Weather { cuts: weather.cuts, silences: weather.silences, ..Weather::default() };
        });
    }
}

impl Shared {
    fn cut(&self) {
        self.weather.send_modify(|weather| weather.cuts += 1);
    }

    fn trap(&self) -> std::sync::MutexGuard<'_, Option<Trap>> {
        self.trap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes so many bytes off the allowance, and says how many of them there were. The end of it resets it.
    fn spend(&self, bytes: usize) -> usize {
        let wanted = bytes as u64;
        let left = |allowance: u64| match allowance {
            u64::MAX => None,
            allowance if allowance <= wanted => Some(u64::MAX),
            allowance => Some(allowance - wanted),
        };
        match self.allowance.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) {
            Ok(allowance) if allowance <= wanted => usize::try_from(allowance).unwrap_or(bytes),
            _ => bytes,
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // Out of file descriptors, say; the client sees that nobody answers.
        let Ok((client, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let begun = *shared.weather.borrow();
            match TcpStream::connect(shared.server).await {
                Ok(server) => link::run(client, server, &shared, begun).await,
                // As if nobody listened.
                Err(_) => drop(client.set_zero_linger()),
            }
        });
    }
}
