//! As much of Kafka's protocol as the proxy needs: where messages end, and which are about Produce.

use std::collections::HashSet;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

const PRODUCE: [u8; 2] = [0, 0];
/// Larger than anything that clients send here.
const LARGEST: usize = 64 * 1024 * 1024;

/// One message with its length in front; `None` at the end.
pub(super) async fn frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let size = u32::from_be_bytes(length) as usize;
    if size > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not Kafka's protocol"));
    }
    let mut frame = vec![0; 4 + size];
    frame[..4].copy_from_slice(&length);
    from.read_exact(&mut frame[4..]).await?;
    Ok(Some(frame))
}

/// Produce requests without a response yet, by their correlation ids.
#[derive(Debug, Default)]
pub(super) struct Requests(HashSet<[u8; 4]>);

impl Requests {
    /// A request begins with its kind, its version and its correlation id.
    pub(super) fn sent(&mut self, frame: &[u8]) {
        if let Some(PRODUCE) = field(frame, 0)
            && let Some(id) = field(frame, 4)
        {
            self.0.insert(id);
        }
    }

    /// Whether it answers a Produce request. A response begins with the correlation id.
    pub(super) fn answered(&mut self, frame: &[u8]) -> bool {
        field(frame, 0).is_some_and(|id: [u8; 4]| self.0.remove(&id))
    }
}

fn field<const N: usize>(frame: &[u8], at: usize) -> Option<[u8; N]> {
    frame.get(4 + at..4 + at + N)?.try_into().ok()
}

/// Where a response says how to reach the broker, it now says how to reach the proxy. In all versions the port comes
/// right behind the host, and both addresses are as long.
pub(super) fn readdress(frame: &mut [u8], broker: u16, proxy: u16) {
    const HOST: &[u8] = b"127.0.0.1";
    let address = |port: u16| [HOST, &u32::from(port).to_be_bytes()].concat();
    let (old, new) = (address(broker), address(proxy));
    let mut at = 0;
    while at + old.len() <= frame.len() {
        if frame[at..].starts_with(&old) {
            frame[at..at + new.len()].copy_from_slice(&new);
            at += new.len();
        } else {
            at += 1;
        }
    }
}
