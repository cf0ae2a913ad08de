//! The servers that a benchmark works with.

mod broker;
mod counter;
mod database;
mod tamper;

pub(crate) use broker::{Broker, PARTITIONS};
pub(crate) use counter::QueryCounter;
pub(crate) use database::{Activity, BenchDatabase, Kind, connect};

use anyhow::Context;

/// The value of a variable that says where a server is.
fn address(variable: &str) -> anyhow::Result<String> {
    let found = std::env::var(variable).ok().filter(|address| !address.is_empty());
    found.with_context(|| {
        format!("{variable} is not set: run `cargo xtask services up` and `eval \"$(cargo xtask services env)\"`")
    })
}

/// The port in `scheme://user@host:port/path`, or `host:port`, of a server on this machine.
fn local_port(address: &str) -> Option<u16> {
    let authority = address.rsplit_once("://").map_or(address, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = host.rsplit_once(':')?;
    matches!(host, "127.0.0.1" | "localhost" | "[::1]").then(|| port.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::local_port;

    #[test]
    fn only_servers_of_this_machine_can_be_looked_at() {
        assert_eq!(local_port("postgres://u:p@127.0.0.1:5433/d?x=1"), Some(5433));
        assert_eq!(local_port("127.0.0.1:9092"), Some(9092));
        assert_eq!(local_port("kafka.example.com:9092"), None);
        assert_eq!(local_port("sqlite:///tmp/x"), None);
    }
}
