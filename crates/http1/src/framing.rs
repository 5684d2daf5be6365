//! The two framing fields: `Content-Length` and `Transfer-Encoding` (RFC 9112 section 6).

use crate::charset;
use crate::error::FramingError;
use crate::head::Head;
use crate::known::Known;

/// Reads a `Content-Length`: decimal digits without sign, blank, list or leading zero, below 2^63.
///
/// RFC 9110 section 8.6 allows leading zeros; they are refused because some programs read them as octal.
/// The bound leaves room for sums and is that of programs that count in signed numbers.
pub(crate) fn content_length(value: &[u8]) -> Result<u64, FramingError> {
    const INVALID: FramingError = FramingError::InvalidContentLength;
    match value {
        [b'0'] => return Ok(0),
        [] | [b'0', ..] => return Err(INVALID),
        _ if value.len() > 19 => return Err(INVALID),
        _ => {}
    }
    let mut length: u64 = 0;
    for &digit in value {
        if !digit.is_ascii_digit() {
            return Err(INVALID);
        }
        // Nineteen digits cannot overflow.
        length = length * 10 + u64::from(digit - b'0');
    }
    if length > i64::MAX as u64 {
        return Err(INVALID);
    }
    Ok(length)
}

/// Checks a `Transfer-Encoding` value: one `chunked`, in any letter case, and nothing else.
pub(crate) fn transfer_encoding(value: &[u8]) -> Result<(), FramingError> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    // Well-formed codings before one final `chunked` are a request for something this codec lacks;
    // everything else leaves open where the body ends.
    let mut codings = value.rsplit(|&b| b == b',').map(charset::trim);
    let last = codings.next().unwrap_or_default();
    let well_formed = last.eq_ignore_ascii_case(b"chunked")
        && codings.all(|coding| {
            charset::is_valid_name(coding)
                && !coding.eq_ignore_ascii_case(b"chunked")
                && !coding.eq_ignore_ascii_case(b"identity")
        });
    Err(if well_formed {
        FramingError::UnsupportedTransferCoding
    } else {
        FramingError::InvalidTransferEncoding
    })
}

/// What the framing fields say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Declared {
    Nothing,
    Length(u64),
    Chunked,
}

/// Decides between the framing fields of a head. `repeats` says whether equal lengths may repeat.
#[inline]
pub(crate) fn declared(
    head: &mut Head,
    http10: bool,
    repeats: bool,
) -> Result<Declared, FramingError> {
    let length = head.find(Known::ContentLength);
    if let Some(coding) = head.find(Known::TransferEncoding) {
        if length.is_some() {
            return Err(FramingError::LengthAndTransferEncoding);
        }
        if http10 {
            return Err(FramingError::TransferEncodingInHttp10);
        }
        if head.is_repeated(Known::TransferEncoding) {
            return Err(FramingError::RepeatedTransferEncoding);
        }
        return transfer_encoding(coding).map(|()| Declared::Chunked);
    }
    let Some(length) = length else {
        return Ok(Declared::Nothing);
    };
    let length = content_length(length)?;
    if head.is_repeated(Known::ContentLength) {
        if !repeats {
            return Err(FramingError::RepeatedContentLength);
        }
        collapse_lengths(head, length)?;
    }
    Ok(Declared::Length(length))
}

/// Lets the first of several equal lengths stand for all (RFC 9110 section 8.6).
#[cold]
fn collapse_lengths(head: &mut Head, length: u64) -> Result<(), FramingError> {
    for value in head.all(Known::ContentLength) {
        if content_length(value)? != length {
            return Err(FramingError::RepeatedContentLength);
        }
    }
    let first = head.first_index(Known::ContentLength);
    head.stop(Known::ContentLength);
    if let Some(first) = first {
        head.fields[first].hop = false;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_length_is_plain_decimal() {
        for (value, length) in [
            (&b"0"[..], 0),
            (b"1", 1),
            (b"10737418240", 10_737_418_240),
            (b"9223372036854775807", i64::MAX as u64),
        ] {
            assert_eq!(content_length(value), Ok(length));
        }
        for value in [
            "",
            "+1",
            "-1",
            "0x10",
            "1_0",
            "1 0",
            "1,1",
            "1, 1",
            "010",
            "00",
            "1.0",
            "1e3",
            "ten",
            "1Z",
            "9223372036854775808",
            "18446744073709551616",
            "99999999999999999999",
            "\u{661}",
            "5\t",
            "5;",
            "\"5\"",
        ] {
            let refused = Err(FramingError::InvalidContentLength);
            assert_eq!(content_length(value.as_bytes()), refused, "{value:?}");
        }
    }

    #[test]
    fn transfer_encoding_is_chunked_alone() {
        for value in ["chunked", "Chunked", "CHUNKED"] {
            assert_eq!(transfer_encoding(value.as_bytes()), Ok(()));
        }
        for value in ["gzip, chunked", "gzip,chunked", "deflate , gzip , chunked"] {
            let refused = Err(FramingError::UnsupportedTransferCoding);
            assert_eq!(transfer_encoding(value.as_bytes()), refused, "{value:?}");
        }
        for value in [
            "",
            ",",
            ",chunked",
            "chunked,",
            ", chunked",
            "chunked, chunked",
            "chunked, identity",
            "identity",
            "identity, chunked",
            "gzip",
            "xchunked",
            "chunkedx",
            "chunked;a=b",
            "chunked gzip",
            "\"chunked\"",
            "'chunked'",
            "gzip;q=1, chunked",
            "\u{a0}chunked",
            "chunk\u{17f}ed",
            "chunKed\u{212a}",
            "chunked, gzip",
            "gzip,,chunked",
        ] {
            let refused = Err(FramingError::InvalidTransferEncoding);
            assert_eq!(transfer_encoding(value.as_bytes()), refused, "{value:?}");
        }
    }
}
