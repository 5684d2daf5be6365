//! How the sender of an event proves who it is: by a signature over the bytes of the body.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bastide_auth::Clock;
use bastide_config::Secret;
use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use crate::http::{RawHead, RawRequest};
use crate::problem::Problem;
use crate::replay::{Replays, Taking};

/// How events of one sender are signed, by HMAC with SHA-256.
///
/// Signatures are compared in constant time. Where the sender signs a time, events older or newer than the tolerance are
/// refused. An event that was answered with success is refused when it comes again within the tolerance (409
/// `event_replayed`), in this process; one that failed may come again. A handler whose process has siblings, or that must not
/// do things twice after that time, has to look at the event's id itself.
///
/// ```
/// use bastide_config::Secret;
/// use bastide_rpc::{Signature, SignedField};
/// # fn main() -> Result<(), bastide_rpc::ShortSecret> {
/// let secret = Secret::new("whsec_of-at-least-sixteen-bytes");
/// let stripe = Signature::hmac_sha256(&secret)?.stripe();
/// let github = Signature::hmac_sha256(&secret)?.github();
/// let own = Signature::hmac_sha256(&secret)?.field(
///     SignedField::named("x-signature").base64().signed_at("x-timestamp"),
/// );
/// # drop((stripe, github, own));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Signature {
    keys: Vec<hmac::Key>,
    scheme: Scheme,
    tolerance: i64,
    clock: Clock,
    replays: Arc<Replays>,
}

/// Secrets of which nobody has said yet how they are used.
#[derive(Debug)]
pub struct HmacSha256(Vec<hmac::Key>);

/// The secret could be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret for signatures has 16 bytes at least; let the sender make another one")]
pub struct ShortSecret;

#[derive(Debug)]
enum Scheme {
    /// `Stripe-Signature: t=TIME,v1=HEX`, over `TIME.BODY`.
    Stripe,
    /// `X-Hub-Signature-256: sha256=HEX`, over the body.
    GitHub,
    Field(SignedField),
}

/// A signature in a field of its own, in hexadecimal digits over the body unless said otherwise.
///
/// # Panics
/// Its functions panic at what is no name of a field; names are written in small letters.
#[derive(Debug)]
pub struct SignedField {
    name: &'static str,
    is_base64: bool,
    time: Option<&'static str>,
}

impl SignedField {
    /// In this field.
    pub fn named(name: &'static str) -> Self {
        HeaderName::from_static(name);
        Self {
            name,
            is_base64: false,
            time: None,
        }
    }

    /// In Base64.
    pub fn base64(mut self) -> Self {
        self.is_base64 = true;
        self
    }

    /// Over a time, a dot and the body; the time stands in this field, in Unix seconds.
    pub fn signed_at(mut self, name: &'static str) -> Self {
        HeaderName::from_static(name);
        self.time = Some(name);
        self
    }
}

/// Signatures that one request may carry; a sender has a few while it changes its secret.
const MOST_SIGNATURES: usize = 8;

/// What a request says about its signature.
struct Claimed<'a> {
    /// As it was signed, and as the number that it is.
    time: Option<(&'a str, i64)>,
    signatures: Vec<Vec<u8>>,
}

/// An event whose sender is proven. Nobody but the verifier makes one:
/// ```compile_fail
/// let event = bastide_rpc::Verified { body: Default::default(), head: todo!() };
/// ```
#[derive(Debug)]
pub struct Verified {
    body: Bytes,
    head: RawHead,
}

impl Verified {
    /// The bytes that were signed.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body read as JSON.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Problem> {
        crate::input::read(&self.body)
    }

    /// The head of the request, which nobody has signed: good for telling kinds of events apart, and for no decision that
    /// the sender's word is needed for.
    pub fn unsigned_head(&self) -> &RawHead {
        &self.head
    }
}

impl Signature {
    /// How far a signed time may be from now, and how long an event is remembered: 5 minutes.
    pub const TOLERANCE: Duration = Duration::from_mins(5);

