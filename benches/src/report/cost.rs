use std::time::Duration;

use serde::Serialize;

use crate::machine::{Usage, family_cpu};
use crate::report::Spread;
use crate::servers::{Activity, BenchDatabase, Broker};

/// What an event costs: medians over the repeats, of what could be seen.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Cost {
    pub(crate) processor_cpu_us: Option<f64>,
    pub(crate) database_cpu_us: Option<f64>,
    pub(crate) broker_cpu_us: Option<f64>,
    pub(crate) wal_bytes: Option<f64>,
    pub(crate) transactions: Option<f64>,
    /// Rows inserted, updated and deleted.
    pub(crate) rows_changed: Option<f64>,
    /// The most memory that a processor had, over all repeats; not by event.
    pub(crate) processor_peak_mib: Option<f64>,
}

impl Cost {
    pub(crate) fn of(bills: &[Bill]) -> Self {
        let median = |pick: fn(&Bill) -> Option<f64>| {
            let each: Vec<f64> =
                bills.iter().filter_map(|bill| pick(bill).map(|sum| sum / bill.events as f64)).collect();
            Spread::of(&each).map(|spread| spread.median)
        };
        let peaks: Vec<f64> = bills.iter().filter_map(|bill| Some(bill.processor?.peak_kib as f64 / 1024.0)).collect();
        Self {
            processor_cpu_us: median(|bill| bill.processor.map(|used| micros(used.cpu))),
            database_cpu_us: median(|bill| bill.database.map(micros)),
            broker_cpu_us: median(|bill| bill.broker.map(micros)),
            wal_bytes: median(|bill| bill.wal_bytes),
            transactions: median(|bill| bill.activity.map(|activity| activity.transactions as f64)),
            rows_changed: median(|bill| bill.activity.map(|activity| activity.rows_changed as f64)),
            processor_peak_mib: Spread::of(&peaks).map(|spread| spread.max),
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let line = |name: &str, value: Option<f64>, unit: &str| value.map(|value| format!("{name} {value:.1} {unit}"));
        let lines = [
            line("processor", self.processor_cpu_us, "us CPU/event"),
            line("database", self.database_cpu_us, "us CPU/event"),
            line("broker", self.broker_cpu_us, "us CPU/event"),
            line("WAL", self.wal_bytes, "bytes/event"),
            line("transactions", self.transactions.map(|each| each * 1e3), "/1,000 events"),
            line("rows changed", self.rows_changed, "/event"),
            line("peak memory", self.processor_peak_mib, "MiB"),
        ];
        lines.into_iter().flatten().collect()
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// What one measurement used, of all servers and the processor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bill {
    events: u64,
    processor: Option<Usage>,
    database: Option<Duration>,
    broker: Option<Duration>,
    wal_bytes: Option<f64>,
    activity: Option<Activity>,
}

/// The counters at the start.
#[derive(Debug)]
pub(crate) struct Meter {
    database: Option<Duration>,
    broker: Option<Duration>,
    wal_bytes: Option<i64>,
    activity: Option<Activity>,
}

impl Bill {
    /// Reads the counters before a measurement.
    pub(crate) async fn open(database: &BenchDatabase, broker: &Broker) -> anyhow::Result<Meter> {
        Ok(Meter {
            wal_bytes: database.wal_bytes().await?,
            activity: database.activity().await?,
            database: database.pid.and_then(family_cpu),
            broker: broker.pid.and_then(family_cpu),
        })
    }
}

impl Meter {
    /// Reads them again, after `events` events.
    pub(crate) async fn close(
        self,
        database: &BenchDatabase,
        broker: &Broker,
        processor: Option<Usage>,
        events: u64,
    ) -> anyhow::Result<Bill> {
        let since =
            |before: Option<Duration>, pid: Option<u32>| Some(pid.and_then(family_cpu)?.saturating_sub(before?));
        let (database_cpu, broker_cpu) = (since(self.database, database.pid), since(self.broker, broker.pid));
        let wal = database.wal_bytes().await?;
        let wal_bytes = self.wal_bytes.zip(wal).map(|(before, after)| (after - before) as f64);
        let activity = self.activity.zip(database.activity().await?).map(|(before, after)| after.since(before));
        Ok(Bill { events, processor, database: database_cpu, broker: broker_cpu, wal_bytes, activity })
    }
}
