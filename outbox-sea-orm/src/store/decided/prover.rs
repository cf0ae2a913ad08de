//! PostgreSQL: proving that no writer of a time before is left.
//!
//! Every transaction that writes events holds a lock on the table, from before it takes a number until after its rows
//! are visible or gone. So: note the sequence's last number m, then list who holds the lock. When all of these are
//! gone, every number up to m belongs to a transaction that has ended, and m is decided.

use std::collections::HashSet;

/// A transaction that holds the lock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// It runs; its name changes when it is prepared.
    Running(String),
    /// It is prepared for a commit in two phases.
    Prepared(String),
}

/// What has been proven, and what waits for its proof.
#[derive(Debug, Default)]
pub(crate) struct Prover {
    decided: i64,
    pending: Option<Pending>,
    /// The prepared transactions of the last look.
    prepared: HashSet<String>,
    server: Option<Server>,
    /// Counts servers: see [`Prover::observe`].
    era: i64,
}

#[derive(Debug)]
struct Pending {
    mark: i64,
    holders: HashSet<Holder>,
}

/// Who answered.
#[derive(Debug, PartialEq, Eq)]
struct Server {
    /// A text that another server, or this one after a restart, does not have.
    identity: String,
    last: i64,
}

impl Prover {
    /// Takes in a look at the database: the sequence's last number, and who held the lock *after* it was read. Looks
    /// come one after the other, never two at once. Returns what is decided for rows that are read from now on.
    ///
    /// When another server answers, or the same one with a lower number, it may hand out numbers again that were
    /// decided: everything is proven anew, and a new era begins, in which readers start over.
    pub(crate) fn observe(&mut self, server: &str, last: i64, holders: HashSet<Holder>) -> i64 {
        if self.server.as_ref().is_some_and(|known| known.identity != server || known.last > last) {
            (self.decided, self.pending, self.era) = (0, None, self.era + 1);
            self.prepared.clear();
        }
        self.server = Some(Server { identity: server.to_owned(), last });

        if let Some(pending) = &mut self.pending {
            let renamed = pending.forget_the_gone(&holders);
            if renamed {
                // A transaction that is no longer seen under its name may have been prepared: then it is one of those
                // that were not there before.
                let new = holders.iter().filter(|holder| match holder {
                    Holder::Prepared(name) => !self.prepared.contains(name),
                    Holder::Running(_) => false,
                });
                pending.holders.extend(new.cloned());
            }
            if pending.holders.is_empty() {
                self.decided = self.decided.max(pending.mark);
                self.pending = None;
            }
        }
        self.prepared = holders
            .iter()
            .filter_map(|holder| match holder {
                Holder::Prepared(name) => Some(name.clone()),
                Holder::Running(_) => None,
            })
            .collect();
        if holders.is_empty() {
            (self.decided, self.pending) = (self.decided.max(last), None);
        } else if self.pending.is_none() && last > self.decided {
            self.pending = Some(Pending { mark: last, holders });
        }
        self.decided
    }

    /// How often the numbering may have begun anew.
    pub(crate) fn era(&self) -> i64 {
        self.era
    }
}

