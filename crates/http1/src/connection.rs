//! The `Connection` field and its kin (RFC 9110 section 7.6.1, RFC 9112 section 9).

use crate::charset;
use crate::error::FramingError;
use crate::head::Head;
use crate::known::Known;

/// Names that one message may nominate. Each costs a pass over the fields.
const MAX_NOMINATED: usize = 32;

/// The HTTP version a message came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2, for a head that was built from parts.
    Http2,
}

/// What a message asks the connection to become (RFC 9110 section 7.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Upgrade {
    /// Nothing, or not in a form that counts: `Upgrade` works only in HTTP/1.1 and only when
    /// `Connection` names it.
    #[default]
    None,
    /// Exactly `websocket`.
    WebSocket,
    /// Something else, or a choice of protocols.
    Other,
}

/// What `Connection` says about the connection itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
}

impl Options {
    /// RFC 9112 section 9.3.
    pub(crate) fn persists(self, version: Version) -> bool {
        match version {
            Version::Http10 => self.keep_alive && !self.close,
            Version::Http11 => !self.close,
            Version::Http2 => true,
        }
    }
}

/// Reads every `Connection` field and marks the fields it nominates.
#[inline]
pub(crate) fn options(head: &mut Head) -> Result<Options, FramingError> {
    let mut options = Options::default();
    let Some(first) = head.first_index(Known::Connection) else {
        return Ok(options);
    };
    let mut nominated = 0;
    let mut next = Some(first);
    while let Some(index) = next {
        read_options(head, index, &mut options, &mut nominated)?;
        next = if head.is_repeated(Known::Connection) {
            (index + 1..head.fields.len()).find(|&i| head.fields[i].known == Known::Connection)
        } else {
            None
        };
    }
    Ok(options)
}

fn read_options(
    head: &mut Head,
    index: usize,
    options: &mut Options,
    nominated: &mut usize,
) -> Result<(), FramingError> {
    let Head { bytes, fields, .. } = head;
    let value = fields[index].value.of(bytes);
    for option in value.split(|&b| b == b',').map(charset::trim) {
        if option.eq_ignore_ascii_case(b"close") {
            options.close = true;
        } else if option.eq_ignore_ascii_case(b"keep-alive") {
            options.keep_alive = true;
        } else if option.eq_ignore_ascii_case(b"upgrade") {
            options.upgrade = true;
        } else if !option.is_empty() && Known::of(option) == Known::Other {
            // A name with meaning to us is hop-by-hop already, or must not be taken away by a peer.
            *nominated += 1;
            if *nominated > MAX_NOMINATED {
                return Err(FramingError::TooManyConnectionOptions);
            }
            for field in fields.iter_mut() {
                field.hop |= field.name.of(bytes).eq_ignore_ascii_case(option);
            }
        }
    }
    Ok(())
}

/// Reads `Upgrade`, given that `Connection` names it or not.
pub(crate) fn upgrade(head: &Head, version: Version, options: Options) -> Upgrade {
    let Some(value) = head.find(Known::Upgrade) else {
        return Upgrade::None;
    };
    if version != Version::Http11 || !options.upgrade {
        Upgrade::None
    } else if value.eq_ignore_ascii_case(b"websocket") && !head.is_repeated(Known::Upgrade) {
        Upgrade::WebSocket
    } else {
        Upgrade::Other
    }
}

/// The `timeout` parameter of a `Keep-Alive` field, in seconds.
pub(crate) fn keep_alive_timeout(value: &[u8]) -> Option<u32> {
    value.split(|&b| b == b',').find_map(|parameter| {
        let (name, seconds) = charset::trim(parameter).split_at_checked(8)?;
        if !name.eq_ignore_ascii_case(b"timeout=") || !seconds.iter().all(u8::is_ascii_digit) {
            return None;
        }
        str::from_utf8(seconds).ok()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alive_timeouts() {
        for (value, timeout) in [
            ("timeout=5", Some(5)),
            ("max=100, Timeout=15", Some(15)),
            ("timeout=0", Some(0)),
            ("timeout=", None),
            ("timeout=+5", None),
            ("timeout=99999999999", None),
            ("timeout", None),
            ("", None),
        ] {
            assert_eq!(keep_alive_timeout(value.as_bytes()), timeout, "{value:?}");
        }
    }
}
