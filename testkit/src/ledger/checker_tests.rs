//! A checker that finds nothing proves nothing: random histories, each with one thing wrong.

use std::collections::{HashMap, HashSet};

use fastrand::Rng;
use uuid::Uuid;

use super::{Entered, Entry, Findings, HEADER, check_with_dead, entry_header, event_id, payload};
use crate::Record;

const CASES: u64 = 1_000;
const PARTITIONS: i32 = 3;

/// What a run could have left behind without breaking a promise.
struct History {
    ledger: Vec<Entry>,
    records: Vec<Record>,
    dead: HashSet<Uuid>,
    /// Whether records have the types of their events, as not every broker's have.
    typed: bool,
}

impl History {
    /// Keys take turns at random; some events are refused, and now and then the last ones of a key come again, and
    /// something foreign.
    fn clean(random: &mut Rng) -> Self {
        let keys = random.usize(2..6);
        let typed = random.bool();
        let mut history = Self { ledger: Vec::new(), records: Vec::new(), dead: HashSet::new(), typed };
        let mut delivered: Vec<Vec<Entry>> = vec![Vec::new(); keys];
        let mut versions = vec![0; keys];
        for _ in 0..random.usize(20..60) {
            let key = random.usize(..keys);
            versions[key] += 1;
            let refused = random.u8(..) < 16;
            let entry = Entry { event: id(random), key: format!("key-{key}"), version: versions[key], refused };
            history.ledger.push(entry.clone());
            if random.u8(..) < 16 {
                history.append_foreign(random);
            }
            if refused {
                history.dead.insert(entry.event);
                continue;
            }
            history.append(key, &entry);
            delivered[key].push(entry);
            if random.u8(..) < 16 {
                let again = random.usize(1..=delivered[key].len().min(5));
                for entry in delivered[key].iter().rev().take(again).rev() {
                    history.append(key, entry);
                }
            }
        }
        random.shuffle(&mut history.ledger);
        history
    }

    fn append(&mut self, key: usize, entry: &Entry) {
        let value = payload(&entry.key, entry.version).into_bytes();
        let own = entry_header(&entry.key, entry.version);
        let mut headers = vec![header("outbox-event-id", &entry.event.to_string()), header(HEADER, &own)];
        if self.typed {
            headers.push(header("outbox-event-type", Entered::EVENT_TYPE));
        }
        self.records.push(Record {
            partition: key as i32 % PARTITIONS,
            offset: self.records.len() as i64,
            key: Some(entry.key.clone().into_bytes()),
            value: Some(value),
            headers,
            timestamp: None,
        });
    }

    /// Another event of the service, where it can be told, or what another program wrote.
    fn append_foreign(&mut self, random: &mut Rng) {
        let of_service =
            vec![header("outbox-event-id", &id(random).to_string()), header("outbox-event-type", "order.placed")];
        let headers = match random.u8(..3) {
            0 if self.typed => of_service,
            1 => vec![header("traceparent", "00-1-2-01")],
            _ => Vec::new(),
        };
        let value = any(random, &[None, Some("{\"key\":1,\"version\":2}"), Some("")]).flatten();
        self.records.push(Record {
            partition: random.i32(..PARTITIONS),
            offset: self.records.len() as i64,
            // Also one of ours.
            key: any(random, &[None, Some("key-0"), Some("other")]).flatten().map(|key| key.as_bytes().to_vec()),
            value: value.map(|value| value.as_bytes().to_vec()),
            headers,
            timestamp: None,
        });
    }

    fn check(&self) -> Findings {
        check_with_dead(&self.ledger, &self.records, &self.dead)
    }

    /// The places of the records that are the ledger's.
    fn ours(&self) -> Vec<usize> {
        let committed: HashSet<Uuid> = self.ledger.iter().map(|entry| entry.event).collect();
        let is_ours = |at: &usize| event_id(&self.records[*at]).is_some_and(|id| committed.contains(&id));
        (0..self.records.len()).filter(is_ours).collect()
    }

