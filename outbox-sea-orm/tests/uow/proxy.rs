//! A connection to a server that the test can hold up or cut at a word of the client.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// What happens when a client says the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// The server gets it, the answer waits for [`Proxy::go_on`].
    Hold,
    /// The connection ends before the server gets it.
    CutBefore,
    /// The server gets it and answers, but the connection ends before the client hears.
    CutAfter,
}

/// The word that is waited for.
type Armed = Arc<Mutex<Option<(&'static [u8], At)>>>;

pub(crate) struct Proxy {
    pub(crate) url: String,
    armed: Armed,
    said: mpsc::UnboundedReceiver<()>,
    held: watch::Sender<bool>,
}

impl Proxy {
    /// In front of the server of `url`.
    pub(crate) async fn before(url: &str) -> Self {
        let start = url.find('@').map_or_else(|| url.find("://").unwrap() + 3, |at| at + 1);
        let end = start + url[start..].find('/').unwrap();
        let server = url[start..end].to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap();
        let options = if url.starts_with("mysql") { "ssl-mode=disabled" } else { "sslmode=disable" };
        let url = format!("{}{own}{}?{options}", &url[..start], &url[end..]);
        let armed = Armed::default();
        let (say, said) = mpsc::unbounded_channel();
        let (held, _) = watch::channel(false);
        let shared = (Arc::clone(&armed), held.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&shared.0), shared.1.clone(), say.clone()));
            }
        });
        Self { url, armed, said, held }
    }

    /// From now on, once.
    pub(crate) fn at(&self, word: &'static str, what: At) {
        *self.armed.lock().unwrap() = Some((word.as_bytes(), what));
    }

    /// Returns when the word was said.
    pub(crate) async fn said(&mut self) {
        self.said.recv().await.unwrap();
    }

    pub(crate) fn go_on(&self) {
        self.held.send_replace(false);
    }
}

async fn pass(
    client: TcpStream,
    server: TcpStream,
    armed: Armed,
    held: watch::Sender<bool>,
    say: mpsc::UnboundedSender<()>,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (cut, mut is_cut) = watch::channel(false);
    let mut is_held = held.subscribe();
    let answers = tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let Ok(n @ 1..) = from_server.read(&mut buffer).await else { return };
            // Decided by what was said before this answer.
            is_held.wait_for(|held| !held).await.unwrap();
            if *is_cut.borrow_and_update() || to_client.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = from_client.read(&mut buffer).await {
        let hit = {
            let mut armed = armed.lock().unwrap();
            match *armed {
                Some((word, at)) if buffer[..n].windows(word.len()).any(|part| part == word) => {
                    *armed = None;
                    Some(at)
                }
                _ => None,
            }
        };
        match hit {
            Some(At::Hold) => drop(held.send_replace(true)),
            Some(At::CutAfter) => drop(cut.send_replace(true)),
            Some(At::CutBefore) => {
                answers.abort();
                say.send(()).unwrap();
                return;
            }
            None => {}
        }
        if to_server.write_all(&buffer[..n]).await.is_err() {
            break;
        }
        if hit.is_some() {
            say.send(()).unwrap();
        }
        if hit == Some(At::CutAfter) {
            // Ends when the server has answered.
            drop(answers.await);
            return;
        }
    }
}
