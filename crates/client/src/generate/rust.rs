//! A contract as Rust.

mod boxed;
mod union;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::GenerateError;
use super::contract::{Contract, Method};
use super::names::{Names, pascal, snake};
use super::shape::{Object, Shape};

/// What a Rust file, and what it imports, call theirs.
const TAKEN: &[&str] = &[
    "BTreeMap",
    "Box",
    "CallError",
    "Client",
    "Deserialize",
    "Err",
    "Items",
    "None",
    "Ok",
    "Option",
    "Result",
    "Self",
    "Serialize",
    "Some",
    "String",
    "Vec",
];
/// Words that no member and no method can be called without more.
const RESERVED: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

pub(super) fn write(contract: &Contract) -> Result<String, GenerateError> {
    let mut names = Names::without(TAKEN);
    let types = contract.types.keys();
    let types: BTreeMap<_, _> = types
        .map(|name| (name.clone(), names.take(pascal(name))))
        .collect();
    let mut writer = Writer {
        boxed: boxed::within(contract),
        contract,
        types,
        names,
        current: None,
        out: String::new(),
    };
    for (name, definition) in &contract.types {
        writer.current = Some(name.clone());
        let place = format!("#/components/schemas/{name}");
        let name = writer.types[name].clone();
        writer.definition(&name, &definition.doc, &definition.shape, &place)?;
    }
    writer.current = None;
    let lines_of = |name: &str| {
        contract
            .services
            .keys()
            .filter(|(other, _)| other == name)
            .count()
    };
    let mut clients = String::new();
    let mut has_streams = false;
    for ((name, line), service) in &contract.services {
        let version = if lines_of(name) > 1 {
            format!("V{}", pascal(line).trim_start_matches('N'))
        } else {
            String::new()
        };
        let base = format!("{}{version}", pascal(name));
        let client = writer.names.take(format!("{base}Client"));
        let _ = write!(
            clients,
            "\n/// Calls `{name}`, made from version {} of it.\n#[derive(Debug, Clone)]\npub struct {client} {{\n    \
             client: Client,\n}}\n\nimpl {client} {{\n    /// Calls by this client.\n    \
             pub fn new(client: Client) -> Self {{\n        Self {{ client }}\n    }}\n",
            service.latest
        );
        let mut methods = Names::without(&["new"]);
        for (method_name, method) in &service.methods {
            has_streams |= method.is_stream;
            let called = methods.take(unreserved(method_name));
            let hint = format!("{base}{}", pascal(method_name));
            clients += &writer.method(method, &called, &hint)?;
        }
        clients += "}\n";
    }
    let items = if has_streams { ", Items" } else { "" };
    let collections = if writer.out.contains("BTreeMap<") || clients.contains("BTreeMap<") {
        "use std::collections::BTreeMap;\n\n"
    } else {
        ""
    };
    let serde = if writer.out.is_empty() {
        ""
    } else {
        "use serde::{Deserialize, Serialize};\n"
    };
    Ok(format!(
        "// Made from a service's description. Changes here are lost when it is made again.\n\n{collections}\
         use bastide_client::{{CallError, Client{items}}};\n{serde}\n\
         /// The SHA-256 of what the service promised when this was made.\npub const CONTRACT: &str =\n    \"{}\";\n{}{clients}",
        contract.hash, writer.out
    ))
}

struct Writer<'a> {
    contract: &'a Contract,
    /// By the document's names.
    types: BTreeMap<String, String>,
    names: Names,
    /// Which of a type's references stand in the way of its having a size.
    boxed: BTreeSet<(String, String)>,
    /// The document's type that is being written.
    current: Option<String>,
    out: String,
}

