//! What a span says, and which calls have one.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::ids::{RequestId, Sampled};

/// One piece of work, done.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The trace that it belongs to.
    pub trace: RequestId,
    /// Its own id, which is not 0.
    pub id: u64,
    /// The span on whose behalf it was done; `None` at the root.
    pub parent: Option<u64>,
    /// What was done, as few different names as there are kinds of work: `users@1.0.0/find`, no ids.
    pub name: Cow<'static, str>,
    /// On which side of a call it was.
    pub kind: Kind,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// More about it, under the names of the semantic conventions where there are some.
    pub attributes: Vec<(Cow<'static, str>, Attribute)>,
    /// How it ended.
    pub status: Status,
}

/// On which side of a call a span was. The numbers are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Within the process.
    Internal = 1,
    /// It answers a call.
    Server = 2,
    /// It makes a call.
    Client = 3,
    /// It puts something into a queue.
    Producer = 4,
    /// It takes something out of a queue.
    Consumer = 5,
}

/// How a span ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nobody judged; it did not fail.
    Unset,
    /// It was judged to be good.
    Ok,
    /// It failed, with this for people.
    Error(Cow<'static, str>),
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A text.
    Text(Cow<'static, str>),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
}

impl From<&'static str> for Attribute {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<bool> for Attribute {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Attribute {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Attribute {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

/// Decides which calls are recorded: as the caller decided, else by the trace's id, so that all services with one ratio choose the
/// same traces, and one with a higher ratio chooses these and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Of the 63 bits that are compared.
    below: u64,
}

impl Sampler {
    pub(super) const ALL: Self = Self { below: 1 << 63 };

    /// For this part of the traces, from 0 to 1.
    pub fn of(ratio: f64) -> Option<Self> {
        let is_ratio = (0.0..=1.0).contains(&ratio);
        is_ratio.then_some(Self {
            below: (ratio * Self::ALL.below as f64) as u64,
        })
    }

    /// Whether a call of this trace is recorded. `parent` is what its caller decided, if it told a trace.
    pub fn decide(self, trace: RequestId, parent: Option<Sampled>) -> Sampled {
        parent.unwrap_or_else(|| {
            // The low half is random also where the high one holds a time.
            let drawn = trace.to_u128() as u64 >> 1;
            if drawn < self.below {
                Sampled::Yes
            } else {
                Sampled::No
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::IdSource;

    #[test]
    fn s13_the_ratio_holds_and_a_parent_has_decided() {
        let mut ids = IdSource::from_seeds(1, 2);
        let traces: Vec<RequestId> = (0..10_000).map(|_| ids.next_id()).collect();
        let chosen = |ratio: f64| {
            let sampler = Sampler::of(ratio).unwrap();
            let is_chosen = |trace: &&RequestId| sampler.decide(**trace, None) == Sampled::Yes;
            traces.iter().filter(is_chosen).collect::<Vec<_>>()
        };
        assert_eq!((chosen(0.0).len(), chosen(1.0).len()), (0, traces.len()));
        let (tenth, half) = (chosen(0.1), chosen(0.5));
        assert!((900..1_100).contains(&tenth.len()), "{}", tenth.len());
        assert!(
            tenth.iter().all(|trace| half.contains(trace)),
            "whole traces are chosen"
        );
        let (all, none) = (Sampler::of(1.0).unwrap(), Sampler::of(0.0).unwrap());
        assert_eq!(all.decide(traces[0], Some(Sampled::No)), Sampled::No);
        assert_eq!(none.decide(traces[0], Some(Sampled::Yes)), Sampled::Yes);
    }
}
