//! What happens when: a function of the seed.

use std::time::Duration;

use fastrand::Rng;
use outbox_tests::Kind;

use crate::fault::{Fault, Link, suits};
use crate::figures::Figures;
use outbox_testkit::{Direction, Period, schedule};

/// The periods of a run, without an end, with so many `processors` and these kinds of faults. Each comes as often
/// beside the others as `figures` say.
pub(crate) fn plan(
    seed: u64,
    figures: Figures,
    database: Kind,
    processors: usize,
    kinds: &[&'static str],
) -> impl Iterator<Item = Period<Fault>> {
    let suitable = kinds.iter().copied().filter(|kind| suits(kind, database));
    let kinds: Vec<_> = suitable.map(|kind| (kind, figures.weight(kind))).collect();
    schedule(seed, kinds, move |kind, random| Draw { random, database, processors }.of_kind(kind))
}

struct Draw<'r> {
    random: &'r mut Rng,
    database: Kind,
    processors: usize,
}

impl Draw<'_> {
    fn of_kind(&mut self, kind: &str) -> Fault {
        let place = self.random.usize(..self.processors);
        match kind {
            "kill a processor" => Fault::Kill { place, absent: self.millis(0, 3_000) },
            "pause a processor" => Fault::Pause { place, length: self.millis(4_000, 7_000) },
            "replace a processor" => Fault::Roll { place },
            "crash the database" => Fault::CrashDatabase,
            "crash kafka" => Fault::CrashKafka,
            "reset" => Fault::Reset { link: self.link() },
            "black hole" => Fault::BlackHole { link: self.link(), length: self.millis(1_000, 8_000) },
            // Not the writers': how long a program waits for an answer is its own affair.
            "silent connections" => Fault::Silence { link: self.link_of(place) },
            "one way" => {
                let direction = if self.random.bool() { Direction::ToServer } else { Direction::ToClient };
                Fault::OneWay { link: self.link(), direction, length: self.millis(1_000, 6_000) }
            }
            "latency" => {
                Fault::Slow { link: self.link(), latency: self.millis(5, 150), length: self.millis(2_000, 8_000) }
            }
            "cut in a message" => Fault::CutAfter { link: self.link(), bytes: self.random.u64(1..200_000) },
            "cut at commit" => {
                let link = if self.random.bool() { Link::Writers } else { Link::Database(place) };
                Fault::CutCommit { link, heard: self.random.bool() }
            }
            "swallowed commit" => Fault::SwallowCommit { place },
            "lost produce response" => Fault::DropProduceResponse { place, nth: self.random.u32(1..10) },
            "pinned vacuum" => Fault::PinVacuum { length: self.millis(5_000, 15_000) },
            "clock of a processor" => Fault::MoveProcessorsClock { place, ahead: self.ahead() },
            "clock of the database" => Fault::MoveDatabasesClock { ahead: self.ahead() },
            "stalled writer" => Fault::StallWriter { length: self.millis(500, 5_000) },
            _ => Fault::Refuse,
        }
    }

    /// Any way; without a server there is none to the database.
    fn link(&mut self) -> Link {
        let place = self.random.usize(..self.processors);
        match self.random.u8(..5) {
            0 if self.database != Kind::Sqlite => Link::Writers,
            1 | 2 if self.database != Kind::Sqlite => Link::Database(place),
            _ => Link::Kafka(place),
        }
    }

    /// A way from a processor.
    fn link_of(&mut self, place: usize) -> Link {
        match self.random.bool() && self.database != Kind::Sqlite {
            true => Link::Database(place),
            false => Link::Kafka(place),
        }
    }

    /// A second to a day, every magnitude as often, and back to the real time now and then.
    fn ahead(&mut self) -> i64 {
        const DAY: f64 = 86_400.0;
        let seconds = DAY.powf(self.random.f64()).round() as i64;
        match self.random.u8(..5) {
            0 => 0,
            1 | 2 => -seconds,
            _ => seconds,
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
    use crate::fault::KINDS;

    /// Of a run of so many seconds, if its faults heal at once.
    fn of(seed: u64, seconds: u64, figures: Figures) -> Vec<Period<Fault>> {
        let mut left = Duration::from_secs(seconds);
        let in_time = move |period: &Period<Fault>| {
            left = left.saturating_sub(period.length);
            !left.is_zero()
        };
        plan(seed, figures, Kind::Postgres, 3, &KINDS).take_while(in_time).collect()
    }

    fn kinds(plan: &[Period<Fault>]) -> HashSet<&'static str> {
        plan.iter().flat_map(|period| &period.faults).map(|(_, fault)| fault.kind()).collect()
    }

    #[test]
    fn a_seed_is_a_plan() {
        assert_eq!(of(7, 3_600, Figures::FULL), of(7, 3_600, Figures::FULL));
        assert_ne!(of(7, 3_600, Figures::FULL), of(8, 3_600, Figures::FULL));
    }

    #[test]
    fn every_kind_is_drawn_by_its_name() {
        let mut random = Rng::with_seed(1);
        let mut draw = Draw { random: &mut random, database: Kind::Postgres, processors: 3 };
        assert_eq!(KINDS.map(|kind| draw.of_kind(kind).kind()), KINDS);
    }

    #[test]
    fn a_few_minutes_have_everything() {
        for seed in 0..100 {
            assert_eq!(kinds(&of(seed, 300, Figures::FULL)).len(), KINDS.len(), "seed {seed}");
        }
    }

    #[test]
    fn kinds_come_as_often_as_the_figures_say() {
        for figures in [Figures::CI, Figures::FULL] {
            let mut drawn = Figures::default();
            let plan = of(1, 36_000, figures);
            plan.iter().flat_map(|period| &period.faults).for_each(|(_, fault)| drawn.count(*fault));
            let share = |part: u64, of: u64| 100 * part / of;
            let wanted = share(figures.pauses, figures.kills);
            assert!(share(drawn.pauses, drawn.kills).abs_diff(wanted) <= 15, "{drawn:?}");
            assert!(drawn.missing(Figures { commits: 0, events: 0, ..Figures::CI }).is_empty(), "{drawn:?}");
        }
    }

    #[test]
    fn a_file_has_no_server_and_no_network() {
        let plan: Vec<_> = plan(1, Figures::FULL, Kind::Sqlite, 1, &KINDS).take(1_000).collect();
        let mut faults = plan.iter().flat_map(|period| &period.faults);
        assert!(faults.all(|(_, fault)| fault.link().is_none_or(|link| matches!(link, Link::Kafka(_)))));
        let missing: HashSet<_> = KINDS.iter().copied().filter(|kind| !kinds(&plan).contains(kind)).collect();
        assert_eq!(missing, crate::fault::OF_A_SERVER.into_iter().collect());
    }
}
