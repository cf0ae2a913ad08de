//! MariaDB: proving that no writer of a time before is left.
//!
//! Every transaction that writes events holds one of the gate's rows in share mode, from before it takes a number
//! until it ends. So: note the highest number seen, m; every number below it was allocated before. When each of the
//! rows has been found free at some moment after that, all who were there then have ended, and m is decided.

/// Rows of the gate.
pub(crate) const SLOTS: u32 = 16;

/// What has been proven, and what waits for its proof.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    decided: i64,
    seen: i64,
    pending: Option<Pending>,
    /// How many proofs have been begun.
    proofs: u64,
    server: Option<String>,
    era: i64,
}

#[derive(Debug)]
struct Pending {
    mark: i64,
    /// A bit for every row that has not been found free since.
    left: u32,
    proof: Proof,
}

/// Which proof a look is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof(u64);

impl Gate {
    /// Whether it is worth while to look which rows are free, and for what.
    pub(crate) fn wants_a_look(&self) -> Option<Proof> {
        self.pending.as_ref().map(|pending| pending.proof)
    }

    /// Takes in rows that were free at a moment after that proof was asked for. Where it has ended since, they say
    /// nothing.
    pub(crate) fn found_free(&mut self, proof: Proof, slots: impl IntoIterator<Item = u32>) {
        let Some(pending) = self.pending.as_mut().filter(|pending| pending.proof == proof) else { return };
        for slot in slots {
            pending.left &= !(1_u32.checked_shl(slot).unwrap_or(0));
        }
        if pending.left == 0 {
            self.decided = self.decided.max(pending.mark);
            self.pending = None;
            self.note();
        }
    }

    /// Takes in the highest number of a committed event that was read.
    pub(crate) fn saw(&mut self, seq: i64) {
        self.seen = self.seen.max(seq);
        self.note();
    }

    /// Another server may hand out numbers again: everything is proven anew, and readers start over.
    pub(crate) fn answered_by(&mut self, server: &str) {
        if self.server.as_ref().is_some_and(|known| known != server) {
            *self = Self { era: self.era + 1, proofs: self.proofs, ..Self::default() };
        }
        if self.server.is_none() {
            self.server = Some(server.to_owned());
        }
    }

    /// What is decided for rows that are read from now on.
    pub(crate) fn decided(&self) -> i64 {
        self.decided
    }

    /// How often the numbering may have begun anew.
    pub(crate) fn era(&self) -> i64 {
        self.era
    }

    fn note(&mut self) {
        if self.pending.is_none() && self.seen > self.decided {
            self.proofs += 1;
            self.pending = Some(Pending { mark: self.seen, left: (1 << SLOTS) - 1, proof: Proof(self.proofs) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A look that overlaps with none.
    fn look(gate: &mut Gate, slots: impl IntoIterator<Item = u32>) {
        let proof = gate.wants_a_look().expect("something to prove");
        gate.found_free(proof, slots);
    }

    #[test]
    fn every_row_must_have_been_free_since() {
        let mut gate = Gate::default();
        assert!(gate.wants_a_look().is_none());
        gate.saw(7);
        look(&mut gate, (0..16).filter(|slot| *slot != 3));
        assert_eq!(gate.decided(), 0);
        gate.saw(9);
        look(&mut gate, [4, 5]);
        assert_eq!(gate.decided(), 0);
        look(&mut gate, [3]);
        assert_eq!(gate.decided(), 7, "9 was seen after the others were free");
        look(&mut gate, 0..16);
        assert_eq!(gate.decided(), 9);
        assert!(gate.wants_a_look().is_none());
    }

    #[test]
    fn another_server_starts_over() {
        let mut gate = Gate::default();
        gate.answered_by("a");
        gate.saw(7);
        look(&mut gate, 0..16);
        gate.answered_by("a");
        assert_eq!((gate.decided(), gate.era()), (7, 0));
        gate.answered_by("b");
        assert_eq!((gate.decided(), gate.era()), (0, 1));
        gate.saw(3);
        gate.answered_by("b");
        look(&mut gate, 0..16);
        assert_eq!((gate.decided(), gate.era()), (3, 1));
    }

    #[test]
    fn a_row_that_no_gate_has_counts_for_nothing() {
        let mut gate = Gate::default();
        gate.saw(1);
        look(&mut gate, [16, 31, 32, 4_000_000_000]);
        look(&mut gate, 0..16);
        assert_eq!(gate.decided(), 1);
    }

    #[test]
    fn a_look_that_comes_late_says_nothing_about_later_numbers() {
        let mut gate = Gate::default();
        gate.saw(7);
        let late = gate.wants_a_look().unwrap();
        look(&mut gate, 0..16);
        gate.saw(9);
        gate.found_free(late, 0..16);
        assert_eq!(gate.decided(), 7);
        gate.answered_by("a");
        gate.answered_by("b");
        gate.saw(3);
        gate.found_free(late, 0..16);
        assert_eq!(gate.decided(), 0);
    }
}
