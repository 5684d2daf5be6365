//! The opening handshake of a WebSocket (RFC 6455, section 4): what the gateway wants of it before it carries bytes that nobody
//! reads any more.
//!
//! The two ends agree by a key and its answer. An upstream that only repeats a status it was told to give, or answers something
//! else by 101, does not know that answer, so the gateway checks it as a client would. Which version they speak is their own
//! affair, and so is whether a key is 16 bytes in base64.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bastide_http1::{Known, RequestBody, RequestHead, ResponseHead, Upgrade};

/// What section 1.3 has the server append to the key.
const SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a request for a WebSocket has what every version of them begins with: one key, one version, and no body, behind which
/// nobody could tell where the tunnel begins.
pub(crate) fn is_whole(head: &RequestHead) -> bool {
    let once = |known| !head.is_repeated(known) && head.find(known).is_some_and(|v| !v.is_empty());
    once(Known::SecWebSocketKey)
        && once(Known::SecWebSocketVersion)
        && matches!(head.body(), RequestBody::None | RequestBody::Length(0))
}

/// Whether an upstream switches to what the client asked for. Anything else that follows on that connection means nothing.
pub(crate) fn is_agreed(request: &RequestHead, response: &ResponseHead) -> bool {
    request.upgrade() == Upgrade::WebSocket
        && response.upgrade() == Upgrade::WebSocket
        && !response.is_repeated(Known::SecWebSocketAccept)
        && request
            .find(Known::SecWebSocketKey)
            .zip(response.find(Known::SecWebSocketAccept))
            .is_some_and(|(key, accept)| accept == answer(key).as_bytes())
}

/// The value of `Sec-WebSocket-Accept` for this key.
fn answer(key: &[u8]) -> String {
    let text = [key, SUFFIX].concat();
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_that_of_the_standard() {
        assert_eq!(
            answer(b"dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }
}
