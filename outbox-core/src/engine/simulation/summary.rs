use std::fmt;

/// What happened in a run, or in many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) transactions: u64,
    pub(super) events: usize,
    pub(super) records: usize,
    pub(super) dead: usize,
    pub(super) crashes: usize,
    pub(super) pauses: usize,
    pub(super) stops: usize,
    pub(super) lost_leases: usize,
    pub(super) moves: usize,
    pub(super) database_crashes: usize,
    pub(super) lost_deletions: usize,
    pub(super) fail_overs: usize,
    pub(super) failed_calls: usize,
    pub(super) late_calls: usize,
    pub(super) rejections: usize,
    pub(super) unreadable: usize,
    pub(super) repeats: usize,
    pub(super) may_repeat: usize,
}

impl std::ops::AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.transactions += other.transactions;
        self.events += other.events;
        self.records += other.records;
        self.dead += other.dead;
        self.crashes += other.crashes;
        self.pauses += other.pauses;
        self.stops += other.stops;
        self.lost_leases += other.lost_leases;
        self.moves += other.moves;
        self.database_crashes += other.database_crashes;
        self.lost_deletions += other.lost_deletions;
        self.fail_overs += other.fail_overs;
        self.failed_calls += other.failed_calls;
        self.late_calls += other.late_calls;
        self.rejections += other.rejections;
        self.unreadable += other.unreadable;
        self.repeats += other.repeats;
        self.may_repeat += other.may_repeat;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transactions, events, records, dead, crashes, pauses, stops, .. } = self;
        writeln!(
            f,
            "{transactions} transactions, {events} events committed, {records} records, {dead} dead letters left"
        )?;
        writeln!(f, "processors: {crashes} crashes, {pauses} pauses, {stops} stops")?;
        let Self { moves, lost_leases, database_crashes, lost_deletions, fail_overs, .. } = self;
        writeln!(f, "shards: {moves} changes of owners, {lost_leases} times a lease lost with events under way")?;
        writeln!(
            f,
            "database: {database_crashes} crashes that lost {lost_deletions} deletions, {fail_overs} fail-overs"
        )?;
        let Self { failed_calls, late_calls, rejections, unreadable, repeats, may_repeat, .. } = self;
        writeln!(f, "calls: {failed_calls} failed, {late_calls} left behind")?;
        writeln!(f, "{rejections} rejections by the broker, {unreadable} times a row that cannot be understood")?;
        write!(f, "{repeats} repeats, all with a cause, of {may_repeat} that had one")
    }
}
