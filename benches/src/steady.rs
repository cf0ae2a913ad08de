//! Writers at a steady rate.

use std::ops::Range;
use std::time::{Duration, Instant};

use outbox_sea_orm::Outbox;

use crate::event::{DISTINCT, Keys, Numbered, Payloads};
use crate::reader::Read;

const WRITERS: u64 = 8;
/// Events per transaction: ten, as the keys are laid out.
const TOGETHER: u64 = 10;
/// No two writers share one.
pub(crate) const KEYS: Keys = Keys::dense(10 * DISTINCT * WRITERS);
/// The connections that the writers want.
pub(crate) const CONNECTIONS: u32 = WRITERS as u32;

/// What is written.
#[derive(Debug, Clone)]
pub(crate) struct Steady {
    pub(crate) outbox: Outbox,
    pub(crate) topic: String,
    /// In all.
    pub(crate) events: u64,
    /// Per second.
    pub(crate) rate: u64,
}

/// An event's number, and when its transaction was committed.
pub(crate) type Committed = (u64, Instant);

impl Steady {
    /// Commits all of it, beginning at `start`, each transaction with a row that it changes.
    pub(crate) async fn write(&self, start: Instant) -> anyhow::Result<Vec<Committed>> {
        let writers = (0..WRITERS).map(|number| {
            let steady = self.clone();
            tokio::spawn(async move { steady.share(number, start).await })
        });
        let mut committed = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            committed.extend(writer.await??);
        }
        Ok(committed)
    }

    /// One writer's share.
    async fn share(&self, number: u64, start: Instant) -> anyhow::Result<Vec<Committed>> {
        let payloads = Payloads::new(250);
        let mut times = Vec::new();
        for transaction in (number..self.events / TOGETHER).step_by(WRITERS as usize) {
            let due = start + Duration::from_micros(transaction * TOGETHER * 1_000_000 / self.rate);
            tokio::time::sleep_until(due.into()).await;
            let numbers: Range<u64> = transaction * TOGETHER..(transaction + 1) * TOGETHER;
            let txn = self.outbox.begin().await?;
            crate::cases::change(&txn, number).await?;
            for n in numbers.clone() {
                let key = KEYS.of(n);
                txn.stage_event(&Numbered { n, key, topic: &self.topic, payloads: &payloads })?;
            }
            txn.commit().await?;
            let now = Instant::now();
            times.extend(numbers.map(|n| (n, now)));
        }
        Ok(times)
    }
}

/// Milliseconds from each event's COMMIT until it was read, upwards.
pub(crate) fn latencies(committed: &[Committed], read: &Read) -> Vec<f64> {
    let arrived = |(n, at): &Committed| Some(read.arrivals[*n as usize]?.saturating_duration_since(*at));
    let mut latencies: Vec<f64> = committed.iter().filter_map(arrived).map(|late| late.as_secs_f64() * 1e3).collect();
    latencies.sort_by(f64::total_cmp);
    latencies
}
