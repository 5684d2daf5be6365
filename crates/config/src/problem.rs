//! What is wrong with a configuration, collected rather than reported one at a time.

use std::fmt;

use crate::ledger::Ledger;
use crate::path::{Path, Step};

/// Problems beyond this many are only counted: a hostile megabyte of wrong keys must not become a gigabyte of messages.
pub const MAX_PROBLEMS: usize = 100;

/// Which part of a member a problem is about; it decides what a source position points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The key itself: it is unknown, or may not stand here.
    Key,
    /// The value at the path.
    Value,
    /// The member is missing; the position is that of what should contain it.
    Missing,
}

/// One thing that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub path: Path,
    /// What was expected and what was found, lower case, without the place: `expected a whole number from 1 to 65535,
    /// found "abc"`.
    pub message: String,
    /// What to do, where that is more than the message says already.
    pub remedy: Option<String>,
    /// Which part of the member this is about.
    pub subject: Subject,
}

impl Problem {
    /// A problem with the value at `path`.
    pub fn new(path: Path, message: impl Into<String>) -> Self {
        Self {
            path,
            message: message.into(),
            remedy: None,
            subject: Subject::Value,
        }
    }

    /// A key that nobody knows, with the nearest known one as a suggestion.
    pub(crate) fn unknown_key(object: &Path, name: &str, known: &[&str]) -> Self {
        let place = object.then(name.to_owned());
        let shown = crate::found::clip(name);
        let problem = Self::new(place, format!("unknown key `{shown}`")).about(Subject::Key);
        problem.with_remedy(match crate::found::nearest(name, known.iter().copied()) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("known keys: {}", known.join(", ")),
        })
    }

    /// The same problem with a remedy.
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same problem about another part of the member.
    pub fn about(mut self, subject: Subject) -> Self {
        self.subject = subject;
        self
    }

    /// The path as text: `routes[3].upstreams[0].url`; empty for the root.
    pub fn field(&self) -> String {
        self.path.to_string()
    }

    /// Message and remedy without the place, for a form that has a column of its own for the field.
    pub fn text(&self) -> String {
        match &self.remedy {
            Some(remedy) => format!("{}; {remedy}", self.message),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_root() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.text())
    }
}

/// A collection of [`Problem`]s, and the place a reader stands at while it collects them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
    unlisted: usize,
    here: Path,
    /// Only while layers are read.
    ledger: Option<Box<Ledger>>,
}

impl Problems {
    /// No problems, standing at the root.
    pub fn new() -> Self {
        Self::default()
    }

    /// No problems, standing at `path`: for a value that is part of a larger tree.
    pub fn at(path: Path) -> Self {
        Self {
            here: path,
            ..Self::default()
        }
    }

    /// No problems, standing at the root, with what is known of the values' sources.
    pub(crate) fn with(ledger: Ledger) -> Self {
        Self {
            ledger: Some(Box::new(ledger)),
            ..Self::default()
        }
    }

    /// Adds a problem that knows its own place.
    pub fn push(&mut self, problem: Problem) {
        if self.list.len() < MAX_PROBLEMS {
            self.list.push(problem);
        } else {
            self.unlisted += 1;
        }
    }

    /// Adds a problem with the value where the reader stands.
    pub fn report(&mut self, message: impl Into<String>) {
        self.push(Problem::new(self.here.clone(), message));
    }

    /// Takes over all problems of `other`.
    pub fn append(&mut self, other: Problems) {
        self.unlisted += other.unlisted;
        for problem in other.list {
            self.push(problem);
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many problems there are, with those that were only counted.
    pub fn len(&self) -> usize {
        self.list.len() + self.unlisted
    }

    /// How many problems were counted beyond [`MAX_PROBLEMS`].
    pub fn unlisted(&self) -> usize {
        self.unlisted
    }

    /// The problems in the order they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// `Ok(value)` when nothing is wrong, else all that is wrong.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }

    pub(crate) fn here(&self) -> &Path {
        &self.here
    }

    /// Reads with a ledger, also where nobody else keeps one: what is secret has to be known for messages.
    pub(crate) fn noting<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let is_own = self.ledger.is_none();
        self.ledger.get_or_insert_default();
        let result = read(self);
        if is_own {
            self.ledger = None;
        }
        result
    }

    pub(crate) fn take_ledger(&mut self) -> Option<Ledger> {
        self.ledger.take().map(|ledger| *ledger)
    }

    /// Notes something about the place where the reader stands, if anybody wants to know.
    pub(crate) fn note(&mut self, write: impl FnOnce(&mut Ledger, &Path)) {
        if let Some(ledger) = &mut self.ledger {
            write(ledger, &self.here);
        }
    }

    /// Whether the value here came as text, which is to be read by the target's type.
    pub(crate) fn is_text_here(&self) -> bool {
        self.ledger
            .as_ref()
            .is_some_and(|ledger| ledger.texts.contains(&self.here))
    }

    /// Whether messages must not show the value here.
    pub(crate) fn is_secret_here(&self) -> bool {
        self.ledger
            .as_ref()
            .is_some_and(|ledger| ledger.is_secret(&self.here))
    }

    /// Runs `read` one step further down. Every descent goes through here, so that the place is always right again after.
    pub(crate) fn within<T>(&mut self, step: Step, read: impl FnOnce(&mut Self) -> T) -> T {
        self.here.push(step);
        let result = read(self);
        self.here.pop();
        result
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

/// One line for each problem, without a final line break.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.list.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        if self.unlisted > 0 {
            write!(f, "\nand {} more", self.unlisted)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
