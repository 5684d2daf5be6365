//! A value held against its JSON Schema, with every mistake named, and text from variables made what the schema wants.

use serde_json::{Map, Value};

use super::outline::{self, Definitions, Types};
use crate::parse::whole;
use crate::path::Step;
use crate::problem::{Problem, Problems, Subject};
use crate::read::Node;
use crate::units::{self, ByteSize, TimeSpan};

pub(super) struct Check<'s, 'p> {
    definitions: &'p Definitions<'s>,
    problems: &'p mut Problems,
    /// Whether text came from a variable: also that in a list, which has no place of its own.
    text: bool,
}

impl<'s, 'p> Check<'s, 'p> {
    pub(super) fn new(definitions: &'p Definitions<'s>, problems: &'p mut Problems) -> Self {
        let text = problems.is_text_here();
        Self {
            definitions,
            problems,
            text,
        }
    }

    /// The value as it is to be deserialised.
    pub(super) fn value(&mut self, outer: &'s Value, value: &Value) -> Value {
        let Some(schema) = self.definitions.resolve(outer) else {
            return value.clone();
        };
        let types = self.definitions.types(outer);
        let value = self.typed(types, value);
        if !types.contains(Types::of(&value)) {
            self.expected(&described(schema, types), &value);
            return value;
        }
        if let Some(branches) = Definitions::branches(schema)
            && !schema.contains_key("properties")
        {
            return self.one_of(branches, value);
        }
        self.named(schema, &value);
        match value {
            Value::Object(members) => self.members(schema, members),
            Value::Array(elements) => self.elements(schema, elements),
            Value::Number(number) => self.number(schema, types, number),
            Value::String(text) => self.string(schema, text),
            other => other,
        }
    }

    /// Text of a variable as the type that is wanted; as it stands where a string is wanted too, or where it is none.
    fn typed(&self, types: Types, value: &Value) -> Value {
        let Some(text) = value.as_str().filter(|_| self.text && types.is_known()) else {
            return value.clone();
        };
        if types.contains(Types::STRING) {
            return value.clone();
        }
        let trimmed = text.trim();
        if types.contains(Types::ARRAY) {
            let parts = trimmed.split(',').map(str::trim);
            return parts
                .filter(|part| !part.is_empty())
                .map(Value::from)
                .collect();
        }
        let number = || match trimmed.parse::<serde_json::Number>() {
            Ok(number) if types.contains(Types::INTEGER | Types::NUMBER) => Some(number.into()),
            _ => None,
        };
        let boolean = || match trimmed {
            "true" | "1" if types.contains(Types::BOOLEAN) => Some(true.into()),
            "false" | "0" if types.contains(Types::BOOLEAN) => Some(false.into()),
            _ => None,
        };
        number().or_else(boolean).unwrap_or_else(|| value.clone())
    }

