//! The texts in options. What is refused here is what `bastide-rpc` refuses when it puts services together.

use std::time::Duration;

use syn::{Error, LitStr, Result};

/// The most that a limit may count.
const MAX_COUNT: u32 = 1_000_000_000;

fn refused<T>(text: &LitStr, reason: impl std::fmt::Display) -> Result<T> {
    Err(Error::new_spanned(text, reason))
}

/// A service's name, or a method's.
pub(super) fn is_name(name: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.len() <= 64
        && name.bytes().all(fits)
}

pub(super) fn name(text: &LitStr) -> Result<()> {
    if is_name(&text.value()) {
        return Ok(());
    }
    refused(
        text,
        "no name for a service: `a-z`, `0-9`, `_` and `-`, a letter first, at most 64 characters",
    )
}

pub(super) fn version(text: &LitStr) -> Result<()> {
    match semver::Version::parse(&text.value()) {
        Ok(_) => Ok(()),
        Err(_) => refused(text, "no semantic version: write it as `1.0.0`"),
    }
}

/// Something that a person has to read, or that is compared: never nothing.
pub(super) fn not_empty(text: &LitStr, what: &str) -> Result<()> {
    if text.value().trim().is_empty() {
        return refused(text, format_args!("{what} is empty"));
    }
    Ok(())
}

/// `100/s`, `100/min`, `100/h`, `100/day`.
pub(super) fn limit(text: &LitStr) -> Result<()> {
    const UNITS: &[&str] = &[
        "s", "sec", "second", "min", "minute", "h", "hour", "d", "day",
    ];
    let value = text.value();
    let count = value.split_once('/').and_then(|(count, unit)| {
        let count = count.trim().parse::<u32>().ok()?;
        UNITS.contains(&unit.trim()).then_some(count)
    });
    match count {
        Some(1..=MAX_COUNT) => Ok(()),
        Some(_) => refused(text, format_args!("a limit counts from 1 to {MAX_COUNT}")),
        None => refused(
            text,
            "no limit: write it as `100/s`, `100/min`, `100/h` or `100/day`",
        ),
    }
}

/// `250ms`, `10s`, `5m`, `2h`, `1d`, `1h30m`: as in configuration.
pub(super) fn duration(text: &LitStr) -> Result<Duration> {
    match millis(text.value().trim()) {
        Some(0) => refused(text, "no time at all: give at least `1ms`"),
        Some(millis) => Ok(Duration::from_millis(millis)),
        None => refused(
            text,
            "no time: write it as `250ms`, `10s`, `5m`, `2h` or `1h30m`",
        ),
    }
}

fn millis(mut rest: &str) -> Option<u64> {
    let mut total: Option<u64> = None;
    while !rest.is_empty() {
        let (count, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let end = behind.find(|c: char| c.is_ascii_digit());
        let (unit, behind) = behind.split_at(end.unwrap_or(behind.len()));
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        let part = count.parse::<u64>().ok()?.checked_mul(millis)?;
        total = Some(total.unwrap_or_default().checked_add(part)?);
        rest = behind;
    }
    total
}

/// The members of the input that stand in a tag, as `id` in `user:{id}`.
pub(super) fn tag(text: &LitStr) -> Result<Vec<String>> {
    not_empty(text, "the tag")?;
    in_braces(text)
}

/// The members of the input that stand in a path, as `id` in `/users/{id}`.
pub(super) fn path(text: &LitStr) -> Result<Vec<String>> {
    let value = text.value();
    if !value.starts_with('/') {
        return refused(text, "a path begins with `/`");
    }
    if value.contains(['?', '#']) || value.chars().any(char::is_whitespace) {
        return refused(text, "a path has no query, no fragment and no blanks");
    }
    let mut members = in_braces(text)?;
    for (number, member) in members.iter().enumerate() {
        if members[..number].contains(member) {
            return refused(text, format_args!("`{member}` stands twice in the path"));
        }
    }
    for member in &mut members {
        if let Some(name) = member.strip_prefix('*') {
            if !value.ends_with(&format!("{{*{name}}}")) {
                return refused(
                    text,
                    format_args!(
                        "`{{*{name}}}` takes what is left of the path, so it stands at its end"
                    ),
                );
            }
            *member = name.to_owned();
        }
    }
    Ok(members)
}

fn in_braces(text: &LitStr) -> Result<Vec<String>> {
    let value = text.value();
    let mut members = Vec::new();
    let mut rest = value.as_str();
    while let Some(at) = rest.find(['{', '}']) {
        let member = rest[at..]
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('}'));
        match member {
            Some((member, behind)) if !member.is_empty() && !member.contains('{') => {
                members.push(member.to_owned());
                rest = behind;
            }
            _ => return refused(text, "braces hold a member of the input, as `{id}`"),
        }
    }
    Ok(members)
}

/// `userId` for `user_id`, as serde's `camelCase` has it.
pub(super) fn camel_case(name: &str) -> String {
    let mut words = name.split('_').filter(|word| !word.is_empty());
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        camel.push_str(&first.to_uppercase());
        camel.push_str(rest);
    }
    camel
}

/// What there is in place of what was found.
pub(super) fn instead(found: &str, known: &[&str]) -> String {
    let all: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let all = all.join(", ");
    let nearest = known
        .iter()
        .map(|name| (strsim::jaro_winkler(found, name), name))
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    match nearest {
        Some((likeness, name)) if likeness > 0.7 => {
            format!("did you mean `{name}`? There are {all}")
        }
        _ => format!("there are {all}"),
    }
}
