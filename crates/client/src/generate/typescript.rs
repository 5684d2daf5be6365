//! A contract as TypeScript.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::GenerateError;
use super::contract::{Contract, Method};
use super::names::{Names, camel, pascal};
use super::shape::{Object, Shape};

const RUNTIME: &str = include_str!("runtime.ts");

/// What the language, the runtime's types and the file itself call theirs.
const TAKEN: &[&str] = &[
    "AbortController",
    "AbortSignal",
    "ApiProblem",
    "Array",
    "AsyncGenerator",
    "BatchAnswer",
    "CONTRACT",
    "CallFailed",
    "CallOptions",
    "Connection",
    "ConnectionOptions",
    "Date",
    "Error",
    "FieldError",
    "JSON",
    "Math",
    "NaN",
    "Number",
    "Object",
    "Outcome",
    "PreparedCall",
    "ProblemDocument",
    "Promise",
    "ReadableStream",
    "Record",
    "RequestInit",
    "Response",
    "String",
    "TextDecoder",
    "TypeError",
    "Uint8Array",
];

pub(super) fn write(contract: &Contract) -> Result<String, GenerateError> {
    let mut names = Names::without(TAKEN);
    let types = contract.types.keys();
    let types: BTreeMap<_, _> = types
        .map(|name| (name.as_str(), names.take(pascal(name))))
        .collect();
    let writer = Writer { types };
    let mut out = format!(
        "// Made from a service's description. Changes here are lost when it is made again.\n\n\
         /** The SHA-256 of what the service promised when this was made. */\n\
         export const CONTRACT = \"{}\";\n\n{RUNTIME}",
        contract.hash
    );
    for (name, definition) in &contract.types {
        out.push('\n');
        out += &doc("", &definition.doc);
        let place = format!("#/components/schemas/{name}");
        let name = &writer.types[name.as_str()];
        let definition = match &definition.shape {
            // An interface's name is what compilers show; the other forms have no such thing.
            Shape::Object(object) => {
                let body = writer.object(object, "", &place)?;
                format!("export interface {name} {body}\n")
            }
            shape => format!(
                "export type {name} = {};\n",
                writer.expression(shape, "", &place)?
            ),
        };
        out += &definition;
    }
    let lines_of = |name: &str| {
        contract
            .services
            .keys()
            .filter(|(other, _)| other == name)
            .count()
    };
    for ((name, line), service) in &contract.services {
        // The line stands in the name only where there are several.
        let version = if lines_of(name) > 1 {
            format!("V{}", pascal(line).trim_start_matches('N'))
        } else {
            String::new()
        };
        let class = names.take(format!("{}{version}Client", pascal(name)));
        let mut methods = Names::without(&["constructor"]);
        let mut statics = Names::without(&[]);
        let (mut codes, mut calls, mut bodies) = (String::new(), String::new(), String::new());
        for (method_name, method) in &service.methods {
            let code = names.take(format!(
                "{}{version}{}Code",
                pascal(name),
                pascal(method_name)
            ));
            let all: Vec<_> = method.codes.iter().map(|code| quoted(code)).collect();
            let all = if all.is_empty() {
                "never".to_owned()
            } else {
                all.join("\n  | ")
            };
            let _ = write!(
                codes,
                "\n/** The codes of the problems of `{}`. */\nexport type {code} =\n  | {all};\n",
                method.called
            );
            let called = methods.take(camel(method_name));
            bodies += &writer.method(method, &called, &code)?;
            if !method.is_stream {
                let called = statics.take(camel(method_name));
                calls += &writer.prepared(method, &called, &code)?;
            }
        }
        out += &codes;
        let _ = write!(
            out,
            "\n/** Calls `{name}`, made from version {} of it. */\nexport class {class} {{\n  \
             readonly #connection: Connection;\n\n  \
             constructor(connection: Connection) {{\n    this.#connection = connection;\n  }}\n\n  \
             /** Calls for `Connection.batch` and `Connection.outcome`. */\n  static readonly calls = {{\n{calls}  }};\n{bodies}}}\n",
            service.latest
        );
    }
    Ok(out)
}

struct Writer<'a> {
    /// By the document's names.
    types: BTreeMap<&'a str, String>,
}

