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
    seen: Option<Seen>,
    /// Looks that were taken in.
    looks: u64,
    /// Counts beginnings: see [`Prover::observe`].
    era: i64,
}

#[derive(Debug)]
struct Pending {
    mark: i64,
    holders: HashSet<Holder>,
}

/// What was seen, and who answered. Times are the server's, in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Which server and which tables: another text after a restart.
    pub(crate) server: String,
    /// When this connection began.
    pub(crate) connected: i64,
    /// When the number was read.
    pub(crate) at: i64,
    /// The sequence's last number.
    pub(crate) last: i64,
    /// Who held the lock *after* the number was read.
    pub(crate) holders: HashSet<Holder>,
}

/// Of the last look.
#[derive(Debug)]
struct Seen {
    server: String,
    at: i64,
    last: i64,
}

impl Prover {
    /// How many looks have been taken in.
    pub(crate) fn looks(&self) -> u64 {
        self.looks
    }

    /// Takes in a look at the database that began when there had been so many, and returns what is decided for rows
    /// that are read from now on. One that overlapped with another proves nothing by itself: what it saw may be older
    /// than what is known.
    ///
    /// When another server answers, or the same one with a lower number, it may hand out numbers again that were
    /// decided: everything is proven anew, and a new era begins, in which readers start over. They also do when the
    /// connection is newer than the last look. That may mean nothing, but may also mean that the server has recovered
    /// from a crash, which ends all connections and can bring back rows whose removal was committed asynchronously;
    /// and where one process of the server alone crashed, nothing else tells. Nor does anything when the clock goes back.
    pub(crate) fn observe(&mut self, looks: u64, look: Look) -> i64 {
        if looks != self.looks {
            return self.decided;
        }
        self.looks += 1;
        let Look { server, connected, at, last, holders } = look;
        if let Some(before) = &self.seen {
            if before.server != server || before.last > last {
                (self.decided, self.pending, self.era) = (0, None, self.era + 1);
                self.prepared.clear();
            } else if at < before.at || (before.at < connected && connected <= at) {
                // One that seems to begin later than now began before the clock went back.
                self.era += 1;
            }
        }
        self.seen = Some(Seen { server, at, last });

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

    /// Whether a later look shows nothing new, and everything it shows is decided: no number since the last look that was
    /// taken in, from the same server, over a connection that is older than that look. Who holds the lock is not asked.
    pub(crate) fn is_unchanged(&self, look: &Look) -> bool {
        let same = |before: &Seen| {
            let in_time = look.connected <= before.at && before.at <= look.at;
            before.server == look.server && before.last == look.last && in_time
        };
        self.seen.as_ref().is_some_and(same) && self.decided >= look.last
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

    /// A look that overlaps with none.
    fn look(prover: &mut Prover, last: i64, holders: HashSet<Holder>) -> i64 {
        prover.observe(prover.looks(), Look { last, holders, ..Look::default() })
    }

    #[test]
    fn nobody_there_decides_at_once() {
        assert_eq!(look(&mut Prover::default(), 7, HashSet::new()), 7);
    }

    #[test]
    fn nothing_is_new_while_everything_is_as_it_was_and_decided() {
        let at = |at: i64, last: i64| Look { at, last, connected: 5, server: "a".to_owned(), ..Look::default() };
        let mut prover = Prover::default();
        assert!(!prover.is_unchanged(&at(10, 7)), "nothing has been seen");
        prover.observe(0, at(10, 7));
        assert!(prover.is_unchanged(&at(11, 7)));
        assert!(!prover.is_unchanged(&at(11, 8)) && !prover.is_unchanged(&at(11, 6)), "another number");
        assert!(!prover.is_unchanged(&at(9, 7)), "the clock went back");
        assert!(!prover.is_unchanged(&Look { connected: 11, ..at(12, 7) }), "a new connection");
        assert!(!prover.is_unchanged(&Look { server: "b".to_owned(), ..at(11, 7) }), "another server");
        prover.observe(1, Look { holders: running(&["1/1"]), ..at(12, 8) });
        assert!(!prover.is_unchanged(&at(13, 8)), "not decided");
        prover.observe(2, at(14, 8));
        assert!(prover.is_unchanged(&at(15, 8)));
    }

    #[test]
    fn a_writer_holds_it_until_it_is_gone_and_others_do_not() {
        let mut prover = Prover::default();
        assert_eq!(look(&mut prover, 7, running(&["1/1"])), 0);
        assert_eq!(look(&mut prover, 8, running(&["1/1", "2/1"])), 0);
        assert_eq!(look(&mut prover, 9, running(&["2/1", "2/2"])), 7);
        assert_eq!(look(&mut prover, 9, running(&["2/2"])), 7, "2/2 may have a number up to 9");
        assert_eq!(look(&mut prover, 12, running(&["3/1"])), 9);
    }

    #[test]
    fn a_writer_that_is_prepared_goes_on_holding_it() {
        let mut prover = Prover::default();
        look(&mut prover, 7, running(&["1/1"]));
        assert_eq!(look(&mut prover, 7, prepared(&["-1/5"])), 0, "it has another name");
        assert_eq!(look(&mut prover, 8, prepared(&["-1/5", "-1/6"])), 0);
        assert_eq!(look(&mut prover, 8, prepared(&["-1/6"])), 7, "6 came later");
    }

    #[test]
    fn a_server_that_numbers_anew_starts_over() {
        let mut prover = Prover::default();
        let other = |holders| Look { server: "another".to_owned(), last: 110, holders, ..Look::default() };
        assert_eq!(look(&mut prover, 100, HashSet::new()), 100);
        assert_eq!(prover.observe(1, other(running(&["1/1"]))), 0);
        assert_eq!(prover.era(), 1);
        assert_eq!(prover.observe(2, other(HashSet::new())), 110);
        assert_eq!(prover.observe(3, Look { last: 90, ..other(running(&["1/1"])) }), 0);
        assert_eq!(prover.era(), 2);
    }

    #[test]
    fn a_new_connection_starts_over_and_forgets_nothing() {
        let mut prover = Prover::default();
        let at = |connected, at, holders| Look { connected, at, last: 7, holders, ..Look::default() };
        assert_eq!(prover.observe(0, at(10, 20, HashSet::new())), 7);
        assert_eq!(prover.observe(1, at(15, 30, running(&["1/1"]))), 7, "it has been there all the time");
        assert_eq!(prover.era(), 0);
        assert_eq!((prover.observe(2, at(31, 40, running(&["1/1"]))), prover.era()), (7, 1));
        assert_eq!((prover.observe(3, at(31, 50, running(&["1/1"]))), prover.era()), (7, 1));
    }

    /// After the server's clock went back, connections seem to have begun in the future, and each look in turn would be
    /// by one that is newer than the look before: readers would start over with every read, and get nowhere.
    #[test]
    fn a_clock_that_goes_back_starts_over_once() {
        let mut prover = Prover::default();
        let mut era = |looks, connected, at| {
            prover.observe(looks, Look { connected, at, last: 7, ..Look::default() });
            prover.era()
        };
        assert_eq!([era(0, 100, 1_000), era(1, 900, 1_010)], [0, 0]);
        assert_eq!(era(2, 900, 50), 1, "what happened meanwhile, nobody knows");
        assert_eq!([era(3, 900, 60), era(4, 100, 70), era(5, 900, 80)], [1, 1, 1]);
        assert_eq!([era(6, 85, 90), era(7, 85, 95)], [2, 2], "one that is new");
        assert_eq!([era(8, 900, 96), era(9, 85, 97)], [2, 2]);
    }

    /// What a transaction does, step by step.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Begin,
        Number(usize),
        Prepare(usize),
        End(usize),
        /// One of two who look, at once if need be: it begins, reads the sequence, and then the locks.
        Look(usize),
        ReadSequence(usize),
        ReadLocks(usize),
    }

    #[derive(Debug, Clone, Copy, Default)]
    struct Looker {
        begun: Option<u64>,
        last: Option<i64>,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            2 => Just(Step::Begin),
            3 => (0..8_usize).prop_map(Step::Number),
            1 => (0..8_usize).prop_map(Step::Prepare),
            2 => (0..8_usize).prop_map(Step::End),
            3 => (0..2_usize).prop_map(Step::Look),
            3 => (0..2_usize).prop_map(Step::ReadSequence),
            4 => (0..2_usize).prop_map(Step::ReadLocks),
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
            let (mut prover, mut lookers) = (Prover::default(), [Looker::default(); 2]);
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
                    Step::Look(n) => lookers[n] = Looker { begun: Some(prover.looks()), last: None },
                    Step::ReadSequence(n) => lookers[n].last = lookers[n].begun.map(|_| last),
                    Step::ReadLocks(n) => if let Looker { begun: Some(looks), last: Some(last) } = lookers[n] {
                        lookers[n] = Looker::default();
                        let holders = open.iter().map(|txn| match txn.prepared {
                            true => Holder::Prepared(format!("-1/{}", txn.name)),
                            false => Holder::Running(format!("1/{}", txn.name)),
                        });
                        let decided = prover.observe(looks, Look { last, holders: holders.collect(), ..Look::default() });
                        let lowest = open.iter().filter_map(|txn| txn.lowest).min();
                        prop_assert!(lowest.is_none_or(|lowest| decided < lowest), "{decided} {open:?}");
                    },
                    Step::Begin | Step::End(_) => {}
                }
            }
            // It ends: two looks after everybody is gone.
            prop_assert_eq!(look(&mut prover, last, HashSet::new()), last);
            prop_assert_eq!(prover.era(), 0);
        }
    }
}
