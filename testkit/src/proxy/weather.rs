//! What all connections suffer.

use std::time::Duration;

use tokio::sync::watch;

use super::Direction;

/// What links suffer at the moment, and how many there are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weather {
    /// For how many reasons nothing passes to the server, or to the client.
    held_to_server: u32,
    held_to_client: u32,
    /// Everything takes so much longer.
    pub(super) latency: Duration,
    /// Links that were made before this many cuts are gone.
    pub(super) cuts: u64,
    /// On links that were made before this many silences nothing happens any more.
    pub(super) silences: u64,
    /// What lasted until one of these is over.
    pub(super) heals: u64,
    /// Links that are there and not silent.
    pub(super) open: usize,
    /// Links that ever were.
    pub(super) opened: usize,
}

impl Weather {
    pub(super) fn holds(&self, direction: Direction) -> bool {
        match direction {
            Direction::ToServer => self.held_to_server > 0,
            Direction::ToClient => self.held_to_client > 0,
        }
    }

    pub(super) fn held(&mut self, direction: Direction) -> &mut u32 {
        match direction {
            Direction::ToServer => &mut self.held_to_server,
            Direction::ToClient => &mut self.held_to_client,
        }
    }

    pub(super) fn is_fair(&self) -> bool {
        !self.holds(Direction::ToServer) && !self.holds(Direction::ToClient) && self.latency.is_zero()
    }

    pub(super) fn heal(&mut self) {
        (self.held_to_server, self.held_to_client, self.latency) = (0, 0, Duration::ZERO);
        self.heals += 1;
    }
}

/// Makes a change that nobody waits for.
fn quietly(weather: &watch::Sender<Weather>, change: impl FnOnce(&mut Weather)) {
    weather.send_if_modified(|weather| {
        change(weather);
        false
    });
}

/// A link is made, in this weather.
pub(super) fn opened(weather: &watch::Sender<Weather>) -> Weather {
    let mut begun = Weather::default();
    quietly(weather, |weather| {
        weather.open += 1;
        weather.opened += 1;
        begun = *weather;
    });
    begun
}

/// A link has ended. One that was cut or silenced was counted then.
pub(super) fn closed(weather: &watch::Sender<Weather>, begun: Weather) {
    quietly(weather, |weather| {
        if (weather.cuts, weather.silences) == (begun.cuts, begun.silences) {
            weather.open = weather.open.saturating_sub(1);
        }
    });
}
