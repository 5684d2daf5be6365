//! A route: a path of a service's own, where requests and responses are as HTTP has them, under the same policies as methods.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bastide_auth::{Identity, Policy};
use bastide_context::{Call, Cx, Known, Public, Scope, Tenant};
use futures_util::future::BoxFuture;
use http::Method as Verb;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use semver::Version;

use crate::access::Access;
use crate::http::{RawRequest, RawResponse};
use crate::limit::LimitRule;
use crate::problem::{ApiError, Declared, Problem};
use crate::rest::{Rest, any};
use crate::signature::{Signature, Verified};

/// A route that is complete. It is made in this order, and in no other:
///
/// ```
/// use bastide_auth::Policy;
/// use bastide_context::Cx;
/// use bastide_rpc::{Problem, RawRequest, RawResponse, Route};
/// use futures_util::StreamExt as _;
///
/// let route = Route::post("/uploads/{name}")
///     .describe("Takes a file.")
///     .policy(Policy::identified())
///     .max_body(1 << 30)
///     .handler(|cx: Cx, request: RawRequest| async move {
///         let name = request.head.member("name").unwrap_or_default().to_owned();
///         let mut body = request.body.stream();
///         let mut length = 0;
///         while let Some(piece) = body.next().await {
///             length += piece?.len();
///         }
///         RawResponse::json(&format!("{name} of {}: {length} bytes", cx.tenant()))
///     });
/// assert_eq!(route.access().to_string(), "any identity; for a tenant");
/// ```
///
/// Without a policy there is no handler:
/// ```compile_fail
/// use bastide_context::Cx;
/// use bastide_rpc::{Problem, RawRequest, RawResponse, Route};
/// let route = Route::get("/export").handler(|_: Cx, _: RawRequest| async { Ok::<_, Problem>(RawResponse::empty()) });
/// ```
///
/// Who sends events signs them, and the handler gets what was signed:
/// ```
/// use bastide_config::Secret;
/// use bastide_rpc::{Problem, RawResponse, Route, Signature};
/// # fn main() -> Result<(), bastide_rpc::ShortSecret> {
/// let signature = Signature::hmac_sha256(&Secret::new("whsec_of-at-least-sixteen-bytes"))?.stripe();
/// let hook = Route::post("/hooks/stripe").signed(signature).handler(|_, event| async move {
///     let event: serde_json::Value = event.json()?;
///     println!("{}", event["type"]);
///     Ok::<_, Problem>(RawResponse::empty())
/// });
/// assert_eq!(hook.access().to_string(), "signed: as Stripe does");
/// # Ok(())
/// # }
/// ```
///
/// And who lets everybody in cannot ask for a tenant:
/// ```compile_fail
/// use bastide_context::Cx;
/// use bastide_rpc::{Problem, RawRequest, RawResponse, Route};
/// let route = Route::get("/export")
///     .public("anybody may have it")
///     .handler(|_: Cx, _: RawRequest| async { Ok::<_, Problem>(RawResponse::empty()) });
/// ```
pub struct Route {
    terms: Terms,
    problems: &'static [Declared],
    behind: Behind,
}

/// The code behind a route, and what must be proven before it is reached.
pub(crate) enum Behind {
    Request(Box<Run<RawRequest>>),
    Event(Signature, Box<Run<Verified>>),
}

/// Gives the work, which has not begun.
pub(crate) type Run<R> = dyn Fn(Call, Option<Identity>, R) -> Result<Work, Problem> + Send + Sync;

/// What a handler does with a request that was let in.
pub(crate) type Work = BoxFuture<'static, Result<RawResponse, Problem>>;

/// A route of which nobody has said yet who may enter.
#[derive(Debug)]
pub struct RouteOutline {
    rest: Rest,
    description: &'static str,
}

/// A route whose policy is stated; `S` is what its handler may know of the caller.
#[derive(Debug)]
pub struct GuardedRoute<S> {
    terms: Terms,
    scope: PhantomData<S>,
}

/// A route whose requests are signed events.
#[derive(Debug)]
pub struct SignedRoute {
    terms: Terms,
    signature: Signature,
}

/// What every route has, whoever may enter.
#[derive(Debug)]
struct Terms {
    outline: RouteOutline,
    access: Access,
    limit: Option<LimitRule>,
    max_body: Option<u64>,
    time: Option<Duration>,
    takes: Option<Shape>,
    gives: Option<Shape>,
    is_quiet: bool,
}

/// What a body is, as far as the route says.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) kind: &'static str,
    pub(crate) schema: Option<fn(&mut SchemaGenerator) -> Schema>,
}

