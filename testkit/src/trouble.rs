//! What happens on a way.

use std::time::Duration;

use fastrand::Rng;

use crate::proxy::{Direction, Protocol, Proxy, Trap};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    Reset,
    BlackHole,
    OneWay(Direction),
    Slow(Duration),
    CutAfter(u64),
    Trap(Trap),
}

impl Trouble {
    /// One that can happen on such a way.
    pub(crate) fn draw(random: &mut Rng, protocol: Protocol) -> Self {
        match random.u8(..6) {
            0 => Self::Reset,
            1 => Self::BlackHole,
            2 if random.bool() => Self::OneWay(Direction::ToServer),
            2 => Self::OneWay(Direction::ToClient),
            3 => Self::Slow(Duration::from_millis(random.u64(5..150))),
            4 => Self::CutAfter(random.u64(1..200_000)),
            _ if protocol == Protocol::Kafka => Self::Trap(Trap::DropProduceResponse(random.u32(1..10))),
            _ if random.bool() => Self::Trap(Trap::CutBeforeCommit),
            _ => Self::Trap(Trap::CutAfterCommit),
        }
    }

    /// From its beginning to its healing. Says how many connections it touched, at most.
    pub(crate) async fn happen(self, proxy: &Proxy, length: Duration) -> usize {
        match self {
            Self::Reset => proxy.cut(),
            Self::BlackHole => proxy.black_hole(length).await,
            Self::OneWay(direction) => proxy.one_way(direction, length).await,
            Self::Slow(latency) => proxy.slow_for(latency, length).await,
            // All that there were then.
            Self::CutAfter(bytes) if proxy.cut_after(bytes).within(length).await => usize::MAX,
            Self::Trap(trap) if proxy.set(trap).within(length).await => 1,
            Self::CutAfter(_) | Self::Trap(_) => 0,
        }
    }
}
