//! Header changes, compiled: names in lower case for comparing, fields ready to be written.

use crate::model::HeaderOps;

/// Lower case.
type Name = Box<[u8]>;

/// `Name: value\r\n`.
type Line = Box<[u8]>;

/// What happens to the fields of a message, in the order remove, set, add.
#[derive(Debug, Default)]
pub(crate) struct HeaderPlan {
    /// Lower case. Removed, and everything that is set.
    drop: Box<[Name]>,
    /// `Name: value\r\n`, one after the other.
    set: Box<[u8]>,
    /// The name in lower case, and the whole line.
    add: Box<[(Name, Line)]>,
}

impl HeaderPlan {
    pub(crate) fn compile(ops: &HeaderOps) -> Self {
        let lower = |name: &str| name.to_ascii_lowercase().into_bytes().into_boxed_slice();
        let line = |name: &str, value: &str| format!("{name}: {value}\r\n").into_bytes();
        Self {
            drop: ops
                .remove
                .iter()
                .map(String::as_str)
                .chain(ops.set.keys().map(String::as_str))
                .map(lower)
                .collect(),
            set: ops
                .set
                .iter()
                .flat_map(|(name, value)| line(name, value))
                .collect(),
            add: ops
                .add
                .iter()
                // A set field is never absent.
                .filter(|(name, _)| !ops.set.keys().any(|set| set.eq_ignore_ascii_case(name)))
                .map(|(name, value)| (lower(name), line(name, value).into_boxed_slice()))
                .collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.drop.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Whether a field of the message is left out.
    pub(crate) fn drops(&self, name: &[u8]) -> bool {
        self.drop
            .iter()
            .any(|dropped| dropped.eq_ignore_ascii_case(name))
    }

    /// Writes the fields that are set, and those that are added because `is_present` does not know them.
    pub(crate) fn write(&self, is_present: impl Fn(&[u8]) -> bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.set);
        for (name, line) in &*self.add {
            if self.drops(name) || !is_present(name) {
                out.extend_from_slice(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(ops: &HeaderOps, message: &[(&str, &str)]) -> Vec<String> {
        let plan = HeaderPlan::compile(ops);
        let mut out: Vec<String> = message
            .iter()
            .filter(|(name, _)| !plan.drops(name.as_bytes()))
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let mut written = Vec::new();
        let present = |name: &[u8]| {
            message
                .iter()
                .any(|(n, _)| n.as_bytes().eq_ignore_ascii_case(name))
        };
        plan.write(present, &mut written);
        out.extend(
            String::from_utf8(written)
                .unwrap()
                .lines()
                .map(str::to_owned),
        );
        out
    }

    fn ops(remove: &[&str], set: &[(&str, &str)], add: &[(&str, &str)]) -> HeaderOps {
        let map = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(n, v)| ((*n).into(), (*v).into()))
                .collect()
        };
        HeaderOps {
            remove: remove.iter().map(|name| (*name).into()).collect(),
            set: map(set),
            add: map(add),
        }
    }

    #[test]
    fn remove_works_without_case_on_every_value_and_on_absent_fields() {
        let message = [("X-A", "1"), ("x-a", "2"), ("X-B", "3")];
        assert_eq!(run(&ops(&["X-a"], &[], &[]), &message), ["X-B: 3"]);
        assert_eq!(run(&ops(&["X-C"], &[], &[]), &message).len(), 3);
    }

    #[test]
    fn set_replaces_whatever_the_case_and_makes_what_is_absent() {
        let changed = run(
            &ops(&[], &[("X-A", "new"), ("X-C", "made")], &[]),
            &[("x-a", "old"), ("X-B", "3")],
        );
        assert_eq!(changed, ["X-B: 3", "X-A: new", "X-C: made"]);
    }

    #[test]
    fn add_makes_only_what_is_absent() {
        let changed = run(
            &ops(&[], &[], &[("X-A", "new"), ("X-C", "made")]),
            &[("x-a", "old")],
        );
        assert_eq!(changed, ["x-a: old", "X-C: made"]);
    }

    #[test]
    fn the_order_is_remove_then_set_then_add() {
        // Removed, so that it is absent when `add` looks; set, so that it is present when `add` looks.
        let both = ops(
            &["X-A"],
            &[("X-B", "set")],
            &[("X-A", "added"), ("X-B", "added")],
        );
        assert_eq!(
            run(&both, &[("X-A", "old"), ("X-B", "old")]),
            ["X-B: set", "X-A: added"]
        );
    }
}
