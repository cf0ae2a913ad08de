//! Every target for a moment: on its seeds, and on what comes of changing them.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use outbox_sea_orm_fuzz::{TARGETS, Target, is_of_kafka, variables};

const MOMENT: Duration = Duration::from_secs(2);
/// What texts of these kinds are made of.
const WORDS: [&str; 16] = [
    "\n",
    "\"",
    "\\",
    "\u{0}",
    "=",
    "-1",
    "9223372036854775807",
    "[[",
    "]]",
    "outbox",
    "é",
    "\u{1F980}",
    "\r\n",
    "(",
    ")",
    ",",
];

fn for_a_moment(name: &str) {
    let target: &Target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let mut inputs: Vec<Vec<u8>> = target.seeds.iter().map(|seed| seed.to_vec()).collect();
    inputs.push(Vec::new());
    inputs.iter().for_each(|input| (target.run)(input));
    let mut random = fastrand::Rng::with_seed(7);
    let started = Instant::now();
    while started.elapsed() < MOMENT {
        let mut input = inputs[random.usize(..inputs.len())].clone();
        for _ in 0..random.u32(1..6) {
            change(&mut input, &inputs, &mut random);
        }
        (target.run)(&input);
        // Some go on from here.
        if random.u32(..50) == 0 && inputs.len() < 500 && input.len() < 4_000 {
            inputs.push(input);
        }
    }
}

fn change(input: &mut Vec<u8>, others: &[Vec<u8>], random: &mut fastrand::Rng) {
    let at = random.usize(..=input.len());
    match random.u32(..5) {
        0 => input.insert(at, random.u8(..)),
        1 if at < input.len() => input[at] ^= 1 << random.u32(..8),
        2 => drop(input.splice(at..at, random.choice(WORDS).unwrap().bytes())),
        3 => drop(input.drain(at..random.usize(at..=input.len()))),
        _ => {
            let other = &others[random.usize(..others.len())];
            input.truncate(at);
            input.extend_from_slice(&other[random.usize(..=other.len())..]);
        }
    }
}

macro_rules! targets {
    ($($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                for_a_moment(stringify!($name));
            }
        )+

        #[test]
        fn none_is_left_out() {
            assert_eq!(TARGETS.map(|target| target.name), [$(stringify!($name)),+]);
        }
    };
}

targets! { identifiers headers rows configuration derive }

/// A seed that sets nothing shows nothing.
#[test]
fn configuration_begins_with_every_variable_and_no_other() {
    let target = TARGETS.iter().find(|target| target.name == "configuration").unwrap();
    let lines = target.seeds.iter().flat_map(|seed| std::str::from_utf8(seed).unwrap().lines());
    let names: BTreeSet<String> = lines.map(|line| line.split_once('=').unwrap().0.to_owned()).collect();
    let (of_kafka, others): (BTreeSet<_>, BTreeSet<_>) =
        names.into_iter().partition(|name| name.starts_with("OUTBOX_KAFKA_"));
    assert_eq!(others, variables());
    let unknown: Vec<_> = of_kafka.iter().filter(|name| !is_of_kafka(name)).collect();
    assert!(of_kafka.len() > 10 && unknown.is_empty(), "{unknown:?}");
    assert!(!is_of_kafka("OUTBOX_KAFKA_NO_SUCH_SETTING"));
}
