//! One spelling of a JSON value, whatever order its maker had.

use serde::Serialize;
use serde_json::Value;

/// Appends the value without spaces, the members of objects sorted by name (as RFC 8785, but with numbers as they stand:
/// `1` and `1.0` stay two values).
pub(crate) fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                separate(index, out);
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            // Not every build of the library keeps them sorted.
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push(b'{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                separate(index, out);
                append(name, out);
                out.push(b':');
                write(member, out);
            }
            out.push(b'}');
        }
        plain => append(plain, out),
    }
}

fn append(value: &impl Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("memory takes it, and JSON can be written as JSON");
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_sorted_at_every_depth() {
        let mut text = Vec::new();
        write(
            &json!({"b": [1, {"d": null, "c": 1.5}], "a\"": true}),
            &mut text,
        );
        assert_eq!(text, br#"{"a\"":true,"b":[1,{"c":1.5,"d":null}]}"#);
    }
}