    /// By HMAC with SHA-256 and this secret.
    pub fn hmac_sha256(secret: &Secret) -> Result<HmacSha256, ShortSecret> {
        HmacSha256(Vec::new()).or(secret)
    }

    fn new(keys: Vec<hmac::Key>, scheme: Scheme) -> Self {
        Self {
            keys,
            scheme,
            tolerance: Self::TOLERANCE.as_secs() as i64,
            clock: Clock::system(),
            replays: Arc::default(),
        }
    }

    /// With this in place of [`Signature::TOLERANCE`], in whole seconds.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = i64::try_from(tolerance.as_secs()).unwrap_or(i64::MAX);
        self
    }

    /// By this clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How it is called where entries are listed.
    pub(crate) fn listed(&self) -> &'static str {
        match &self.scheme {
            Scheme::Stripe => "as Stripe does",
            Scheme::GitHub => "as GitHub does",
            Scheme::Field(field) => field.name,
        }
    }

    /// Reads the body and looks whether it is signed.
    pub(crate) async fn prove(&self, request: RawRequest) -> Result<(Verified, Taking), Problem> {
        let RawRequest { head, body } = request;
        let claimed = self.claimed(head.fields()).map_err(refused)?;
        // Bounded by the route.
        let body = body.bytes(usize::MAX).await?;
        let now = self.clock.now().as_second();
        let (event, until) = self.verify(&claimed, &body, now).map_err(refused)?;
        let taking = self.replays.take(event, now, until).ok_or_else(|| {
            let detail = "this event was taken already; do not send it again";
            Problem::new(409, "event_replayed", detail)
        })?;
        Ok((Verified { body, head }, taking))
    }

    /// The signature that fits, and how long it is to be remembered.
    fn verify(
        &self,
        claimed: &Claimed<'_>,
        body: &[u8],
        now: i64,
    ) -> Result<([u8; 32], i64), &'static str> {
        let fitting = self.keys.iter().find_map(|key| {
            let mut context = hmac::Context::with_key(key);
            if let Some((text, _)) = claimed.time {
                context.update(text.as_bytes());
                context.update(b".");
            }
            context.update(body);
            let tag = context.sign();
            let mut signatures = claimed.signatures.iter();
            let fits =
                |one: &&Vec<u8>| constant_time::verify_slices_are_equal(tag.as_ref(), one).is_ok();
            signatures.find(fits)?;
            <[u8; 32]>::try_from(tag.as_ref()).ok()
        });
        let event = fitting.ok_or("no signature fits")?;
        let signed_at = match claimed.time {
            None => now,
            Some((_, time)) if time.abs_diff(now) > self.tolerance as u64 => {
                return Err("it was signed too long ago, or in the future");
            }
            Some((_, time)) => time,
        };
        Ok((event, signed_at.saturating_add(self.tolerance)))
    }

    fn claimed<'a>(&self, fields: &'a HeaderMap) -> Result<Claimed<'a>, &'static str> {
        match &self.scheme {
            Scheme::Stripe => stripe(only(fields, "stripe-signature")?),
            Scheme::GitHub => {
                let text = only(fields, "x-hub-signature-256")?;
                let text = text.strip_prefix("sha256=").ok_or("not `sha256=`")?;
                Ok(Claimed {
                    time: None,
                    signatures: vec![hex(text).ok_or("not hexadecimal")?],
                })
            }
            Scheme::Field(field) => {
                let text = only(fields, field.name)?;
                let signature = if field.is_base64 {
                    STANDARD.decode(text).ok()
                } else {
                    hex(text)
                };
                let time = match field.time {
                    None => None,
                    Some(name) => {
                        let text = only(fields, name)?;
                        Some((text, seconds(text)?))
                    }
                };
                Ok(Claimed {
                    time,
                    signatures: vec![signature.ok_or("not in the right alphabet")?],
                })
            }
        }
    }
}