impl Writer<'_> {
    fn method(&self, method: &Method, name: &str, code: &str) -> Result<String, GenerateError> {
        let input = self.parameter(method, true)?;
        let value = if method.input == Shape::Null {
            "null"
        } else {
            "input"
        };
        let output = self.expression(&method.output, "", &method.place)?;
        let text = format!("{}\n\n@throws {{ApiProblem<{code}>}}", method.doc);
        let (result, verb) = if method.is_stream {
            (
                format!("AsyncGenerator<{output}, void, undefined>"),
                "stream",
            )
        } else {
            (format!("Promise<{output}>"), "call")
        };
        let called = quoted(&method.called);
        Ok(format!(
            "\n{}  {name}({input}options: CallOptions = {{}}): {result} {{\n    \
             return this.#connection.{verb}<{output}>({called}, {value}, options);\n  }}\n",
            doc("  ", &text)
        ))
    }

    fn prepared(&self, method: &Method, name: &str, code: &str) -> Result<String, GenerateError> {
        let input = self.parameter(method, false)?;
        let value = if method.input == Shape::Null {
            "input: null"
        } else {
            "input"
        };
        let output = self.expression(&method.output, "", &method.place)?;
        let called = quoted(&method.called);
        Ok(format!(
            "    {name}: ({input}): PreparedCall<{output}, {code}> => ({{ method: {called}, {value} }}),\n"
        ))
    }

    /// The input as a parameter; a method that takes nothing has none.
    fn parameter(&self, method: &Method, has_next: bool) -> Result<String, GenerateError> {
        if method.input == Shape::Null {
            return Ok(String::new());
        }
        let input = self.expression(&method.input, "", &method.place)?;
        Ok(format!(
            "input: {input}{}",
            if has_next { ", " } else { "" }
        ))
    }

    fn object(&self, object: &Object, indent: &str, place: &str) -> Result<String, GenerateError> {
        let inner = format!("{indent}  ");
        let mut body = "{\n".to_owned();
        let mut all = Vec::new();
        for member in &object.members {
            let place = format!("{place}/properties/{}", member.name);
            let shape = self.expression(&member.shape, &inner, &place)?;
            body += &doc(&inner, &member.doc);
            let mark = if member.is_required { "" } else { "?" };
            let _ = writeln!(body, "{inner}{}{mark}: {shape};", key(&member.name));
            all.push(shape);
            if !member.is_required {
                all.push("undefined".to_owned());
            }
        }
        if let Some(others) = &object.others {
            // What is said of all members has to hold for the known ones too.
            let others = self.expression(others, &inner, place)?;
            let mut union = vec![others];
            for shape in all {
                if union[0] != "unknown" && !union.contains(&shape) {
                    union.push(shape);
                }
            }
            let _ = writeln!(body, "{inner}[name: string]: {};", union.join(" | "));
        }
        Ok(body + indent + "}")
    }

    fn expression(
        &self,
        shape: &Shape,
        indent: &str,
        place: &str,
    ) -> Result<String, GenerateError> {
        Ok(match shape {
            Shape::Any => "unknown".to_owned(),
            Shape::Null => "null".to_owned(),
            Shape::Boolean => "boolean".to_owned(),
            Shape::Text => "string".to_owned(),
            Shape::Integer(_) | Shape::Number(_) => "number".to_owned(),
            Shape::Literals(values) => {
                let values: Vec<_> = values.iter().map(ToString::to_string).collect();
                values.join(" | ")
            }
            Shape::List(items) => {
                let items = self.expression(items, indent, place)?;
                format!("Array<{items}>")
            }
            Shape::Tuple(items) => {
                let items: Result<Vec<_>, _> = items
                    .iter()
                    .map(|item| self.expression(item, indent, place))
                    .collect();
                format!("[{}]", items?.join(", "))
            }
            Shape::Map(values) => format!(
                "{{ [name: string]: {} }}",
                self.expression(values, indent, place)?
            ),
            Shape::Object(object) if object.members.is_empty() => {
                "{ [name: string]: never }".to_owned()
            }
            Shape::Object(object) => self.object(object, indent, place)?,
            Shape::OneOf(shapes) => self.joined(shapes, " | ", indent, place)?,
            Shape::All(shapes) => self.joined(shapes, " & ", indent, place)?,
            Shape::Named(name) => self.types[name.as_str()].clone(),
        })
    }

    fn joined(
        &self,
        shapes: &[Shape],
        sign: &str,
        indent: &str,
        place: &str,
    ) -> Result<String, GenerateError> {
        let parts = shapes.iter().map(|shape| {
            let part = self.expression(shape, indent, place)?;
            Ok(match shape {
                Shape::OneOf(_) | Shape::All(_) | Shape::Literals(_) if sign == " & " => {
                    format!("({part})")
                }
                _ => part,
            })
        });
        Ok(parts.collect::<Result<Vec<_>, GenerateError>>()?.join(sign))
    }
}

/// A member's name, in quotes where the language wants them.
fn key(name: &str) -> String {
    let mut letters = name.chars();
    let begins = |letter: char| letter.is_ascii_alphabetic() || letter == '_' || letter == '$';
    let fits = letters.next().is_some_and(begins)
        && letters.all(|letter| begins(letter) || letter.is_ascii_digit());
    if fits { name.to_owned() } else { quoted(name) }
}

/// JSON's texts are TypeScript's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A comment; nothing in the text ends it.
fn doc(indent: &str, text: &str) -> String {
    let text = text.trim().replace("*/", "*\\/");
    if text.is_empty() {
        return String::new();
    }
    let lines: Vec<_> = text.lines().collect();
    if let [line] = lines[..] {
        return format!("{indent}/** {line} */\n");
    }
    let lines: String = lines
        .iter()
        .map(|line| format!("{indent} * {line}").trim_end().to_owned() + "\n")
        .collect();
    format!("{indent}/**\n{lines}{indent} */\n")
}
