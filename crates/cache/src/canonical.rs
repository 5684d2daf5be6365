//! One spelling of a JSON value, whatever order its maker had.

use serde_json::Value;

/// Appends the value without spaces, the members of objects sorted by name (as RFC 8785, but with numbers as they stand:
/// `1` and `1.0` stay two values).
pub(crate) fn write(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(index, out);
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            // Not every build of the library keeps them sorted.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                separate(index, out);
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write(member, out);
            }
            out.push('}');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

fn separate(index: usize, out: &mut String) {
    if index > 0 {
        out.push(',');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_sorted_at_every_depth() {
        let mut text = String::new();
        write(
            &json!({"b": [1, {"d": null, "c": 1.5}], "a\"": true}),
            &mut text,
        );
        assert_eq!(text, r#"{"a\"":true,"b":[1,{"c":1.5,"d":null}]}"#);
    }
}
