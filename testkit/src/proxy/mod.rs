//! A TCP proxy that does what networks do.

mod client;
mod kafka;
mod link;
mod listener;
mod messages;
mod metadata;
mod mysql;
mod postgres;
mod spells;
#[cfg(test)]
mod tests;
mod traps;
mod weather;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

pub use spells::Spell;
pub use traps::{Armed, Trap};

use traps::{Moment, Traps};
use weather::Weather;

/// What is understood of the bytes that pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Protocol {
    /// PostgreSQL's, or MySQL's and MariaDB's: a client's COMMIT is seen, also a prepared one on PostgreSQL.
    ///
    /// In TLS it could not be. So clients hear that the server has none: with `sslmode=prefer` they go on without, with
    /// `require` they refuse to connect.
    Database,
    /// Kafka's, without TLS: requests and responses are told apart, and the broker's address in them becomes the
    /// proxy's. In TLS they could not be: the connections are cut, and [`Proxy::bypassed`] says why.
    Kafka,
    /// That of any other broker: bytes pass as they are, also in TLS, and no [`Trap`] is for them. Clients must take no
    /// other way than the one that they were given.
    Broker,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// Stands between clients and one server. It lives as long as the Tokio runtime in which it was started, and takes no
/// client after that; dropping it changes nothing. Clones are the same proxy.
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
    traps: Arc<Traps>,
    /// Brokers that are not behind the proxy.
    elsewhere: Mutex<BTreeSet<String>>,
    /// Whether something else than Kafka's protocol came where that is understood.
    is_not_kafka: AtomicBool,
}

impl Proxy {
    /// Listens on a free port of the loopback interface, `127.0.0.1`, for clients of `server`: they must be on this
    /// machine, and not in a container with a network of its own. Whether there is a server shows when a client comes: its
    /// connection is reset if nobody listens.
    ///
    /// Kafka's brokers must be one broker,
    /// which clients then find behind the proxy, whatever it says how to reach it; of more than one, clients would take
    /// ways that the proxy does not see, so they get [no answer](Self::elsewhere).
    ///
    /// # Errors
    ///
    /// When the port cannot be bound.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime with I/O and time.
    pub async fn start(server: SocketAddr, protocol: Protocol) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server,
            address,
            protocol,
            weather: watch::Sender::default(),
            traps: Arc::default(),
            elsewhere: Mutex::default(),
            is_not_kafka: AtomicBool::new(false),
        });
        tokio::spawn(listener::accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets all connections, and says how many that were. New ones work.
    #[expect(clippy::must_use_candidate, reason = "not everybody counts")]
    pub fn cut(&self) -> usize {
        self.shared.cut()
    }

    /// On all connections nothing happens any more, neither bytes nor an end, until they are reset a minute later: as
    /// by an operating system that gives them up. Nothing else that is done to the proxy reaches them. New ones work.
    /// Says how many connections that were.
    #[expect(clippy::must_use_candidate, reason = "not everybody counts")]
    pub fn silence(&self) -> usize {
        let mut touched = 0;
        self.shared.weather.send_modify(|weather| {
            weather.silences += 1;
            touched = std::mem::take(&mut weather.open);
        });
        touched
    }

    /// Nothing passes in this direction, on new connections neither, until what is returned is dropped. Then it goes on
    /// its way.
    pub fn hold(&self, direction: Direction) -> Spell {
        Spell::cast(&self.shared, spells::Kind::Held(direction))
    }

    /// Each piece of what passes takes so much longer, in both directions, until what is returned is dropped. Several
    /// of these add up.
    pub fn slow(&self, latency: Duration) -> Spell {
        Spell::cast(&self.shared, spells::Kind::Slow(latency))
    }

    /// When so many bytes have passed, in both directions and on all connections together, and wherever that is in a
    /// message, all connections are reset, once. With 0 it is when the next byte comes.
    #[expect(clippy::must_use_candidate, reason = "it can be left where it is")]
    pub fn cut_after(&self, bytes: u64) -> Armed {
        self.shared.traps.arm(Moment::Bytes(bytes))
    }

    /// Sets a trap, beside others that nothing went into yet. Where several wait for the same thing, the one that was
    /// set first gets it. One that is for another [protocol](Self::protocol) waits for ever.
    #[expect(clippy::must_use_candidate, reason = "it can be left where it is")]
    pub fn set(&self, trap: Trap) -> Armed {
        self.shared.traps.arm(match trap {
            Trap::CutBeforeCommit => Moment::BeforeCommit,
            Trap::CutAfterCommit => Moment::AfterCommit,
            Trap::SwallowCommit => Moment::InsteadOfCommit,
            Trap::DropProduceResponse(nth) => Moment::Responses(nth),
        })
    }

    /// How many connections were reset at COMMIT, since the beginning.
    #[must_use]
    pub fn cut_commits(&self) -> u64 {
        self.shared.traps.cut_commits()
    }

    /// How many connections there ever were, through to the server. With none, clients go another way.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.weather.borrow().opened
    }

    /// The addresses of Kafka's brokers that are not behind this proxy: clients that ask which brokers there are would
    /// go past it. Their connections are cut then, so that nothing works instead of everything.
    #[must_use]
    pub fn elsewhere(&self) -> Vec<String> {
        link::lock(&self.shared.elsewhere).iter().cloned().collect()
    }

    /// Why clients do not go through this proxy, if so, in words for people.
    #[must_use]
    pub fn bypassed(&self) -> Option<String> {
        let elsewhere = self.elsewhere();
        if !elsewhere.is_empty() {
            return Some(format!(
                "there are brokers that are not behind the proxy: {}; use a cluster of one",
                elsewhere.join(", ")
            ));
        }
        if self.shared.is_not_kafka.load(Ordering::Relaxed) {
            return Some("what passes is not Kafka's protocol; use no TLS on the way to the proxy".to_owned());
        }
        (self.connections() == 0).then(|| format!("nobody ever connected to the proxy at {}", self.address))
    }

    /// What it understands.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.shared.protocol
    }

    /// Whether nothing is held, slow, or waiting to happen. [Silent](Self::silence) connections are none of these.
    #[must_use]
    pub fn is_untroubled(&self) -> bool {
        self.shared.traps.are_none() && self.shared.weather.borrow().is_fair()
    }

    /// From now on nothing happens any more: every [`Spell`] is over, and every trap and allowance is removed. Connections
    /// that were [silenced](Self::silence) stay silent until their minute is over.
    pub fn heal(&self) {
        self.shared.traps.clear();
        self.shared.weather.send_modify(Weather::heal);
    }
}

impl Shared {
    fn cut(&self) -> usize {
        let mut touched = 0;
        self.weather.send_modify(|weather| {
            weather.cuts += 1;
            touched = std::mem::take(&mut weather.open);
        });
        touched
    }
}