impl Shape {
    fn of(kind: &'static str) -> Self {
        Self { kind, schema: None }
    }

    fn json<T: JsonSchema>() -> Self {
        Self {
            kind: "application/json",
            schema: Some(SchemaGenerator::subschema_for::<T>),
        }
    }
}

impl Route {
    /// Longest body in bytes unless a route says otherwise: 10 GiB, for bodies that are read as they come.
    pub const MAX_BODY: u64 = 10 << 30;

    /// The same for signed bodies, which are held whole: 1 MiB.
    pub const MAX_SIGNED_BODY: u64 = 1 << 20;

    /// At `GET` of this path, as `/exports/{id}` or `/files/{*path}`; it answers `HEAD` too.
    pub fn get(path: &'static str) -> RouteOutline {
        Self::at(Verb::GET, path)
    }

    /// At `POST` of this path.
    pub fn post(path: &'static str) -> RouteOutline {
        Self::at(Verb::POST, path)
    }

    /// At `PUT` of this path.
    pub fn put(path: &'static str) -> RouteOutline {
        Self::at(Verb::PUT, path)
    }

    /// At `PATCH` of this path.
    pub fn patch(path: &'static str) -> RouteOutline {
        Self::at(Verb::PATCH, path)
    }

    /// At `DELETE` of this path.
    pub fn delete(path: &'static str) -> RouteOutline {
        Self::at(Verb::DELETE, path)
    }

    /// At every HTTP method of this path that has no route of its own there: what the methods mean is the handler's affair. It is
    /// listed as `*`, and not in the description of the service, whose format has no word for it.
    pub fn any(path: &'static str) -> RouteOutline {
        Self::at(any(), path)
    }

    fn at(verb: Verb, path: &'static str) -> RouteOutline {
        RouteOutline {
            rest: Rest::new(verb, path),
            description: "",
        }
    }

    /// Its HTTP method and path.
    pub fn rest(&self) -> &Rest {
        &self.terms.outline.rest
    }

    /// What it does, for people.
    pub fn description(&self) -> &'static str {
        self.terms.outline.description
    }

    /// Who may enter.
    pub fn access(&self) -> &Access {
        &self.terms.access
    }

    /// How often one caller may enter.
    pub fn limit(&self) -> Option<&LimitRule> {
        self.terms.limit.as_ref()
    }

    /// How long its handler may take, where it says so.
    pub fn time(&self) -> Option<Duration> {
        self.terms.time
    }

    /// Longest body in bytes.
    pub fn max_body(&self) -> u64 {
        let otherwise = match self.behind {
            Behind::Request(_) => Self::MAX_BODY,
            Behind::Event(..) => Self::MAX_SIGNED_BODY,
        };
        self.terms.max_body.unwrap_or(otherwise)
    }

    pub(crate) fn takes(&self) -> Option<&Shape> {
        self.terms.takes.as_ref()
    }

    pub(crate) fn gives(&self) -> Option<&Shape> {
        self.terms.gives.as_ref()
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.terms.is_quiet
    }

    pub(crate) fn behind(&self) -> &Behind {
        &self.behind
    }

    /// What its handler may answer with beside its responses.
    pub fn problems(&self) -> &'static [Declared] {
        self.problems
    }
}

impl RouteOutline {
    /// What it does, for people.
    pub fn describe(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// For those whom the policy admits and who act for a tenant.
    pub fn policy(self, policy: Policy) -> GuardedRoute<Tenant> {
        self.guarded(Access::Tenant(policy))
    }

    /// For those whom the policy admits, whether they act for a tenant or not. No tenant's data can be reached from it.
    pub fn policy_without_tenant(self, policy: Policy) -> GuardedRoute<Known> {
        self.guarded(Access::Known(policy))
    }

    /// For everybody. The reason stands in the list of entries.
    pub fn public(self, reason: &'static str) -> GuardedRoute<Public> {
        self.guarded(Access::Public(reason))
    }

    /// For whoever signs the body in this way: a webhook. Its handler gets what was signed, and nothing that was not.
    pub fn signed(self, signature: Signature) -> SignedRoute {
        SignedRoute {
            terms: Terms::new(self, Access::Signed(signature.listed())),
            signature,
        }
    }

    fn guarded<S>(self, access: Access) -> GuardedRoute<S> {
        GuardedRoute {
            terms: Terms::new(self, access),
            scope: PhantomData,
        }
    }
}

impl Terms {
    fn new(outline: RouteOutline, access: Access) -> Self {
        Self {
            outline,
            access,
            limit: None,
            max_body: None,
            time: None,
            takes: None,
            gives: None,
            is_quiet: false,
        }
    }
}

impl<S: Scope> GuardedRoute<S> {
    /// How often one caller may enter: a user of a tenant, or an address where nobody is known.
    pub fn limit(mut self, rule: LimitRule) -> Self {
        self.terms.limit = Some(rule);
        self
    }

