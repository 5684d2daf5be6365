//! Request ids, and W3C trace context.
//!
//! All texts are written into arrays of fixed size; nothing here allocates.

mod trace;

use std::cell::RefCell;
use std::fmt;

pub use trace::{Sampled, TraceParent};

/// A 128-bit id; as text 32 lower-case hexadecimal digits.
///
/// Ids are for telling requests apart. They are not secret and must not be used where guessing one would matter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u128);

impl RequestId {
    /// How many bytes the text has.
    pub const TEXT_LEN: usize = 32;

    /// An id with this value.
    pub const fn from_u128(value: u128) -> Self {
        Self(value)
    }

    /// The value.
    pub const fn to_u128(self) -> u128 {
        self.0
    }

    /// The id as text.
    pub fn to_text(self) -> IdText {
        let mut text = [0; Self::TEXT_LEN];
        write_hex(&mut text, self.0);
        IdText(text)
    }

    /// Reads 32 lower-case hexadecimal digits.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() == Self::TEXT_LEN {
            read_hex(text).map(Self)
        } else {
            None
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_text().as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

/// The text of a [`RequestId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdText([u8; RequestId::TEXT_LEN]);

impl IdText {
    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }

    /// The digits as bytes, for a header field.
    pub fn as_bytes(&self) -> &[u8; RequestId::TEXT_LEN] {
        &self.0
    }
}

/// Makes ids: one for each worker, so that none waits for another.
///
/// Two wyrand generators with seeds of their own give the halves, so two processes would have to draw the same 128 bits to
/// walk the same way.
///
/// ```
/// use bastide_telemetry::ids::IdSource;
/// let mut ids = IdSource::new().unwrap();
/// assert_ne!(ids.next_id(), ids.next_id());
/// ```
#[derive(Clone, Debug)]
pub struct IdSource {
    high: fastrand::Rng,
    low: fastrand::Rng,
}

impl IdSource {
    /// A source seeded by the operating system.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn new() -> Result<Self, getrandom::Error> {
        Ok(Self::from_seeds(getrandom::u64()?, getrandom::u64()?))
    }

    /// A source that gives the same ids every time, for tests.
    pub fn from_seeds(high: u64, low: u64) -> Self {
        Self {
            high: fastrand::Rng::with_seed(high),
            low: fastrand::Rng::with_seed(low),
        }
    }

    /// The next id. It is never 0, which trace context forbids.
    #[inline]
    pub fn next_id(&mut self) -> RequestId {
        let value = u128::from(self.high.u64(..)) << 64 | u128::from(self.low.u64(..));
        RequestId(value.max(1))
    }

    /// The next span id. It is never 0.
    #[inline]
    pub fn next_span(&mut self) -> u64 {
        self.low.u64(..).max(1)
    }
}

/// Makes ids with a source that this thread keeps: the system is asked for random numbers once, not for each call.
///
/// # Panics
/// When the system gives no random numbers.
pub fn with_source<T>(make: impl FnOnce(&mut IdSource) -> T) -> T {
    thread_local! {
        static SOURCE: RefCell<IdSource> =
            RefCell::new(IdSource::new().expect("the system gives random numbers"));
    }
    SOURCE.with_borrow_mut(make)
}

fn write_hex(text: &mut [u8], value: u128) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = value;
    for digit in text.iter_mut().rev() {
        *digit = DIGITS[(rest & 15) as usize];
        rest >>= 4;
    }
}

/// Lower-case digits only, as trace context demands.
fn read_hex(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let id = RequestId::from_u128(0x00ff_1234_0000_0000_0000_0000_dead_beef);
        assert_eq!(id.to_string(), "00ff12340000000000000000deadbeef");
        assert_eq!(RequestId::parse(id.to_text().as_bytes()), Some(id));
        assert_eq!(RequestId::parse(b"00FF12340000000000000000deadbeef"), None);
        assert_eq!(RequestId::parse(b"00"), None);
    }

    #[test]
    fn sources_with_one_seed_agree_and_others_differ() {
        let (mut a, mut b) = (IdSource::from_seeds(1, 2), IdSource::from_seeds(1, 2));
        assert_eq!(a.next_id(), b.next_id());
        let mut other = IdSource::from_seeds(1, 3);
        assert_ne!(a.next_id(), other.next_id());
    }

    #[test]
    fn ids_do_not_repeat() {
        let mut ids = IdSource::new().unwrap();
        let drawn: std::collections::HashSet<_> = (0..100_000).map(|_| ids.next_id()).collect();
        assert_eq!(drawn.len(), 100_000);
    }
}
