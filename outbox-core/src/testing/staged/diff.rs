use serde_json::Value;

/// Adds a line for every place where the values differ.
pub(super) fn json(path: &str, expected: &Value, found: &Value, lines: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (name, expected) in expected {
                let path = format!("{path}.{name}");
                match found.get(name) {
                    Some(found) => json(&path, expected, found, lines),
                    None => lines.push(format!("{path}: expected {expected}, found nothing")),
                }
            }
            for (name, found) in found.iter().filter(|(name, _)| !expected.contains_key(*name)) {
                lines.push(format!("{path}.{name}: expected nothing, found {found}"));
            }
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (n, (expected, found)) in expected.iter().zip(found).enumerate() {
                json(&format!("{path}[{n}]"), expected, found, lines);
            }
        }
        _ if expected == found => {}
        _ => lines.push(format!("{path}: expected {expected}, found {found}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json as value;

    use super::*;

    fn lines(expected: &Value, found: &Value) -> Vec<String> {
        let mut lines = Vec::new();
        json("payload", expected, found, &mut lines);
        lines
    }

    #[test]
    fn differences_are_named_by_their_paths() {
        let expected = value!({"a": 1, "b": {"c": [1, {"d": "x"}]}, "gone": null});
        let found = value!({"a": 1, "b": {"c": [1, {"d": "y"}]}, "new": true});
        let wanted = [
            "payload.b.c[1].d: expected \"x\", found \"y\"",
            "payload.gone: expected null, found nothing",
            "payload.new: expected nothing, found true",
        ];
        assert_eq!(lines(&expected, &found), wanted);
        assert!(lines(&expected, &expected).is_empty());
    }

    #[test]
    fn arrays_of_other_lengths_are_shown_whole() {
        assert_eq!(lines(&value!([1]), &value!([1, 2])), ["payload: expected [1], found [1,2]"]);
    }
}
