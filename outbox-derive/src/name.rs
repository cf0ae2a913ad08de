//! Event types from Rust names.

/// How the words of a derived name are joined: the rules of serde's `rename_all`.
#[derive(Clone, Copy)]
pub(crate) enum Case {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

impl Case {
    pub(crate) const NAMES: [(&str, Self); 8] = [
        ("snake_case", Self::Snake),
        ("kebab-case", Self::Kebab),
        ("camelCase", Self::Camel),
        ("PascalCase", Self::Pascal),
        ("SCREAMING_SNAKE_CASE", Self::ScreamingSnake),
        ("SCREAMING-KEBAB-CASE", Self::ScreamingKebab),
        ("lowercase", Self::Lower),
        ("UPPERCASE", Self::Upper),
    ];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, case)| *case)
    }

    fn join(self, words: &[String]) -> String {
        let each = |word: fn(&str) -> String| words.iter().map(|text| word(text)).collect::<Vec<_>>();
        match self {
            Self::Lower => words.concat(),
            Self::Upper => each(str::to_uppercase).concat(),
            Self::Pascal => each(capitalized).concat(),
            Self::Camel => match words {
                [first, rest @ ..] => first.clone() + &Self::Pascal.join(rest),
                [] => String::new(),
            },
            Self::Snake => words.join("_"),
            Self::ScreamingSnake => each(str::to_uppercase).join("_"),
            Self::Kebab => words.join("-"),
            Self::ScreamingKebab => each(str::to_uppercase).join("-"),
        }
    }
}

/// `ItemAdded` of "order" is `order.item_added`, and so is `OrderItemAdded`.
///
/// `None` when the name is the aggregate's own: it says about what, and not what happened.
pub(crate) fn event_type(aggregate: &str, name: &str, case: Case) -> Option<String> {
    let words = words(name);
    let prefix = self::words(aggregate);
    let rest = if prefix.is_empty() { &words } else { words.strip_prefix(prefix.as_slice()).unwrap_or(&words) };
    (!rest.is_empty()).then(|| format!("{aggregate}.{}", case.join(rest)))
}

/// The words of a name in any case, in lower case: `HTTPServer2Started` has `http`, `server2`, `started`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    let mut chars = name.chars().peekable();
    while let Some(char) = chars.next() {
        let next_is_lower = chars.peek().is_some_and(|next| next.is_lowercase());
        let starts = char.is_uppercase() && (!before.is_uppercase() || next_is_lower);
        if starts || !char.is_alphanumeric() {
            words.push(String::new());
        }
        if char.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(char.to_lowercase());
        }
        before = char;
    }
    words.retain(|word| !word.is_empty());
    words
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_every_case() {
        for (name, expected) in [
            ("Placed", "placed"),
            ("ItemAdded", "item added"),
            ("item_added", "item added"),
            ("ITEM_ADDED", "item added"),
            ("item-added", "item added"),
            ("HTTPServerStarted", "http server started"),
            ("ServedByHTTP", "served by http"),
            ("Sha256Computed", "sha256 computed"),
            ("OrderV2Placed", "order v2 placed"),
            ("A", "a"),
            ("ATeamWon", "a team won"),
            ("__Weird__Name_", "weird name"),
            ("ÄnderungGespeichert", "änderung gespeichert"),
            ("", ""),
        ] {
            assert_eq!(words(name).join(" "), expected, "{name}");
        }
    }

    #[test]
    fn every_case() {
        let joined: Vec<String> = Case::NAMES
            .iter()
            .map(|(name, _)| event_type("order", "ItemAdded", Case::from_name(name).unwrap()).unwrap())
            .collect();
        assert_eq!(
            joined,
            [
                "order.item_added",
                "order.item-added",
                "order.itemAdded",
                "order.ItemAdded",
                "order.ITEM_ADDED",
                "order.ITEM-ADDED",
                "order.itemadded",
                "order.ITEMADDED",
            ]
        );
        assert!(Case::from_name("snake").is_none());
    }

    #[test]
    fn the_aggregate_is_not_repeated() {
        for (aggregate, name, expected) in [
            ("order", "OrderPlaced", Some("order.placed")),
            ("order", "Placed", Some("order.placed")),
            ("order", "ReorderPlaced", Some("order.reorder_placed")),
            ("order", "OrderlyPlaced", Some("order.orderly_placed")),
            ("order", "OrdersMerged", Some("order.orders_merged")),
            ("order", "OrderOrderPlaced", Some("order.order_placed")),
            ("order", "Order", None),
            ("purchase_order", "PurchaseOrderPlaced", Some("purchase_order.placed")),
            ("purchase-order", "PurchaseOrderPlaced", Some("purchase-order.placed")),
            ("PurchaseOrder", "PurchaseOrderPlaced", Some("PurchaseOrder.placed")),
            ("shop.order", "ShopOrderPlaced", Some("shop.order.placed")),
            ("shop.order", "OrderPlaced", Some("shop.order.order_placed")),
            ("purchase_order", "PurchaseOrder", None),
            ("", "Placed", Some(".placed")),
        ] {
            assert_eq!(event_type(aggregate, name, Case::Snake).as_deref(), expected, "{aggregate} {name}");
        }
    }
}
