//! `traceparent`: W3C Trace Context, level 1 (<https://www.w3.org/TR/trace-context-1/>).

use super::{IdSource, RequestId, read_hex, write_hex};

/// Whether the caller may have recorded the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampled {
    /// It may have.
    Yes,
    /// It has not.
    No,
}

/// A place in a trace.
///
/// ```
/// use bastide_telemetry::ids::{IdSource, TraceParent};
/// let mut ids = IdSource::from_seeds(1, 2);
/// let incoming = TraceParent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
/// let outgoing = incoming.child(&mut ids);
/// assert_eq!(outgoing.trace(), incoming.trace());
/// assert_ne!(outgoing.span(), incoming.span());
/// assert_eq!(outgoing.to_text().len(), TraceParent::TEXT_LEN);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace: u128,
    span: u64,
    flags: u8,
}

impl TraceParent {
    /// How many bytes the text has.
    pub const TEXT_LEN: usize = 55;
    const SAMPLED: u8 = 1;

    /// A new trace whose id is the request's.
    pub fn start(request: RequestId, ids: &mut IdSource, sampled: Sampled) -> Self {
        let flags = if sampled == Sampled::Yes {
            Self::SAMPLED
        } else {
            0
        };
        Self {
            trace: request.to_u128().max(1),
            span: ids.next_span(),
            flags,
        }
    }

    /// Reads the field's value. `None` if it is not valid; then a new trace begins, as section 4.3 says.
    ///
    /// A version above 0 is read as far as version 0 goes, if it is at least as long (section 3.2.2).
    pub fn parse(field: &[u8]) -> Option<Self> {
        let separated = field.len() >= Self::TEXT_LEN
            && field[2] == b'-'
            && field[35] == b'-'
            && field[52] == b'-';
        if !separated {
            return None;
        }
        let version = read_hex(&field[..2])?;
        let more = field.get(Self::TEXT_LEN);
        let length_fits = match version {
            0xff => false,
            0 => more.is_none(),
            _ => more.is_none_or(|byte| *byte == b'-'),
        };
        let trace = read_hex(&field[3..35])?;
        let span = read_hex(&field[36..52])? as u64;
        let flags = read_hex(&field[53..55])? as u8;
        (length_fits && trace != 0 && span != 0).then_some(Self { trace, span, flags })
    }

    /// The place of a call made on behalf of this one: the same trace, a new span. Flags that version 0 does not define are
    /// not passed on.
    pub fn child(self, ids: &mut IdSource) -> Self {
        Self {
            span: ids.next_span(),
            flags: self.flags & Self::SAMPLED,
            ..self
        }
    }

    /// The same place, with another decision whether it is recorded.
    pub fn recorded(self, sampled: Sampled) -> Self {
        let flags = self.flags & !Self::SAMPLED;
        Self {
            flags: flags
                | if sampled == Sampled::Yes {
                    Self::SAMPLED
                } else {
                    0
                },
            ..self
        }
    }

    /// The trace's id.
    pub fn trace(self) -> RequestId {
        RequestId::from_u128(self.trace)
    }

    /// The span's id.
    pub fn span(self) -> u64 {
        self.span
    }

    /// Whether the caller may have recorded the trace.
    pub fn sampled(self) -> Sampled {
        if self.flags & Self::SAMPLED == 0 {
            Sampled::No
        } else {
            Sampled::Yes
        }
    }

    /// The field's value, in version 0.
    pub fn to_text(self) -> [u8; Self::TEXT_LEN] {
        let mut text = [b'-'; Self::TEXT_LEN];
        write_hex(&mut text[..2], 0);
        write_hex(&mut text[3..35], self.trace);
        write_hex(&mut text[36..52], u128::from(self.span));
        write_hex(&mut text[53..], u128::from(self.flags));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VALID: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn reads_and_writes_version_0() {
        let parent = TraceParent::parse(VALID).unwrap();
        assert_eq!(
            parent.trace().to_string(),
            "4bf92f3577b34da6a3ce929d0e0e4736"
        );
        assert_eq!(parent.span(), 0x00f0_67aa_0ba9_02b7);
        assert_eq!(parent.sampled(), Sampled::Yes);
        assert_eq!(parent.to_text(), VALID);
    }

    #[test]
    fn refuses_what_the_standard_refuses() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
        ] {
            assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn later_versions_are_read_as_far_as_known() {
        let parent =
            TraceParent::parse(b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what")
                .unwrap();
        assert_eq!(parent.to_text(), VALID);
    }

    #[test]
    fn a_new_trace_takes_the_request_id() {
        let mut ids = IdSource::from_seeds(1, 2);
        let request = ids.next_id();
        let parent = TraceParent::start(request, &mut ids, Sampled::No);
        assert_eq!((parent.trace(), parent.sampled()), (request, Sampled::No));
        assert_eq!(TraceParent::parse(&parent.to_text()), Some(parent));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(parent) = TraceParent::parse(&bytes) {
                prop_assert_eq!(TraceParent::parse(&parent.to_text()), Some(parent));
            }
        }
    }
}
