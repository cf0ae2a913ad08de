//! Cutting an input into pieces.

/// Text, in pieces that a newline ends. Bytes that are no text become some that is.
pub(crate) struct Pieces(std::vec::IntoIter<String>);

impl Pieces {
    pub(crate) fn of(data: &[u8]) -> Self {
        let text = String::from_utf8_lossy(data);
        Self(text.split('\n').map(str::to_owned).collect::<Vec<_>>().into_iter())
    }

    /// The next piece; the last one is followed by empty ones.
    pub(crate) fn text(&mut self) -> String {
        self.0.next().unwrap_or_default()
    }

    /// The next piece as a number: what it says, or a hash of it.
    pub(crate) fn number(&mut self) -> i64 {
        let text = self.text();
        let hash = |hash: i64, byte: u8| hash.wrapping_mul(31).wrapping_add(i64::from(byte));
        text.parse().unwrap_or_else(|_| text.bytes().fold(0, hash))
    }
}

impl Iterator for Pieces {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.0.next()
    }
}
