//! As much of PostgreSQL's protocol as the proxy needs: where a client asks for encryption, and where it commits.

use std::collections::HashSet;

use super::client::is_commit;
use super::messages::Messages;

/// What a client says first if it would rather speak TLS, or the encryption of GSSAPI.
pub(super) const ASKS_FOR_ENCRYPTION: [[u8; 8]; 2] = [[0, 0, 0, 8, 4, 210, 22, 47], [0, 0, 0, 8, 4, 210, 22, 48]];
/// What a server answers that has none. The client goes on without, if it may.
pub(super) const NO_ENCRYPTION: u8 = b'N';

/// What is known of a client.
#[derive(Debug, Default)]
pub(super) struct Client {
    messages: Messages,
    /// Its first message has no type.
    has_begun: bool,
    /// The names of statements and portals that are COMMIT.
    statements: HashSet<Vec<u8>>,
    portals: HashSet<Vec<u8>>,
}

impl Client {
    /// Whether a COMMIT ends in this piece.
    pub(super) fn commits(&mut self, mut piece: &[u8]) -> bool {
        let mut commits = false;
        loop {
            let kind = usize::from(self.has_begun);
            let whole = |header: &[u8]| match *header {
                [.., a, b, c, d] => kind.saturating_add(u32::from_be_bytes([a, b, c, d]) as usize),
                _ => 0,
            };
            let Some(message) = self.messages.next(&mut piece, kind + 4, whole) else { return commits };
            if self.has_begun {
                commits |= self.is_commit(message[0], &message[5..]);
            }
            self.has_begun = true;
        }
    }

    fn is_commit(&mut self, kind: u8, body: &[u8]) -> bool {
        let (first, rest) = string(body);
        match kind {
            b'Q' => {
                // It takes the place of those without a name.
                self.statements.remove(b"".as_slice());
                self.portals.remove(b"".as_slice());
                is_commit(first)
            }
            b'P' => {
                remember(&mut self.statements, first, is_commit(string(rest).0));
                false
            }
            b'B' => {
                let is_commit = self.statements.contains(string(rest).0);
                remember(&mut self.portals, first, is_commit);
                false
            }
            b'E' => self.portals.contains(first),
            b'C' => {
                match first.split_first() {
                    Some((b'S', name)) => remember(&mut self.statements, name, false),
                    Some((b'P', name)) => remember(&mut self.portals, name, false),
                    _ => {}
                }
                false
            }
            _ => false,
        }
    }
}

fn remember(names: &mut HashSet<Vec<u8>>, name: &[u8], is_commit: bool) {
    if is_commit {
        names.insert(name.to_vec());
    } else {
        names.remove(name);
    }
}

/// A string, which ends with a zero, and what is behind it.
fn string(body: &[u8]) -> (&[u8], &[u8]) {
    let end = body.iter().position(|byte| *byte == 0).unwrap_or(body.len());
    (&body[..end], body.get(end + 1..).unwrap_or_default())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn startup() -> Vec<u8> {
        sized(b"", b"\0\x03\0\0user\0me\0\0")
    }

    pub(in super::super) fn query(statement: &str) -> Vec<u8> {
        message(b'Q', &[statement])
    }

    fn sized(kind: &[u8], body: &[u8]) -> Vec<u8> {
        [kind, &u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body].concat()
    }

    /// With strings, and some bytes behind them.
    fn message(kind: u8, strings: &[&str]) -> Vec<u8> {
        let mut body = strings.iter().flat_map(|string| [string.as_bytes(), b"\0"].concat()).collect::<Vec<_>>();
        if kind != b'Q' && kind != b'C' {
            body.extend([0; 4]);
        }
        sized(&[kind], &body)
    }

    fn client() -> Client {
        let mut client = Client::default();
        assert!(!client.commits(&startup()));
        client
    }

    #[test]
    fn a_commit_is_heard() {
        assert!(client().commits(&query("COMMIT")));
        assert!(client().commits(&query("commit ;")));
        assert!(client().commits(&[query("INSERT"), query("COMMIT"), query("BEGIN")].concat()));
    }

    #[test]
    fn other_messages_with_the_word_are_none() {
        let mut client = client();
        for other in [
            query("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SELECT 1"),
            query("INSERT INTO t VALUES ('COMMIT')"),
            message(b'p', &["COMMIT"]),
            message(b'd', &["COMMIT"]),
            message(b'B', &["", "", "COMMIT"]),
            // A COMMIT inside of data.
            sized(b"d", &query("COMMIT")),
        ] {
            assert!(!client.commits(&other), "{other:?}");
        }
        assert!(client.commits(&query("COMMIT")));
    }

    #[test]
    fn a_first_message_has_no_type() {
        let mut client = Client::default();
        // As a login would be read if it had one.
        assert!(!client.commits(&sized(b"", b"Q\0\0\0\x0bCOMMIT\0")));
        assert!(client.commits(&query("COMMIT")));
    }

    #[test]
    fn a_prepared_commit_is_heard_when_it_is_executed() {
        for name in ["", "s"] {
            let mut client = client();
            assert!(!client.commits(&message(b'P', &[name, "COMMIT"])));
            assert!(!client.commits(&message(b'B', &["", name])));
            assert!(client.commits(&message(b'E', &[""])));
            // What takes its place is another one.
            assert!(!client.commits(&message(b'P', &[name, "SELECT 1"])));
            assert!(!client.commits(&message(b'B', &["", name])));
            assert!(!client.commits(&message(b'E', &[""])));
        }
    }

    #[test]
    fn closed_statements_and_portals_are_gone() {
        let mut client = client();
        assert!(!client.commits(&[message(b'P', &["s", "COMMIT"]), message(b'B', &["p", "s"])].concat()));
        assert!(!client.commits(&[message(b'C', &["Pp"]), message(b'E', &["p"])].concat()));
        assert!(client.commits(&[message(b'B', &["p", "s"]), message(b'E', &["p"])].concat()));
        assert!(!client.commits(&[message(b'C', &["Ss"]), message(b'B', &["p", "s"]), message(b'E', &["p"])].concat()));
    }
}
