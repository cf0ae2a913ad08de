use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

use super::local_port;

/// Stands between a client and PostgreSQL, and counts what the client asks: a simple query, or the execution of a
/// prepared statement. Several statements in one simple query count as one, because they go and come together.
#[derive(Debug)]
pub(crate) struct QueryCounter {
    /// The database, by way of the counter.
    pub(crate) url: String,
    queries: Arc<AtomicU64>,
}

impl QueryCounter {
    pub(crate) async fn start(url: &str) -> anyhow::Result<Self> {
        let port = local_port(url).context("queries are counted for a server on this machine alone")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let own = listener.local_addr()?.port();
        let queries = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&queries);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                tokio::spawn(async move {
                    // A connection that breaks is the client's to notice.
                    drop(serve(client, port, &count).await);
                });
            }
        });
        let separator = if url.contains('?') { '&' } else { '?' };
        let url = url.replacen(&format!(":{port}/"), &format!(":{own}/"), 1);
        Ok(Self { url: format!("{url}{separator}sslmode=disable"), queries })
    }

    pub(crate) fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }
}

async fn serve(mut client: TcpStream, port: u16, count: &AtomicU64) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let asking = async {
        // The first message has no type.
        to_server.write_all(&message(&mut from_client, false).await?).await?;
        loop {
            let message = message(&mut from_client, true).await?;
            if matches!(message.first(), Some(b'Q' | b'E')) {
                count.fetch_add(1, Ordering::Relaxed);
            }
            to_server.write_all(&message).await?;
        }
    };
    tokio::select! {
        end = asking => end,
        end = copy(&mut from_server, &mut to_client) => end.map(drop),
    }
}

/// A message with its type, if it has one, and its length.
async fn message(from: &mut (impl AsyncRead + Unpin), typed: bool) -> std::io::Result<Vec<u8>> {
    let header = if typed { 5 } else { 4 };
    let mut message = vec![0; header];
    from.read_exact(&mut message).await?;
    let length = message[header - 4..].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    message.resize(header + length.saturating_sub(4), 0);
    from.read_exact(&mut message[header..]).await?;
    Ok(message)
}
