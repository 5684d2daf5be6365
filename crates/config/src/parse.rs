//! Ready-made parsers. Each one is a function from a [`Node`] to a value, and says what it expected when it refuses.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use crate::read::Node;
use crate::secret::Secret;

/// A string of so many characters (Unicode scalar values), without NUL.
pub fn string(length: RangeInclusive<usize>) -> impl Fn(Node<'_, '_>) -> Option<String> + Clone {
    move |mut node| {
        let Value::String(text) = node.value() else {
            return node.expected("a string");
        };
        check_length(&mut node, text, &length)?;
        Some(text.clone())
    }
}

fn check_length(node: &mut Node<'_, '_>, text: &str, length: &RangeInclusive<usize>) -> Option<()> {
    if text.contains('\0') {
        return node.reject("a NUL character is not allowed");
    }
    let count = text.chars().count();
    if length.contains(&count) {
        return Some(());
    }
    if text.is_empty() {
        return node.reject("must not be empty");
    }
    let expected = between(length.start(), length.end(), *length.end() == usize::MAX);
    node.reject(format!("expected {expected} characters, found {count}"))
}

fn between(low: impl Display, high: impl Display, open: bool) -> String {
    if open {
        format!("at least {low}")
    } else {
        format!("{low} to {high}")
    }
}

/// A string that `convert` turns into a value; `what` completes "expected ..., found ...".
///
/// ```
/// use bastide_config::{parse, read};
/// let parser = parse::from_text("an IP address such as 10.0.0.1", |text| text.parse::<std::net::IpAddr>().ok());
/// let problems = read::tree(&serde_json::json!("10.0.0"), parser).unwrap_err();
/// assert_eq!(problems.to_string(), "expected an IP address such as 10.0.0.1, found \"10.0.0\"");
/// ```
pub fn from_text<T>(
    what: impl Display + Clone,
    convert: impl Fn(&str) -> Option<T> + Clone,
) -> impl Fn(Node<'_, '_>) -> Option<T> + Clone {
    move |mut node| {
        let result = node.value().as_str().and_then(&convert);
        result.or_else(|| node.expected(&what))
    }
}

/// A string read by the type's own [`FromStr`]; its error is told after what was expected.
pub fn parsed<T>(what: &'static str) -> impl Fn(Node<'_, '_>) -> Option<T> + Clone
where
    T: FromStr<Err: Display>,
{
    move |mut node| {
        let Value::String(text) = node.value() else {
            return node.expected(what);
        };
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => node.reject(format!("expected {what}, found {}: {error}", node.found())),
        }
    }
}

/// A whole number in a range. A number such as `5.0` or `1e3` is whole; from text sources also digits.
pub fn integer<I>(range: RangeInclusive<I>) -> impl Fn(Node<'_, '_>) -> Option<I> + Clone
where
    I: Copy + Display + PartialOrd + TryFrom<i128> + TryInto<i128>,
{
    move |mut node| {
        let whole = match node.value() {
            Value::Number(number) => whole(number),
            Value::String(text) if node.is_text() => text.trim().parse().ok(),
            _ => None,
        };
        let value = whole.and_then(|whole| I::try_from(whole).ok());
        match value {
            Some(value) if range.contains(&value) => Some(value),
            _ => {
                let high: Option<i128> = (*range.end()).try_into().ok();
                let open = high.is_none_or(|high| high >= i128::from(i64::MAX));
                let what = between_from(range.start(), range.end(), open);
                node.expected(format_args!("a whole number {what}"))
            }
        }
    }
}

fn between_from(low: impl Display, high: impl Display, open: bool) -> String {
    if open {
        format!("of at least {low}")
    } else {
        format!("from {low} to {high}")
    }
}

pub(crate) fn whole(number: &serde_json::Number) -> Option<i128> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53: beyond it a double skips whole numbers
    number
        .as_i64()
        .map(i128::from)
        .or_else(|| number.as_u64().map(i128::from))
        .or_else(|| {
            number
                .as_f64()
                .filter(|value| value.fract() == 0.0 && value.abs() <= EXACT)
                .map(|value| value as i128)
        })
}

/// A number in a range, with or without a fraction.
pub fn number(range: RangeInclusive<f64>) -> impl Fn(Node<'_, '_>) -> Option<f64> + Clone {
    move |mut node| {
        let value = match node.value() {
            Value::Number(number) => number.as_f64(),
            Value::String(text) if node.is_text() => text.trim().parse().ok(),
            _ => None,
        };
        match value {
            Some(value) if range.contains(&value) => Some(value),
            _ => node.expected(format_args!(
                "a number {}",
                between_from(range.start(), range.end(), *range.end() >= f64::MAX)
            )),
        }
    }
}

/// `true` or `false`; from text sources also `1` and `0`.
pub fn boolean(mut node: Node<'_, '_>) -> Option<bool> {
    match node.value() {
        Value::Bool(value) => Some(*value),
        Value::String(text) if node.is_text() => match text.trim() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => node.expected("true or false"),
        },
        _ => node.expected("true or false"),
    }
}