impl Writer<'_> {
    fn method(&mut self, method: &Method, name: &str, hint: &str) -> Result<String, GenerateError> {
        let place = &method.place;
        let output = self.type_of(&method.output, &format!("{hint}Output"), place)?;
        let (parameter, value) = match &method.input {
            Shape::Null => (String::new(), "&()"),
            input => (
                format!(
                    ", input: &{}",
                    self.type_of(input, &format!("{hint}Input"), place)?
                ),
                "input",
            ),
        };
        let codes: Vec<_> = method
            .codes
            .iter()
            .map(|code| format!("`{code}`"))
            .collect();
        let text = match &codes[..] {
            [] => method.doc.clone(),
            codes => format!(
                "{}\n\n# Errors\nProblems with these codes, and what keeps calls from being answered: {}.",
                method.doc,
                codes.join(", ")
            ),
        };
        let called = quoted(&method.called);
        let (result, call) = match (method.is_stream, method.is_idempotent) {
            (true, _) => (
                format!("Items<{output}>"),
                format!("stream({called}, {value}).await"),
            ),
            (false, true) => (
                output,
                format!("request({called}).idempotent().send({value}).await"),
            ),
            (false, false) => (output, format!("call({called}, {value}).await")),
        };
        Ok(format!(
            "\n{}    pub async fn {name}(&self{parameter}) -> Result<{result}, CallError> {{\n        self.client.{call}\n    }}\n",
            doc("    ", &text)
        ))
    }

    /// Writes a type under this name.
    fn definition(
        &mut self,
        name: &str,
        text: &str,
        shape: &Shape,
        place: &str,
    ) -> Result<(), GenerateError> {
        let (inner, has_null) = shape.without_null();
        match (inner.unwrap_or(Shape::Null), has_null) {
            (Shape::Object(object), false) => self.structure(name, text, &object, &[], place),
            (Shape::All(parts), false) => {
                let (object, others) = mixed(&parts);
                self.structure(name, text, &object, &others, place)
            }
            (Shape::OneOf(shapes), false) => self.union(name, text, &shapes, place),
            (Shape::Literals(values), false) => self.words(name, text, &values, place),
            _ => {
                let expression = self.type_of(shape, &format!("{name}Value"), place)?;
                let _ = write!(
                    self.out,
                    "\n{}pub type {name} = {expression};\n",
                    doc("", text)
                );
                Ok(())
            }
        }
    }

    /// A struct of these members, with others' members among them.
    fn structure(
        &mut self,
        name: &str,
        text: &str,
        object: &Object,
        mixed_in: &[Shape],
        place: &str,
    ) -> Result<(), GenerateError> {
        let body = self.members(name, object, mixed_in, "    ", "pub ", place)?;
        let body = if body.is_empty() {
            " {}".to_owned()
        } else {
            format!(" {{\n{body}}}")
        };
        let _ = write!(
            self.out,
            "\n{}#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]\npub struct {name}{body}\n",
            doc("", text)
        );
        Ok(())
    }

    fn members(
        &mut self,
        hint: &str,
        object: &Object,
        mixed_in: &[Shape],
        indent: &str,
        visible: &str,
        place: &str,
    ) -> Result<String, GenerateError> {
        let mut fields = Names::default();
        let mut body = String::new();
        for member in &object.members {
            let field = fields.take(unreserved(&member.name));
            let place = format!("{place}/properties/{}", member.name);
            let mut expression = self.type_of(
                &member.shape,
                &format!("{hint}{}", pascal(&member.name)),
                &place,
            )?;
            let mut attributes = Vec::new();
            if field != member.name {
                attributes.push(format!("rename = {}", quoted(&member.name)));
            }
            if !member.is_required {
                if !expression.starts_with("Option<") {
                    expression = format!("Option<{expression}>");
                }
                attributes.push("default".to_owned());
                attributes.push("skip_serializing_if = \"Option::is_none\"".to_owned());
            }
            body += &doc(indent, &member.doc);
            if !attributes.is_empty() {
                let _ = writeln!(body, "{indent}#[serde({})]", attributes.join(", "));
            }
            let _ = writeln!(body, "{indent}{visible}{field}: {expression},");
        }
        for (number, shape) in mixed_in.iter().enumerate() {
            let field = fields.take(match shape {
                Shape::Named(name) => unreserved(name),
                _ => format!("part{number}"),
            });
            let expression = self.type_of(shape, &format!("{hint}Part{number}"), place)?;
            let _ = writeln!(
                body,
                "{indent}#[serde(flatten)]\n{indent}{visible}{field}: {expression},"
            );
        }
        if let Some(others) = &object.others {
            let field = fields.take("others");
            let expression = self.type_of(others, &format!("{hint}Others"), place)?;
            let _ = writeln!(
                body,
                "{indent}#[serde(flatten)]\n{indent}{visible}{field}: BTreeMap<String, {expression}>,"
            );
        }
        Ok(body)
    }

    /// An enum of texts.
    fn words(
        &mut self,
        name: &str,
        text: &str,
        values: &[Value],
        place: &str,
    ) -> Result<(), GenerateError> {
        let mut variants = Names::without(&["Self"]);
        let mut body = String::new();
        for value in values {
            let Some(word) = value.as_str() else {
                return Err(GenerateError::at(
                    place,
                    format!("{value} is a literal, and Rust has texts alone as such"),
                ));
            };
            let variant = variants.take(pascal(word));
            if variant != word {
                let _ = writeln!(body, "    #[serde(rename = {})]", quoted(word));
            }
            let _ = writeln!(body, "    {variant},");
        }
        let _ = write!(
            self.out,
            "\n{}#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]\npub enum {name} {{\n{body}}}\n",
            doc("", text)
        );
        Ok(())
    }

    /// A type's expression; one that has no name in the document is written under the hint.
    fn type_of(&mut self, shape: &Shape, hint: &str, place: &str) -> Result<String, GenerateError> {
        let (inner, has_null) = shape.without_null();
        let Some(inner) = inner else {
            return Ok("()".to_owned());
        };
        let expression = match &inner {
            Shape::Any => "serde_json::Value".to_owned(),
            Shape::Null => "()".to_owned(),
            Shape::Boolean => "bool".to_owned(),
            Shape::Text => "String".to_owned(),
            Shape::Integer(format) => integer(format.as_deref()).to_owned(),
            Shape::Number(format) => if format.as_deref() == Some("float") {
                "f32"
            } else {
                "f64"
            }
            .to_owned(),
            Shape::List(items) => {
                let items = self.apart(items, &format!("{hint}Item"), place)?;
                format!("Vec<{items}>")
            }
            Shape::Map(values) => {
                let values = self.apart(values, &format!("{hint}Value"), place)?;
                format!("BTreeMap<String, {values}>")
            }
            Shape::Tuple(items) => {
                let mut tuple = String::new();
                for (number, item) in items.iter().enumerate() {
                    tuple += &self.type_of(item, &format!("{hint}{number}"), place)?;
                    tuple += ", ";
                }
                // Of one, the comma makes the tuple.
                let tuple = if items.len() > 1 {
                    tuple.trim_end_matches(", ")
                } else {
                    tuple.trim_end()
                };
                format!("({tuple})")
            }
            Shape::Named(name) => {
                let target = self.types[name].clone();
                let edge = self.current.clone().map(|current| (current, name.clone()));
                if edge.is_some_and(|edge| self.boxed.contains(&edge)) {
                    format!("Box<{target}>")
                } else {
                    target
                }
            }
            Shape::Literals(_) | Shape::Object(_) | Shape::OneOf(_) | Shape::All(_) => {
                let name = self.names.take(hint);
                self.definition(&name, "", &inner, place)?;
                name
            }
        };
        Ok(if has_null {
            format!("Option<{expression}>")
        } else {
            expression
        })
    }

    /// The type of what stands on the heap anyway, and needs no box.
    fn apart(&mut self, shape: &Shape, hint: &str, place: &str) -> Result<String, GenerateError> {
        let current = self.current.take();
        let expression = self.type_of(shape, hint, place);
        self.current = current;
        expression
    }
}

