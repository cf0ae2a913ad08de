//! Troubles that pass.

use std::sync::Arc;
use std::time::Duration;

use super::weather::Weather;
use super::{Direction, Proxy, Shared};

/// A trouble on all connections, also on those that are made meanwhile, until this is dropped or the proxy is
/// [healed](Proxy::heal).
///
/// What others do to the proxy stays when this one ends: what two hold goes on when both have let it go.
#[derive(Debug)]
#[must_use = "the trouble is over when this is dropped"]
pub struct Spell {
    shared: Arc<Shared>,
    kind: Kind,
    begun: Weather,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Held(Direction),
    Slow(Duration),
}

impl Spell {
    pub(super) fn cast(shared: &Arc<Shared>, kind: Kind) -> Self {
        let mut begun = Weather::default();
        shared.weather.send_modify(|weather| {
            match kind {
                Kind::Held(direction) => *weather.held(direction) += 1,
                Kind::Slow(latency) => weather.latency = weather.latency.saturating_add(latency),
            }
            begun = *weather;
        });
        Self { shared: Arc::clone(shared), kind, begun }
    }

    /// How many connections it has touched: those that were there when it began, and those that were made since.
    #[must_use]
    pub fn touched(&self) -> usize {
        self.begun.open + (self.shared.weather.borrow().opened - self.begun.opened)
    }
}

impl Drop for Spell {
    fn drop(&mut self) {
        self.shared.weather.send_modify(|weather| {
            if weather.heals > self.begun.heals {
                return;
            }
            match self.kind {
                Kind::Held(direction) => *weather.held(direction) -= 1,
                Kind::Slow(latency) => weather.latency = weather.latency.saturating_sub(latency),
            }
        });
    }
}

/// Each says how many connections it touched. Dropped in between, it ends at once.
impl Proxy {
    /// Nothing passes for so long, and then all connections are reset.
    pub async fn black_hole(&self, length: Duration) -> usize {
        let held = [self.hold(Direction::ToServer), self.hold(Direction::ToClient)];
        tokio::time::sleep(length).await;
        // Before anything goes on its way.
        self.cut();
        held[0].touched()
    }

    /// Nothing passes in this direction for so long, and then all of it does.
    pub async fn one_way(&self, direction: Direction, length: Duration) -> usize {
        let held = self.hold(direction);
        tokio::time::sleep(length).await;
        held.touched()
    }

    /// For so long, each piece of what passes takes `latency` longer, in both directions.
    pub async fn slow_for(&self, latency: Duration, length: Duration) -> usize {
        let slow = self.slow(latency);
        tokio::time::sleep(length).await;
        slow.touched()
    }
}
