//! Where Kafka's answers about the cluster say how to reach its brokers.

use std::net::SocketAddr;
use std::ops::Range;

/// The version from which on strings and lists are written in another way, and anything may be followed by more.
const FLEXIBLE: u16 = 9;

/// What became of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readdressed {
    /// Clients now find the proxy.
    Done,
    /// There are brokers that are not behind the proxy, at these addresses.
    Elsewhere(Vec<String>),
    /// It is none.
    Unknown,
}

/// In the answer to a request for metadata of this version, the address of the `server` becomes that of the `proxy`.
/// A broker that is the only one is behind the proxy, under whatever name it goes.
pub(super) fn readdress(frame: &mut Vec<u8>, version: u16, server: SocketAddr, proxy: SocketAddr) -> Readdressed {
    let Some(brokers) = (Reader { frame, at: 8, is_flexible: version >= FLEXIBLE }).brokers(version) else {
        return Readdressed::Unknown;
    };
    let is_alone = brokers.len() == 1;
    let is_other = |broker: &&Broker| !is_alone && !broker.is_at(server);
    let elsewhere: Vec<String> =
        brokers.iter().filter(is_other).map(|Broker { host, port, .. }| format!("{host}:{port}")).collect();
    if !elsewhere.is_empty() {
        return Readdressed::Elsewhere(elsewhere);
    }
    let host = proxy.ip().to_string();
    let length = host.len() as u8;
    let length = if version >= FLEXIBLE { vec![length + 1] } else { vec![0, length] };
    let address = [&length, host.as_bytes(), &u32::from(proxy.port()).to_be_bytes()].concat();
    // From behind, so that those before stay where they are.
    for Broker { bytes, .. } in brokers.into_iter().rev() {
        frame.splice(bytes, address.iter().copied());
    }
    if let Ok(size) = u32::try_from(frame.len() - 4) {
        frame[..4].copy_from_slice(&size.to_be_bytes());
    }
    Readdressed::Done
}

struct Broker {
    host: String,
    port: u32,
    /// Where its address is.
    bytes: Range<usize>,
}

impl Broker {
    fn is_at(&self, address: SocketAddr) -> bool {
        let is_loopback = address.ip().is_loopback() && self.host == "localhost";
        self.port == u32::from(address.port()) && (is_loopback || self.host == address.ip().to_string())
    }
}

struct Reader<'f> {
    frame: &'f [u8],
    at: usize,
    is_flexible: bool,
}

impl Reader<'_> {
    /// Behind the correlation id.
    fn brokers(mut self, version: u16) -> Option<Vec<Broker>> {
        self.more()?;
        if version >= 3 {
            // For how long a client is to wait.
            self.number()?;
        }
        let count = if self.is_flexible { self.varint()?.checked_sub(1)? } else { self.number()? };
        let mut brokers = Vec::new();
        for _ in 0..count {
            self.number()?;
            let start = self.at;
            let host = String::from_utf8_lossy(self.string()?).into_owned();
            let port = self.number()?;
            brokers.push(Broker { host, port, bytes: start..self.at });
            if version >= 1 {
                // Its rack.
                self.string()?;
            }
            self.more()?;
        }
        Some(brokers)
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let taken = self.frame.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn varint(&mut self) -> Option<u32> {
        let mut number = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.take(1)?[0];
            number |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// Empty where there is none.
    fn string(&mut self) -> Option<&[u8]> {
        let length = if self.is_flexible {
            self.varint()?.saturating_sub(1)
        } else {
            let length = i16::from_be_bytes(self.take(2)?.try_into().ok()?);
            u32::try_from(length).unwrap_or(0)
        };
        self.take(length as usize)
    }

    /// Fields that newer versions may add.
    fn more(&mut self) -> Option<()> {
        if self.is_flexible {
            for _ in 0..self.varint()? {
                self.varint()?;
                let length = self.varint()?;
                self.take(length as usize)?;
            }
        }
        Some(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// With as many brokers as there are addresses, and something behind them.
    pub(in super::super) fn answer(version: u16, correlation: u8, addresses: &[(&str, u16)]) -> Vec<u8> {
        let is_flexible = version >= FLEXIBLE;
        let string = |text: &str| match u8::try_from(text.len()).unwrap() {
            length if is_flexible => [&[length + 1], text.as_bytes()].concat(),
            length => [&[0, length], text.as_bytes()].concat(),
        };
        let mut body = vec![0, 0, 0, correlation];
        if is_flexible {
            // A field of two bytes that nobody knows.
            body.extend([1, 7, 2, b'.', b'.']);
        }
        if version >= 3 {
            body.extend([0; 4]);
        }
        let count = u8::try_from(addresses.len()).unwrap();
        body.extend(if is_flexible { vec![count + 1] } else { vec![0, 0, 0, count] });
        for (node, (host, port)) in addresses.iter().enumerate() {
            body.extend([0, 0, 0, u8::try_from(node).unwrap()]);
            body.extend(string(host));
            body.extend(u32::from(*port).to_be_bytes());
            if version >= 1 && node == 0 {
                body.extend(string("rack"));
            } else if version >= 1 {
                body.extend(if is_flexible { vec![0] } else { vec![0xff, 0xff] });
            }
            body.extend(is_flexible.then_some(0));
        }
        body.extend(b"topics");
        [&u32::try_from(body.len()).unwrap().to_be_bytes(), body.as_slice()].concat()
    }

    const VERSIONS: [u16; 6] = [0, 1, 3, 8, 9, 13];

    fn readdressed(version: u16, addresses: &[(&str, u16)]) -> (Readdressed, Vec<u8>) {
        let mut frame = answer(version, 1, addresses);
        let (server, proxy) = ("127.0.0.1:9092".parse().unwrap(), "127.0.0.1:4000".parse().unwrap());
        (readdress(&mut frame, version, server, proxy), frame)
    }

    #[test]
    fn the_only_broker_is_behind_the_proxy_under_any_name() {
        for version in VERSIONS {
            for address in [("127.0.0.1", 9092), ("localhost", 9092), ("a.rather.long.name.of.a.host", 1)] {
                let expected = answer(version, 1, &[("127.0.0.1", 4000)]);
                assert_eq!(readdressed(version, &[address]), (Readdressed::Done, expected), "{version} {address:?}");
            }
        }
    }

    #[test]
    fn other_brokers_are_elsewhere() {
        for version in VERSIONS {
            let (result, frame) = readdressed(version, &[("localhost", 9092), ("localhost", 9093), ("b", 9092)]);
            assert_eq!(result, Readdressed::Elsewhere(vec!["localhost:9093".to_owned(), "b:9092".to_owned()]));
            assert_eq!(frame, answer(version, 1, &[("localhost", 9092), ("localhost", 9093), ("b", 9092)]));
        }
    }

    #[test]
    fn a_cluster_may_have_no_broker_yet() {
        for version in VERSIONS {
            assert_eq!(readdressed(version, &[]), (Readdressed::Done, answer(version, 1, &[])));
        }
    }

    #[test]
    fn an_answer_that_ends_early_is_unknown() {
        let (server, proxy) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        for version in VERSIONS {
            let whole = answer(version, 1, &[("a", 1)]);
            for length in 8..whole.len() - b"topics".len() {
                let mut frame = whole[..length].to_vec();
                assert_eq!(readdress(&mut frame, version, server, proxy), Readdressed::Unknown, "{length}");
            }
        }
    }
}
