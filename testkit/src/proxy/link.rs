//! One connection through the proxy.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::client::Client;
use super::kafka::{self, Request, Requests};
use super::metadata::{self, Readdressed};
use super::traps::Commit;
use super::weather::Weather;
use super::{Direction, Protocol, Shared, mysql, postgres};

/// What both directions of a link know.
struct Link<'a> {
    shared: &'a Shared,
    /// What a database's client says.
    client: Mutex<Client>,
    /// The trap that waits for the server's answer to a COMMIT.
    answer: Mutex<Option<u64>>,
    /// Whether the server has said something.
    server_spoke: AtomicBool,
    /// Kafka's requests that wait for their responses.
    requests: Mutex<Requests>,
}

/// How a link ends.
enum End {
    Closed,
    Cut,
    Silent,
}

/// What becomes of a piece of what passes.
enum Fate {
    Pass,
    Swallow,
    Cut,
    /// It never arrives, and neither does anything after it.
    Silence,
}

/// How long a silent connection is kept before it is reset, as by an operating system that gives it up. That takes
/// some minutes where something is under way, and where nothing is it may take hours or happen never.
const KEPT: Duration = Duration::from_secs(60);

/// Passes bytes until one side closes, or the link is cut; `begun` is the weather when it began.
pub(super) async fn run(mut client: TcpStream, mut server: TcpStream, shared: &Shared, begun: Weather) {
    let link = Link {
        shared,
        client: Mutex::default(),
        answer: Mutex::default(),
        server_spoke: AtomicBool::new(false),
        requests: Mutex::default(),
    };
    let (mut weather, mut silence) = (shared.weather.subscribe(), shared.weather.subscribe());
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            biased;
            _ = silence.wait_for(|weather| weather.silences > begun.silences) => End::Silent,
            _ = weather.wait_for(|weather| weather.cuts > begun.cuts) => End::Cut,
            end = pump(&link, Direction::ToServer, from_client, to_server) => end.unwrap_or(End::Cut),
            end = pump(&link, Direction::ToClient, from_server, to_client) => end.unwrap_or(End::Cut),
        }
    };
    if let Some(trap) = lock(&link.answer).take() {
        shared.traps.no_answer(trap);
    }
    match end {
        End::Closed => {}
        End::Cut => reset(&client, &server),
        End::Silent => {
            tokio::time::sleep(KEPT).await;
            reset(&client, &server);
        }
    }
}

/// As from a host that knows nothing of the connection. It may be gone already.
fn reset(client: &TcpStream, server: &TcpStream) {
    drop(client.set_zero_linger());
    drop(server.set_zero_linger());
}

async fn pump(link: &Link<'_>, direction: Direction, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<End> {
    let mut buffer = vec![0; 64 * 1024];
    let mut first = match (link.shared.protocol, direction) {
        (Protocol::Database, Direction::ToServer) => link.refuse_encryption(&mut from).await?,
        _ => Vec::new(),
    };
    loop {
        let mut piece = match link.shared.protocol {
            Protocol::Database if !first.is_empty() => std::mem::take(&mut first),
            Protocol::Database | Protocol::Broker => match from.read(&mut buffer).await? {
                0 => return Ok(End::Closed),
                read => buffer[..read].to_vec(),
            },
            Protocol::Kafka => match kafka::frame(&mut from).await {
                Ok(None) => return Ok(End::Closed),
                Ok(Some(frame)) => frame,
                Err(error) => {
                    if error.kind() == io::ErrorKind::InvalidData {
                        link.shared.is_not_kafka.store(true, Ordering::Relaxed);
                    }
                    return Err(error);
                }
            },
        };
        match link.judge(direction, &mut piece) {
            Fate::Pass => {}
            Fate::Swallow => continue,
            Fate::Cut => return Ok(End::Cut),
            Fate::Silence => return Ok(End::Silent),
        }
        link.wait(direction).await;
        let mut rest = &piece[..];
        while !rest.is_empty() {
            let (allowed, ends) = link.shared.traps.spend(rest.len());
            to.write_all(&rest[..allowed]).await?;
            if ends && link.shared.traps.end() {
                link.shared.cut();
                return Ok(End::Cut);
            }
            rest = &rest[allowed..];
        }
    }
}