/// The members that stand here, and the shapes whose members go among them.
fn mixed(parts: &[Shape]) -> (Object, Vec<Shape>) {
    let mut object = Object::default();
    let mut others = Vec::new();
    for part in parts {
        match part {
            Shape::Object(part) if object.members.is_empty() && object.others.is_none() => {
                object = part.clone();
            }
            other => others.push(other.clone()),
        }
    }
    (object, others)
}

/// A name in lower case that is no word of the language.
fn unreserved(name: &str) -> String {
    let name = snake(name);
    if RESERVED.contains(&name.as_str()) {
        name + "_"
    } else {
        name
    }
}

fn integer(format: Option<&str>) -> &'static str {
    match format {
        Some("int8") => "i8",
        Some("int16") => "i16",
        Some("int32") => "i32",
        Some("uint8") => "u8",
        Some("uint16") => "u16",
        Some("uint32") => "u32",
        Some("uint64" | "uint") => "u64",
        Some("int128") => "i128",
        Some("uint128") => "u128",
        _ => "i64",
    }
}

/// A text as Rust writes it.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn doc(indent: &str, text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return String::new();
    }
    let mut is_code = false;
    let lines = text.lines().map(|line| {
        // What a service shows as code is none of the crate's that holds the client, and no test of it.
        let is_fence = line.trim_start().starts_with("```");
        let kind = if is_fence && !is_code { "text" } else { "" };
        is_code ^= is_fence;
        let line = if kind.is_empty() { line } else { "```" };
        format!("{indent}/// {line}{kind}").trim_end().to_owned() + "\n"
    });
    lines.collect()
}
