//! Typed reading of a [`serde_json::Value`] tree that goes on after a mistake, so that one run names all of them.
//!
//! A *parser* is any function `Fn(Node) -> Option<T>`: `None` means that it has reported why. The ready-made ones are
//! in [`crate::parse`].

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::ledger::Ledger;
use crate::path::{Path, Step};
use crate::problem::{Problem, Problems, Subject};
use crate::shown::Shown;

/// Reads a whole tree: the value, or every problem in it.
///
/// ```
/// use bastide_config::{parse, read};
/// let value = serde_json::json!({"port": "abc", "hots": "a"});
/// let problems = read::tree(&value, |node| {
///     node.object(|fields| {
///         let port = fields.required("port", parse::integer(1..=65535_u16));
///         let host = fields.or("host", "localhost".to_owned(), parse::string(1..=253));
///         Some((port?, host))
///     })
/// })
/// .unwrap_err();
/// assert_eq!(
///     problems.to_string(),
///     "port: expected a whole number from 1 to 65535, found \"abc\"\n\
///      hots: unknown key `hots`; did you mean `host`?"
/// );
/// ```
pub fn tree<T>(
    value: &Value,
    parser: impl FnOnce(Node<'_, '_>) -> Option<T>,
) -> Result<T, Problems> {
    tree_at(Path::root(), value, parser)
}

/// As [`tree`], for a value that stands at `path` in a larger one.
pub fn tree_at<T>(
    path: Path,
    value: &Value,
    parser: impl FnOnce(Node<'_, '_>) -> Option<T>,
) -> Result<T, Problems> {
    let mut problems = Problems::at(path);
    let result = parser(Node::new(value, &mut problems));
    if result.is_none() && problems.is_empty() {
        problems.report("this value is not accepted");
    }
    match result {
        Some(result) => problems.into_result(result),
        None => Err(problems),
    }
}

/// One value, its place, and where to report what is wrong with it.
#[derive(Debug)]
pub struct Node<'v, 'p> {
    value: &'v Value,
    problems: &'p mut Problems,
    text: bool,
    hidden: bool,
}

impl<'v, 'p> Node<'v, 'p> {
    /// The value at the place where `problems` stands.
    pub fn new(value: &'v Value, problems: &'p mut Problems) -> Self {
        Self {
            value,
            problems,
            text: false,
            hidden: false,
        }
    }

    /// A value from a source that knows only text (environment, flags): numbers, booleans and lists are read from strings.
    pub fn from_text(value: &'v Value, problems: &'p mut Problems) -> Self {
        Self {
            value,
            problems,
            text: true,
            hidden: false,
        }
    }

    /// The raw value.
    pub fn value(&self) -> &'v Value {
        self.value
    }

    /// The place of the value.
    pub fn path(&self) -> &Path {
        self.problems.here()
    }

    /// Whether scalars may arrive as text.
    pub fn is_text(&self) -> bool {
        self.text
    }

    /// Reports `message` for this value; always `None`, so that a parser can end with it.
    pub fn reject<T>(&mut self, message: impl Into<String>) -> Option<T> {
        self.problems.report(message);
        None
    }

    /// As [`Node::reject`], with what to do about it.
    pub fn reject_with<T>(
        &mut self,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Option<T> {
        let problem = Problem::new(self.path().clone(), message).with_remedy(remedy);
        self.problems.push(problem);
        None
    }

    /// Reports `expected {what}, found {value}`.
    pub fn expected<T>(&mut self, what: impl std::fmt::Display) -> Option<T> {
        let message = format!("expected {what}, found {}", self.found());
        self.reject(message)
    }

    /// The value as messages show it: clipped, without the password of a URL; only its kind if it is hidden.
    pub fn found(&self) -> String {
        if self.hidden {
            crate::found::kind(self.value).to_owned()
        } else {
            crate::found::describe(self.value)
        }
    }

    /// Lists of the values in use leave this one out.
    pub(crate) fn note_secret(&mut self) {
        self.problems.note(|ledger, here| {
            ledger.secrets.insert(here.clone());
        });
    }

    /// Whether messages must not show the value.
    pub fn hidden(mut self, hidden: bool) -> Self {
        self.hidden = hidden;
        self
    }

    /// The same value for another parser; what that one reports counts.
    pub fn again(&mut self) -> Node<'v, '_> {
        Node {
            value: self.value,
            problems: self.problems,
            text: self.text,
            hidden: self.hidden,
        }
    }

    pub(crate) fn with<'w>(&mut self, value: &'w Value) -> Node<'w, '_> {
        Node {
            value,
            problems: self.problems,
            text: self.text,
            hidden: self.hidden,
        }
    }

    /// Reads an object. Keys that `read` did not ask for are reported after it returns, so ask for every key before
    /// the first `?`.
    pub fn object<T>(mut self, read: impl FnOnce(&mut Fields<'v, '_>) -> Option<T>) -> Option<T> {
        let Value::Object(members) = self.value else {
            return self.expected("an object");
        };
        let mut fields = Fields::of(members, self.problems);
        let result = read(&mut fields);
        fields.finish();
        result
    }

    /// Reads each element of a list. `None` if it is no list or any element was refused (all are read all the same).
    pub fn list<T>(mut self, mut parser: impl FnMut(Node<'v, '_>) -> Option<T>) -> Option<Vec<T>> {
        let Value::Array(elements) = self.value else {
            if self.text && self.value.is_string() {
                // Read again with the text taken apart at its commas.
                self.problems.note(|ledger, here| {
                    ledger.lists.insert(here.clone());
                });
            }
            return self.expected("a list");
        };
        let mut results = Vec::with_capacity(elements.len());
        for (index, element) in elements.iter().enumerate() {
            let (text, hidden) = (self.text, self.hidden);
            let result = self.problems.within(Step::Index(index), |problems| {
                parser(Node {
                    value: element,
                    problems,
                    text,
                    hidden,
                })
            });
            results.extend(result);
        }
        (results.len() == elements.len()).then_some(results)
    }

    /// Reads each member of an object whose keys are free. `key` accepts a key or says what is wrong with it.
    pub fn map<T>(
        mut self,
        mut key: impl FnMut(&str) -> Result<(), String>,
        mut parser: impl FnMut(Node<'v, '_>) -> Option<T>,
    ) -> Option<Vec<(String, T)>> {
        let Value::Object(members) = self.value else {
            return self.expected("an object");
        };
        self.problems.note(Ledger::any_key);
        let mut results = Vec::with_capacity(members.len());
        for (name, member) in members {
            let (text, hidden) = (self.text, self.hidden);
            let result = self.problems.within(Step::from(name.clone()), |problems| {
                let text = text || problems.is_text_here();
                let hidden = hidden || problems.is_secret_here();
                if let Err(message) = key(name) {
                    let place = problems.here().clone();
                    problems.push(Problem::new(place, message).about(Subject::Key));
                    return None;
                }
                parser(Node {
                    value: member,
                    problems,
                    text,
                    hidden,
                })
            });
            results.extend(result.map(|value| (name.clone(), value)));
        }
        (results.len() == members.len()).then_some(results)
    }
}

