use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::kind::{self, Kind, has_headers_of};
use super::{Entry, payload};
use crate::Record;

/// What consumers saw, held against the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Findings {
    /// How many entries there are.
    pub entries: usize,
    /// How many records of entries were seen, repeats among them.
    pub records: usize,
    /// Committed and never seen.
    pub lost: Vec<Entry>,
    /// Seen and never committed. The id is nil where it cannot be read.
    pub phantom: Vec<Uuid>,
    /// Seen with another key, value, id, type or [`HEADER`](super::HEADER) than it had. So is every entry that the broker
    /// was to refuse and took: its topic takes too much.
    pub corrupted: Vec<Uuid>,
    /// First seen after a later one of its key.
    pub misordered: Vec<Entry>,
    /// Keys seen on more than one partition, once for each record that is not where the first one was.
    pub moved: Vec<String>,
    /// Among the dead letters although the broker would have taken them.
    pub dead: Vec<Entry>,
    /// Seen again, and how often in all.
    pub repeats: usize,
    /// How many records were seen that are no events of the ledger: other events of the service, and what others write.
    /// Nothing is known about them, so that nothing is wrong with them.
    pub foreign: usize,
}

impl Findings {
    /// Whether every promise but the bound on repeats was kept. Also where nothing was seen at all: a
    /// [`Verdict`](crate::Verdict) asks for more.
    #[must_use]
    pub fn are_clean(&self) -> bool {
        let Self { lost, phantom, corrupted, misordered, moved, dead, repeats: _, foreign: _, entries: _, records: _ } =
            self;
        lost.is_empty()
            && phantom.is_empty()
            && corrupted.is_empty()
            && misordered.is_empty()
            && moved.is_empty()
            && dead.is_empty()
    }
}

/// Holds `records`, read from every partition from offset 0, against the ledger. What the broker refuses is not
/// looked for.
///
/// Other records may be among them, and are [counted](Findings::foreign) alone. An event of the ledger is known by its
/// id, by its type (the header `outbox-event-type`), and by its value; a record that has none of these is a foreign one.
/// Where records have ids and no types, other events of an outbox cannot be told apart: they are taken for invented. So
/// are events of another ledger, as of a run before on the same topic.
#[must_use]
pub fn check(ledger: &[Entry], records: &[Record]) -> Findings {
    let refused = ledger.iter().filter(|entry| entry.refused).map(|entry| entry.event).collect();
    check_with_dead(ledger, records, &refused)
}

/// Holds `records`, read from every partition from offset 0, and the ids of the `dead` letters against the ledger, as
/// [`check`] does.
#[must_use]
pub fn check_with_dead(ledger: &[Entry], records: &[Record], dead: &HashSet<Uuid>) -> Findings {
    let by_id: HashMap<Uuid, &Entry> = ledger.iter().map(|entry| (entry.event, entry)).collect();
    let mut findings = Findings { entries: ledger.len(), ..Findings::default() };
    let mut seen = HashSet::new();
    let mut last: HashMap<&str, i64> = HashMap::new();
    let mut partitions: BTreeMap<&str, i32> = BTreeMap::new();
    let mut in_order: Vec<&Record> = records.iter().collect();
    in_order.sort_by_key(|record| (record.partition, record.offset));
    for record in in_order {
        let entry = match kind::of(record, &by_id) {
            Kind::Of(entry) => entry,
            Kind::Invented(id) => {
                findings.phantom.push(id.unwrap_or_default());
                continue;
            }
            Kind::Foreign => {
                findings.foreign += 1;
                continue;
            }
        };
        findings.records += 1;
        let value = payload(&entry.key, entry.version);
        if record.key.as_deref() != Some(entry.key.as_bytes())
            || record.value.as_deref() != Some(value.as_bytes())
            || !has_headers_of(record, entry)
        {
            findings.corrupted.push(entry.event);
        }
        if *partitions.entry(&entry.key).or_insert(record.partition) != record.partition {
            findings.moved.push(entry.key.clone());
        }
        if !seen.insert(entry.event) {
            findings.repeats += 1;
            continue;
        }
        let highest = last.entry(&entry.key).or_default();
        if entry.version < *highest {
            findings.misordered.push((*entry).clone());
        }
        *highest = entry.version.max(*highest);
    }
    for entry in ledger {
        match (dead.contains(&entry.event), seen.contains(&entry.event)) {
            (true, _) if !entry.refused => findings.dead.push(entry.clone()),
            (false, false) => findings.lost.push(entry.clone()),
            _ => {}
        }
    }
    findings
}
