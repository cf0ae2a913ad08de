use std::fmt;

/// Which topics a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    Exact(String),
    Prefix(String),
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
        let prefix = text.strip_suffix('*');
        let literal = prefix.unwrap_or(text);
        if text.is_empty() {
            Err("is empty")
        } else if literal.contains('*') {
            Err("has a '*' that is not its last character")
        } else if !literal.bytes().all(allowed) {
            Err("has characters that no topic has: only letters, digits, '.', '_' and '-', and a '*' at the end")
        } else if prefix.is_some() {
            Ok(Self::Prefix(literal.to_owned()))
        } else {
            Ok(Self::Exact(literal.to_owned()))
        }
    }

    pub(super) fn matches(&self, topic: &str) -> bool {
        match self {
            Self::Exact(name) => name == topic,
            Self::Prefix(prefix) => topic.starts_with(prefix.as_str()),
        }
    }

    /// Whether it matches everything that `other` matches.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match other {
            Self::Exact(name) => self.matches(name),
            Self::Prefix(longer) => matches!(self, Self::Prefix(prefix) if longer.starts_with(prefix.as_str())),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn a_name_matches_itself_and_a_star_the_rest() {
        assert!(pattern("orders").matches("orders") && !pattern("orders").matches("orders.eu"));
        let audit = pattern("audit.*");
        assert!(audit.matches("audit.login") && audit.matches("audit.a.b"));
        assert!(!audit.matches("audit") && !audit.matches("auditor"));
        assert!(pattern("*").matches("anything"));
        assert_eq!(audit.to_string(), "audit.*");
    }

    #[test]
    fn what_can_match_no_topic_is_refused() {
        for text in ["", "a*b", "**", "*.orders", "or ders", "orders/eu", "ü", "[ab]"] {
            assert!(Pattern::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn wide_patterns_cover_narrow_ones() {
        assert!(pattern("*").covers(&pattern("a.*")) && pattern("a.*").covers(&pattern("a.b")));
        assert!(pattern("a*").covers(&pattern("a.*")) && pattern("a").covers(&pattern("a")));
        assert!(!pattern("a.*").covers(&pattern("a*")) && !pattern("a").covers(&pattern("a*")));
    }
}
