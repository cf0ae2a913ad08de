//! Cutting an input into pieces.

/// Pieces that a newline ends, of any bytes.
pub(crate) struct Pieces<'d>(std::slice::Split<'d, u8, fn(&u8) -> bool>);

impl<'d> Pieces<'d> {
    pub(crate) fn of(data: &'d [u8]) -> Self {
        Self(data.split(|byte| *byte == b'\n'))
    }

    /// The next piece; the last one is followed by empty ones.
    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        self.0.next().unwrap_or_default().to_vec()
    }

    /// The next piece as text. Bytes that are none become some that are.
    pub(crate) fn text(&mut self) -> String {
        self.next().unwrap_or_default()
    }

    /// The next piece as a number.
    pub(crate) fn number(&mut self) -> i64 {
        number(&self.bytes())
    }
}

/// What a piece says if that is a number, and otherwise a hash of it.
pub(crate) fn number(piece: &[u8]) -> i64 {
    let hash = |hash: i64, byte: &u8| hash.wrapping_mul(31).wrapping_add(i64::from(*byte));
    let said = std::str::from_utf8(piece).ok().and_then(|text| text.parse().ok());
    said.unwrap_or_else(|| piece.iter().fold(0, hash))
}

impl Iterator for Pieces<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.0.next().map(|piece| String::from_utf8_lossy(piece).into_owned())
    }
}
