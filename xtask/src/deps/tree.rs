//! Judging what `cargo tree --prefix depth` prints.

/// For each of the `forbidden` families that is in the tree, the path to its first member.
pub(crate) fn violations(tree: &str, forbidden: &[&str]) -> Vec<Vec<String>> {
    let mut path: Vec<String> = Vec::new();
    let mut found: Vec<(&str, Vec<String>)> = Vec::new();
    for (depth, name) in tree.lines().filter_map(entry) {
        path.truncate(depth);
        path.push(name.to_owned());
        // The root is the package that the rule is about.
        let family = forbidden.iter().filter(|_| depth > 0).find(|family| is_of(name, family));
        if let Some(family) = family
            && found.iter().all(|(known, _)| known != family)
        {
            found.push((family, path.clone()));
        }
    }
    found.into_iter().map(|(_, path)| path).collect()
}

/// `3serde v1.0.0 (proc-macro) (*)` is serde at depth 3. A dependency repeated with `(*)` was shown in full before.
fn entry(line: &str) -> Option<(usize, &str)> {
    let digits = line.find(|character: char| !character.is_ascii_digit())?;
    let (depth, rest) = line.split_at(digits);
    Some((depth.parse().ok()?, rest.split_whitespace().next()?))
}

fn is_of(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
0outbox-sea-orm-core v0.1.0 (/somewhere/outbox-core)
1serde v1.0.0
2serde_derive v1.0.0 (proc-macro)
3syn v2.0.0
1outbox-sea-orm-derive v0.1.0 (proc-macro) (/somewhere/outbox-derive)
2syn v2.0.0 (*)
1helper v1.0.0
2sqlx-core v0.9.0
3serde v1.0.0 (*)
2sqlx v0.9.0
3sqlx-core v0.9.0 (*)
1tracing v0.1.0
";

    #[test]
    fn the_path_to_a_forbidden_crate_is_named() {
        let found = violations(TREE, &["sqlx", "sea-orm", "rdkafka"]);
        assert_eq!(found, [["outbox-sea-orm-core", "helper", "sqlx-core"]]);
    }

    #[test]
    fn every_family_is_reported_once() {
        let found = violations(TREE, &["syn", "sqlx"]);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], ["outbox-sea-orm-core", "serde", "serde_derive", "syn"]);
    }

    #[test]
    fn a_direct_dependency_is_caught() {
        let tree = "0outbox-sea-orm-kafka v0.1.0\n1sea-orm v2.0.4\n";
        assert_eq!(violations(tree, &["sea-orm"]), [["outbox-sea-orm-kafka", "sea-orm"]]);
    }

    #[test]
    fn names_that_only_look_alike_are_fine() {
        assert_eq!(violations(TREE, &["sea-orm", "sea", "sql", "outbox", "trac"]).len(), 1, "only outbox is a family");
        let tree = "0outbox-sea-orm v0.1.0\n1outbox-sea-orm-core v0.1.0\n1sqlxy v1.0.0\n";
        assert!(violations(tree, &["sea-orm", "sqlx"]).is_empty());
    }
}
