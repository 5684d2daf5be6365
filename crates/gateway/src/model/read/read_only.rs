//! Members that only the gateway writes.

use bastide_config::Fields;
use serde_json::Value;

/// Checks the members of `names`, which the gateway writes.
///
/// On a change they are accepted as long as they say what is already so: what was read can be edited and sent back
/// whole, and a stale `version` in it is noticed. On a creation there is nothing for them to agree with.
pub fn read_only(fields: &mut Fields<'_, '_>, names: &[&'static str], current: Option<&Value>) {
    for name in names {
        if !fields.has(name) {
            continue;
        }
        let given = fields.raw(name).unwrap_or(&Value::Null);
        match current.map(|current| &current[*name]) {
            Some(current) if current == given => {}
            Some(current) => {
                fields.reject_field::<()>(
                    name,
                    format!("is read-only and is {current} now; leave it out"),
                );
            }
            None if given.is_null() => {}
            None => {
                fields.reject_field::<()>(name, "is set by the gateway; leave it out");
            }
        }
    }
}