    /// The places of those whose event comes once.
    fn single(&self) -> Vec<usize> {
        let mut copies: HashMap<Option<Uuid>, usize> = HashMap::new();
        for record in &self.records {
            *copies.entry(event_id(record)).or_default() += 1;
        }
        self.ours().into_iter().filter(|&at| copies[&event_id(&self.records[at])] == 1).collect()
    }
}

fn header(name: &str, value: &str) -> (String, Option<Vec<u8>>) {
    (name.to_owned(), Some(value.as_bytes().to_vec()))
}

fn id(random: &mut Rng) -> Uuid {
    Uuid::from_u128(random.u128(..))
}

/// Runs `corrupt` on clean histories until 1,000 of them offered something to corrupt, and hands `verify` what was
/// found before and after.
fn each(corrupt: impl Fn(&mut History, &mut Rng) -> Option<()>, verify: impl Fn(&Findings, &Findings)) {
    let (mut seed, mut done) = (0, 0);
    while done < CASES {
        let mut random = Rng::with_seed(seed);
        seed += 1;
        let mut history = History::clean(&mut random);
        let before = history.check();
        assert!(before.are_clean(), "seed {seed}: a clean history has {before:?}");
        assert_eq!(
            (before.records, before.foreign),
            (history.ours().len(), history.records.len() - history.ours().len())
        );
        if corrupt(&mut history, &mut random).is_some() {
            let after = history.check();
            verify(&before, &after);
            done += 1;
        }
    }
}

fn any<T: Copy>(random: &mut Rng, of: &[T]) -> Option<T> {
    (!of.is_empty()).then(|| of[random.usize(..of.len())])
}

#[test]
fn a_record_that_is_dropped_is_a_loss() {
    let drop = |history: &mut History, random: &mut Rng| {
        let at = any(random, &history.single())?;
        history.records.remove(at);
        Some(())
    };
    each(drop, |_, found| assert_eq!((found.lost.len(), found.are_clean()), (1, false)));
}

#[test]
fn first_deliveries_that_change_places_are_out_of_order() {
    let swap = |history: &mut History, random: &mut Rng| {
        let single = history.single();
        let first = any(random, &single)?;
        let key = |at: usize| history.records[at].key.clone();
        let later: Vec<usize> = single.iter().copied().filter(|&at| at > first && key(at) == key(first)).collect();
        let second = any(random, &later)?;
        let (one, other) = (history.records[first].offset, history.records[second].offset);
        history.records[first].offset = other;
        history.records[second].offset = one;
        Some(())
    };
    each(swap, |_, found| {
        assert!(!found.misordered.is_empty(), "{found:?}");
        assert_eq!((found.lost.len(), found.phantom.len(), found.corrupted.len(), found.moved.len()), (0, 0, 0, 0));
    });
}

#[test]
fn a_copy_is_a_repeat_and_nothing_else() {
    let copy = |history: &mut History, random: &mut Rng| {
        let at = any(random, &history.ours())?;
        let offset = history.records.len() as i64;
        let copy = Record { offset, ..history.records[at].clone() };
        history.records.push(copy);
        Some(())
    };
    each(copy, |before, found| {
        assert!(found.are_clean() && found.repeats == before.repeats + 1, "{found:?}");
        assert_eq!((found.entries, found.records), (before.entries, before.records + 1));
    });
}

#[test]
fn a_changed_byte_is_a_corruption() {
    let flip = |history: &mut History, random: &mut Rng| {
        let at = any(random, &history.ours())?;
        let record = &mut history.records[at];
        let bytes = match random.u8(..3) {
            0 => record.key.as_mut()?,
            1 => record.value.as_mut()?,
            _ => record.headers[1].1.as_mut()?,
        };
        let byte = random.usize(..bytes.len());
        bytes[byte] ^= 1 << random.u8(..8);
        Some(())
    };
    each(flip, |_, found| assert_eq!((found.corrupted.len(), found.lost.len(), found.phantom.len()), (1, 0, 0)));
}

