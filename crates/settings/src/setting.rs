//! A setting as the program states it: its key, its type, its default and what it may be.

use std::any::Any;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::kind::{Kind, Ranged};

/// The longest key, in bytes.
const MAX_KEY: usize = 100;

/// A rule of a setting's own: what is wrong with this value, if anything is.
type Check<T> = fn(&T) -> Result<(), String>;

/// One typed setting, meant to be a constant.
///
/// ```
/// use bastide_settings::Setting;
/// const MAX_UPLOAD: Setting<u64> = Setting::new("uploads.max_mb", 100)
///     .range(1..=10_000)
///     .describe("The largest upload, in megabytes.");
/// const MODE: Setting<String> = Setting::new("uploads.mode", "fast").one_of(&["fast", "careful"]);
/// # assert_eq!((MAX_UPLOAD.key(), MODE.key()), ("uploads.max_mb", "uploads.mode"));
/// ```
#[derive(Clone, Copy)]
pub struct Setting<T: Kind> {
    key: &'static str,
    default: T::Fixed,
    range: Option<(T::Fixed, T::Fixed)>,
    names: &'static [&'static str],
    check: Option<Check<T>>,
    description: &'static str,
}

impl<T: Kind> Setting<T> {
    /// Of this key, of `a-z 0-9 _ .` with a letter first; and with this value where the database has none.
    pub const fn new(key: &'static str, default: T::Fixed) -> Self {
        Self {
            key,
            default,
            range: None,
            names: &[],
            check: None,
            description: "",
        }
    }

    /// What it is for, for people.
    pub const fn describe(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// A rule of its own; it says what is wrong.
    pub const fn check(mut self, check: Check<T>) -> Self {
        self.check = Some(check);
        self
    }

    /// Its key.
    pub const fn key(&self) -> &'static str {
        self.key
    }
}

impl<T: Ranged> Setting<T> {
    /// From one to the other, both included.
    pub const fn range(mut self, range: RangeInclusive<T>) -> Self {
        self.range = Some((*range.start(), *range.end()));
        self
    }
}

impl Setting<String> {
    /// One of these names.
    pub const fn one_of(mut self, names: &'static [&'static str]) -> Self {
        self.names = names;
        self
    }
}

impl<T: Kind> fmt::Debug for Setting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting")
            .field("key", &self.key)
            .field("default", &self.default)
            .finish_non_exhaustive()
    }
}

/// A value of any setting's type.
pub(crate) type Held = Arc<dyn Any + Send + Sync>;

/// A [`Setting`] of whatever type, as [`Settings::open`](crate::Settings::open) takes them.
pub trait Declared: sealed::Sealed + Send + Sync {
    /// Its key.
    fn key(&self) -> &'static str;

    /// What it is for.
    fn description(&self) -> &'static str;

    /// What it may be, as words behind "expected".
    fn expected(&self) -> String;

    /// Its default as JSON.
    fn default_json(&self) -> Json;

    #[doc(hidden)]
    fn read(&self, json: &Json) -> Result<Held, String>;
}

mod sealed {
    pub trait Sealed {}
    impl<T: super::Kind> Sealed for super::Setting<T> {}
}

impl<T: Kind> Declared for Setting<T> {
    fn key(&self) -> &'static str {
        self.key
    }

    fn description(&self) -> &'static str {
        self.description
    }

    fn expected(&self) -> String {
        if !self.names.is_empty() {
            return format!("one of {}", self.names.join(", "));
        }
        let written = |fixed| match T::of(fixed).write() {
            Json::String(text) => text,
            other => other.to_string(),
        };
        match self.range {
            Some((low, high)) => format!("{} from {} to {}", T::NAME, written(low), written(high)),
            None => T::NAME.to_owned(),
        }
    }

    fn default_json(&self) -> Json {
        T::of(self.default).write()
    }

    fn read(&self, json: &Json) -> Result<Held, String> {
        let is_allowed = |value: &T| {
            self.range
                .is_none_or(|(low, high)| value.is_within(low, high))
                && (self.names.is_empty()
                    || value.name().is_some_and(|name| self.names.contains(&name)))
        };
        let Some(value) = T::read(json).filter(is_allowed) else {
            return Err(format!(
                "expected {}, found {}",
                self.expected(),
                shown(json)
            ));
        };
        if let Some(check) = self.check {
            check(&value)?;
        }
        Ok(Arc::new(value))
    }
}

/// The value, clipped.
fn shown(json: &Json) -> String {
    const MAX: usize = 60;
    let text = json.to_string();
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Whether all of these can stand side by side, each with a default that it allows itself.
pub(crate) fn check(declared: &[&'static dyn Declared]) -> Result<(), String> {
    for (position, one) in declared.iter().enumerate() {
        let key = one.key();
        let fits =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte);
        let begins = key
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_lowercase());
        if !begins || key.len() > MAX_KEY || !key.bytes().all(fits) {
            return Err(format!(
                "{key:?} is no key of a setting; use `a-z`, `0-9`, `_` and `.`, a letter first, at most {MAX_KEY}"
            ));
        }
        if declared[..position].iter().any(|other| other.key() == key) {
            return Err(format!(
                "two settings have the key `{key}`; give one another"
            ));
        }
        if let Err(why) = one.read(&one.default_json()) {
            return Err(format!(
                "the default of the setting `{key}` is none of its own values: {why}"
            ));
        }
    }
    Ok(())
}
