//! The merged layers, and which of them each value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Mistake, TEMPLATE};
use crate::document::{Document, Position};
use crate::path::{Path, Step};
use crate::problem::Problem;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// In a file.
    File {
        /// The file, by the name it was asked for.
        name: String,
        /// Where in it.
        at: Position,
    },
    /// In this environment variable.
    Variable(String),
    /// Nowhere: it is the default that the program states.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { name, at } => write!(f, "{name}:{at}"),
            Self::Variable(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
        }
    }
}

#[derive(Clone, Debug)]
enum Origin {
    Document(Arc<Document>),
    Variable(String),
}

/// Layers merged so far.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    value: Value,
    /// Of every value but those within lists: these stand where their list stands.
    origins: BTreeMap<Path, Origin>,
    documents: Vec<Arc<Document>>,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            value: Value::Object(Map::new()),
            origins: BTreeMap::new(),
            documents: Vec::new(),
        }
    }
}

impl Tree {
    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// Lays a document over what is there.
    pub(super) fn cover(&mut self, document: Document) {
        let document = Arc::new(document);
        let origin = Origin::Document(Arc::clone(&document));
        cover(
            &mut self.value,
            document.value(),
            &Path::root(),
            &origin,
            &mut self.origins,
        );
        self.documents.push(document);
    }

    /// The value at a path of keys.
    pub(super) fn get(&self, path: &Path) -> Option<&Value> {
        path.steps()
            .iter()
            .try_fold(&self.value, |value, step| match step {
                Step::Key(key) => value.get(key.as_ref()),
                Step::Index(index) => value.get(index),
            })
    }

    /// Puts what a variable says at a path of keys. Everything around it is an object already.
    pub(super) fn set(&mut self, path: &Path, value: Value, variable: &str) {
        let mut place = &mut self.value;
        for step in path.steps() {
            let (Step::Key(key), Value::Object(members)) = (step, place) else {
                return;
            };
            place = members.entry(key.as_ref()).or_insert(Value::Null);
        }
        *place = value;
        forget_below(&mut self.origins, path);
        let origin = Origin::Variable(variable.to_owned());
        self.origins.insert(path.clone(), origin);
    }

    /// The member of the root that another tree has, in place of the one that is here.
    pub(super) fn take_over(&mut self, name: &str, other: &Self) {
        let path = Path::root().then(name.to_owned());
        forget_below(&mut self.origins, &path);
        self.origins.remove(&path);
        if let Value::Object(members) = &mut self.value {
            match other.value.get(name) {
                Some(value) => drop(members.insert(name.to_owned(), value.clone())),
                None => drop(members.remove(name)),
            }
        }
        let theirs = other
            .origins
            .iter()
            .filter(|(place, _)| within(place, &path));
        self.origins
            .extend(theirs.map(|(place, origin)| (place.clone(), origin.clone())));
    }

    /// Where the value at this path was written.
    pub(super) fn source_of(&self, path: &Path) -> Option<Source> {
        self.source(&Problem::new(path.clone(), ""))
    }

    /// Where the mistake was made; for a member that is missing, where it should be written.
    pub(super) fn source(&self, problem: &Problem) -> Option<Source> {
        let steps = problem.path.steps();
        let nearest = (1..=steps.len())
            .rev()
            .find_map(|depth| self.origins.get(&steps[..depth].iter().cloned().collect()));
        let document = match nearest {
            Some(Origin::Variable(name)) => return Some(Source::Variable(name.clone())),
            Some(Origin::Document(document)) => document,
            // A member of the root that nobody wrote: it belongs into the first file.
            None => self.documents.first()?,
        };
        Some(Source::File {
            name: document.name().to_owned(),
            at: document.place(problem),
        })
    }

    /// Texts that were meant to be replaced by something else.
    pub(super) fn templates(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for document in &self.documents {
            find(document.value(), &Path::root(), &mut |path| {
                mistakes.push(Mistake {
                    source: Some(Source::File {
                        name: document.name().to_owned(),
                        at: document.locate(path),
                    }),
                    message: crate::document::one_line(&format!("{path}: {TEMPLATE}")),
                });
            });
        }
        mistakes
    }
}

fn cover(
    under: &mut Value,
    over: &Value,
    path: &Path,
    origin: &Origin,
    origins: &mut BTreeMap<Path, Origin>,
) {
    if !path.is_root() {
        origins.insert(path.clone(), origin.clone());
    }
    let Value::Object(over) = over else {
        forget_below(origins, path);
        *under = over.clone();
        return;
    };
    if !under.is_object() {
        *under = Value::Object(Map::new());
    }
    let Value::Object(members) = under else {
        return;
    };
    for (name, value) in over {
        let place = members.entry(name).or_insert(Value::Null);
        cover(place, value, &path.then(name.clone()), origin, origins);
    }
}

fn forget_below(origins: &mut BTreeMap<Path, Origin>, path: &Path) {
    origins.retain(|place, _| place == path || !within(place, path));
}

fn within(place: &Path, path: &Path) -> bool {
    place.steps().starts_with(path.steps())
}

fn find(value: &Value, path: &Path, found: &mut impl FnMut(&Path)) {
    match value {
        Value::String(text) if text.contains("${") => found(path),
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                find(element, &path.then(index), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                find(member, &path.then(name.clone()), found);
            }
        }
        _ => {}
    }
}
