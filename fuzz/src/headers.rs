//! Headers: what is accepted can be carried by every broker, and comes back from a row as it was.

use outbox_core::Headers;

use crate::pieces::Pieces;

pub(crate) const SEEDS: &[&[u8]] = &[
    b"tenant-id\nt1\nuser-id\n7",
    b"Name\na\nname\nb",
    b"outbox-x\n1\ncontent-type\nx",
    b"a b\n\nx\r\n: y\n\0",
    b"[[\"a\",\"b\"],[\"a\",\"c\"]]",
    b"[[\"\\u0000\",\"\\ud83e\\udd80\"]]",
    b"[[[[[[[[]]]]]]]]",
];

pub(crate) fn run(data: &[u8]) {
    let mut headers = Headers::new();
    let mut pieces = Pieces::of(data);
    while let Some(name) = pieces.next() {
        let value = pieces.text();
        let before = headers.clone();
        if headers.set(name.clone(), &value).is_ok() {
            let lower = name.to_ascii_lowercase();
            assert!(
                !name.is_empty() && name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_graphic()),
                "{name:?}"
            );
            assert!(!name.contains([':', ' ', '"', '(', ')', ',', '/', '=', '@', '[', ']', '{', '}']), "{name:?}");
            assert!(lower != "content-type" && !lower.starts_with("outbox-"), "{name:?}");
            assert!(value.len() <= 8 * 1024 && !value.chars().any(|c| c.is_control() && c != '\t'), "{value:?}");
            assert_eq!(headers.get(&name), Some(value.as_str()));
            let same = headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(&name)).count();
            assert!(same == 1 && headers.len() <= 64);
        } else {
            assert_eq!(headers, before, "what was refused has changed something");
        }
    }
    assert_eq!(Headers::from_json(&headers.to_json()).unwrap(), headers);
    // Whatever stands in a row: it is refused, or is what it says.
    if let Ok(read) = Headers::from_json(&String::from_utf8_lossy(data)) {
        assert_eq!(Headers::from_json(&read.to_json()).unwrap(), read);
        assert!(!format!("{read:?}").is_empty() && read.size() < 1 << 30);
    }
}