/// The three things a member of a change request can say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// The key is not there: leave the value as it is.
    #[default]
    Absent,
    /// The key is there and `null`: clear the value.
    Null,
    /// The key is there with a value: set it.
    Value(T),
}

impl<T> Patch<T> {
    /// Carries the change out on a value that may be missing.
    pub fn apply(self, target: &mut Option<T>) {
        match self {
            Self::Absent => {}
            Self::Null => *target = None,
            Self::Value(value) => *target = Some(value),
        }
    }

    /// Whether the key was not there.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The new value, if one was given.
    pub fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// The same change of another type.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Absent => Patch::Absent,
            Self::Null => Patch::Null,
            Self::Value(value) => Patch::Value(change(value)),
        }
    }
}

/// The members of one object. Each key asked for counts as known; [`Fields::finish`] reports the others.
#[derive(Debug)]
pub struct Fields<'v, 'p> {
    members: &'v Map<String, Value>,
    problems: &'p mut Problems,
    known: Vec<&'static str>,
}

impl<'v, 'p> Fields<'v, 'p> {
    /// The members of `value`; when it is no object that is reported, and `None`.
    pub fn new(value: &'v Value, problems: &'p mut Problems) -> Option<Self> {
        match value {
            Value::Object(members) => Some(Self::of(members, problems)),
            _ => Node::new(value, problems).expected("an object"),
        }
    }

    fn of(members: &'v Map<String, Value>, problems: &'p mut Problems) -> Self {
        Self {
            members,
            problems,
            known: Vec::new(),
        }
    }

    /// The raw value of a key, which counts as known from now on.
    pub fn raw(&mut self, name: &'static str) -> Option<&'v Value> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.members.get(name)
    }

    /// Whether the key is there, `null` or not. It does not count as known for being asked.
    pub fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// A member that must be there and not `null`.
    pub fn required<T>(
        &mut self,
        name: &'static str,
        parser: impl FnOnce(Node<'v, '_>) -> Option<T>,
    ) -> Option<T> {
        if let Some(value) = self.raw(name) {
            return self.parse(name, value, parser);
        }
        let place = self.problems.here().then(name);
        let problem = Problem::new(place, "is required").about(Subject::Missing);
        self.problems.push(problem);
        None
    }