impl Pending {
    /// Keeps those that still hold the lock; says whether one that ran is gone.
    fn forget_the_gone(&mut self, holders: &HashSet<Holder>) -> bool {
        let mut one_ran = false;
        self.holders.retain(|holder| {
            let stays = holders.contains(holder);
            one_ran |= !stays && matches!(holder, Holder::Running(_));
            stays
        });
        one_ran
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn running(names: &[&str]) -> HashSet<Holder> {
        names.iter().map(|name| Holder::Running((*name).to_owned())).collect()
    }

    fn prepared(names: &[&str]) -> HashSet<Holder> {
        names.iter().map(|name| Holder::Prepared((*name).to_owned())).collect()
    }

    #[test]
    fn nobody_there_decides_at_once() {
        assert_eq!(Prover::default().observe("a", 7, HashSet::new()), 7);
    }

    #[test]
    fn a_writer_holds_it_until_it_is_gone_and_others_do_not() {
        let mut prover = Prover::default();
        assert_eq!(prover.observe("a", 7, running(&["1/1"])), 0);
        assert_eq!(prover.observe("a", 8, running(&["1/1", "2/1"])), 0);
        assert_eq!(prover.observe("a", 9, running(&["2/1", "2/2"])), 7);
        assert_eq!(prover.observe("a", 9, running(&["2/2"])), 7, "2/2 may have a number up to 9");
        assert_eq!(prover.observe("a", 12, running(&["3/1"])), 9);
    }

    #[test]
    fn a_writer_that_is_prepared_goes_on_holding_it() {
        let mut prover = Prover::default();
        prover.observe("a", 7, running(&["1/1"]));
        assert_eq!(prover.observe("a", 7, prepared(&["-1/5"])), 0, "it has another name");
        assert_eq!(prover.observe("a", 8, prepared(&["-1/5", "-1/6"])), 0);
        assert_eq!(prover.observe("a", 8, prepared(&["-1/6"])), 7, "6 came later");
    }

    #[test]
    fn a_server_that_numbers_anew_starts_over() {
        let mut prover = Prover::default();
        assert_eq!(prover.observe("a", 100, HashSet::new()), 100);
        assert_eq!(prover.observe("b", 110, running(&["1/1"])), 0);
        assert_eq!(prover.era(), 1);
        assert_eq!(prover.observe("b", 110, HashSet::new()), 110);
        assert_eq!(prover.observe("b", 90, running(&["1/1"])), 0);
        assert_eq!(prover.era(), 2);
    }

    /// What a transaction does, step by step.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Begin,
        Number(usize),
        Prepare(usize),
        End(usize),
        /// Reads the sequence; the locks are read at a later step, if this one has been.
        ReadSequence,
        ReadLocks,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => Just(Step::Begin),
            3 => (0..8_usize).prop_map(Step::Number),
            1 => (0..8_usize).prop_map(Step::Prepare),
            2 => (0..8_usize).prop_map(Step::End),
            2 => Just(Step::ReadSequence),
            3 => Just(Step::ReadLocks),
        ]
    }

    #[derive(Debug)]
    struct Transaction {
        name: usize,
        prepared: bool,
        lowest: Option<i64>,
    }

    proptest! {
        #[test]
        fn no_open_transaction_has_a_number_at_or_below_what_is_decided(steps in prop::collection::vec(step(), 1..200)) {
            let (mut open, mut last, mut names) = (Vec::<Transaction>::new(), 0_i64, 0);
            let (mut prover, mut noted) = (Prover::default(), None);
            for step in steps {
                match step {
                    Step::Begin if open.len() < 8 => {
                        names += 1;
                        open.push(Transaction { name: names, prepared: false, lowest: None });
                    }
                    Step::Number(n) => if let Some(txn) = open.get_mut(n).filter(|txn| !txn.prepared) {
                        last += 1;
                        txn.lowest.get_or_insert(last);
                    },
                    Step::Prepare(n) => if let Some(txn) = open.get_mut(n) {
                        txn.prepared = true;
                    },
                    Step::End(n) if n < open.len() => drop(open.remove(n)),
                    Step::ReadSequence => noted = Some(last),
                    Step::ReadLocks => if let Some(last) = noted.take() {
                        let holders = open.iter().map(|txn| match txn.prepared {
                            true => Holder::Prepared(format!("-1/{}", txn.name)),
                            false => Holder::Running(format!("1/{}", txn.name)),
                        });
                        let decided = prover.observe("a", last, holders.collect());
                        let lowest = open.iter().filter_map(|txn| txn.lowest).min();
                        prop_assert!(lowest.is_none_or(|lowest| decided < lowest), "{decided} {open:?}");
                        prop_assert!(decided <= last);
                    },
                    Step::Begin | Step::End(_) => {}
                }
            }
            // It ends: two looks after everybody is gone.
            prop_assert_eq!(prover.observe("a", last, HashSet::new()), last);
        }
    }
}
