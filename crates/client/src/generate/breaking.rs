//! Which changes between two documents break those who call by the older one.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::GenerateError;
use super::contract::{Contract, Method};
use super::shape::{Member, Object, Shape};

/// A change that breaks callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The method, as `users@1/find`.
    pub method: String,
    /// Where in its input or output: `output.items[].id`; empty for the method itself.
    pub place: String,
    /// What has changed.
    pub kind: Kind,
}

/// In which way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The method, or its whole line of versions, is not there any more.
    MethodGone,
    /// The output has lost a member, or does not promise it any more.
    MemberGone,
    /// The input needs a member that it did not need.
    NewRequiredInput,
    /// The input has lost a member: what callers send in it has no effect any more, or is refused.
    InputMemberGone,
    /// The value has another type, or takes or gives other values.
    TypeChanged,
    /// The method does not answer with this code any more.
    CodeGone(String),
    /// It answered with one output and answers with a stream, or the other way round.
    StreamChanged,
}

/// The changes that break callers of the same line of versions: major ones, below 1.0.0 minor ones. In the order of methods.
///
/// It errs on the side of telling: alternatives that are told in another way without being others count as changed. What
/// outputs have in addition breaks nobody, and neither do new codes.
///
/// # Errors
/// For a document that cannot be read, with the place.
pub fn breaking(old: &Value, new: &Value) -> Result<Vec<Change>, GenerateError> {
    let (old, new) = (Contract::read(old)?, Contract::read(new)?);
    let mut changes = Vec::new();
    for (line, service) in &old.services {
        for (name, method) in &service.methods {
            let successor = new
                .services
                .get(line)
                .and_then(|service| service.methods.get(name));
            let mut found = Comparison {
                old: &old,
                new: &new,
                method: &method.called,
                seen: BTreeSet::new(),
                changes: &mut changes,
            };
            match successor {
                None => found.tell("", Kind::MethodGone),
                Some(successor) => found.methods(method, successor),
            }
        }
    }
    Ok(changes)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    Input,
    Output,
}

struct Comparison<'a> {
    old: &'a Contract,
    new: &'a Contract,
    method: &'a str,
    /// Pairs of names that were compared, or are being compared: types may speak of themselves.
    seen: BTreeSet<(Direction, String, String)>,
    changes: &'a mut Vec<Change>,
}

