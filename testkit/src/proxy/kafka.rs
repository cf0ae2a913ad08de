//! As much of Kafka's protocol as the proxy needs: where messages end, and what they are about.

use std::collections::HashMap;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

const PRODUCE: [u8; 2] = [0, 0];
const METADATA: [u8; 2] = [0, 3];
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

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Produce,
    /// Which brokers there are, in this version.
    Metadata(u16),
    Other,
}

/// Requests without a response yet, by their correlation ids, but for those that are no matter.
#[derive(Debug, Default)]
pub(super) struct Requests(HashMap<[u8; 4], Request>);

impl Requests {
    /// A request begins with its kind, its version and its correlation id.
    pub(super) fn sent(&mut self, frame: &[u8]) {
        let (Some(kind), Some(version), Some(id)) = (field(frame, 0), field(frame, 2), field(frame, 4)) else { return };
        match kind {
            PRODUCE => self.0.insert(id, Request::Produce),
            METADATA => self.0.insert(id, Request::Metadata(u16::from_be_bytes(version))),
            _ => None,
        };
    }

    /// What it answers. A response begins with the correlation id.
    pub(super) fn answered(&mut self, frame: &[u8]) -> Request {
        field(frame, 0).and_then(|id: [u8; 4]| self.0.remove(&id)).unwrap_or(Request::Other)
    }
}

fn field<const N: usize>(frame: &[u8], at: usize) -> Option<[u8; N]> {
    frame.get(4 + at..4 + at + N)?.try_into().ok()
}

/// Where another response says how to reach the broker, it now says how to reach the proxy. In all versions the port
/// comes right behind the host, and both addresses are as long.
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