#[test]
fn a_key_on_two_partitions_is_seen() {
    let change = |history: &mut History, random: &mut Rng| {
        let ours = history.ours();
        let at = any(random, &ours)?;
        let alone = ours.iter().filter(|of| history.records[**of].key == history.records[at].key).count() == 1;
        let record = &mut history.records[at];
        record.partition = (record.partition + random.i32(1..PARTITIONS)) % PARTITIONS;
        (!alone).then_some(())
    };
    each(change, |_, found| assert!(!found.moved.is_empty() && found.lost.is_empty(), "{found:?}"));
}

#[test]
fn what_was_never_committed_is_a_phantom() {
    let forge = |history: &mut History, random: &mut Rng| {
        if random.bool() {
            // As a transaction that was rolled back would leave it.
            let at = any(random, &history.single())?;
            let id = event_id(&history.records[at])?;
            history.ledger.retain(|entry| entry.event != id);
        } else {
            let entry = Entry { event: id(random), key: "key-0".to_owned(), version: 1, refused: false };
            history.append(0, &entry);
        }
        Some(())
    };
    each(forge, |_, found| assert_eq!((found.phantom.len(), found.lost.len()), (1, 0)));
}

#[test]
fn dead_letters_are_exactly_what_the_broker_refuses() {
    let bury = |history: &mut History, random: &mut Rng| {
        let sound: Vec<Uuid> = history.ledger.iter().filter(|entry| !entry.refused).map(|entry| entry.event).collect();
        history.dead.insert(any(random, &sound)?);
        Some(())
    };
    each(bury, |_, found| assert_eq!((found.dead.len(), found.lost.len()), (1, 0)));
    let forget = |history: &mut History, random: &mut Rng| {
        let dead: Vec<Uuid> = history.dead.iter().copied().collect();
        history.dead.remove(&any(random, &dead)?);
        Some(())
    };
    each(forget, |_, found| assert_eq!((found.dead.len(), found.lost.len()), (0, 1)));
}

#[test]
fn foreign_records_are_counted_and_nothing_else() {
    let join = |history: &mut History, random: &mut Rng| {
        history.append_foreign(random);
        let last = history.records.len() - 1;
        // Anywhere.
        history.records[last].offset = random.i64(..last as i64 + 1);
        Some(())
    };
    each(join, |before, found| {
        let foreign = before.foreign + 1;
        assert_eq!(*found, Findings { foreign, ..before.clone() });
    });
}

/// Of the three things by which a record is known to be the ledger's, one or two are lost.
#[test]
fn a_record_that_lost_its_headers_is_no_foreign_one() {
    let spoil = |history: &mut History, random: &mut Rng| {
        let at = any(random, &history.single())?;
        let record = &mut history.records[at];
        match random.u8(..4) {
            0 => record.headers.clear(),
            1 => record.headers.retain(|(name, _)| name != "outbox-event-id"),
            2 => {
                let header = random.usize(..record.headers.len());
                let bytes = record.headers[header].1.as_mut()?;
                let byte = random.usize(..bytes.len());
                bytes[byte] ^= 1 << random.u8(..8);
            }
            _ => {
                let foreign = header("outbox-event-type", "order.placed");
                let own = record.headers.iter_mut().find(|(name, _)| *name == foreign.0)?;
                *own = foreign;
                record.value = None;
            }
        }
        Some(())
    };
    each(spoil, |before, found| {
        assert_eq!((found.foreign, found.corrupted.len() + found.phantom.len()), (before.foreign, 1), "{found:?}");
        assert_eq!(found.lost.len(), found.phantom.len(), "{found:?}");
    });
}

/// As a transaction that was rolled back would leave it, with its type or what is in it lost besides.
#[test]
fn a_phantom_is_none_of_others() {
    let forge = |history: &mut History, random: &mut Rng| {
        let entry = Entry { event: id(random), key: "key-0".to_owned(), version: 1, refused: false };
        history.append(0, &entry);
        let record = history.records.last_mut()?;
        // Where there are no types, the id is all that is left.
        if random.bool() {
            record.value = None;
        } else {
            record.headers.retain(|(name, _)| name != "outbox-event-type");
        }
        Some(())
    };
    each(forge, |before, found| assert_eq!((found.phantom.len(), found.foreign), (1, before.foreign), "{found:?}"));
}
