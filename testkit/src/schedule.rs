//! What happens when: a function of a seed.

use std::future::Future;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use tokio::time::Instant;

/// A stretch of time. The next one begins when it is over and its faults are healed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period<F> {
    /// How long it is at least.
    pub length: Duration,
    /// Each with the time at which it happens, from the beginning of the period. None in a quiet one.
    pub faults: Vec<(Duration, F)>,
}

/// Periods of 5 to 10 s without an end: a quarter of them quiet, the others with one to six faults in their first 3 s.
///
/// `kinds` says which kinds of faults there are, and how often each comes among the others. They are drawn as from a
/// bag: nothing comes more often than it is in there before all the others came. `draw` makes a fault of a kind. The
/// same seed gives the same periods. Where there are no kinds, or all are to come 0 times, all periods are quiet.
pub fn schedule<K: Clone, F>(
    seed: u64,
    kinds: impl IntoIterator<Item = (K, usize)>,
    mut draw: impl FnMut(&K, &mut Rng) -> F,
) -> impl Iterator<Item = Period<F>> {
    let all: Vec<K> = kinds.into_iter().flat_map(|(kind, weight)| std::iter::repeat_n(kind, weight)).collect();
    let mut random = Rng::with_seed(seed);
    let mut bag = Vec::new();
    std::iter::repeat_with(move || {
        let length = Duration::from_millis(random.u64(5_000..=10_000));
        let count = if random.u8(..4) == 0 { 0 } else { random.usize(1..=6) };
        let mut faults = Vec::new();
        for _ in 0..count {
            if bag.is_empty() {
                bag.clone_from(&all);
                random.shuffle(&mut bag);
            }
            let Some(kind) = bag.pop() else { break };
            let after = Duration::from_millis(random.u64(..=3_000));
            faults.push((after, draw(&kind, &mut random)));
        }
        Period { length, faults }
    })
}

/// Goes through periods until it is enough, by the time that has passed, and returns when everything is healed.
/// `happen` is a fault from its beginning to its healing. The faults of a period overlap as their times say. Needs a Tokio
/// runtime with time.
///
/// # Cancel safety
///
/// Dropping it leaves what is under way unhealed.
pub async fn carry_out<F, Healed: Future<Output = ()>>(
    periods: impl Iterator<Item = Period<F>>,
    is_enough: impl Fn(Duration) -> bool,
    happen: impl Fn(F) -> Healed,
) {
    let start = Instant::now();
    for period in periods {
        if is_enough(start.elapsed()) {
            break;
        }
        let end = tokio::time::sleep(period.length);
        let happen = &happen;
        let faults = period.faults.into_iter().map(|(after, fault)| async move {
            tokio::time::sleep(after).await;
            happen(fault).await;
        });
        join_all(faults).await;
        end.await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::*;

    fn periods(seed: u64) -> Vec<Period<(char, u8)>> {
        schedule(seed, [('a', 1), ('b', 3)], |kind, random| (*kind, random.u8(..))).take(400).collect()
    }

    #[test]
    fn a_seed_is_a_schedule() {
        assert_eq!(periods(7), periods(7));
        assert_ne!(periods(7), periods(8));
    }

    #[test]
    fn about_a_quarter_is_quiet() {
        let quiet = periods(1).iter().filter(|period| period.faults.is_empty()).count();
        assert!((70..130).contains(&quiet), "{quiet} of 400");
    }

    #[test]
    fn kinds_come_by_their_weights() {
        let mut drawn = BTreeMap::new();
        let periods = periods(1);
        for (_, (kind, _)) in periods.iter().flat_map(|period| &period.faults) {
            *drawn.entry(*kind).or_insert(0_usize) += 1;
        }
        assert!((3 * drawn[&'a']).abs_diff(drawn[&'b']) <= 3, "{drawn:?}");
    }

    #[test]
    fn nothing_is_drawn_from_nothing() {
        let mut none = schedule(1, Vec::<(char, usize)>::new(), |kind, _| *kind);
        assert!(none.by_ref().take(20).all(|period| period.faults.is_empty()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_period_ends_when_its_faults_are_healed() {
        let second = Duration::from_secs(1);
        let period = |faults| Period { length: 5 * second, faults };
        let periods = [period(vec![(second, 20), (second, 3)]), period(Vec::new()), period(vec![(second, 1)])];
        let (start, healed) = (Instant::now(), RefCell::new(Vec::new()));
        let happen = async |length: u32| {
            tokio::time::sleep(length * second).await;
            healed.borrow_mut().push((length, start.elapsed().as_secs()));
        };
        carry_out(periods.into_iter(), |_| false, happen).await;
        assert_eq!(*healed.borrow(), [(3, 4), (20, 21), (1, 28)]);
        assert_eq!(start.elapsed().as_secs(), 31);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_enough_is_asked_before_each_period() {
        let asked = RefCell::new(0);
        let is_enough = |_| {
            *asked.borrow_mut() += 1;
            *asked.borrow() > 3
        };
        let happened = RefCell::new(0);
        let forever = std::iter::repeat_with(|| Period { length: Duration::ZERO, faults: vec![(Duration::ZERO, ())] });
        carry_out(forever, is_enough, async |()| *happened.borrow_mut() += 1).await;
        assert_eq!(*happened.borrow(), 3);
    }
}
