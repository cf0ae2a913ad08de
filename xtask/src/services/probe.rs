//! Whether a server answers, asked in its own protocol: a port that is open proves little.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use super::service::Service;

const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn answers(service: Service, port: u16) -> io::Result<()> {
    let address = (Ipv4Addr::LOCALHOST, port).into();
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    match service {
        Service::Postgres | Service::PgBouncer => postgres(&mut stream),
        Service::MariaDb => mariadb(&mut stream),
        Service::Kafka => kafka(&mut stream),
    }
}

/// Logs in, and reads messages up to "ready for query".
fn postgres(stream: &mut TcpStream) -> io::Result<()> {
    const PROTOCOL: u32 = 3 << 16;
    let mut body = PROTOCOL.to_be_bytes().to_vec();
    body.extend_from_slice(b"user\0outbox\0database\0postgres\0\0");
    stream.write_all(&length(body.len() + 4))?;
    stream.write_all(&body)?;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let [kind, size @ ..] = head;
        let mut body = vec![0; (u32::from_be_bytes(size) as usize).saturating_sub(4).min(64 * 1024)];
        stream.read_exact(&mut body)?;
        match kind {
            b'Z' => return stream.write_all(b"X\0\0\0\x04"),
            b'E' => return Err(io::Error::other(String::from_utf8_lossy(&body).replace('\0', " "))),
            _ => {}
        }
    }
}

/// The server speaks first, and only after the statements that create our user.
fn mariadb(stream: &mut TcpStream) -> io::Result<()> {
    const HANDSHAKE: u8 = 10;
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    if head[4] == HANDSHAKE { Ok(()) } else { Err(io::Error::new(ErrorKind::InvalidData, "not a handshake")) }
}

/// Asks for the API versions; the broker serves requests only when it has joined its cluster.
fn kafka(stream: &mut TcpStream) -> io::Result<()> {
    const API_VERSIONS: [u8; 10] = [0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    stream.write_all(&length(API_VERSIONS.len()))?;
    stream.write_all(&API_VERSIONS)?;
    let mut head = [0; 10];
    stream.read_exact(&mut head)?;
    match head {
        [_, _, _, _, 0, 0, 0, 7, 0, 0] => Ok(()),
        _ => Err(io::Error::new(ErrorKind::InvalidData, "not an answer to our question")),
    }
}

fn length(size: usize) -> [u8; 4] {
    u32::try_from(size).unwrap_or(u32::MAX).to_be_bytes()
}
