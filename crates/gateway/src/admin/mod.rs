//! The Admin API: tenants, keys, routes, the audit log and the whole configuration over HTTP and JSON.
//!
//! [`AdminApi::handle`] takes a whole request and answers it; who listens, and where, is not its concern. Every
//! request needs the admin key in `X-Admin-Key`.
//!
//! | path | methods |
//! |---|---|
//! | `/admin/tenants`, `/admin/tenants/{id}` | GET, POST; GET, PATCH, DELETE |
//! | `/admin/tenants/{id}/keys`, `/admin/tenants/{id}/keys/{keyId}` | GET, POST; GET, PATCH, DELETE (revokes) |
//! | `/admin/tenants/{id}/keys/{keyId}/rotate` | POST |
//! | `/admin/tenants/{id}/routes` | GET |
//! | `/admin/routes`, `/admin/routes/{id}` | GET, POST; GET, PATCH, PUT, DELETE |
//! | `/admin/audit` | GET |
//! | `/admin/config` | GET, PUT (`?dryRun=true`) |
//!
//! - One object comes as `{data}` with an `ETag`; `If-Match` and `If-None-Match` are honoured. A list comes as
//!   `{data, nextCursor}` and takes `?limit=` and `?cursor=`.
//! - Without `If-Match` a change that another node's came before is made anew over that one; 409 `edit_conflict` is left
//!   for when that does not succeed ten times.
//! - PATCH takes a merge patch (RFC 7396). A body may repeat what only the gateway writes (`id`, `createdAt`,
//!   ...) as long as it says what is so. What changes nothing makes no new version.
//! - Errors are problem details (RFC 9457) with a stable `code`; a body's mistakes come all at once, as
//!   `errors: [{field, message}]`.
//!
//! # Invariants
//! - Nothing is half done: one request is one commit, with its audit entries in the same transaction.
//! - A key is shown in the answer that makes it and never again; hashes appear in `/admin/config` alone.
//! - Nothing of a request but its head is looked at before the admin key.

mod access;
mod audit;
mod call;
mod config;
mod configuration;
mod edit;
mod entity_tag;
mod keys;
mod maintenance;
mod page;
mod problem;
mod reply;
mod routes;
mod table;
mod tenants;

#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bastide_config::Secret;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request};
use jiff::Timestamp;
use uuid::Uuid;

use self::access::Access;
use self::call::{Call, MAX_BODY, MAX_DOCUMENT};
use self::problem::{Code, Problem};
use self::reply::Reply;
use self::table::{Endpoint, Named};
use crate::control::Control;
use crate::maintenance::Board;
use crate::model::read::in_microseconds;

pub use configuration::Configuration;

const REQUEST_ID: &str = "x-request-id";

/// How often a change is tried that others keep coming before.
const ATTEMPTS: u32 = 20;
/// At most this long, times the attempts so far, before the next: two nodes in step would come before each other again.
const PAUSE_MICROS: u64 = 2_000;

/// Answers the requests of the Admin API.
pub struct AdminApi<C = Control> {
    configuration: Arc<C>,
    access: Access,
    board: Board,
}

impl<C: Configuration> AdminApi<C> {
    /// An API over `configuration` for the holder of `admin_key`.
    pub fn new(configuration: Arc<C>, admin_key: &Secret) -> Self {
        Self {
            configuration,
            access: Access::new(admin_key),
            board: Board::default(),
        }
    }

    /// The same with these switches of maintenance mode instead of ones that nobody else sees.
    pub fn with_board(mut self, board: Board) -> Self {
        self.board = board;
        self
    }

    /// How many bytes of a request's body are worth reading: the most that its endpoint takes, 0 for who has no
    /// access. A transport may stop one byte after that and hand over what it has; [`AdminApi::handle`] refuses
    /// it.
    pub fn body_limit(&self, head: &request::Parts) -> usize {
        if !self.access.is_granted(&head.headers) {
            return 0;
        }
        match table::find(&head.method, head.uri.path()) {
            Named::Endpoint(Endpoint::PutConfig, _) => MAX_DOCUMENT,
            Named::Endpoint(..) => MAX_BODY,
            Named::Options(_) | Named::OtherMethods(_) | Named::Nothing => 0,
        }
    }

    /// Answers one request. `client` is the address that wrong keys are counted by. The transport gives the
    /// request its id in `X-Request-Id`; without one an id is made.
    pub async fn handle(&self, request: Request<Bytes>, client: IpAddr) -> Response<Bytes> {
        let (head, body) = request.into_parts();
        let request_id = request_id(&head.headers);
        let is_head = head.method == Method::HEAD;
        let mut response = match self.answer(head, body, client, request_id.clone()).await {
            Ok(response) => response,
            Err(problem) => problem.into_response(&request_id),
        };
        finish(&mut response, &request_id, is_head);
        response
    }

