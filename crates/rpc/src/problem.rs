//! What a caller is told when something did not happen: problem details (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

use bastide_auth::{AuthError, Denied};
use bastide_context::{DeadlinePassed, Refused};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

/// One answer that is not the one which was asked for. It says nothing about the inside of the process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    status: u16,
    code: &'static str,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after: Option<Duration>,
    challenge: Option<&'static str>,
    /// Boxed, as few problems have any and every result carries the place for it.
    fields: Option<Box<HeaderMap>>,
}

/// One wrong member of an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where: `address.lines[2]`; empty for the whole.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
    /// Where it stands in the text, if the input is a document that people write; in JSON as `line` and `column`.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// A place in a text; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl FieldError {
    /// This member (`address.lines[2]`, empty for the whole) and what is wrong with it.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
            position: None,
        }
    }

    /// The same with its place in the text.
    pub fn at(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }
}

/// A problem that an entry may answer with, for its description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Declared {
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: &'static str,
}

/// The errors of a method: each has a status and a code that stay as they are.
///
/// ```
/// use bastide_repo::RepoError;
/// use bastide_rpc::ApiError;
///
/// #[derive(Debug, ApiError)]
/// enum UserError {
///     /// There is no such user.
///     #[error(status = 404, code = "user_not_found")]
///     NotFound,
///     /// Another user has the address {email}.
///     ///
///     /// From here on for readers of the source alone.
///     #[error(status = 409, code = "email_taken")]
///     EmailTaken { email: String },
///     #[error(transparent)]
///     Repo(#[from] RepoError),
/// }
///
/// assert_eq!(UserError::DECLARED[0].code, "user_not_found");
/// assert!(UserError::DECLARED.iter().any(|problem| problem.code == "stale_version"));
/// let taken = UserError::EmailTaken { email: "ada@example.org".into() };
/// assert_eq!(taken.to_string(), "Another user has the address ada@example.org.");
/// assert_eq!(taken.into_problem().status(), 409);
/// ```
///
/// # The derive
/// Every variant is one problem. `status` is its HTTP status, 400 to 599; `code` is what programs compare, and one code has one
/// status everywhere. **What the caller is told is the first paragraph of the doc comment**, in which fields stand in braces, as
/// in a format string: `{email}`, `{0}`, `{id:?}`. A `transparent` variant answers what the `ApiError` in it answers, all of
/// whose problems are declared with its own. `#[from]` at the one field of a variant is for `?`.
///
/// Written are `ApiError`, `Display` (the same text), `Error`, and `From` for each `#[from]`; the type has to be `Debug`. `thiserror`
/// is not needed beside it, and both do not stand at one type: their attribute has one name.
///
/// One code with two statuses does not compile, here or in an error that is held:
/// ```compile_fail
/// # use bastide_rpc::ApiError;
/// #[derive(Debug, ApiError)]
/// enum Inner {
///     /// It is not there.
///     #[error(status = 404, code = "gone")]
///     Gone,
/// }
///
/// #[derive(Debug, ApiError)]
/// enum Outer {
///     /// It is gone for good.
///     #[error(status = 410, code = "gone")]
///     Gone,
///     #[error(transparent)]
///     Inner(Inner),
/// }
/// ```
///
/// By hand the same is:
/// ```
/// use bastide_rpc::{ApiError, Declared, Problem};
///
/// enum UserError { NotFound, EmailTaken { email: String } }
///
/// impl ApiError for UserError {
///     const DECLARED: &'static [Declared] = &[
///         Declared { status: 404, code: "user_not_found" },
///         Declared { status: 409, code: "email_taken" },
///     ];
///
///     fn into_problem(self) -> Problem {
///         match self {
///             Self::NotFound => Problem::new(404, "user_not_found", "There is no such user."),
///             Self::EmailTaken { email } => {
///                 Problem::new(409, "email_taken", format!("Another user has the address {email}."))
///             }
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what callers are told",
    label = "no `ApiError`",
    note = "derive it: `#[derive(Debug, ApiError)]`, with `#[error(status = 404, code = \"..\")]` at each variant"
)]
pub trait ApiError: Send + 'static {
    /// All that [`ApiError::into_problem`] can give.
    const DECLARED: &'static [Declared];

    /// What the caller is told.
    fn into_problem(self) -> Problem;
}

