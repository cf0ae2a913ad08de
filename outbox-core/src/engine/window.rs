/// What may be published and not yet settled, at most.
///
/// It bounds the repeats after a crash, and it bounds memory. Destinations share it by a dynamic threshold: each may
/// have under way at most twice what is free (Choudhury and Hahne, "Dynamic queue length thresholds for
/// shared-memory packet switches", 1998). Alone, a destination gets two thirds of the window; one that does not
/// answer can never take the last third from the others. So that many of them cannot either, one that has yet to answer
/// gets no more than a [trial](Self::trial).
#[derive(Debug)]
pub(super) struct Window {
    most: usize,
    most_bytes: usize,
    used: usize,
    used_bytes: usize,
}

impl Window {
    pub(super) fn new(most: usize, most_bytes: usize) -> Self {
        Self { most, most_bytes, used: 0, used_bytes: 0 }
    }

    /// How many more events a destination may take that has `in_flight` already.
    pub(super) fn share(&self, in_flight: usize) -> usize {
        let free = self.most.saturating_sub(self.used);
        (2 * free).saturating_sub(in_flight).div_ceil(3).min(free)
    }

    /// How many events a destination may have under way of which nobody knows whether it answers: few enough for some
    /// dozens of them, as when a broker dies that has many partitions, and enough to begin with.
    pub(super) fn trial(&self) -> usize {
        (self.most / 32).max(4)
    }

    /// Takes room for an event. The last one may be larger than what is left: if it had to wait until it fits, small
    /// ones would always be before it.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let fits = self.used < self.most && self.used_bytes < self.most_bytes;
        if fits {
            self.used += 1;
            self.used_bytes += bytes;
        }
        fits
    }

    /// The publisher is done with an event: its bytes are free.
    pub(super) fn reported(&mut self, bytes: usize) {
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
    }

    /// Events are settled, or known not to have been published.
    pub(super) fn give_back(&mut self, events: usize) {
        self.used = self.used.saturating_sub(events);
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_destination_gets_two_thirds_and_never_the_last_third() {
        let mut window = Window::new(900, usize::MAX);
        let mut in_flight = 0;
        while window.share(in_flight) > 0 {
            assert!(window.take(1));
            in_flight += 1;
        }
        assert!((590..=610).contains(&in_flight), "{in_flight}");
        assert!(window.share(0) > 150, "another destination still finds room");
    }

    #[test]
    fn there_is_room_for_so_many_and_so_many_bytes() {
        let mut window = Window::new(3, 100);
        assert!((0..3).all(|_| window.take(1)) && !window.take(1));
        let mut window = Window::new(3, 100);
        assert!(window.take(100) && !window.take(1));
    }

    #[test]
    fn bytes_count_but_a_giant_still_goes() {
        let mut window = Window::new(10, 100);
        assert!(window.take(1_000));
        assert!(!window.take(1));
        window.reported(1_000);
        window.give_back(1);
        assert!(window.take(60) && window.take(1_000) && !window.take(1));
    }
}