    async fn answer(
        &self,
        head: request::Parts,
        body: Bytes,
        client: IpAddr,
        request_id: String,
    ) -> Result<Response<Bytes>, Problem> {
        if !self.access.is_granted(&head.headers) {
            return Err(self.access.refusal(&head.headers, client, Instant::now()));
        }
        let (endpoint, ids) = match table::find(&head.method, head.uri.path()) {
            Named::Endpoint(endpoint, ids) => (endpoint, ids),
            Named::Options(allow) => return Ok(allowed(&allow)),
            Named::OtherMethods(allow) => {
                let detail = format!("{} is not for this path; it has {allow}", head.method);
                return Err(
                    Problem::new(Code::MethodNotAllowed, detail).with_header(header::ALLOW, allow)
                );
            }
            Named::Nothing => {
                return Err(Problem::new(
                    Code::NotFound,
                    "there is no such path in the Admin API; ids are UUIDs",
                ));
            }
        };
        let call = Call {
            ids,
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            body,
            request_id,
            now: in_microseconds(Timestamp::now()),
        };
        self.settle(endpoint, &call).await.map(Reply::into_response)
    }

    /// Answers by what stands in the repository where this node's own knowledge turned out to be old: a change of
    /// another node may have come in between, and only who names a version (`If-Match`) has to hear of that.
    async fn settle(&self, endpoint: Endpoint, call: &Call) -> Result<Reply, Problem> {
        let configuration = &*self.configuration;
        let mut attempt = 1;
        loop {
            let known = configuration.state().revision;
            let problem = match self.dispatch(endpoint, call).await {
                Err(problem) if problem.may_be_outdated() && attempt < ATTEMPTS => problem,
                answer => return answer,
            };
            // Without the repository, or without news from it, the answer would be the same.
            if configuration.refresh().await.is_err() || configuration.state().revision == known {
                return Err(problem);
            }
            let pause = fastrand::u64(0..PAUSE_MICROS * u64::from(attempt));
            tokio::time::sleep(Duration::from_micros(pause)).await;
            attempt += 1;
        }
    }

    async fn dispatch(&self, endpoint: Endpoint, call: &Call) -> Result<Reply, Problem> {
        let configuration = &*self.configuration;
        match endpoint {
            Endpoint::ListTenants => tenants::list(configuration, call),
            Endpoint::CreateTenant => tenants::create(configuration, call).await,
            Endpoint::GetTenant => tenants::get(configuration, call),
            Endpoint::PatchTenant => tenants::patch(configuration, call).await,
            Endpoint::DeleteTenant => tenants::delete(configuration, call).await,
            Endpoint::ListKeys => keys::list(configuration, call),
            Endpoint::CreateKey => keys::create(configuration, call).await,
            Endpoint::GetKey => keys::get(configuration, call),
            Endpoint::PatchKey => keys::patch(configuration, call).await,
            Endpoint::RevokeKey => keys::revoke(configuration, call).await,
            Endpoint::RotateKey => keys::rotate(configuration, call).await,
            Endpoint::ListTenantRoutes => routes::list_of_tenant(configuration, call),
            Endpoint::ListRoutes => routes::list(configuration, call),
            Endpoint::CreateRoute => routes::create(configuration, call).await,
            Endpoint::GetRoute => routes::get(configuration, call),
            Endpoint::PatchRoute => routes::patch(configuration, call).await,
            Endpoint::ReplaceRoute => routes::replace(configuration, call).await,
            Endpoint::DeleteRoute => routes::delete(configuration, call).await,
            Endpoint::ListAudit => audit::list(configuration, call).await,
            Endpoint::GetConfig => config::get(configuration, call).await,
            Endpoint::PutConfig => config::put(configuration, call).await,
            Endpoint::GetMaintenance => Ok(maintenance::get(&self.board)),
            Endpoint::PutMaintenance => maintenance::put(&self.board, call).await,
        }
    }
}

/// The transport's id, unless it is something that no log should have to hold.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let is_plain =
        |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    given
        .filter(is_plain)
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

fn allowed(allow: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(value) = HeaderValue::try_from(allow) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

/// What every response carries.
fn finish(response: &mut Response<Bytes>, request_id: &str, is_head: bool) {
    let length = response.body().len();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if let Ok(value) = HeaderValue::try_from(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    if is_head {
        // What GET would have sent (RFC 9110, section 9.3.2).
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        *response.body_mut() = Bytes::new();
    }
}