impl Problem {
    /// A problem of this HTTP status (400 to 599) and stable code; `detail` is for people and says what to do.
    pub fn new(status: u16, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: if (400..600).contains(&status) {
                status
            } else {
                500
            },
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            challenge: None,
            fields: None,
        }
    }

    /// Something failed that the caller can do nothing about. What it was stands in the log under the request's id.
    pub fn internal() -> Self {
        Self::new(
            500,
            "internal",
            "something failed inside; its request id leads to the reason",
        )
    }

    /// The input is not what the method takes.
    pub fn invalid_input(errors: Vec<FieldError>) -> Self {
        Self::new(
            400,
            "validation_failed",
            "the input is not valid; `errors` says where",
        )
        .with_errors(errors)
    }

    /// The same, with the members of the input that it is about.
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// The same with this header field, as `ETag` or `Accept`, where the answer is one to an HTTP request of its own; another one
    /// of the name is replaced. Fields that the server writes stay the server's.
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.get_or_insert_default().insert(name, value);
        self
    }

    /// When it is worth trying again, in whole seconds: the field `Retry-After`, and the document's member `retryAfter`, for calls
    /// whose answer has no fields.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// With what `WWW-Authenticate` says.
    pub(crate) fn challenged(mut self, challenge: &'static str) -> Self {
        self.challenge = Some(challenge);
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What is wrong with the input, member by member.
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// In how many seconds it is worth trying again: rounded up, so that who comes back when told is let in.
    pub(crate) fn retry_after_seconds(&self) -> Option<u64> {
        let wait = self.retry_after?;
        Some(wait.as_millis().div_ceil(1_000).max(1) as u64)
    }

    pub(crate) fn fields(&self) -> Option<&HeaderMap> {
        self.fields.as_deref()
    }

    pub(crate) fn challenge(&self) -> Option<&'static str> {
        self.challenge
    }

    /// The document, `application/problem+json`: `type`, `title`, `status`, `code`, `detail`, `requestId`, and where there are any
    /// `retryAfter` (seconds) and `errors`.
    pub fn to_json(&self, request_id: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Document<'a> {
            r#type: &'static str,
            title: &'static str,
            status: u16,
            code: &'a str,
            detail: &'a str,
            #[serde(rename = "requestId")]
            request_id: &'a str,
            #[serde(rename = "retryAfter", skip_serializing_if = "Option::is_none")]
            retry_after: Option<u64>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [FieldError],
        }
        let status = http::StatusCode::from_u16(self.status)
            .unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        let document = Document {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: self.status,
            code: self.code,
            detail: &self.detail,
            request_id,
            retry_after: self.retry_after_seconds(),
            errors: &self.errors,
        };
        serde_json::to_vec(&document).expect("texts and numbers are JSON")
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        (&error).into()
    }
}

impl From<&AuthError> for Problem {
    fn from(error: &AuthError) -> Self {
        let mut problem = Self::new(error.status(), error.code(), error.to_string());
        problem.challenge = error.challenge();
        if problem.status == 503 {
            problem.retry_after = Some(Duration::from_secs(1));
        }
        problem
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Self::new(403, denied.code(), denied.to_string())
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Stranger(error) => error.into(),
            Refused::Denied(denied) => denied.into(),
        }
    }
}

impl From<DeadlinePassed> for Problem {
    fn from(_: DeadlinePassed) -> Self {
        Self::new(
            504,
            "deadline_passed",
            "the answer was not ready in time; it may have been carried out",
        )
    }
}

impl ApiError for Problem {
    const DECLARED: &'static [Declared] = &[];

    fn into_problem(self) -> Problem {
        self
    }
}

/// A method that cannot fail.
impl ApiError for std::convert::Infallible {
    const DECLARED: &'static [Declared] = &[];

    fn into_problem(self) -> Problem {
        match self {}
    }
}