impl HmacSha256 {
    /// Or by this secret: the old one, while the sender changes to a new one.
    pub fn or(mut self, secret: &Secret) -> Result<Self, ShortSecret> {
        let secret = secret.expose().as_bytes();
        if secret.len() < 16 {
            return Err(ShortSecret);
        }
        self.0.push(hmac::Key::new(hmac::HMAC_SHA256, secret));
        Ok(self)
    }

    /// As Stripe signs: `Stripe-Signature: t=TIME,v1=HEX`, over the time, a dot and the body.
    pub fn stripe(self) -> Signature {
        Signature::new(self.0, Scheme::Stripe)
    }

    /// As GitHub signs: `X-Hub-Signature-256: sha256=HEX`, over the body. It has no time, so that an event is refused as a
    /// replay for as long as it is remembered, and not for longer.
    pub fn github(self) -> Signature {
        Signature::new(self.0, Scheme::GitHub)
    }

    /// In a field of the sender's own.
    pub fn field(self, field: SignedField) -> Signature {
        Signature::new(self.0, Scheme::Field(field))
    }
}

fn stripe(text: &str) -> Result<Claimed<'_>, &'static str> {
    let mut time = None;
    let mut signatures = Vec::new();
    for part in text.split(',') {
        match part.trim().split_once('=') {
            Some(("t", text)) if time.is_none() => time = Some((text, seconds(text)?)),
            Some(("t", _)) => return Err("two times"),
            Some(("v1", text)) => signatures.push(hex(text).ok_or("not hexadecimal")?),
            // Of schemes to come, or gone.
            _ => {}
        }
    }
    if time.is_none() || signatures.is_empty() || signatures.len() > MOST_SIGNATURES {
        return Err("a time and a few signatures are needed");
    }
    Ok(Claimed { time, signatures })
}

/// Of two fields one reader would take the one and one the other.
fn only<'a>(fields: &'a HeaderMap, name: &'static str) -> Result<&'a str, &'static str> {
    let mut values = fields.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| "not text"),
        (None, _) => Err("a field is missing"),
        (Some(_), Some(_)) => Err("a field stands twice"),
    }
}

fn seconds(text: &str) -> Result<i64, &'static str> {
    text.parse().map_err(|_| "not a time in seconds")
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let bytes = pairs.map(|pair| Some((digit(pair[0])? * 16 + digit(pair[1])?) as u8));
    bytes.collect()
}

