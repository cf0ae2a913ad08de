use std::collections::VecDeque;

/// What a destination has under way, and how much it is trusted with.
///
/// One that has yet to answer gets a trial. With every event that is delivered, as long as it makes use of what it has,
/// it is trusted with one more: the slow start of TCP (RFC 5681, section 3.1), by events instead of segments. When it
/// fails or falls silent it starts again. So a destination that does not answer has little under way, however many
/// there are of it.
///
/// What has been overtaken by the report of something that was sent later does not count: there it is a key that does
/// not answer, and not the destination.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    in_flight: usize,
    /// How much of it was sent in which turn, the oldest first.
    turns: VecDeque<(u64, usize)>,
    /// The latest turn of which something has been reported.
    answered: u64,
    /// What is under way of earlier turns.
    overtaken: usize,
    /// How many events it is trusted with beyond the trial.
    credit: usize,
    /// How many were awaited when the last one was sent.
    peak: usize,
}

impl Traffic {
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// What has not been overtaken: the next report of the destination should be about one of these.
    pub(super) fn awaited(&self) -> usize {
        self.in_flight - self.overtaken
    }

    /// An event was handed to the publisher. Turns are counted from 1.
    pub(super) fn sent(&mut self, turn: u64) {
        self.in_flight += 1;
        self.peak = self.awaited();
        match self.turns.back_mut() {
            Some((last, count)) if *last == turn => *count += 1,
            _ => self.turns.push_back((turn, 1)),
        }
    }

    /// It was reported, whatever the outcome.
    pub(super) fn reported(&mut self, turn: u64) {
        let Ok(at) = self.turns.binary_search_by_key(&turn, |(turn, _)| *turn) else { return };
        self.turns[at].1 -= 1;
        self.in_flight -= 1;
        if turn < self.answered {
            self.overtaken -= 1;
        } else {
            let before = self.turns.range(..at).rev().take_while(|(turn, _)| *turn >= self.answered);
            self.overtaken += before.map(|(_, count)| count).sum::<usize>();
            self.answered = turn;
        }
        while self.turns.front().is_some_and(|(_, count)| *count == 0) {
            self.turns.pop_front();
        }
    }

    /// The event that was reported last has been delivered.
    pub(super) fn delivered(&mut self, trial: usize) {
        if 2 * self.peak >= trial + self.credit {
            self.credit += 1;
        }
    }

    /// It fails, or says nothing.
    pub(super) fn start_over(&mut self) {
        self.credit = 0;
    }

    /// How many more events it is trusted with.
    pub(super) fn trusted(&self, trial: usize) -> usize {
        (trial + self.credit).saturating_sub(self.awaited())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIAL: usize = 8;

    fn fill(traffic: &mut Traffic, turn: u64) -> usize {
        let room = traffic.trusted(TRIAL);
        (0..room).for_each(|_| traffic.sent(turn));
        room
    }

    fn answer(traffic: &mut Traffic, turn: u64, count: usize) {
        for _ in 0..count {
            traffic.reported(turn);
            traffic.delivered(TRIAL);
        }
    }

    #[test]
    fn trust_doubles_with_every_round_and_is_gone_at_once() {
        let mut traffic = Traffic::default();
        for (turn, expected) in (1..).zip([8, 16, 32, 64]) {
            assert_eq!(fill(&mut traffic, turn), expected);
            answer(&mut traffic, turn, expected);
        }
        traffic.start_over();
        assert_eq!(fill(&mut traffic, 5), 8);
        assert_eq!(fill(&mut traffic, 6), 0);
    }

    #[test]
    fn who_takes_little_is_trusted_with_little() {
        let mut traffic = Traffic::default();
        for turn in 1..100 {
            traffic.sent(turn);
            answer(&mut traffic, turn, 1);
        }
        assert_eq!(traffic.trusted(TRIAL), 8);
    }

    #[test]
    fn what_was_overtaken_does_not_count_until_it_is_reported() {
        let mut traffic = Traffic::default();
        (0..6).for_each(|_| traffic.sent(1));
        traffic.sent(2);
        traffic.sent(3);
        assert_eq!(traffic.trusted(TRIAL), 0);
        traffic.reported(3);
        assert_eq!((traffic.trusted(TRIAL), traffic.in_flight()), (8, 7));
        traffic.reported(1);
        traffic.sent(4);
        assert_eq!((traffic.trusted(TRIAL), traffic.in_flight()), (7, 7));
        traffic.reported(4);
        for turn in [1, 2, 1, 1, 1, 1] {
            traffic.reported(turn);
        }
        assert_eq!((traffic.trusted(TRIAL), traffic.in_flight()), (8, 0));
        assert!(traffic.turns.is_empty());
    }
}
