//! Who may use the Admin API: the holder of the admin key.

use std::time::Duration;

use bastide_auth::{AuthError, KeyError, Policy, ServiceKey, ServiceKeys};
use bastide_config::Secret;
use bastide_rpc::{Attempts, CredentialFields, Problem};
use http::HeaderName;

use super::problem::Code;

/// Who is let in.
pub(crate) const OPERATOR: Policy = Policy::any_role(&[ROLE]).services_only();
const ROLE: &str = "operator";

/// The field that carries the key.
const FIELD: HeaderName = HeaderName::from_static("x-admin-key");

/// How many wrong keys an address may send at once, and one more with each interval after that.
const ATTEMPTS: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(6);

/// Where the key is looked for.
pub(crate) fn fields() -> CredentialFields {
    CredentialFields::key_alone(FIELD)
}

/// The one key there is.
pub(crate) fn keys(admin_key: &Secret) -> Result<ServiceKeys, KeyError> {
    ServiceKeys::new([ServiceKey::of_operator("admin", admin_key).role(ROLE)])
}

/// How wrong keys are counted.
pub(crate) fn attempts() -> Attempts {
    Attempts::new(ATTEMPTS, INTERVAL)
}

/// What is told to who has no key, or another.
pub(crate) fn refusal(error: &AuthError) -> Problem {
    match error {
        AuthError::Missing => {
            Code::AdminKeyMissing.problem("send the admin key in the X-Admin-Key header")
        }
        _ => Code::AdminKeyInvalid.problem("the admin key in X-Admin-Key is wrong"),
    }
}

#[cfg(test)]
mod tests {
    use bastide_telemetry::metrics::Registry;
    use bytes::Bytes;
    use http::Request;
    use http_body_util::Full;

    use crate::front;

    use super::*;

    #[tokio::test]
    async fn one_right_key_opens_and_nothing_else_does() {
        let entry = front::entry([], &Secret::new("the right key"), &Registry::new());
        let status = async |keys: &[&str]| {
            let mut request = Request::builder().uri("/admin/nothing");
            for key in keys {
                request = request.header(FIELD, *key);
            }
            let request = request.body(Full::new(Bytes::new())).unwrap();
            entry.answer(request, None).await.status().as_u16()
        };
        assert_eq!(status(&["the right key"]).await, 404);
        for wrong in [
            &[][..],
            &[""],
            &["the right ke"],
            &["the right key2"],
            &["the right key", "the right key"],
        ] {
            assert_eq!(status(wrong).await, 401, "{wrong:?}");
        }
    }
}
