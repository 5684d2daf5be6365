//! JSON Merge Patch.

use serde_json::{Map, Value};

const PER_SECOND: [&str; 2] = ["requestsPerSecond", "burstSize"];
const WINDOW: [&str; 2] = ["limit", "windowMs"];

/// Applies a merge patch (RFC 7396, section 2): members replace members, `null` removes, anything but an object
/// replaces the whole.
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else {
        return;
    };
    for (name, change) in patch {
        if change.is_null() {
            members.remove(&name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), change);
        }
    }
}

/// As [`merge`], for an object with a `rateLimit`. A patch in the other form of a limit replaces the form: were
/// the old form's members kept, as the letter of RFC 7396 has it, every switch would need nulls for them.
pub fn merge_with_limit(target: &mut Value, patch: Value) {
    let given = patch.get("rateLimit");
    let names = |form: [&str; 2]| {
        form.iter()
            .any(|name| given.and_then(|limit| limit.get(name)).is_some())
    };
    let replaced: &[&str] = match (names(PER_SECOND), names(WINDOW)) {
        (true, false) => &WINDOW,
        (false, true) => &PER_SECOND,
        _ => &[],
    };
    if let Some(Value::Object(limit)) = target.get_mut("rateLimit") {
        limit.retain(|name, _| !replaced.contains(&name.as_str()));
    }
    merge(target, patch);
}