impl Comparison<'_> {
    fn tell(&mut self, place: &str, kind: Kind) {
        self.changes.push(Change {
            method: self.method.to_owned(),
            place: place.to_owned(),
            kind,
        });
    }

    fn methods(&mut self, old: &Method, new: &Method) {
        for code in old.codes.difference(&new.codes) {
            self.tell("", Kind::CodeGone(code.clone()));
        }
        if old.is_stream != new.is_stream {
            self.tell("", Kind::StreamChanged);
        }
        self.shapes(&old.input, &new.input, "input", Direction::Input);
        self.shapes(&old.output, &new.output, "output", Direction::Output);
    }

    fn shapes(&mut self, old: &Shape, new: &Shape, place: &str, direction: Direction) {
        if let (Shape::Named(one), Shape::Named(other)) = (old, new)
            && !self.seen.insert((direction, one.clone(), other.clone()))
        {
            return;
        }
        let (old, new) = (self.old.resolved(old), self.new.resolved(new));
        let ((old, old_null), (new, new_null)) = (old.without_null(), new.without_null());
        let null_breaks = match direction {
            Direction::Input => old_null && !new_null,
            Direction::Output => new_null && !old_null,
        };
        let (old, new) = match (old, new) {
            (Some(old), Some(new)) if !null_breaks => (old, new),
            (None, None) => return,
            // What was never anything but `null` may become more where it comes in, and less where it goes out.
            (None, Some(_)) if direction == Direction::Input && new_null => return,
            (Some(_), None) if direction == Direction::Output && old_null => return,
            _ => return self.tell(place, Kind::TypeChanged),
        };
        // An optional value is a reference beside `null`.
        if matches!(old, Shape::Named(_)) || matches!(new, Shape::Named(_)) {
            return self.shapes(&old, &new, place, direction);
        }
        match (&old, &new) {
            (Shape::Object(old), Shape::Object(new)) => self.objects(old, new, place, direction),
            (Shape::List(old), Shape::List(new)) => {
                self.shapes(old, new, &format!("{place}[]"), direction);
            }
            (Shape::Map(old), Shape::Map(new)) => {
                self.shapes(old, new, &format!("{place}{{}}"), direction);
            }
            (Shape::Tuple(old), Shape::Tuple(new)) if old.len() == new.len() => {
                for (number, (old, new)) in old.iter().zip(new).enumerate() {
                    self.shapes(old, new, &format!("{place}[{number}]"), direction);
                }
            }
            (Shape::OneOf(old), Shape::OneOf(new)) | (Shape::All(old), Shape::All(new))
                if old.len() == new.len() =>
            {
                for (number, (old, new)) in old.iter().zip(new).enumerate() {
                    self.shapes(old, new, &format!("{place}|{number}"), direction);
                }
            }
            (Shape::Literals(old), Shape::Literals(new)) => {
                let (less, more) = match direction {
                    Direction::Input => (old, new),
                    Direction::Output => (new, old),
                };
                if less.iter().any(|value| !more.contains(value)) {
                    self.tell(place, Kind::TypeChanged);
                }
            }
            (old, new) if old == new => {}
            // Whoever takes anything takes what it took before, and a text was one of anything.
            (_, Shape::Any) if direction == Direction::Input => {}
            (Shape::Any, _) if direction == Direction::Output => {}
            (Shape::Literals(values), Shape::Text)
                if direction == Direction::Input && values.iter().all(Value::is_string) => {}
            (Shape::Text, Shape::Literals(values))
                if direction == Direction::Output && values.iter().all(Value::is_string) => {}
            _ => self.tell(place, Kind::TypeChanged),
        }
    }

    fn objects(&mut self, old: &Object, new: &Object, place: &str, direction: Direction) {
        let find =
            |members: &[Member], name: &str| members.iter().position(|member| member.name == name);
        for member in &old.members {
            let inner = format!("{place}.{}", member.name);
            let successor = find(&new.members, &member.name).map(|at| &new.members[at]);
            match (successor, direction) {
                (None, Direction::Input) => self.tell(&inner, Kind::InputMemberGone),
                (None, Direction::Output) => self.tell(&inner, Kind::MemberGone),
                (Some(successor), _) => {
                    if direction == Direction::Output
                        && member.is_required
                        && !successor.is_required
                    {
                        self.tell(&inner, Kind::MemberGone);
                    }
                    if direction == Direction::Input && successor.is_required && !member.is_required
                    {
                        self.tell(&inner, Kind::NewRequiredInput);
                    }
                    self.shapes(&member.shape, &successor.shape, &inner, direction);
                }
            }
        }
        if direction == Direction::Input {
            let added = new
                .members
                .iter()
                .filter(|member| find(&old.members, &member.name).is_none());
            for member in added.filter(|member| member.is_required) {
                self.tell(&format!("{place}.{}", member.name), Kind::NewRequiredInput);
            }
        }
        match (&old.others, &new.others) {
            (None, None) => {}
            (Some(old), Some(new)) => self.shapes(old, new, &format!("{place}{{}}"), direction),
            (Some(_), None) if direction == Direction::Output => {}
            (None, Some(_)) => {}
            _ => self.tell(place, Kind::TypeChanged),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method,
            place,
            kind,
        } = self;
        let at = if place.is_empty() {
            String::new()
        } else {
            format!(" {place}")
        };
        match kind {
            Kind::MethodGone => write!(f, "{method}: the method is gone"),
            Kind::MemberGone => write!(
                f,
                "{method}{at}: the output does not promise this member any more"
            ),
            Kind::NewRequiredInput => write!(f, "{method}{at}: the input needs this member now"),
            Kind::InputMemberGone => write!(f, "{method}{at}: the input has lost this member"),
            Kind::TypeChanged => write!(f, "{method}{at}: the type is another"),
            Kind::CodeGone(code) => {
                write!(f, "{method}: it does not answer with `{code}` any more")
            }
            Kind::StreamChanged => write!(
                f,
                "{method}: one output has become a stream, or a stream one output"
            ),
        }
    }
}
