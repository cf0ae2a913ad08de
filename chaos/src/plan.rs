//! What happens when: a function of the seed.

use std::time::Duration;

use fastrand::Rng;
use outbox_tests::Kind;

use crate::fault::{Fault, KINDS, Link};
use crate::proxy::Direction;

/// A stretch of a run. The next one begins when it is over and its faults are healed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) length: Duration,
    /// Each with the time at which it happens, from the beginning of the period. None in a quiet one.
    pub(crate) faults: Vec<(Duration, Fault)>,
}

/// The periods of a run that lasts `length`, with so many `processors`.
pub(crate) fn plan(seed: u64, length: Duration, database: Kind, processors: usize) -> Vec<Period> {
    let mut draw = Draw { random: Rng::with_seed(seed), bag: Vec::new(), database, processors };
    let (mut periods, mut planned) = (Vec::new(), Duration::ZERO);
    while planned < length {
        let period = draw.period();
        planned += period.length;
        periods.push(period);
    }
    periods
}

struct Draw {
    random: Rng,
    /// Kinds that were not drawn lately: none comes again before all others came.
    bag: Vec<usize>,
    database: Kind,
    processors: usize,
}

impl Draw {
    fn period(&mut self) -> Period {
        let length = self.millis(5_000, 11_000);
        let count = if self.random.u8(..4) == 0 { 0 } else { self.random.usize(1..=3) };
        let faults = (0..count).map(|_| (self.millis(0, 3_000), self.fault())).collect();
        Period { length, faults }
    }

    fn fault(&mut self) -> Fault {
        loop {
            if self.bag.is_empty() {
                self.bag = (0..KINDS.len()).collect();
                self.random.shuffle(&mut self.bag);
            }
            let kind = self.bag.pop().unwrap_or_default();
            // On the way to Kafka for the kinds that could be about a database that has no network.
            let database = self.database;
            let fault = (0..20).map(|_| self.of_kind(kind)).find(|fault| fault.suits(database));
            if let Some(fault) = fault {
                return fault;
            }
        }
    }

    fn of_kind(&mut self, kind: usize) -> Fault {
        let place = self.random.usize(..self.processors);
        match kind {
            0 => Fault::Kill { place, absent: self.millis(0, 3_000) },
            1 => Fault::Pause { place, length: self.millis(4_000, 7_000) },
            2 => Fault::Roll { place },
            3 => Fault::CrashDatabase,
            4 => Fault::CrashKafka,
            5 => Fault::Reset { link: self.link() },
            6 => Fault::BlackHole { link: self.link(), length: self.millis(1_000, 8_000) },
            7 => {
                let direction = if self.random.bool() { Direction::ToServer } else { Direction::ToClient };
                Fault::OneWay { link: self.link(), direction, length: self.millis(1_000, 6_000) }
            }
            8 => Fault::Slow { link: self.link(), latency: self.millis(5, 150), length: self.millis(2_000, 8_000) },
            9 => Fault::CutAfter { link: self.link(), bytes: self.random.u64(1..200_000) },
            10 => {
                let link = if self.random.bool() { Link::Writers } else { Link::Database(place) };
                Fault::CutCommit { link, heard: self.random.bool() }
            }
            11 => Fault::DropProduceResponse { place, nth: self.random.u32(1..10) },
            12 => Fault::PinVacuum { length: self.millis(5_000, 15_000) },
            13 => Fault::StallWriter { length: self.millis(500, 5_000) },
            _ => Fault::Refuse,
        }
    }

    fn link(&mut self) -> Link {
        let place = self.random.usize(..self.processors);
        match self.random.u8(..5) {
            0 => Link::Writers,
            1 | 2 => Link::Database(place),
            _ => Link::Kafka(place),
        }
    }

    fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.random.u64(least..=most))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    fn kinds(plan: &[Period]) -> HashSet<&'static str> {
        plan.iter().flat_map(|period| &period.faults).map(|(_, fault)| fault.kind()).collect()
    }

    #[test]
    fn a_seed_is_a_plan() {
        assert_eq!(plan(7, LONG, Kind::Postgres, 3), plan(7, LONG, Kind::Postgres, 3));
        assert_ne!(plan(7, LONG, Kind::Postgres, 3), plan(8, LONG, Kind::Postgres, 3));
    }

    #[test]
    fn about_a_quarter_is_quiet() {
        let plan = plan(1, 10 * LONG, Kind::Postgres, 3);
        let quiet = plan.iter().filter(|period| period.faults.is_empty()).count();
        assert!((20..30).contains(&(100 * quiet / plan.len())), "{quiet} of {}", plan.len());
    }

    #[test]
    fn a_few_minutes_have_everything() {
        for seed in 0..100 {
            let plan = plan(seed, Duration::from_secs(240), Kind::Postgres, 3);
            assert_eq!(kinds(&plan).len(), KINDS.len(), "seed {seed}");
        }
    }

    #[test]
    fn a_file_has_no_server_and_no_network() {
        let plan = plan(1, LONG, Kind::Sqlite, 1);
        let mut faults = plan.iter().flat_map(|period| &period.faults);
        assert!(faults.all(|(_, fault)| fault.suits(Kind::Sqlite)));
        let missing: HashSet<_> = KINDS.into_iter().filter(|kind| !kinds(&plan).contains(kind)).collect();
        assert_eq!(missing, HashSet::from(["crash the database", "cut at commit"]));
    }
}
