//! Where clients come.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::{Shared, link, weather};

/// How long nobody is taken after that could not be done: out of file descriptors, say, for which it would fail again
/// at once, and keep a processor busy.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (client, _) = persistently(|| listener.accept()).await;
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            match TcpStream::connect(shared.server).await {
                Ok(server) => {
                    let begun = weather::opened(&shared.weather);
                    link::run(client, server, &shared, begun).await;
                    weather::closed(&shared.weather, begun);
                }
                // As if nobody listened.
                Err(_) => drop(client.set_zero_linger()),
            }
        });
    }
}

async fn persistently<T, Accepting: Future<Output = io::Result<T>>>(mut accept: impl FnMut() -> Accepting) -> T {
    loop {
        match accept().await {
            Ok(accepted) => return accepted,
            // The client sees that nobody answers.
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_cannot_take_a_client_waits_a_while() {
        let (begun, mut left) = (tokio::time::Instant::now(), 100);
        let accept = || {
            left -= 1;
            std::future::ready(if left == 0 { Ok("a client") } else { Err(io::Error::other("too many open files")) })
        };
        assert_eq!(persistently(accept).await, "a client");
        assert_eq!(begun.elapsed(), 99 * PAUSE);
    }
}
