//! Errors of the Admin API: problem details (RFC 9457) with stable codes. Every code is listed here.

use bastide_config::Problems;
use bastide_config::document::{Document, Position};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::repository::CommitError;

/// What went wrong. The names and statuses are stable: programs may compare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    AdminKeyMissing,
    AdminKeyInvalid,
    TooManyAttempts,
    MalformedBody,
    InvalidParameter,
    ValidationFailed,
    NotFound,
    MethodNotAllowed,
    NameTaken,
    ApiKeyTaken,
    RouteExists,
    ManagedByFile,
    KeyRevoked,
    KeyRotated,
    EditConflict,
    PreconditionFailed,
    BodyTooLarge,
    UnsupportedMediaType,
    DatabaseUnavailable,
    DatabaseUnusable,
    DatabaseDisk,
    StoreUnavailable,
    Internal,
}

impl Code {
    const fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::AdminKeyMissing => (StatusCode::UNAUTHORIZED, "admin_key_missing"),
            Self::AdminKeyInvalid => (StatusCode::UNAUTHORIZED, "admin_key_invalid"),
            Self::TooManyAttempts => (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts"),
            Self::MalformedBody => (StatusCode::BAD_REQUEST, "malformed_body"),
            Self::InvalidParameter => (StatusCode::BAD_REQUEST, "invalid_parameter"),
            Self::ValidationFailed => (StatusCode::BAD_REQUEST, "validation_failed"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::NameTaken => (StatusCode::CONFLICT, "name_taken"),
            Self::ApiKeyTaken => (StatusCode::CONFLICT, "api_key_taken"),
            Self::RouteExists => (StatusCode::CONFLICT, "route_exists"),
            Self::ManagedByFile => (StatusCode::CONFLICT, "managed_by_file"),
            Self::KeyRevoked => (StatusCode::CONFLICT, "key_revoked"),
            Self::KeyRotated => (StatusCode::CONFLICT, "key_rotated"),
            Self::EditConflict => (StatusCode::CONFLICT, "edit_conflict"),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "precondition_failed"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
            }
            Self::DatabaseUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "database_unavailable"),
            Self::DatabaseUnusable => (StatusCode::SERVICE_UNAVAILABLE, "database_unusable"),
            Self::DatabaseDisk => (StatusCode::SERVICE_UNAVAILABLE, "database_disk"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal_error"),
            Self::StoreUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
        }
    }
}

/// One wrong member of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct FieldError {
    /// `upstreams[0].url`; empty for the whole.
    field: String,
    /// What is wrong and what to do.
    message: String,
    /// Where it stands in the text, for whole documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
}

/// An error on its way to the client.
#[derive(Debug)]
pub(super) struct Problem {
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    /// Boxed, to keep the error path of every handler small.
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Problem {
    /// `detail` says what happened and what to do; it never holds anything secret.
    pub(super) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            header: None,
        }
    }

    /// The mistakes of a body.
    pub(super) fn validation(problems: &Problems) -> Self {
        Self::located(problems, |_| None)
    }

    /// The mistakes of a document, each with its line and column.
    pub(super) fn document(document: &Document, problems: &Problems) -> Self {
        Self::located(problems, |path| Some(document.locate(path)))
    }

    fn located(
        problems: &Problems,
        locate: impl Fn(&bastide_config::Path) -> Option<Position>,
    ) -> Self {
        let errors: Vec<FieldError> = problems
            .iter()
            .map(|problem| {
                let at = locate(&problem.path);
                FieldError {
                    field: problem.field(),
                    message: problem.text(),
                    line: at.map(|at| at.line),
                    column: at.map(|at| at.column),
                }
            })
            .collect();
        let detail = match problems.len() {
            1 => "one member of the request is wrong; `errors` names it".to_owned(),
            count if problems.unlisted() > 0 => {
                format!(
                    "{count} members of the request are wrong; `errors` names the first {}",
                    errors.len()
                )
            }
            count => format!("{count} members of the request are wrong; `errors` names them"),
        };
        Self {
            errors,
            ..Self::new(Code::ValidationFailed, detail)
        }
    }

    /// One wrong member.
    pub(super) fn field(code: Code, field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let detail = format!("{field}: {message}");
        let error = FieldError {
            field: field.to_owned(),
            message,
            line: None,
            column: None,
        };
        Self {
            errors: vec![error],
            ..Self::new(code, detail)
        }
    }

    /// The same with a header.
    pub(super) fn with_header(
        mut self,
        name: HeaderName,
        value: impl TryInto<HeaderValue>,
    ) -> Self {
        self.header = value.try_into().ok().map(|value| Box::new((name, value)));
        self
    }

    /// Whether it says that something is not as this node knew it.
    pub(super) fn may_be_outdated(&self) -> bool {
        matches!(self.code, Code::EditConflict | Code::PreconditionFailed)
    }

    /// The response, but for what every response carries.
    pub(super) fn into_response(self, request_id: &str) -> Response<Bytes> {
        let (status, code) = self.code.parts();
        let title = status.canonical_reason().unwrap_or("Error");
        let mut body = serde_json::json!({
            "type": "about:blank",
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail,
            "code": code,
            "requestId": request_id,
        });
        if !self.errors.is_empty() {
            body["errors"] = serde_json::to_value(&self.errors).unwrap_or_default();
        }
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(header) = self.header {
            let (name, value) = *header;
            headers.insert(name, value);
        }
        response
    }
}

impl From<CommitError> for Problem {
    fn from(error: CommitError) -> Self {
        let detail = error.to_string();
        match error {
            CommitError::VersionMismatch(..) => Self::new(Code::EditConflict, detail),
            CommitError::NotFound(..) => Self::new(Code::NotFound, detail),
            CommitError::NameTaken(_) => Self::field(Code::NameTaken, "name", detail),
            CommitError::KeyTaken => Self::field(Code::ApiKeyTaken, "apiKey", detail),
            CommitError::Unusable(_) | CommitError::Damaged(_) => {
                tracing::error!(error = %detail, "a change could not be written");
                Self::new(
                    Code::DatabaseUnusable,
                    "the database cannot be used until somebody has repaired it; nothing was changed, the gateway's log says \
                     what is wrong",
                )
            }
            CommitError::Disk(_) => {
                tracing::error!(error = %detail, "a change could not be written");
                Self::new(
                    Code::DatabaseDisk,
                    "the disk that the database is on is full or fails; nothing was changed, free space on it and try again",
                )
            }
            CommitError::Unavailable(_) | CommitError::Refused(_) => {
                // The database's own words may hold addresses and names that are no client's business.
                tracing::error!(error = %detail, "a change could not be written");
                Self::new(
                    Code::DatabaseUnavailable,
                    "the database cannot be reached; nothing was changed, try again",
                )
                .with_header(header::RETRY_AFTER, HeaderValue::from_static("5"))
            }
        }
    }
}
