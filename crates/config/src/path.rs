//! Where in a configuration tree a value stands.

use std::borrow::Cow;
use std::fmt;

/// One step down a tree: into an object by key, or into a list by position.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The member of an object with this key.
    Key(Cow<'static, str>),
    /// The element of a list at this position, counted from 0.
    Index(usize),
}

impl From<&'static str> for Step {
    fn from(key: &'static str) -> Self {
        Self::Key(Cow::Borrowed(key))
    }
}

impl From<String> for Step {
    fn from(key: String) -> Self {
        Self::Key(Cow::Owned(key))
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// The way from the root of a tree to one value.
///
/// Displayed as people write it: `routes[3].upstreams[0].url`; a key that is not a plain word is quoted,
/// `labels["a.b"]`, and a very long one is clipped. The root displays as the empty string.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Vec<Step>);

impl Path {
    /// The root of the tree.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// This path with one more step.
    pub fn then(&self, step: impl Into<Step>) -> Self {
        let mut steps = self.0.clone();
        steps.push(step.into());
        Self(steps)
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The same place as a JSON pointer (RFC 6901): `/routes/3/upstreams/0/url`.
    pub fn pointer(&self) -> String {
        let mut text = String::new();
        for step in &self.0 {
            text.push('/');
            match step {
                Step::Key(key) => text.push_str(&key.replace('~', "~0").replace('/', "~1")),
                Step::Index(index) => text.push_str(&index.to_string()),
            }
        }
        text
    }

    pub(crate) fn push(&mut self, step: Step) {
        self.0.push(step);
    }

    pub(crate) fn pop(&mut self) {
        self.0.pop();
    }
}

impl<S: Into<Step>> FromIterator<S> for Path {
    fn from_iter<I: IntoIterator<Item = S>>(steps: I) -> Self {
        Self(steps.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    let shown = crate::found::clip(key);
                    match (is_word(key), position) {
                        (false, _) => write!(f, "[{shown:?}]")?,
                        (true, 0) => f.write_str(&shown)?,
                        (true, _) => write!(f, ".{shown}")?,
                    }
                }
            }
        }
        Ok(())
    }
}

fn is_word(key: &str) -> bool {
    !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_people_write_it() {
        let path = Path::root()
            .then("routes")
            .then(3)
            .then("upstreams")
            .then(0)
            .then("url");
        assert_eq!(path.to_string(), "routes[3].upstreams[0].url");
        assert_eq!(path.pointer(), "/routes/3/upstreams/0/url");
    }

    #[test]
    fn unusual_keys_stay_unambiguous() {
        let path = Path::root()
            .then("set")
            .then("a.b/c~d".to_owned())
            .then("x-y");
        assert_eq!(path.to_string(), "set[\"a.b/c~d\"].x-y");
        assert_eq!(path.pointer(), "/set/a.b~1c~0d/x-y");
        assert_eq!(Path::root().then(String::new()).to_string(), "[\"\"]");
    }
}
