//! Free ports on the loopback interface.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;

/// Below the range from which systems take the local ports of outgoing connections: a port from there can be
/// taken by anybody's connection between the moment it is found free and the moment the server binds it.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port that nobody listens on. Somebody may still be faster: starting a server on it can fail, and is tried again.
pub(crate) fn free() -> anyhow::Result<u16> {
    let size = u64::from(RANGE.end - RANGE.start);
    // A random place to begin, so that two runs at the same time rarely look at the same port.
    let start = RandomState::new().hash_one(std::process::id()) % size;
    (0..size)
        .filter_map(|step| u16::try_from((start + step) % size).ok())
        .map(|offset| RANGE.start + offset)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .context("no free port on 127.0.0.1")
}