    /// What the bodies of its requests are, in its description: a media type, as `text/csv`. Anything unless said; the handler
    /// reads them, and it is the handler who refuses.
    pub fn takes(mut self, kind: &'static str) -> Self {
        self.terms.takes = Some(Shape::of(kind));
        self
    }

    /// The same of JSON that [`RawRequest::json`] reads.
    pub fn takes_json<T: JsonSchema>(mut self) -> Self {
        self.terms.takes = Some(Shape::json::<T>());
        self
    }

    /// What it answers with where nothing went wrong, in its description: a media type, as `image/png`.
    pub fn gives(mut self, kind: &'static str) -> Self {
        self.terms.gives = Some(Shape::of(kind));
        self
    }

    /// The same of JSON that [`RawResponse::json`] makes.
    pub fn gives_json<T: JsonSchema>(mut self) -> Self {
        self.terms.gives = Some(Shape::json::<T>());
        self
    }

    /// Longest body in bytes; [`Route::MAX_BODY`] unless said otherwise. More is 413 `body_too_large`.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.terms.max_body = Some(bytes);
        self
    }

    /// How long the handler may take until it has given its response. It stands in place of the server's time for calls, be
    /// it longer or shorter: gigabytes take longer to arrive than an input.
    pub fn within(mut self, time: Duration) -> Self {
        self.terms.time = Some(time);
        self
    }

    /// Its requests are told of in the log at the level `debug`, unless they are slow: for what machines ask every few seconds.
    pub fn quiet(mut self) -> Self {
        self.terms.is_quiet = true;
        self
    }

    /// The code behind it.
    pub fn handler<E, F, Fut>(self, handler: F) -> Route
    where
        E: ApiError,
        F: Fn(Cx<S>, RawRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<RawResponse, E>> + Send + 'static,
    {
        Route {
            terms: self.terms,
            problems: E::DECLARED,
            behind: Behind::Request(run(handler)),
        }
    }
}

impl SignedRoute {
    /// How often one address may send events whose signature fits.
    pub fn limit(mut self, rule: LimitRule) -> Self {
        self.terms.limit = Some(rule);
        self
    }

    /// Longest body in bytes, which is held whole; [`Route::MAX_SIGNED_BODY`] unless said otherwise.
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.terms.max_body = Some(bytes);
        self
    }

    /// As [`GuardedRoute::within`]; the time in which the body arrives is part of it.
    pub fn within(mut self, time: Duration) -> Self {
        self.terms.time = Some(time);
        self
    }

    /// The code behind it. What it answers with a status below 200 or above 299 may be sent again.
    pub fn handler<E, F, Fut>(self, handler: F) -> Route
    where
        E: ApiError,
        F: Fn(Cx<Public>, Verified) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<RawResponse, E>> + Send + 'static,
    {
        Route {
            terms: self.terms,
            problems: E::DECLARED,
            behind: Behind::Event(self.signature, run(handler)),
        }
    }
}

fn run<S, R, E, F, Fut>(handler: F) -> Box<Run<R>>
where
    S: Scope,
    R: Send + 'static,
    E: ApiError,
    F: Fn(Cx<S>, R) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<RawResponse, E>> + Send + 'static,
{
    let handler = Arc::new(handler);
    Box::new(move |call, identity, request| {
        let cx = Cx::<S>::enter(call, identity)?;
        let handler = handler.clone();
        Ok(Box::pin(async move {
            let response = handler(cx, request).await;
            response.map_err(ApiError::into_problem)
        }))
    })
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("rest", self.rest())
            .field("access", self.access())
            .finish_non_exhaustive()
    }
}

/// One route as a request finds it.
#[derive(Debug)]
pub struct RouteEntry {
    service: &'static str,
    version: Version,
    route: Route,
    full_name: Box<str>,
    number: usize,
}

impl RouteEntry {
    pub(crate) fn new(
        service: &'static str,
        version: Version,
        route: Route,
        number: usize,
    ) -> Self {
        Self {
            full_name: format!("{} {}", route.rest().verb(), route.rest().path()).into(),
            service,
            version,
            route,
            number,
        }
    }

    /// The service's name.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// The service's version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The route.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// `POST /uploads/{name}`.
    pub fn full_name(&self) -> &str {
        &self.full_name
    }

    /// Its place among all entries, after the methods.
    pub(crate) fn number(&self) -> usize {
        self.number
    }
}
