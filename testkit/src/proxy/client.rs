//! What a database's client says, in either protocol.

use super::{mysql, postgres};

/// Listens to a client, and says when it commits.
#[derive(Debug, Default)]
pub(super) enum Client {
    /// The client has not begun.
    #[default]
    Silent,
    /// It has, with this byte, which alone does not tell.
    Begun(u8),
    Postgres(postgres::Client),
    MySql(mysql::Client),
}

impl Client {
    /// Whether a COMMIT ends in this piece of what the client says.
    pub(super) fn commits(&mut self, piece: &[u8]) -> bool {
        match (&mut *self, piece) {
            (_, []) => false,
            (Self::Silent, [first, rest @ ..]) => {
                *self = Self::Begun(*first);
                self.commits(rest)
            }
            (Self::Begun(first), [second, ..]) => {
                let first = *first;
                // PostgreSQL's clients begin with the length of their first message, which is below 64 kB, high bytes
                // first; MariaDB's with the low bytes of theirs, which are not 0.
                *self = match (first, second) {
                    (0, 0) => Self::Postgres(postgres::Client::default()),
                    _ => Self::MySql(mysql::Client::default()),
                };
                self.commits(&[first]) | self.commits(piece)
            }
            (Self::Postgres(client), _) => client.commits(piece),
            (Self::MySql(client), _) => client.commits(piece),
        }
    }
}

/// Whether a statement is COMMIT and nothing else.
pub(super) fn is_commit(statement: &[u8]) -> bool {
    let statement = statement.trim_ascii();
    statement.strip_suffix(b";").unwrap_or(statement).trim_ascii_end().eq_ignore_ascii_case(b"COMMIT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_nothing_but_a_commit() {
        for statement in ["COMMIT", "commit", " Commit ;\n", "COMMIT;", "\tCOMMIT "] {
            assert!(is_commit(statement.as_bytes()), "{statement:?}");
        }
        for statement in [
            "",
            ";",
            "COMMITTED",
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SELECT 1; COMMIT",
            "COMMIT; SELECT 1",
            "COMMIT PREPARED 'x'",
            "-- COMMIT",
        ] {
            assert!(!is_commit(statement.as_bytes()), "{statement:?}");
        }
    }

    #[test]
    fn the_protocol_is_told_by_the_first_bytes() {
        let postgres = [postgres::tests::startup(), postgres::tests::query("COMMIT")].concat();
        let mysql = [mysql::tests::login(), mysql::tests::query("COMMIT")].concat();
        for stream in [postgres, mysql] {
            assert!(Client::default().commits(&stream));
            let mut client = Client::default();
            let (last, others) = stream.split_last().unwrap();
            assert!(others.iter().all(|byte| !client.commits(&[*byte])));
            assert!(client.commits(&[*last]));
        }
    }
}
