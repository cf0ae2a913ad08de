//! Which faults there are, and when.

use std::time::Duration;

use super::area::Area;
use super::world::{Action, ORDERED, World};

impl World {
    /// Draws the faults of a run. All of them end when the world is healed.
    pub(super) fn plan_faults(&mut self) {
        self.faults = true;
        for _ in 0..self.random.usize(0..8) {
            let (at, node) = (self.random.u64(100..20_000), self.random.usize(..self.nodes.len()));
            let pause = self.milliseconds(100..12_000);
            let action = match self.random.u8(..6) {
                0 | 1 => Action::Crash(node),
                2 => Action::Pause { node, pause, machine: true },
                3 => Action::Pause { node, pause, machine: false },
                _ => Action::Stop(node, self.milliseconds(500..10_000)),
            };
            self.after(at, action);
        }
        self.plan_broker();
        self.plan_database();
        for _ in 0..4 {
            let at = self.random.u64(1_000..25_000);
            self.after(at, Action::Requeue);
        }
        for _ in 0..self.random.usize(0..3) {
            let at = self.random.u64(1_000..25_000);
            self.after(at, Action::GiveUp);
        }
        for _ in 0..6 {
            let at = self.random.u64(1_000..25_000);
            self.after(at, Action::Mend);
        }
    }

    fn plan_broker(&mut self) {
        if self.random.bool() {
            let (from, length) = (self.random.u64(0..10_000), self.random.u64(10..8_000));
            let area = self.area();
            self.after(from, Action::Outage(Some(area)));
            self.after(from + length, Action::Outage(None));
        }
        if self.random.u8(..3) == 0 {
            self.blind = self.random.bool();
            let (from, length) = (self.random.u64(0..10_000), self.random.u64(1_000..20_000));
            let node = self.random.usize(..self.nodes.len());
            self.after(from, Action::Cut(node, true));
            self.after(from + length, Action::Cut(node, false));
        }
        if self.random.u8(..3) == 0 {
            let (from, length) = (self.random.u64(0..10_000), self.milliseconds(1_000..20_000));
            let area = self.area();
            self.after(from, Action::Silence(area, length));
        }
        self.partitions = self.random.u32(..4);
        for _ in 0..self.random.usize(..3) {
            let (at, partitions) = (self.random.u64(..20_000), self.random.u32(..6));
            self.after(at, Action::Divide(partitions));
        }
    }

    fn area(&mut self) -> Area {
        match self.random.u8(..3) {
            0 => Area::Topic,
            1 => Area::Partition(self.random.u32(..2)),
            _ => Area::Key(self.random.usize(..ORDERED)),
        }
    }

    fn plan_database(&mut self) {
        if self.random.u8(..3) == 0 {
            let (at, away) = (self.random.u64(1_000..20_000), self.milliseconds(100..4_000));
            self.after(at, Action::CrashDatabase(away));
        }
        if self.random.u8(..6) == 0 {
            self.plan_fail_over();
        }
    }

    pub(super) fn plan_fail_over(&mut self) {
        let (at, behind) = (self.random.u64(1_000..20_000), self.random.u64(1..1_500));
        self.after(at, Action::Image);
        self.after(at + behind, Action::FailOver);
    }

    /// One node after the other is replaced, and nothing else happens.
    pub(super) fn plan_rolling_deploys(&mut self) {
        for deploy in 0..3 {
            for node in 0..self.nodes.len() {
                let at = 2_000 + 9_000 * deploy + 1_500 * node as u64 + self.random.u64(0..1_000);
                self.after(at, Action::Stop(node, Duration::from_secs(10)));
            }
        }
    }

    /// Nodes are paused beyond their leases again and again, while the broker refuses and takes back its refusals.
    pub(super) fn plan_zombies(&mut self) {
        self.harsh = true;
        for n in 0..8 {
            let node = self.random.usize(..self.nodes.len());
            let (pause, machine) = (self.milliseconds(3_500..8_000), self.random.bool());
            let at = 1_000 + 3_000 * n + self.random.u64(0..2_000);
            self.after(at, Action::Pause { node, pause, machine });
        }
        for n in 0..25 {
            let at = 1_000 * n + self.random.u64(0..1_000);
            self.after(at, if n % 8 == 7 { Action::Requeue } else { Action::Mend });
        }
    }

    /// How long something takes that is well: less than so many milliseconds.
    pub(super) fn latency(&mut self, most: u64) -> Duration {
        if self.instant { Duration::ZERO } else { self.milliseconds(0..most) }
    }

    pub(super) fn milliseconds(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.u64(range))
    }

    /// All faults end.
    pub(super) fn heal(&mut self) {
        (self.faults, self.outage) = (false, None);
        self.database_back = self.now;
        for node in 0..self.nodes.len() {
            self.resume(node);
            self.nodes[node].cut = false;
            self.after(0, Action::Restart(node));
        }
    }
}
