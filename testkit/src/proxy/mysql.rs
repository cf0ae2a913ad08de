//! As much of MySQL's and MariaDB's protocol as the proxy needs: whether a server has encryption, and where a client
//! commits. Not of a COMMIT that was prepared: its number is in the server's answer, and SQLx prepares none.

use super::client::is_commit;
use super::messages::Messages;

const QUERY: u8 = 3;
const HEADER: usize = 4;

/// What is known of a client.
#[derive(Debug, Default)]
pub(super) struct Client(Messages);

impl Client {
    /// Whether a COMMIT ends in this piece.
    pub(super) fn commits(&mut self, mut piece: &[u8]) -> bool {
        let mut commits = false;
        while let Some(packet) = self.0.next(&mut piece, HEADER, whole) {
            // A command begins a sequence. It is not longer than what is kept of it.
            if let [a, b, c, 0, QUERY, statement @ ..] = &*packet
                && whole(&[*a, *b, *c, 0]) == packet.len()
            {
                commits |= is_commit(statement);
            }
        }
        commits
    }
}

fn whole(header: &[u8]) -> usize {
    header.iter().take(3).rev().fold(0, |length, byte| length << 8 | usize::from(*byte)) + HEADER
}

/// Makes a server's first words, in one piece as they come, those of one that has no TLS: a client would ask it for
/// that, and go on without if it may.
pub(super) fn without_encryption(greeting: &mut [u8]) {
    const VERSION: u8 = 10;
    /// The number of the connection, a part of the challenge, and a zero.
    const BEHIND_THE_NAME: usize = 4 + 8 + 1;
    /// In the second byte of what the server can do.
    const TLS: u8 = 0x08;
    let [_, _, _, 0, VERSION, name @ ..] = greeting else { return };
    let Some(end) = name.iter().position(|byte| *byte == 0) else { return };
    if let Some(can_do) = name.get_mut(end + 1 + BEHIND_THE_NAME + 1) {
        *can_do &= !TLS;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn login() -> Vec<u8> {
        packet(1, &[b'.'; 40])
    }

    pub(in super::super) fn query(statement: &str) -> Vec<u8> {
        packet(0, &[&[QUERY], statement.as_bytes()].concat())
    }

    fn packet(sequence: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_le_bytes();
        [&length[..3], &[sequence], body].concat()
    }

    #[test]
    fn a_commit_is_heard() {
        let mut client = Client::default();
        assert!(!client.commits(&login()));
        assert!(client.commits(&query("COMMIT")));
        assert!(client.commits(&[query("INSERT"), query("commit;"), query("BEGIN")].concat()));
    }

    #[test]
    fn other_packets_with_the_word_are_none() {
        let mut client = Client::default();
        for other in [
            query("SET TRANSACTION ISOLATION LEVEL READ COMMITTED"),
            query("INSERT INTO t VALUES ('COMMIT')"),
            // Prepared, and data of a file.
            packet(0, b"\x16COMMIT"),
            packet(2, b"\x03COMMIT"),
            // Longer than what is kept of it, all blanks but for the end.
            query(&format!("COMMIT{:2000};", "")),
        ] {
            assert!(!client.commits(&other), "{other:?}");
        }
        assert!(client.commits(&query("COMMIT")));
    }

    /// The first words of a server whose name is between.
    pub(in super::super) fn greeting(can_do: [u8; 2]) -> Vec<u8> {
        let body = [b"\x0a11.4.2-MariaDB\0".as_slice(), &[1; 4], &[2; 8], &[0], &can_do, &[0xff; 20]].concat();
        packet(0, &body)
    }

    #[test]
    fn a_server_has_no_encryption() {
        let mut words = greeting([0xff, 0xff]);
        without_encryption(&mut words);
        assert_eq!(words, greeting([0xff, 0xf7]));
        let mut other = query("SELECT");
        without_encryption(&mut other);
        assert_eq!(other, query("SELECT"));
    }
}
