//! One connection through the proxy.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::kafka::{self, Requests};
use super::{Direction, Protocol, Shared, Trap, Weather};

/// What both directions of a link know.
struct Link<'a> {
    shared: &'a Shared,
    /// Cut when the server answers next.
    ends_with_answer: AtomicBool,
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
}

/// How long a silent connection is kept before it is reset, as by an operating system that gives it up. That takes
/// some minutes where something is under way, and where nothing is it may take hours or happen never.
const KEPT: Duration = Duration::from_secs(60);

/// Passes bytes until one side closes, or the link is cut; `begun` is the weather when it began.
pub(super) async fn run(mut client: TcpStream, mut server: TcpStream, shared: &Shared, begun: Weather) {
    let link = Link { shared, ends_with_answer: AtomicBool::new(false), requests: Mutex::default() };
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
    loop {
        let mut piece = match link.shared.protocol {
            Protocol::Database => match from.read(&mut buffer).await? {
                0 => return Ok(End::Closed),
                read => buffer[..read].to_vec(),
            },
            Protocol::Kafka => match kafka::frame(&mut from).await? {
                None => return Ok(End::Closed),
                Some(frame) => frame,
            },
        };
        match link.judge(direction, &mut piece) {
            Fate::Pass => {}
            Fate::Swallow => continue,
            Fate::Cut => return Ok(End::Cut),
        }
        link.wait(direction).await;
        let allowed = link.shared.spend(piece.len());
        to.write_all(&piece[..allowed]).await?;
        if allowed < piece.len() {
            link.shared.cut();
            return Ok(End::Cut);
        }
    }
}

impl Link<'_> {
    fn judge(&self, direction: Direction, piece: &mut [u8]) -> Fate {
        match (self.shared.protocol, direction) {
            (Protocol::Database, Direction::ToServer) => self.judge_statement(piece),
            (Protocol::Database, Direction::ToClient) => {
                if self.ends_with_answer.load(Ordering::SeqCst) {
                    Fate::Cut
                } else {
                    Fate::Pass
                }
            }
            (Protocol::Kafka, Direction::ToServer) => {
                self.requests().sent(piece);
                Fate::Pass
            }
            (Protocol::Kafka, Direction::ToClient) => {
                let is_produce = self.requests().answered(piece);
                if is_produce && self.is_the_response() {
                    return Fate::Swallow;
                }
                kafka::readdress(piece, self.shared.server.port(), self.shared.address.port());
                Fate::Pass
            }
        }
    }

    fn judge_statement(&self, piece: &[u8]) -> Fate {
        const WORD: &[u8] = b"COMMIT";
        let mut trap = self.shared.trap();
        let (Some(Trap::CutBeforeCommit | Trap::CutAfterCommit), true) =
            (*trap, piece.windows(WORD.len()).any(|part| part == WORD))
        else {
            return Fate::Pass;
        };
        self.shared.cut_commits.fetch_add(1, Ordering::Relaxed);
        if trap.take() == Some(Trap::CutBeforeCommit) {
            return Fate::Cut;
        }
        self.ends_with_answer.store(true, Ordering::SeqCst);
        Fate::Pass
    }

    /// Counts a response to Produce, if somebody waits for one.
    fn is_the_response(&self) -> bool {
        let mut trap = self.shared.trap();
        match *trap {
            Some(Trap::DropProduceResponse(0 | 1)) => {
                *trap = None;
                true
            }
            Some(Trap::DropProduceResponse(left)) => {
                *trap = Some(Trap::DropProduceResponse(left - 1));
                false
            }
            _ => false,
        }
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

    fn requests(&self) -> std::sync::MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
