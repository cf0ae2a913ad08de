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
        // No trap is for what is not understood.
        let kinds = if protocol == Protocol::Broker { 5 } else { 6 };
        match random.u8(..kinds) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trap_is_for_its_protocol() {
        let mut random = Rng::with_seed(1);
        let mut traps = |protocol| {
            let drawn = (0..1_000).map(|_| Trouble::draw(&mut random, protocol));
            let traps = drawn.filter_map(|trouble| if let Trouble::Trap(trap) = trouble { Some(trap) } else { None });
            traps.collect::<Vec<_>>()
        };
        let is_for_kafka = |trap: &Trap| matches!(trap, Trap::DropProduceResponse(_));
        let (database, kafka) = (traps(Protocol::Database), traps(Protocol::Kafka));
        assert!(!database.is_empty() && !database.iter().any(is_for_kafka));
        assert!(!kafka.is_empty() && kafka.iter().all(is_for_kafka));
        assert_eq!(traps(Protocol::Broker), []);
    }
}
