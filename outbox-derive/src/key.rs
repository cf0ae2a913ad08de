//! Which attributes there are, what they look like and where they go.

use std::fmt;

/// What an `#[outbox(..)]` attribute is written on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Struct,
    Enum,
    Variant,
    Field,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Struct => "a struct",
            Self::Enum => "an enum",
            Self::Variant => "a variant",
            Self::Field => "a field",
        })
    }
}

/// What follows the name of an attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing.
    Flag,
    /// `= "text"`.
    Text,
    /// `= 1`.
    Number,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "they are called like the attributes")]
pub(crate) enum Key {
    Aggregate,
    AggregateId,
    AggregateVersion,
    Crate,
    EventType,
    Header,
    PartitionKey,
    RenameAll,
    Topic,
    Unordered,
    Version,
}

impl Key {
    pub(crate) const ALL: [Self; 11] = [
        Self::Aggregate,
        Self::Topic,
        Self::EventType,
        Self::RenameAll,
        Self::Version,
        Self::Unordered,
        Self::Crate,
        Self::AggregateId,
        Self::PartitionKey,
        Self::AggregateVersion,
        Self::Header,
    ];

    /// Words that people write because other macros use them, and what they mean here.
    const ALIASES: [(&str, Self); 12] = [
        ("aggregate_type", Self::Aggregate),
        ("destination", Self::Topic),
        ("id", Self::AggregateId),
        ("key", Self::PartitionKey),
        ("name", Self::EventType),
        ("ordering_key", Self::PartitionKey),
        ("queue", Self::Topic),
        ("rename", Self::EventType),
        ("schema_version", Self::Version),
        ("sequence", Self::AggregateVersion),
        ("type", Self::EventType),
        ("unkeyed", Self::Unordered),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Aggregate => "aggregate",
            Self::AggregateId => "aggregate_id",
            Self::AggregateVersion => "aggregate_version",
            Self::Crate => "crate",
            Self::EventType => "event_type",
            Self::Header => "header",
            Self::PartitionKey => "partition_key",
            Self::RenameAll => "rename_all",
            Self::Topic => "topic",
            Self::Unordered => "unordered",
            Self::Version => "version",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    pub(crate) fn form(self, place: Place) -> Form {
        match self {
            // On a field it marks it, elsewhere it names it.
            Self::AggregateId if place != Place::Field => Form::Text,
            Self::AggregateId | Self::AggregateVersion | Self::PartitionKey | Self::Unordered => Form::Flag,
            Self::Version => Form::Number,
            Self::Aggregate | Self::Crate | Self::EventType | Self::Header | Self::RenameAll | Self::Topic => {
                Form::Text
            }
        }
    }

    /// How it is written, for hints.
    pub(crate) fn example(self, place: Place) -> &'static str {
        match self {
            Self::AggregateId if place != Place::Field => "aggregate_id = \"order_id\"",
            Self::Aggregate => "aggregate = \"order\"",
            Self::AggregateId => "aggregate_id",
            Self::AggregateVersion => "aggregate_version",
            Self::Crate => "crate = \"outbox_core\"",
            Self::EventType => "event_type = \"order.placed\"",
            Self::Header => "header = \"tenant-id\"",
            Self::PartitionKey => "partition_key",
            Self::RenameAll => "rename_all = \"snake_case\"",
            Self::Topic => "topic = \"orders\"",
            Self::Unordered => "unordered",
            Self::Version => "version = 2",
        }
    }

    fn places(self) -> &'static [Place] {
        match self {
            Self::Aggregate | Self::Crate | Self::RenameAll => &[Place::Struct, Place::Enum],
            Self::EventType => &[Place::Struct, Place::Variant],
            Self::Topic | Self::Unordered | Self::Version => &[Place::Struct, Place::Enum, Place::Variant],
            Self::AggregateId => &[Place::Struct, Place::Enum, Place::Field],
            Self::AggregateVersion | Self::Header | Self::PartitionKey => &[Place::Field],
        }
    }

    pub(crate) fn goes_on(self, place: Place) -> bool {
        self.places().contains(&place)
    }

    /// "a struct, an enum or a variant".
    pub(crate) fn homes(self) -> String {
        listed(self.places().iter().map(Place::to_string).collect())
    }

    /// The attribute that somebody who wrote `word` had in mind.
    pub(crate) fn meant_by(word: &str) -> Option<Self> {
        let alias = Self::ALIASES.iter().find(|(alias, _)| *alias == word).map(|(_, key)| *key);
        alias.or_else(|| nearest(word, Self::ALL, |key| key.name()))
    }

    /// "`aggregate_id`, `header` or ..": all that may be written on `place`.
    pub(crate) fn known_on(place: Place) -> String {
        listed(Self::ALL.iter().filter(|key| key.goes_on(place)).map(|key| format!("`{}`", key.name())).collect())
    }
}

fn listed(mut words: Vec<String>) -> String {
    match (words.pop(), words.is_empty()) {
        (Some(last), false) => format!("{} or {last}", words.join(", ")),
        (last, _) => last.unwrap_or_default(),
    }
}

/// What is called almost like `word`: a third of the letters wrong is a slip (two in five: they were swapped), more is
/// another word.
pub(crate) fn nearest<T: Copy>(
    word: &str,
    all: impl IntoIterator<Item = T>,
    name: impl for<'a> Fn(&'a T) -> &'a str,
) -> Option<T> {
    let slips = all.into_iter().map(|one| (distance(word, name(&one)), one));
    let near = slips.filter(|(slips, one)| slips * 3 <= name(one).len() + 1);
    near.min_by_key(|(slips, _)| *slips).map(|(_, one)| one)
}

/// How many letters must be inserted, removed or replaced to make `b` of `a` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replaced = corner + usize::from(from != to);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_is_found_by_its_name() {
        for key in Key::ALL {
            for place in [Place::Enum, Place::Field] {
                assert!(Key::from_name(key.name()) == Some(key) && key.example(place).starts_with(key.name()));
            }
        }
        assert!(Key::from_name("Topic").is_none());
    }

    #[test]
    fn slips_and_words_of_other_macros_are_understood() {
        let meant = |word| Key::meant_by(word).map(Key::name);
        assert_eq!(meant("topci"), Some("topic"));
        assert_eq!(meant("agregate_id"), Some("aggregate_id"));
        assert_eq!(meant("aggregateid"), Some("aggregate_id"));
        assert_eq!(meant("key"), Some("partition_key"));
        assert_eq!(meant("type"), Some("event_type"));
        assert_eq!(meant("colour"), None);
        assert_eq!(meant(""), None);
    }

    #[test]
    fn distances() {
        for (a, b, slips) in [("", "", 0), ("", "ab", 2), ("topic", "topic", 0), ("topci", "topic", 2), ("abc", "b", 2)]
        {
            assert_eq!(distance(a, b), slips, "{a} {b}");
        }
    }
}