    fn one_of(&mut self, branches: &'s [Value], value: Value) -> Value {
        if value.is_null() {
            return value;
        }
        let named = |branch: &'s Value| {
            let schema = self.definitions.resolve(branch)?;
            let names = schema.get("enum").and_then(Value::as_array);
            let one = schema.get("const").into_iter();
            Some(names.into_iter().flatten().chain(one).collect::<Vec<_>>())
        };
        if let Value::String(text) = &value {
            let names: Vec<&str> = branches
                .iter()
                .filter_map(named)
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let takes_other_text = branches.iter().any(|branch| {
                self.definitions.types(branch).contains(Types::STRING)
                    && named(branch).is_none_or(|names| names.is_empty())
            });
            if !names.is_empty() && !takes_other_text {
                if !names.contains(&text.as_str()) {
                    self.no_such_name(&names, &value);
                }
                return value;
            }
        }
        let mut fitting = branches.iter().filter(|branch| self.may_be(branch, &value));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => self.value(only, &value),
            // Which one it is, its own reader knows.
            _ => value,
        }
    }

    /// Whether this branch may be the one that is meant: by the kind of value, a tag, or its only member.
    fn may_be(&self, branch: &'s Value, value: &Value) -> bool {
        if !self.definitions.types(branch).contains(Types::of(value)) {
            return false;
        }
        let (Some(schema), Value::Object(members)) = (self.definitions.resolve(branch), value)
        else {
            return true;
        };
        let has_its_tags = outline::properties(schema).all(|(name, property)| {
            let tag = property.get("const");
            tag.is_none_or(|tag| members.get(name) == Some(tag))
        });
        let required = schema.get("required").and_then(Value::as_array);
        let is_wrapper = outline::properties(schema).count() == 1
            && required.is_some_and(|required| required.len() == 1);
        let has_its_member =
            outline::properties(schema).any(|(name, _)| members.contains_key(name));
        has_its_tags && (!is_wrapper || has_its_member)
    }

    fn members(&mut self, schema: &'s Map<String, Value>, members: Map<String, Value>) -> Value {
        let mut known: Vec<&str> = outline::properties(schema).map(|(name, _)| name).collect();
        known.sort_unstable();
        let takes_any = outline::takes_any_key(schema);
        // With parts that are chosen among, the keys of the chosen part are its reader's.
        let is_open = takes_any
            || Definitions::branches(schema).is_some()
            || ["allOf", "patternProperties", "$dynamicRef"]
                .iter()
                .any(|word| schema.contains_key(*word))
            || (known.is_empty()
                && !schema.contains_key("additionalProperties")
                && !schema.contains_key("properties"));
        self.problems.note(|ledger, here| {
            ledger.keys(here, &known);
            if takes_any {
                ledger.any_key(here);
            }
        });
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if members.get(name).is_none_or(Value::is_null) && self.needs(schema, name, &members) {
                let place = self.problems.here().then(name.to_owned());
                let problem = Problem::new(place, "is required");
                self.problems.push(problem.about(Subject::Missing));
            }
        }
        let mut checked = Map::new();
        for (name, member) in members {
            let property = schema.get("properties").and_then(|known| known.get(&name));
            let other = schema.get("additionalProperties");
            let schema = match (property, other) {
                (Some(property), _) => property,
                (None, Some(other)) if takes_any => other,
                _ if is_open => {
                    checked.insert(name, member);
                    continue;
                }
                _ => {
                    self.unknown(&name, &known);
                    continue;
                }
            };
            // Absent, for what has a default.
            if member.is_null() && !self.definitions.types(schema).contains(Types::NULL) {
                continue;
            }
            let checked_member = self.below(Step::from(name.clone()), schema, &member);
            checked.insert(name, checked_member);
        }
        Value::Object(checked)
    }

    /// A member that is there as `null` is good where `null` is.
    fn needs(
        &self,
        schema: &'s Map<String, Value>,
        name: &str,
        members: &Map<String, Value>,
    ) -> bool {
        let property = schema.get("properties").and_then(|known| known.get(name));
        let takes_null =
            property.is_some_and(|property| self.definitions.types(property).contains(Types::NULL));
        !(members.contains_key(name) && takes_null)
    }

    fn elements(&mut self, schema: &'s Map<String, Value>, elements: Vec<Value>) -> Value {
        self.length(schema, "minItems", "maxItems", elements.len(), "elements");
        let Some(item) = schema.get("items") else {
            return Value::Array(elements);
        };
        let each = elements.iter().enumerate();
        each.map(|(index, element)| self.below(Step::Index(index), item, element))
            .collect()
    }

    fn below(&mut self, step: Step, schema: &'s Value, value: &Value) -> Value {
        let (definitions, text) = (self.definitions, self.text);
        self.problems.within(step, |problems| {
            definitions.note(schema, problems);
            let text = text || problems.is_text_here();
            let mut check = Check {
                definitions,
                problems,
                text,
            };
            check.value(schema, value)
        })
    }

    fn number(
        &mut self,
        schema: &Map<String, Value>,
        types: Types,
        number: serde_json::Number,
    ) -> Value {
        let limit = |word| schema.get(word).and_then(Value::as_f64);
        let format = schema.get("format").and_then(Value::as_str);
        // The schemas of these say no range.
        let (low, high) = match format {
            Some("int32") => (Some(f64::from(i32::MIN)), Some(f64::from(i32::MAX))),
            Some(units::SIZE_FORMAT) => (Some(0.0), None),
            Some("uint32") => (Some(0.0), Some(f64::from(u32::MAX))),
            _ => (None, None),
        };
        let (low, high) = (limit("minimum").or(low), limit("maximum").or(high));
        let found = number.as_f64().unwrap_or(f64::NAN);
        let is_outside = low.is_some_and(|low| found < low)
            || high.is_some_and(|high| found > high)
            || limit("exclusiveMinimum").is_some_and(|low| found <= low)
            || limit("exclusiveMaximum").is_some_and(|high| found >= high);
        let whole = whole(&number).filter(|_| !types.contains(Types::NUMBER));
        let value = match whole.and_then(|whole| i64::try_from(whole).ok()) {
            // A whole number that was written with a fraction.
            Some(whole) if number.is_f64() => whole.into(),
            _ => Value::Number(number),
        };
        if is_outside {
            self.expected(&described(schema, types), &value);
        }
        value
    }

    fn string(&mut self, schema: &Map<String, Value>, text: String) -> Value {
        let count = text.chars().count();
        self.length(schema, "minLength", "maxLength", count, "characters");
        let value = Value::String(text);
        match schema.get("format").and_then(Value::as_str) {
            Some(units::TIME_FORMAT) if TimeSpan::read(&value).is_none() => {
                self.expected(units::TIME, &value);
            }
            Some(units::SIZE_FORMAT) if ByteSize::read(&value).is_none() => {
                self.expected(units::SIZE, &value);
            }
            _ => {}
        }
        value
    }

    fn length(
        &mut self,
        schema: &Map<String, Value>,
        low: &str,
        high: &str,
        found: usize,
        of: &str,
    ) {
        let limit = |word| schema.get(word).and_then(Value::as_u64);
        let (low, high) = (limit(low).unwrap_or(0), limit(high));
        if found as u64 >= low && high.is_none_or(|high| found as u64 <= high) {
            return;
        }
        let expected = match high {
            Some(high) => format!("{low} to {high}"),
            None => format!("at least {low}"),
        };
        self.problems
            .report(format!("expected {expected} {of}, found {found}"));
    }

    fn named(&mut self, schema: &Map<String, Value>, value: &Value) {
        let names = schema.get("enum").and_then(Value::as_array);
        let one = schema.get("const").into_iter();
        let names: Vec<&Value> = names.into_iter().flatten().chain(one).collect();
        if names.is_empty() || names.contains(&value) {
            return;
        }
        let names: Vec<&str> = names.into_iter().filter_map(Value::as_str).collect();
        self.no_such_name(&names, value);
    }

    fn no_such_name(&mut self, names: &[&str], value: &Value) {
        let hidden = self.problems.is_secret_here();
        let mut node = Node::new(value, self.problems).hidden(hidden);
        let message = format!(
            "expected one of {}; found {}",
            names.join(", "),
            node.found()
        );
        let meant = value
            .as_str()
            .and_then(|text| crate::found::nearest(text, names.iter().copied()));
        let _: Option<()> = match meant {
            Some(name) => node.reject_with(message, format!("did you mean {name}?")),
            None => node.reject(message),
        };
    }

    fn unknown(&mut self, name: &str, known: &[&str]) {
        let problem = Problem::unknown_key(self.problems.here(), name, known);
        self.problems.push(problem);
    }

    fn expected(&mut self, what: &str, value: &Value) {
        let hidden = self.problems.is_secret_here();
        let _: Option<()> = Node::new(value, self.problems)
            .hidden(hidden)
            .expected(what);
    }
}

