//! TOML through `toml_edit`, whose items know the bytes they came from.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml_edit::{Item, Key, TableLike};

use super::marks::{Inside, Lines, Mark, Position};
use super::{Fault, MAX_DEPTH};

type Marked = (Value, Mark);

pub(super) fn parse(text: &str) -> Result<Marked, Fault> {
    let reader = Reader {
        lines: Lines::of(text),
    };
    let document = toml_edit::Document::parse(text).map_err(|error| {
        let at = error
            .span()
            .map_or(Position::START, |span| reader.lines.position(span.start));
        // The library's messages may span lines ("expected ..." below); ours are single lines.
        Fault::new(at, error.message().trim().replace('\n', "; "))
    })?;
    reader.table(document.as_table(), Position::START, 0)
}

struct Reader<'t> {
    lines: Lines<'t>,
}

impl Reader<'_> {
    fn item(&self, item: &Item, around: Position, depth: usize) -> Result<Marked, Fault> {
        let at = self.start(item.span(), around);
        if depth > MAX_DEPTH {
            return Err(Fault::too_deep(at));
        }
        match item {
            Item::None => Ok((Value::Null, Mark::at(at, Inside::Nothing))),
            Item::Value(value) => self.value(value, around, depth),
            Item::Table(table) => self.table(table, at, depth),
            Item::ArrayOfTables(tables) => {
                let tables = tables.iter().map(|table| {
                    let at = self.start(table.span(), at);
                    self.table(table, at, depth + 1)
                });
                elements(tables, at)
            }
        }
    }

    fn value(
        &self,
        value: &toml_edit::Value,
        around: Position,
        depth: usize,
    ) -> Result<Marked, Fault> {
        use toml_edit::Value as Toml;
        let at = self.start(value.span(), around);
        if depth > MAX_DEPTH {
            return Err(Fault::too_deep(at));
        }
        let leaf = match value {
            Toml::String(text) => Value::String(text.value().clone()),
            Toml::Integer(number) => Value::Number((*number.value()).into()),
            Toml::Float(number) => {
                let number = Number::from_f64(*number.value());
                Value::Number(
                    number.ok_or_else(|| Fault::new(at, "nan and inf are not allowed here"))?,
                )
            }
            Toml::Boolean(value) => Value::Bool(*value.value()),
            Toml::Datetime(time) => Value::String(time.value().to_string()),
            Toml::Array(array) => {
                let values = array.iter().map(|value| self.value(value, at, depth + 1));
                return elements(values, at);
            }
            Toml::InlineTable(table) => return self.table(table, at, depth),
        };
        Ok((leaf, Mark::at(at, Inside::Nothing)))
    }

    fn table(&self, table: &dyn TableLike, at: Position, depth: usize) -> Result<Marked, Fault> {
        let mut members = Map::new();
        let mut marks = HashMap::new();
        for (name, item) in table.iter() {
            let key = self.start(table.key(name).and_then(Key::span), at);
            let (value, mut mark) = self.item(item, key, depth + 1)?;
            mark.key = key;
            members.insert(name.to_owned(), value);
            marks.insert(name.to_owned(), mark);
        }
        Ok((Value::Object(members), Mark::at(at, Inside::members(marks))))
    }

    /// Tables that exist only through a dotted key have no place of their own: they take that of what is around them.
    fn start(&self, span: Option<Range<usize>>, around: Position) -> Position {
        span.map_or(around, |span| self.lines.position(span.start))
    }
}

fn elements(
    items: impl Iterator<Item = Result<Marked, Fault>>,
    at: Position,
) -> Result<Marked, Fault> {
    let (values, marks) = items.collect::<Result<(Vec<_>, Vec<_>), Fault>>()?;
    Ok((Value::Array(values), Mark::at(at, Inside::elements(marks))))
}
