//! Alternatives as enums, by the forms in which `serde` writes them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Writer, doc, mixed, quoted};
use crate::generate::GenerateError;
use crate::generate::names::{Names, pascal};
use crate::generate::shape::{Object, Shape};

impl Writer<'_> {
    pub(super) fn union(
        &mut self,
        name: &str,
        text: &str,
        shapes: &[Shape],
        place: &str,
    ) -> Result<(), GenerateError> {
        let (attribute, body) = if let Some(tag) = tag(shapes) {
            (
                format!("#[serde(tag = {})]\n", quoted(&tag)),
                self.tagged(name, &tag, shapes, place)?,
            )
        } else if shapes.iter().all(is_outside_tagged) {
            (String::new(), self.outside_tagged(name, shapes, place)?)
        } else {
            (
                "#[serde(untagged)]\n".to_owned(),
                self.untagged(name, shapes, place)?,
            )
        };
        let _ = write!(
            self.out,
            "\n{}#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]\n{attribute}pub enum {name} {{\n{body}}}\n",
            doc("", text)
        );
        Ok(())
    }

    /// Objects in which one member says which they are.
    fn tagged(
        &mut self,
        name: &str,
        tag: &str,
        shapes: &[Shape],
        place: &str,
    ) -> Result<String, GenerateError> {
        let mut variants = Names::without(&["Self"]);
        let mut body = String::new();
        for shape in shapes {
            let (mut object, parts) = split(shape);
            let word = word_of(&object, tag).unwrap_or_default();
            object.members.retain(|member| member.name != tag);
            let variant = variants.take(pascal(&word));
            put_rename(&mut body, &variant, &word);
            let hint = format!("{name}{variant}");
            if let ([part], true) = (&parts[..], object.members.is_empty()) {
                let part = self.type_of(part, &hint, place)?;
                let _ = writeln!(body, "    {variant}({part}),");
                continue;
            }
            let members = self.members(&hint, &object, &parts, "        ", "", place)?;
            if members.is_empty() {
                let _ = writeln!(body, "    {variant},");
            } else {
                let _ = writeln!(body, "    {variant} {{\n{members}    }},");
            }
        }
        Ok(body)
    }

    /// Texts, and objects with one member whose name says which they are.
    fn outside_tagged(
        &mut self,
        name: &str,
        shapes: &[Shape],
        place: &str,
    ) -> Result<String, GenerateError> {
        let mut variants = Names::without(&["Self"]);
        let mut body = String::new();
        for shape in shapes {
            match shape {
                Shape::Literals(values) => {
                    for word in values.iter().filter_map(|value| value.as_str()) {
                        let variant = variants.take(pascal(word));
                        put_rename(&mut body, &variant, word);
                        let _ = writeln!(body, "    {variant},");
                    }
                }
                Shape::Object(object) => {
                    let member = &object.members[0];
                    let variant = variants.take(pascal(&member.name));
                    let inner = self.type_of(&member.shape, &format!("{name}{variant}"), place)?;
                    put_rename(&mut body, &variant, &member.name);
                    let _ = writeln!(body, "    {variant}({inner}),");
                }
                _ => {}
            }
        }
        Ok(body)
    }

    /// The first that fits. Of two objects the one that asks for more must be tried before the one that asks for less.
    fn untagged(
        &mut self,
        name: &str,
        shapes: &[Shape],
        place: &str,
    ) -> Result<String, GenerateError> {
        let mut variants = Names::without(&["Self"]);
        let mut body = String::new();
        for shape in shapes {
            let variant = variants.take(match shape {
                Shape::Named(target) => pascal(target),
                Shape::Any => "Any".to_owned(),
                Shape::Null => "Null".to_owned(),
                Shape::Boolean => "Boolean".to_owned(),
                Shape::Text => "Text".to_owned(),
                Shape::Integer(_) => "Integer".to_owned(),
                Shape::Number(_) => "Number".to_owned(),
                Shape::Literals(_) => "Word".to_owned(),
                Shape::List(_) => "List".to_owned(),
                Shape::Tuple(_) => "Tuple".to_owned(),
                Shape::Map(_) => "Map".to_owned(),
                Shape::Object(_) | Shape::OneOf(_) | Shape::All(_) => "Object".to_owned(),
            });
            let inner = self.type_of(shape, &format!("{name}{variant}"), place)?;
            let _ = writeln!(body, "    {variant}({inner}),");
        }
        for (number, shape) in shapes.iter().enumerate() {
            if let Some(later) = shapes[number + 1..]
                .iter()
                .find(|later| self.hides(shape, later))
            {
                let reason = format!(
                    "of two alternatives the first hides the second, {later:?}; give them a tag"
                );
                return Err(GenerateError::at(place, reason));
            }
        }
        Ok(body)
    }

    /// Whether whatever fits the later shape fits this one, which is tried before it.
    fn hides(&self, shape: &Shape, later: &Shape) -> bool {
        let (shape, later) = (self.contract.resolved(shape), self.contract.resolved(later));
        match (shape, later) {
            (Shape::Any, _)
            | (Shape::Text, Shape::Literals(_))
            | (Shape::Number(_), Shape::Integer(_)) => true,
            (Shape::Object(one), Shape::Object(other)) => {
                let required = one.members.iter().filter(|member| member.is_required);
                required.clone().all(|member| {
                    let same = other.members.iter().find(|known| known.name == member.name);
                    same.is_some_and(|same| same.is_required && same.shape == member.shape)
                })
            }
            _ => false,
        }
    }
}

fn put_rename(body: &mut String, variant: &str, word: &str) {
    if variant != word {
        let _ = writeln!(body, "    #[serde(rename = {})]", quoted(word));
    }
}

/// An alternative's own members, and the shapes that are mixed in.
fn split(shape: &Shape) -> (Object, Vec<Shape>) {
    match shape {
        Shape::All(parts) => mixed(parts),
        shape => mixed(std::slice::from_ref(shape)),
    }
}

/// The member that has another text in each of these.
fn tag(shapes: &[Shape]) -> Option<String> {
    let (first, _) = split(shapes.first()?);
    let mut names = first.members.iter().map(|member| member.name.clone());
    names.find(|name| {
        let mut words = BTreeSet::new();
        shapes.iter().all(|shape| {
            let (object, _) = split(shape);
            word_of(&object, name).is_some_and(|word| words.insert(word))
        })
    })
}

/// The one text that this member has.
fn word_of(object: &Object, name: &str) -> Option<String> {
    let member = object.members.iter().find(|member| member.name == name)?;
    match &member.shape {
        Shape::Literals(values) if values.len() == 1 && member.is_required => {
            values[0].as_str().map(str::to_owned)
        }
        _ => None,
    }
}

fn is_outside_tagged(shape: &Shape) -> bool {
    match shape {
        Shape::Literals(values) => values.iter().all(serde_json::Value::is_string),
        Shape::Object(Object {
            members,
            others: None,
        }) => members.len() == 1 && members[0].is_required,
        _ => false,
    }
}
