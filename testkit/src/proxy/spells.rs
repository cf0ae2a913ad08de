//! Troubles that pass.

use std::time::Duration;

use super::{Direction, Proxy};

/// None of these is cancel safe: dropped in between, what it began stays until [`heal`](Proxy::heal).
impl Proxy {
    /// Nothing passes for so long, and then all connections are reset.
    pub async fn black_hole(&self, length: Duration) {
        self.hold(Direction::ToServer);
        self.hold(Direction::ToClient);
        tokio::time::sleep(length).await;
        self.cut();
        self.release(Direction::ToServer);
        self.release(Direction::ToClient);
    }

    /// Nothing passes in this direction for so long, and then all of it does.
    pub async fn one_way(&self, direction: Direction, length: Duration) {
        self.hold(direction);
        tokio::time::sleep(length).await;
        self.release(direction);
    }

    /// For so long, each piece of what passes takes `latency` longer, in both directions.
    pub async fn slow_for(&self, latency: Duration, length: Duration) {
        self.slow(latency);
        tokio::time::sleep(length).await;
        self.slow(Duration::ZERO);
    }
}