    /// A member that may be absent; `null` means absent too. `None` also when the parser refused it (and said so).
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        parser: impl FnOnce(Node<'v, '_>) -> Option<T>,
    ) -> Option<T> {
        match self.raw(name) {
            None | Some(Value::Null) => None,
            Some(value) => self.parse(name, value, parser),
        }
    }

    /// A member with a default for when it is absent or `null` (or was refused: then a problem stands, and the default
    /// only lets the reading go on).
    pub fn or<T>(
        &mut self,
        name: &'static str,
        default: T,
        parser: impl FnOnce(Node<'v, '_>) -> Option<T>,
    ) -> T {
        self.optional(name, parser).unwrap_or(default)
    }

    /// As [`Fields::or`], and while nothing is written the default is listed among the values in use.
    pub fn setting<T: Shown>(
        &mut self,
        name: &'static str,
        default: T,
        parser: impl FnOnce(Node<'v, '_>) -> Option<T>,
    ) -> T {
        self.default(name, default.shown());
        self.or(name, default, parser)
    }

    /// Says what holds while nothing is written at this member, to be listed among the values in use. The key does not count as
    /// known by that.
    pub fn default(&mut self, name: &'static str, default: impl Into<Value>) {
        let default = default.into();
        self.problems.note(|ledger, here| {
            ledger.defaults.insert(here.then(name), default);
        });
    }

    /// As [`Fields::or`] with a default that is made only when needed.
    pub fn or_else<T>(
        &mut self,
        name: &'static str,
        default: impl FnOnce() -> T,
        parser: impl FnOnce(Node<'v, '_>) -> Option<T>,
    ) -> T {
        self.optional(name, parser).unwrap_or_else(default)
    }

    /// A member of a change request, where absent and `null` differ. [`Patch::Absent`] also when the parser refused it.
    pub fn patch<T>(
        &mut self,
        name: &'static str,
        parser: impl FnOnce(Node<'v, '_>) -> Option<T>,
    ) -> Patch<T> {
        match self.raw(name) {
            None => Patch::Absent,
            Some(Value::Null) => Patch::Null,
            Some(value) => self
                .parse(name, value, parser)
                .map_or(Patch::Absent, Patch::Value),
        }
    }

    /// A member of a change request that cannot be cleared: absent leaves it, `null` is a mistake.
    pub fn change<T>(
        &mut self,
        name: &'static str,
        parser: impl FnOnce(Node<'v, '_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.raw(name)?;
        self.parse(name, value, parser)
    }

    /// A list member, empty when absent or `null`.
    pub fn list<T>(
        &mut self,
        name: &'static str,
        parser: impl FnMut(Node<'v, '_>) -> Option<T>,
    ) -> Vec<T> {
        self.optional(name, |node| node.list(parser))
            .unwrap_or_default()
    }

    /// An object member that may be absent or `null`.
    pub fn object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'v, '_>) -> Option<T>,
    ) -> Option<T> {
        self.optional(name, |node| node.object(read))
    }

    /// An object member; an absent one is read as an empty one, so that the defaults of its members stand in one place.
    pub fn object_or_empty<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'_, '_>) -> Option<T>,
    ) -> Option<T> {
        let empty = Value::Object(Map::new());
        let value = match self.raw(name) {
            None | Some(Value::Null) => &empty,
            Some(value) => value,
        };
        self.problems.within(Step::from(name), |problems| {
            Node::new(value, problems).object(read)
        })
    }

    /// A member that is read by the type's own `Deserialize`, after its JSON Schema was checked, so that every mistake in it is
    /// named: wrong types, missing members, unknown keys (also where the type would let them pass), numbers and lengths
    /// out of range, names that are none. What only the type itself can refuse is named too, one at a time. A member
    /// that is absent is read as an empty object where the type is one.
    pub fn section<T: DeserializeOwned + JsonSchema>(&mut self, name: &'static str) -> Option<T> {
        let value = self.raw(name);
        self.problems.within(Step::from(name), |problems| {
            problems.noting(|problems| crate::section::read(value, problems))
        })
    }

    /// Accepts a key without using it, for a document that came from this program's own output (`id`, `createdAt`).
    pub fn ignore(&mut self, name: &'static str) {
        self.raw(name);
    }

    /// Reports a problem with the object as a whole.
    pub fn reject<T>(&mut self, message: impl Into<String>) -> Option<T> {
        self.problems.report(message);
        None
    }

    /// Reports a problem with one member, as rules that span several members do.
    pub fn reject_field<T>(&mut self, name: &'static str, message: impl Into<String>) -> Option<T> {
        let subject = if self.has(name) {
            Subject::Value
        } else {
            Subject::Missing
        };
        let place = self.problems.here().then(name);
        self.problems
            .push(Problem::new(place, message).about(subject));
        None
    }

    /// The place of the object.
    pub fn path(&self) -> &Path {
        self.problems.here()
    }

    /// Reports every key nobody asked for, with the nearest known one as a suggestion.
    pub fn finish(mut self) {
        self.note();
        for name in self.members.keys() {
            if self.known.contains(&name.as_str()) {
                continue;
            }
            let problem = Problem::unknown_key(self.problems.here(), name, &self.known);
            self.problems.push(problem);
        }
    }

    /// Leaves keys that nobody asked for to somebody else.
    pub(crate) fn leave(mut self) {
        self.note();
    }

    fn note(&mut self) {
        let known = &self.known;
        self.problems.note(|ledger, here| ledger.keys(here, known));
    }

    fn parse<T>(
        &mut self,
        name: &'static str,
        value: &'v Value,
        parser: impl FnOnce(Node<'v, '_>) -> Option<T>,
    ) -> Option<T> {
        self.problems.within(Step::from(name), |problems| {
            let text = problems.is_text_here();
            let hidden = problems.is_secret_here();
            parser(Node {
                value,
                problems,
                text,
                hidden,
            })
        })
    }
}
