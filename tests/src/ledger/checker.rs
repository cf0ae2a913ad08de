use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::{Entry, payload};
use crate::Record;

/// What consumers saw, held against the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// Committed and never seen.
    pub lost: Vec<Entry>,
    /// Seen and never committed.
    pub phantom: Vec<Uuid>,
    /// Seen with another key or value than it had.
    pub corrupted: Vec<Uuid>,
    /// First seen after a later one of its key.
    pub misordered: Vec<Entry>,
    /// Keys seen on more than one partition.
    pub moved: Vec<String>,
    /// Seen again, and how often in all.
    pub repeats: usize,
}

impl Findings {
    /// Whether every promise but the bound on repeats was kept.
    #[must_use]
    pub fn are_clean(&self) -> bool {
        let Self { lost, phantom, corrupted, misordered, moved, repeats: _ } = self;
        lost.is_empty() && phantom.is_empty() && corrupted.is_empty() && misordered.is_empty() && moved.is_empty()
    }
}

/// Holds `records`, read from every partition from offset 0, against the ledger.
#[must_use]
pub fn check(ledger: &[Entry], records: &[Record]) -> Findings {
    let by_id: HashMap<Uuid, &Entry> = ledger.iter().map(|entry| (entry.event, entry)).collect();
    let mut findings = Findings::default();
    let mut seen = HashSet::new();
    let mut last: HashMap<&str, i64> = HashMap::new();
    let mut partitions: BTreeMap<&str, i32> = BTreeMap::new();
    let mut in_order: Vec<&Record> = records.iter().collect();
    in_order.sort_by_key(|record| (record.partition, record.offset));
    for record in in_order {
        let Some(id) = event_id(record) else {
            findings.phantom.push(Uuid::nil());
            continue;
        };
        let Some(entry) = by_id.get(&id) else {
            findings.phantom.push(id);
            continue;
        };
        if record.key.as_deref() != Some(entry.key.as_bytes())
            || record.value.as_deref() != Some(payload(&entry.key, entry.version).as_bytes())
        {
            findings.corrupted.push(id);
        }
        if *partitions.entry(&entry.key).or_insert(record.partition) != record.partition {
            findings.moved.push(entry.key.clone());
        }
        if !seen.insert(id) {
            findings.repeats += 1;
            continue;
        }
        let highest = last.entry(&entry.key).or_default();
        if entry.version < *highest {
            findings.misordered.push((*entry).clone());
        }
        *highest = entry.version.max(*highest);
    }
    findings.lost = ledger.iter().filter(|entry| !seen.contains(&entry.event)).cloned().collect();
    findings
}

fn event_id(record: &Record) -> Option<Uuid> {
    let header = record.headers.iter().find(|(name, _)| name == "outbox-event-id")?;
    std::str::from_utf8(header.1.as_deref()?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(keys: usize, versions: i64) -> (Vec<Entry>, Vec<Record>) {
        let (mut ledger, mut records) = (Vec::new(), Vec::new());
        for version in 1..=versions {
            for n in 0..keys {
                let (event, key) = (Uuid::now_v7(), format!("key-{n}"));
                records.push(Record {
                    partition: (n % 3) as i32,
                    offset: records.len() as i64,
                    key: Some(key.clone().into_bytes()),
                    value: Some(payload(&key, version).into_bytes()),
                    headers: vec![("outbox-event-id".to_owned(), Some(event.to_string().into_bytes()))],
                    timestamp: None,
                });
                ledger.push(Entry { event, key, version });
            }
        }
        (ledger, records)
    }

    #[test]
    fn a_clean_history_is_clean_and_every_corruption_is_found() {
        let (ledger, records) = history(5, 20);
        assert_eq!(check(&ledger, &records), Findings::default());

        let mut dropped = records.clone();
        dropped.remove(37);
        assert_eq!(check(&ledger, &dropped).lost.len(), 1);

        let mut repeated = records.clone();
        repeated.push(Record { offset: 1_000, ..records[37].clone() });
        let found = check(&ledger, &repeated);
        assert!(found.are_clean() && found.repeats == 1);

        let mut swapped = records.clone();
        (swapped[10].offset, swapped[15].offset) = (swapped[15].offset, swapped[10].offset);
        assert_eq!(check(&ledger, &swapped).misordered.len(), 1);

        let mut flipped = records.clone();
        flipped[10].value.as_mut().unwrap()[3] ^= 1;
        assert_eq!(check(&ledger, &flipped).corrupted.len(), 1);

        let mut moved = records.clone();
        moved[10].partition += 1;
        assert_eq!(check(&ledger, &moved).moved, ["key-0"]);

        let unknown = check(&ledger[1..], &records);
        assert_eq!(unknown.phantom, [ledger[0].event]);
    }
}
