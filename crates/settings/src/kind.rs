//! The types that a setting may have.

use std::fmt;
use std::time::Duration;

use bastide_config::TimeSpan;
use serde_json::Value as Json;

/// What a setting may hold: `bool`, `i64`, `u64`, `f64`, [`String`], [`Duration`] (to the millisecond, kept as `90s`) and
/// `Vec<String>`.
pub trait Kind: sealed::Sealed + Clone + fmt::Debug + Send + Sync + 'static {
    /// How it is written in a constant.
    type Fixed: Copy + fmt::Debug + Send + Sync + 'static;

    /// What it is called, after "expected".
    #[doc(hidden)]
    const NAME: &'static str;

    #[doc(hidden)]
    fn of(fixed: Self::Fixed) -> Self;

    #[doc(hidden)]
    fn read(json: &Json) -> Option<Self>;

    #[doc(hidden)]
    fn write(&self) -> Json;

    /// Whether it is from one to the other; what has no order always is.
    #[doc(hidden)]
    fn is_within(&self, _low: Self::Fixed, _high: Self::Fixed) -> bool {
        true
    }

    /// As one of a list of names.
    #[doc(hidden)]
    fn name(&self) -> Option<&str> {
        None
    }
}

/// What has an order, so that a range can be stated.
pub trait Ranged: Kind<Fixed = Self> + Copy {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for bool {}
    impl Sealed for i64 {}
    impl Sealed for u64 {}
    impl Sealed for f64 {}
    impl Sealed for String {}
    impl Sealed for std::time::Duration {}
    impl Sealed for Vec<String> {}
}

macro_rules! plain {
    ($($type:ty, $name:literal, $read:ident;)*) => {$(
        impl Kind for $type {
            type Fixed = Self;
            const NAME: &'static str = $name;

            fn of(fixed: Self) -> Self {
                fixed
            }

            fn read(json: &Json) -> Option<Self> {
                json.$read()
            }

            fn write(&self) -> Json {
                (*self).into()
            }

            fn is_within(&self, low: Self, high: Self) -> bool {
                (low..=high).contains(self)
            }
        }
    )*};
}

plain! {
    bool, "true or false", as_bool;
    i64, "a whole number", as_i64;
    u64, "a whole number that is not negative", as_u64;
    f64, "a number", as_f64;
}

impl Ranged for i64 {}
impl Ranged for u64 {}
impl Ranged for f64 {}
impl Ranged for Duration {}

impl Kind for Duration {
    type Fixed = Self;
    const NAME: &'static str = "a time such as \"250ms\", \"10s\" or \"1h30m\"";

    fn of(fixed: Self) -> Self {
        fixed
    }

    fn read(json: &Json) -> Option<Self> {
        serde_json::from_value(json.clone()).ok().map(TimeSpan::get)
    }

    fn write(&self) -> Json {
        TimeSpan::new(*self).to_string().into()
    }

    fn is_within(&self, low: Self, high: Self) -> bool {
        (low..=high).contains(self)
    }
}

impl Kind for String {
    type Fixed = &'static str;
    const NAME: &'static str = "a text";

    fn of(fixed: &'static str) -> Self {
        fixed.to_owned()
    }

    fn read(json: &Json) -> Option<Self> {
        json.as_str().and_then(without_nul)
    }

    fn write(&self) -> Json {
        self.as_str().into()
    }

    fn name(&self) -> Option<&str> {
        Some(self)
    }
}

impl Kind for Vec<String> {
    type Fixed = &'static [&'static str];
    const NAME: &'static str = "a list of texts";

    fn of(fixed: Self::Fixed) -> Self {
        fixed.iter().map(|text| (*text).to_owned()).collect()
    }

    fn read(json: &Json) -> Option<Self> {
        let each = json.as_array()?.iter();
        each.map(|text| text.as_str().and_then(without_nul))
            .collect()
    }

    fn write(&self) -> Json {
        self.as_slice().into()
    }
}

/// Postgres keeps no text with this character.
fn without_nul(text: &str) -> Option<String> {
    (!text.contains('\0')).then(|| text.to_owned())
}