/// What a schema wants, for "expected ..".
fn described(schema: &Map<String, Value>, types: Types) -> String {
    match schema.get("format").and_then(Value::as_str) {
        Some(units::TIME_FORMAT) => return units::TIME.to_owned(),
        Some(units::SIZE_FORMAT) => return units::SIZE.to_owned(),
        _ => {}
    }
    let kinds = [
        (Types::NUMBER, "a number"),
        (Types::INTEGER, "a whole number"),
        (Types::BOOLEAN, "true or false"),
        (Types::STRING, "a string"),
        (Types::ARRAY, "a list"),
        (Types::OBJECT, "an object"),
    ];
    // That `null` would do as well helps nobody.
    let wanted = types.without(Types::NULL);
    let kinds: Vec<&str> = kinds
        .into_iter()
        .filter(|(kind, _)| wanted.contains(*kind))
        .map(|(_, name)| name)
        .collect();
    let kinds = kinds.join(" or ");
    if !types.contains(Types::NUMBER | Types::INTEGER) {
        return kinds;
    }
    let limit = |word| schema.get(word).filter(|limit| limit.is_number());
    match (limit("minimum"), limit("maximum")) {
        (Some(low), Some(high)) => format!("{kinds} from {low} to {high}"),
        (Some(low), None) => format!("{kinds} of at least {low}"),
        (None, Some(high)) => format!("{kinds} of at most {high}"),
        (None, None) => kinds,
    }
}