impl Link<'_> {
    fn judge(&self, direction: Direction, piece: &mut Vec<u8>) -> Fate {
        match (self.shared.protocol, direction) {
            (Protocol::Database, Direction::ToServer) => self.judge_statement(piece),
            (Protocol::Database, Direction::ToClient) => {
                if !self.server_spoke.swap(true, Ordering::Relaxed) {
                    mysql::without_encryption(piece);
                }
                let trap = lock(&self.answer).take();
                if trap.is_some_and(|trap| self.shared.traps.answer(trap)) { Fate::Cut } else { Fate::Pass }
            }
            (Protocol::Kafka, Direction::ToServer) => {
                lock(&self.requests).sent(piece);
                Fate::Pass
            }
            (Protocol::Kafka, Direction::ToClient) => {
                let answered = lock(&self.requests).answered(piece);
                self.judge_response(answered, piece)
            }
            (Protocol::Broker, _) => Fate::Pass,
        }
    }

    fn judge_response(&self, answered: Request, frame: &mut Vec<u8>) -> Fate {
        let Shared { server, address, .. } = *self.shared;
        match answered {
            Request::Produce if self.shared.traps.response() => Fate::Swallow,
            Request::Produce | Request::Other => {
                kafka::readdress(frame, server.port(), address.port());
                Fate::Pass
            }
            Request::Metadata(version) => match metadata::readdress(frame, version, server, address) {
                Readdressed::Done => Fate::Pass,
                Readdressed::Elsewhere(brokers) => {
                    lock(&self.shared.elsewhere).extend(brokers);
                    Fate::Cut
                }
                Readdressed::Unknown => Fate::Cut,
            },
        }
    }

    fn judge_statement(&self, piece: &[u8]) -> Fate {
        // A client that does not wait for the answer to one COMMIT has no trap for the next.
        if !lock(&self.client).commits(piece) || lock(&self.answer).is_some() {
            return Fate::Pass;
        }
        match self.shared.traps.commit() {
            Commit::Passes => Fate::Pass,
            Commit::IsCut => Fate::Cut,
            Commit::IsSwallowed => Fate::Silence,
            Commit::IsCutLater(trap) => {
                *lock(&self.answer) = Some(trap);
                Fate::Pass
            }
        }
    }

    /// Answers PostgreSQL's clients that would rather speak TLS, in which no COMMIT is seen, as a server without it
    /// does. Returns the first bytes of what is for the server.
    async fn refuse_encryption(&self, from: &mut ReadHalf<'_>) -> io::Result<Vec<u8>> {
        let mut begun = Vec::new();
        let asks = |begun: &[u8]| postgres::ASKS_FOR_ENCRYPTION.iter().any(|asks| asks.starts_with(begun));
        while asks(&begun) {
            if begun.len() == postgres::ASKS_FOR_ENCRYPTION[0].len() {
                self.wait(Direction::ToClient).await;
                say(from.as_ref(), postgres::NO_ENCRYPTION).await?;
                begun.clear();
            }
            let mut next = [0];
            if from.read(&mut next).await? == 0 {
                break;
            }
            begun.extend(next);
        }
        Ok(begun)
    }

    /// As long as it takes today.
    async fn wait(&self, direction: Direction) {
        let mut weather = self.shared.weather.subscribe();
        let latency = weather.borrow().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        // The sender lives as long as we do.
        drop(weather.wait_for(|weather| !weather.holds(direction)).await);
    }
}

/// To a client to which nothing else was said yet.
async fn say(client: &TcpStream, byte: u8) -> io::Result<()> {
    loop {
        client.writable().await?;
        match client.try_write(&[byte]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            said => return said.map(drop),
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
