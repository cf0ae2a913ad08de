//! Messages out of a stream of bytes.

/// As much of a message as is looked at. The names and statements that matter are shorter.
const KEPT: usize = 1024;

/// Finds messages, however they are split or joined on their way.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// The beginning of the message under way.
    head: Vec<u8>,
    /// How much of it has come.
    seen: usize,
}

impl Messages {
    /// Takes from the `piece` up to the end of a message, and returns the beginning of that message: its header and
    /// what is kept of the rest. `None` when the piece is used up before the end. `whole` tells from a header of
    /// `header` bytes how long the message is with it.
    pub(super) fn next(
        &mut self,
        piece: &mut &[u8],
        header: usize,
        whole: impl FnOnce(&[u8]) -> usize,
    ) -> Option<Vec<u8>> {
        while self.seen < header {
            let (first, rest) = piece.split_first()?;
            self.head.push(*first);
            self.seen += 1;
            *piece = rest;
        }
        let missing = whole(&self.head[..header]).saturating_sub(self.seen);
        let taken = missing.min(piece.len());
        let kept = taken.min(KEPT.saturating_sub(self.head.len()));
        self.head.extend_from_slice(&piece[..kept]);
        self.seen += taken;
        *piece = &piece[taken..];
        if taken < missing {
            return None;
        }
        self.seen = 0;
        Some(std::mem::take(&mut self.head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of a byte with their length in front.
    fn all(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut messages = Messages::default();
        let mut found = Vec::new();
        for mut piece in pieces.iter().copied() {
            while let Some(message) = messages.next(&mut piece, 1, |header| usize::from(header[0]) + 1) {
                found.push(message);
            }
            assert!(piece.is_empty());
        }
        found
    }

    #[test]
    fn messages_are_found_however_they_come() {
        let expected = [b"\x03abc".to_vec(), b"\x00".to_vec(), b"\x01d".to_vec()];
        let stream = b"\x03abc\x00\x01d";
        assert_eq!(all(&[stream]), expected);
        assert_eq!(all(&stream.chunks(1).collect::<Vec<_>>()), expected);
        assert_eq!(all(&[b"\x03a", b"bc\x00\x01", b"d"]), expected);
        assert_eq!(all(&[b"\x03ab"]), [] as [Vec<u8>; 0]);
    }

    #[test]
    fn little_is_kept_of_what_is_long() {
        let mut messages = Messages::default();
        let mut stream: &[u8] = &[1; 5_003];
        let first = messages.next(&mut stream, 2, |_| 5_000).unwrap();
        assert_eq!((first.len(), stream.len()), (KEPT, 3));
        assert_eq!(messages.next(&mut stream, 1, |_| 3).unwrap(), [1; 3]);
    }

    #[test]
    fn a_length_that_cannot_be_is_at_least_the_header() {
        let mut stream: &[u8] = &[0; 8];
        let mut messages = Messages::default();
        assert_eq!(messages.next(&mut stream, 4, |_| 0).unwrap(), [0; 4]);
        assert_eq!(stream.len(), 4);
    }
}
