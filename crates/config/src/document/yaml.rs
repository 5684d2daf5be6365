//! YAML 1.2 with the core schema, from the parser's events.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Number, Value};

use super::marks::{Inside, Mark, Position};
use super::{Fault, MAX_ALIASED, MAX_DEPTH};

type Marked = (Value, Mark);

pub(super) fn parse(text: &str) -> Result<Marked, Fault> {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        aliased: 0,
    };
    let root = reader.document()?;
    // An empty file says nothing, which is an object without members.
    Ok(root.unwrap_or_else(|| {
        let mark = Mark::at(Position::START, Inside::members(HashMap::new()));
        (Value::Object(Map::new()), mark)
    }))
}

struct Reader<'t> {
    events: Parser<'t, StrInput<'t>>,
    anchors: HashMap<usize, Marked>,
    aliased: usize,
}

impl<'t> Reader<'t> {
    fn document(&mut self) -> Result<Option<Marked>, Fault> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(Fault::new(
                        position(span.start),
                        "a second document begins; one file holds one",
                    ));
                }
                Event::StreamStart
                | Event::DocumentStart(_)
                | Event::DocumentEnd
                | Event::Nothing => {}
                Event::StreamEnd => break,
                event => root = Some(self.value(event, span, 0)?),
            }
        }
        Ok(root)
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, Fault> {
        self.events
            .next_event()
            .transpose()
            .map_err(|error| syntax(&error))
    }

    fn following(&mut self, at: Position) -> Result<(Event<'t>, Span), Fault> {
        self.next()?
            .ok_or_else(|| Fault::new(at, "the text ends in the middle"))
    }

    fn value(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Marked, Fault> {
        let at = position(span.start);
        if depth > MAX_DEPTH {
            return Err(Fault::too_deep(at));
        }
        let (anchor, marked) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(text, style, tag.as_deref(), at)?;
                (anchor, (value, Mark::at(at, Inside::Nothing)))
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), "seq", at)?;
                (anchor, self.sequence(at, depth)?)
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), "map", at)?;
                (anchor, self.mapping(at, depth)?)
            }
            Event::Alias(anchor) => return self.alias(anchor, at, depth),
            other => {
                return Err(Fault::new(
                    at,
                    format!("a value is missing here ({other:?})"),
                ));
            }
        };
        if anchor > 0 {
            self.anchors.insert(anchor, marked.clone());
        }
        Ok(marked)
    }

    fn sequence(&mut self, at: Position, depth: usize) -> Result<Marked, Fault> {
        let mut values = Vec::new();
        let mut marks = Vec::new();
        loop {
            let (event, span) = self.following(at)?;
            if matches!(event, Event::SequenceEnd) {
                return Ok((Value::Array(values), Mark::at(at, Inside::elements(marks))));
            }
            let (value, mark) = self.value(event, span, depth + 1)?;
            values.push(value);
            marks.push(mark);
        }
    }

    fn mapping(&mut self, at: Position, depth: usize) -> Result<Marked, Fault> {
        let mut members = Map::new();
        let mut marks = HashMap::new();
        loop {
            let (event, span) = self.following(at)?;
            let key_at = position(span.start);
            let key = match event {
                Event::MappingEnd => {
                    return Ok((Value::Object(members), Mark::at(at, Inside::members(marks))));
                }
                Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<" => {
                    return Err(Fault::new(
                        key_at,
                        "merge keys (`<<`) are not part of YAML 1.2; write the members out",
                    ));
                }
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(Fault::new(key_at, "a key must be a plain word or a string")),
            };
            let (event, span) = self.following(key_at)?;
            let (value, mut mark) = self.value(event, span, depth + 1)?;
            mark.key = key_at;
            if members.contains_key(&key) {
                return Err(Fault::new(
                    key_at,
                    format!("the key `{}` stands here twice", crate::found::clip(&key)),
                ));
            }
            members.insert(key.clone(), value);
            marks.insert(key, mark);
        }
    }

    fn alias(&mut self, anchor: usize, at: Position, depth: usize) -> Result<Marked, Fault> {
        // The parser refuses unknown names; an anchor that is not complete yet contains this very alias.
        let (value, mark) = self
            .anchors
            .get(&anchor)
            .ok_or_else(|| Fault::new(at, "this alias stands inside of what it names"))?;
        let (count, height) = extent(value);
        self.aliased += count;
        if self.aliased > MAX_ALIASED {
            return Err(Fault::new(
                at,
                format!("aliases copy more than {MAX_ALIASED} values"),
            ));
        }
        if depth + height > MAX_DEPTH {
            return Err(Fault::too_deep(at));
        }
        Ok((
            value.clone(),
            Mark {
                value: at,
                key: at,
                inside: mark.inside.clone(),
            },
        ))
    }
}