/// Which part was wrong is for the log alone.
fn refused(reason: &'static str) -> Problem {
    tracing::debug!(reason, "a signature was refused");
    Problem::new(
        401,
        "signature_invalid",
        "the signature is missing, wrong or too old; sign the body as it is sent, with the shared secret",
    )
    .challenged("Signature")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "it's a secret to everybody";

    fn keys() -> HmacSha256 {
        Signature::hmac_sha256(&Secret::new(SECRET)).unwrap()
    }

    fn hex_of(secret: &str, text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, text.as_bytes());
        tag.as_ref()
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    fn judged(
        signature: &Signature,
        fields: &[(&'static str, String)],
        body: &str,
        now: i64,
    ) -> bool {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(name, value);
        }
        let claimed = signature.claimed(&map);
        claimed.is_ok_and(|claimed| signature.verify(&claimed, body.as_bytes(), now).is_ok())
    }

    /// GitHub's own example, from its page "Validating webhook deliveries".
    #[test]
    fn s16_githubs_example_fits() {
        let secret = Secret::new("It's a Secret to Everybody");
        let github = Signature::hmac_sha256(&secret).unwrap().github();
        let text = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let field = ("x-hub-signature-256", text.to_owned());
        assert!(judged(
            &github,
            std::slice::from_ref(&field),
            "Hello, World!",
            0
        ));
        assert!(!judged(
            &github,
            std::slice::from_ref(&field),
            "Hello, World?",
            0
        ));
        assert!(!judged(
            &github,
            &[field.clone(), field],
            "Hello, World!",
            0
        ));
        for text in [
            "",
            "sha256=",
            "sha1=00",
            &text[7..],
            "sha256=zz",
            "sha256=75710",
        ] {
            let field = [("x-hub-signature-256", text.to_owned())];
            assert!(!judged(&github, &field, "Hello, World!", 0), "{text}");
        }
        assert!(!judged(&github, &[], "Hello, World!", 0));
    }

    #[test]
    fn s16_stripes_time_is_signed_and_tolerated_for_a_while() {
        let stripe = keys().stripe();
        let now = 1_800_000_000;
        let at = |time: i64| {
            let mac = hex_of(SECRET, &format!("{time}.{{}}"));
            vec![("stripe-signature", format!("t={time},v1={mac},v0=00"))]
        };
        for (time, fits) in [
            (now, true),
            (now - 300, true),
            (now + 300, true),
            (now - 301, false),
            (now + 301, false),
            (i64::MIN, false),
            (i64::MAX, false),
        ] {
            assert_eq!(judged(&stripe, &at(time), "{}", now), fits, "{time}");
        }
        let mac = hex_of(SECRET, &format!("{now}.{{}}"));
        for (text, fits) in [
            (
                format!(
                    "t={now},v1={},v1={mac}",
                    hex_of("another secret of it", "x")
                ),
                true,
            ),
            (format!("v1={mac}, t={now}"), true),
            // Another time than the one that was signed.
            (format!("t={},v1={mac}", now + 1), false),
            (format!("t={now},t={now},v1={mac}"), false),
            (format!("t={now},v0={mac}"), false),
            (format!("v1={mac}"), false),
            (format!("t=now,v1={mac}"), false),
            (format!("t={now}{}", format!(",v1={mac}").repeat(9)), false),
        ] {
            let field = [("stripe-signature", text)];
            assert_eq!(judged(&stripe, &field, "{}", now), fits, "{field:?}");
        }
    }

    #[test]
    fn s16_a_field_of_ones_own_may_have_a_time() {
        let field = || SignedField::named("x-signature");
        let hexadecimal = keys().field(field());
        let mac = hex_of(SECRET, "body");
        assert!(judged(
            &hexadecimal,
            &[("x-signature", mac.clone())],
            "body",
            0
        ));
        let base64 = STANDARD.encode(hex(&mac).unwrap());
        assert!(!judged(
            &hexadecimal,
            &[("x-signature", base64.clone())],
            "body",
            0
        ));
        let in_base64 = keys().field(field().base64());
        assert!(judged(&in_base64, &[("x-signature", base64)], "body", 0));
        let timed = keys()
            .field(field().signed_at("x-time"))
            .tolerance(Duration::from_secs(9));
        let mac = hex_of(SECRET, "100.body");
        let both = |time: &str| [("x-signature", mac.clone()), ("x-time", time.to_owned())];
        assert!(judged(&timed, &both("100"), "body", 109));
        assert!(!judged(&timed, &both("100"), "body", 110));
        assert!(!judged(&timed, &both("101"), "body", 105));
        assert!(!judged(&timed, &both("100")[..1], "body", 100));
    }

    #[test]
    fn s16_secrets_are_changed_without_a_gap_and_cannot_be_guessed() {
        let both = keys()
            .or(&Secret::new("the secret after that"))
            .unwrap()
            .github();
        for (secret, fits) in [
            (SECRET, true),
            ("the secret after that", true),
            ("a third one", false),
        ] {
            let field = format!("sha256={}", hex_of(secret, "body"));
            assert_eq!(
                judged(&both, &[("x-hub-signature-256", field)], "body", 0),
                fits
            );
        }
        assert!(Signature::hmac_sha256(&Secret::new("")).is_err());
        assert!(keys().or(&Secret::new("fifteen bytes..")).is_err());
    }
}