/// One of a list of names, each standing for a value. Case counts.
pub fn choice<T: Clone>(
    options: &[(&'static str, T)],
) -> impl Fn(Node<'_, '_>) -> Option<T> + Clone {
    let options = options.to_vec();
    move |mut node| {
        let chosen = node
            .value()
            .as_str()
            .and_then(|text| options.iter().find(|(name, _)| *name == text));
        if let Some((_, value)) = chosen {
            return Some(value.clone());
        }
        let names: Vec<&str> = options.iter().map(|(name, _)| *name).collect();
        let message = format!(
            "expected one of {}; found {}",
            names.join(", "),
            node.found()
        );
        let meant = node
            .value()
            .as_str()
            .and_then(|text| crate::found::nearest(text, names.iter().copied()));
        match meant {
            Some(name) => node.reject_with(message, format!("did you mean {name}?")),
            None => node.reject(message),
        }
    }
}

/// A whole number of milliseconds in a range.
pub fn millis(range: RangeInclusive<u64>) -> impl Fn(Node<'_, '_>) -> Option<Duration> + Clone {
    move |mut node| {
        let count = match node.value() {
            Value::Number(number) => whole(number),
            Value::String(text) if node.is_text() => text.trim().parse().ok(),
            _ => None,
        };
        match count.and_then(|count| u64::try_from(count).ok()) {
            Some(count) if range.contains(&count) => Some(Duration::from_millis(count)),
            _ => node.expected(format_args!(
                "a whole number of milliseconds {}",
                between_from(range.start(), range.end(), *range.end() >= i64::MAX as u64)
            )),
        }
    }
}

/// A length of time as text with a unit: `250ms`, `10s`, `5m`, `2h`, `1d`, `1h30m`.
pub fn duration(
    range: RangeInclusive<Duration>,
) -> impl Fn(Node<'_, '_>) -> Option<Duration> + Clone {
    move |mut node| match node.value().as_str().and_then(units_of_time) {
        Some(value) if range.contains(&value) => Some(value),
        Some(_) => {
            let found = node.found();
            let (low, high) = (range.start(), range.end());
            node.reject(format!(
                "expected a time from {low:?} to {high:?}, found {found}"
            ))
        }
        None => node.expected("a time such as 250ms, 10s, 5m, 2h or 1h30m"),
    }
}

pub(crate) fn units_of_time(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: u64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |end| digits + end);
        let millis = match &rest[digits..unit_end] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(count.checked_mul(millis)?))?;
        rest = &rest[unit_end..];
    }
    Some(total)
}

/// A number of bytes: a whole number, or text with a unit, decimal (`10kB`, `10MB`, `10GB`) or binary (`10KiB`, `10MiB`, `10GiB`).
pub fn bytes(range: RangeInclusive<u64>) -> impl Fn(Node<'_, '_>) -> Option<u64> + Clone {
    move |mut node| {
        let value = match node.value() {
            Value::Number(number) => whole(number).and_then(|count| u64::try_from(count).ok()),
            Value::String(text) => units_of_bytes(text),
            _ => None,
        };
        match value {
            Some(value) if range.contains(&value) => Some(value),
            _ => node.expected(format_args!(
                "a number of bytes {}, such as 65536, 64KiB or 10MB",
                between_from(range.start(), range.end(), *range.end() >= i64::MAX as u64)
            )),
        }
    }
}

pub(crate) fn units_of_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let count: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    count.checked_mul(unit)
}

/// A secret of so many bytes at the least. Its text never reaches a message.
pub fn secret(min_length: usize) -> impl Fn(Node<'_, '_>) -> Option<Secret> + Clone {
    move |mut node| {
        node.note_secret();
        match node.value() {
            Value::String(text) if text.len() >= min_length => Some(Secret::new(text.clone())),
            Value::String(text) => node.reject(format!(
                "expected a secret of at least {min_length} characters, found {}",
                text.len()
            )),
            _ => node.hidden(true).expected("a string"),
        }
    }
}

/// A list of so many elements. From text sources also elements separated by commas.
pub fn list<T>(
    count: RangeInclusive<usize>,
    parser: impl Fn(Node<'_, '_>) -> Option<T> + Clone,
) -> impl Fn(Node<'_, '_>) -> Option<Vec<T>> + Clone {
    move |mut node| {
        if let (true, Value::String(text)) = (node.is_text(), node.value()) {
            return listed_in_text(&mut node, text, &count, &parser);
        }
        if let Value::Array(elements) = node.value()
            && !count.contains(&elements.len())
        {
            return wrong_count(&mut node, &count, elements.len());
        }
        node.list(&parser)
    }
}