/// How many values a tree holds, and how many levels lie below its root.
fn extent(value: &Value) -> (usize, usize) {
    let children: Vec<(usize, usize)> = match value {
        Value::Array(elements) => elements.iter().map(extent).collect(),
        Value::Object(members) => members.values().map(extent).collect(),
        _ => return (1, 0),
    };
    let count = children.iter().map(|(count, _)| count).sum::<usize>() + 1;
    let height = children.iter().map(|(_, height)| height + 1).max();
    (count, height.unwrap_or(0))
}

fn scalar(
    text: Cow<'_, str>,
    style: ScalarStyle,
    tag: Option<&Tag>,
    at: Position,
) -> Result<Value, Fault> {
    let Some(tag) = tag else {
        if style != ScalarStyle::Plain {
            return Ok(Value::String(text.into_owned()));
        }
        return plain(&text, at);
    };
    let tagged = if tag.is_yaml_core_schema() {
        tag.suffix.as_str()
    } else {
        ""
    };
    let value = match (tagged, plain(&text, at)) {
        ("str", _) => Some(Value::String(text.clone().into_owned())),
        ("int", Ok(Value::Number(number))) if !number.is_f64() => Some(Value::Number(number)),
        ("float", Ok(Value::Number(number))) => Some(Value::Number(number)),
        ("bool", Ok(Value::Bool(value))) => Some(Value::Bool(value)),
        ("null", Ok(Value::Null)) => Some(Value::Null),
        ("int" | "float" | "bool" | "null", _) => None,
        _ => return Err(unknown_tag(tag, at)),
    };
    value.ok_or_else(|| {
        Fault::new(
            at,
            format!("`{}` is no {tagged}", crate::found::clip(&text)),
        )
    })
}

fn check_tag(tag: Option<&Tag>, allowed: &str, at: Position) -> Result<(), Fault> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == allowed) => {
            Err(unknown_tag(tag, at))
        }
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &Tag, at: Position) -> Fault {
    Fault::new(
        at,
        format!(
            "the tag `{}{}` is not known; leave it out",
            tag.handle, tag.suffix
        ),
    )
}

/// Resolves an unquoted scalar by the core schema (YAML 1.2.2, section 10.3.2).
fn plain(text: &str, at: Position) -> Result<Value, Fault> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(Fault::new(at, "nan and inf are not allowed here"));
    }
    if let Some(number) = integer(text, unsigned, at)? {
        return Ok(Value::Number(number));
    }
    if is_float(unsigned) {
        let number = text.parse().ok().and_then(Number::from_f64);
        return number.map(Value::Number).ok_or_else(|| {
            Fault::new(
                at,
                format!("the number {} is too large", crate::found::clip(text)),
            )
        });
    }
    Ok(Value::String(text.to_owned()))
}

fn integer(text: &str, unsigned: &str, at: Position) -> Result<Option<Number>, Fault> {
    let all = |digits: &str, allowed: fn(&u8) -> bool| {
        !digits.is_empty() && digits.bytes().all(|d| allowed(&d))
    };
    let parsed = if all(unsigned, u8::is_ascii_digit) {
        text.parse().ok()
    } else if let Some(digits) = text
        .strip_prefix("0o")
        .filter(|digits| all(digits, |d| (b'0'..b'8').contains(d)))
    {
        i128::from_str_radix(digits, 8).ok()
    } else if let Some(digits) = text
        .strip_prefix("0x")
        .filter(|digits| all(digits, u8::is_ascii_hexdigit))
    {
        i128::from_str_radix(digits, 16).ok()
    } else {
        return Ok(None);
    };
    let number = parsed.and_then(|whole: i128| {
        let signed = i64::try_from(whole).map(Number::from);
        signed
            .or_else(|_| u64::try_from(whole).map(Number::from))
            .ok()
    });
    let too_large = || {
        Fault::new(
            at,
            format!("the number {} is too large", crate::found::clip(text)),
        )
    };
    number.map(Some).ok_or_else(too_large)
}

/// `[0-9]+ (\. [0-9]*)? | \. [0-9]+`, then an exponent or not.
fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent_fits
}

fn position(marker: Marker) -> Position {
    Position {
        line: marker.line().max(1),
        column: marker.col() + 1,
    }
}

fn syntax(error: &ScanError) -> Fault {
    let info = error.info();
    // What is most often meant is no alias at all: `method: *`.
    let hint = if info.contains("alias") || info.contains("unknown anchor") {
        "; a text that begins with `*` or `&` stands in quotes: \"*\""
    } else {
        ""
    };
    Fault::new(position(*error.marker()), format!("{info}{hint}"))
}