fn listed_in_text<T>(
    node: &mut Node<'_, '_>,
    text: &str,
    count: &RangeInclusive<usize>,
    parser: &impl Fn(Node<'_, '_>) -> Option<T>,
) -> Option<Vec<T>> {
    let parts: Vec<Value> = text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| Value::String(part.to_owned()))
        .collect();
    if !count.contains(&parts.len()) {
        return wrong_count(node, count, parts.len());
    }
    let results: Vec<T> = parts
        .iter()
        .filter_map(|part| parser(node.with(part)))
        .collect();
    (results.len() == parts.len()).then_some(results)
}

fn wrong_count<T>(
    node: &mut Node<'_, '_>,
    count: &RangeInclusive<usize>,
    found: usize,
) -> Option<T> {
    let expected = between(count.start(), count.end(), *count.end() == usize::MAX);
    node.reject(format!("expected {expected} elements, found {found}"))
}

/// An object whose keys are free, up to `max_members` of them; `key` accepts a key or says what is wrong with it.
pub fn map<T>(
    max_members: usize,
    key: impl Fn(&str) -> Result<(), String> + Clone,
    parser: impl Fn(Node<'_, '_>) -> Option<T> + Clone,
) -> impl Fn(Node<'_, '_>) -> Option<BTreeMap<String, T>> + Clone {
    move |mut node| {
        if let Value::Object(members) = node.value()
            && members.len() > max_members
        {
            return node.reject(format!(
                "expected at most {max_members} members, found {}",
                members.len()
            ));
        }
        node.map(&key, &parser)
            .map(|members| members.into_iter().collect())
    }
}

/// Any key, for [`map`].
pub fn any_key(_: &str) -> Result<(), String> {
    Ok(())
}

/// The value as it stands.
#[allow(clippy::needless_pass_by_value)] // the shape of every parser
pub fn any(node: Node<'_, '_>) -> Option<Value> {
    Some(node.value().clone())
}

/// `null` as `None`, else what `parser` reads.
pub fn nullable<T>(
    parser: impl Fn(Node<'_, '_>) -> Option<T> + Clone,
) -> impl Fn(Node<'_, '_>) -> Option<Option<T>> + Clone {
    move |node| match node.value() {
        Value::Null => Some(None),
        _ => parser(node).map(Some),
    }
}

/// An absolute URL with one of the given schemes, kept as written.
///
/// `scheme://host[:port][/path][?query]` is checked by its grammar (RFC 3986: host there, port from 1 to 65535, no blanks);
/// a scheme named `unix` takes an absolute path (`unix:/run/app.sock`), one named `sqlite` any path
/// (`sqlite:data.db`, `sqlite::memory:`).
pub fn url(schemes: &'static [&'static str]) -> impl Fn(Node<'_, '_>) -> Option<String> + Clone {
    move |mut node| {
        let Value::String(text) = node.value() else {
            return node.expected("a URL");
        };
        match check_url(text, schemes) {
            Ok(()) => Some(text.clone()),
            Err(why) => {
                let found = node.found();
                node.reject(format!(
                    "expected a URL such as {}, found {found}: {why}",
                    sample(schemes)
                ))
            }
        }
    }
}

fn sample(schemes: &[&str]) -> String {
    match schemes.first() {
        Some(&"unix") => "unix:/run/app.sock".to_owned(),
        Some(&"sqlite") => "sqlite:data.db".to_owned(),
        Some(scheme) => format!("{scheme}://host:1234"),
        None => "scheme://host".to_owned(),
    }
}

fn check_url(text: &str, schemes: &[&str]) -> Result<(), String> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("it holds a blank or a control character".to_owned());
    }
    let (scheme, rest) = text
        .split_once(':')
        .ok_or_else(|| format!("the scheme is missing ({})", schemes.join(", ")))?;
    if !schemes.contains(&scheme) {
        return Err(format!("the scheme must be {}", schemes.join(" or ")));
    }
    match scheme {
        "unix" if rest.starts_with('/') && rest.len() > 1 => Ok(()),
        "unix" => Err("a socket's path starts with `/`".to_owned()),
        "sqlite" if !rest.is_empty() => Ok(()),
        "sqlite" => Err("the path is missing".to_owned()),
        _ => check_authority(text, rest),
    }
}

fn check_authority(text: &str, rest: &str) -> Result<(), String> {
    if !rest.starts_with("//") {
        return Err("`//` must follow the scheme".to_owned());
    }
    let uri: http::Uri = text.parse().map_err(|error| format!("{error}"))?;
    let authority = uri.authority().ok_or("the host is missing")?;
    if authority.host().is_empty() {
        return Err("the host is missing".to_owned());
    }
    let after_host = authority.as_str().rsplit('@').next().unwrap_or_default();
    let has_port = after_host
        .rsplit_once(']')
        .map_or(after_host, |(_, port)| port)
        .contains(':');
    if has_port && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("the port must be from 1 to 65535".to_owned());
    }
    Ok(())
}
