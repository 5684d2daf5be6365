//! A method of a service: its name, its policy, what it takes and gives, and the code behind it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bastide_auth::{Identity, Policy};
use bastide_context::{Call, Cx, Known, Public, Scope, Tenant};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, Stream, StreamExt as _};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::access::Access;
use crate::caching::{Cached, Template};
use crate::input;
use crate::limit::LimitRule;
use crate::problem::{ApiError, Declared, Problem};
use crate::rest::Rest;

/// A method that is complete. It is made in this order, and in no other:
///
/// ```
/// use bastide_auth::Policy;
/// use bastide_context::Cx;
/// use bastide_rpc::{Method, Problem};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Greet { name: String }
///
/// let method = Method::named("greet")
///     .describe("Says hello.")
///     .get("/greetings/{name}")
///     .policy(Policy::identified())
///     .handler(|cx: Cx, input: Greet| async move {
///         Ok::<_, Problem>(format!("hello {} of {}", input.name, cx.tenant()))
///     });
/// assert_eq!(method.access().to_string(), "any identity; for a tenant");
/// ```
///
/// Without a policy there is no handler:
/// ```compile_fail
/// use bastide_context::Cx;
/// use bastide_rpc::{Method, Problem};
/// let method = Method::named("greet").handler(|_: Cx, _: ()| async { Ok::<_, Problem>(()) });
/// ```
///
/// And who lets everybody in cannot ask for a tenant:
/// ```compile_fail
/// use bastide_context::Cx;
/// use bastide_rpc::{Method, Problem};
/// let method = Method::named("greet")
///     .public("anybody may be greeted")
///     .handler(|_: Cx, _: ()| async { Ok::<_, Problem>(()) });
/// ```
pub struct Method {
    outline: Outline,
    access: Access,
    limit: Option<LimitRule>,
    cached: Option<Cached>,
    invalidates: Vec<Template>,
    input: Described,
    output: Described,
    problems: &'static [Declared],
    is_stream: bool,
    prepare: Box<Prepare>,
}

/// Reads the input and gives the work, which has not begun.
type Prepare = dyn Fn(Call, Option<Identity>, &[u8]) -> Result<Work, Problem> + Send + Sync;

/// A call that was admitted and understood; nothing happens before it is polled.
pub(crate) enum Work {
    /// It gives one output.
    Unary(BoxFuture<'static, Result<Bytes, Problem>>),
    /// It gives a stream of them.
    Stream(BoxFuture<'static, Result<BoxStream<'static, Result<Bytes, Problem>>, Problem>>),
}

/// Makes the JSON Schema of a type.
pub(crate) type Described = fn(&mut SchemaGenerator) -> Schema;

/// A method of which nobody has said yet who may call it.
pub struct Outline {
    name: &'static str,
    description: &'static str,
    rest: Option<Rest>,
    timeout: Option<Duration>,
}

/// A method whose policy is stated; `S` is what its handler may know of the caller, `G` what is known of what it gives.
///
/// What is said of one output cannot be said of a stream:
/// ```compile_fail
/// use std::time::Duration;
/// use bastide_auth::Policy;
/// use bastide_context::Cx;
/// use bastide_rpc::{Cached, Method, Problem};
/// let items = || futures_util::stream::iter([Ok::<_, Problem>(1)]);
/// let method = Method::named("count")
///     .policy(Policy::identified())
///     .cached(Cached::lasting(Duration::from_secs(1)))
///     .stream(move |_: Cx, _: ()| async move { Ok::<_, Problem>(items()) });
/// ```
pub struct Guarded<S, G = OneOrMany> {
    outline: Outline,
    access: Access,
    limit: Option<LimitRule>,
    cached: Option<Cached>,
    invalidates: Vec<Template>,
    kind: PhantomData<(S, G)>,
}

/// A method that may still become one with a stream of outputs.
#[derive(Debug)]
pub enum OneOrMany {}

/// A method of which something was said that holds for one output alone.
#[derive(Debug)]
pub enum One {}

/// A stream lives as long as its caller wants it, so what its handler does for it has no deadline.
const UNBOUNDED: Duration = Duration::from_secs(60 * 60 * 24 * 365);

impl Method {
    /// Begins a method. Names are of `a-z 0-9 _`, as in Rust.
    pub fn named(name: &'static str) -> Outline {
        Outline {
            name,
            description: "",
            rest: None,
            timeout: None,
        }
    }

    /// Its name within the service.
    pub fn name(&self) -> &'static str {
        self.outline.name
    }

    /// What it does, for people.
    pub fn description(&self) -> &'static str {
        self.outline.description
    }

    /// Who may call it.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Its path and method beside RPC, if it has one.
    pub fn rest(&self) -> Option<&Rest> {
        self.outline.rest.as_ref()
    }

    /// How often one caller may call it.
    pub fn limit(&self) -> Option<&LimitRule> {
        self.limit.as_ref()
    }

    /// Which of its outputs are kept.
    pub fn cached(&self) -> Option<&Cached> {
        self.cached.as_ref()
    }

    /// The tags whose outputs its calls make void.
    pub fn invalidates(&self) -> impl Iterator<Item = &'static str> {
        self.invalidates.iter().map(|tag| tag.text())
    }

    pub(crate) fn invalidated(&self) -> &[Template] {
        &self.invalidates
    }

    /// Whether it gives a stream of outputs.
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// How long it may take at most, if it says so itself; of a stream, until it begins.
    pub fn timeout(&self) -> Option<Duration> {
        self.outline.timeout
    }

    /// The problems of its own; the pipeline's come on top.
    pub fn problems(&self) -> &'static [Declared] {
        self.problems
    }

    pub(crate) fn input_schema(&self, generator: &mut SchemaGenerator) -> Schema {
        (self.input)(generator)
    }

    /// The JSON Schemas of input and output, or of each item, with their definitions in the generator.
    pub fn schemas(&self, generator: &mut SchemaGenerator) -> (Schema, Schema) {
        ((self.input)(generator), (self.output)(generator))
    }

    pub(crate) fn prepare(
        &self,
        call: Call,
        identity: Option<Identity>,
        input: &[u8],
    ) -> Result<Work, Problem> {
        (self.prepare)(call, identity, input)
    }
}

impl Outline {
    /// What it does, for people.
    pub fn describe(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// How long it may take, a stream until it begins; the server's limit holds too.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Also at `GET` of this path; `{name}` is the input's member of that name, the query has the others.
    pub fn get(self, path: &'static str) -> Self {
        self.at(http::Method::GET, path)
    }

    /// Also at `POST` of this path; the body is the input, but for members in the path.
    pub fn post(self, path: &'static str) -> Self {
        self.at(http::Method::POST, path)
    }

    /// Also at `PUT` of this path; the body is the input, but for members in the path.
    pub fn put(self, path: &'static str) -> Self {
        self.at(http::Method::PUT, path)
    }

    /// Also at `PATCH` of this path; the body is the input, but for members in the path.
    pub fn patch(self, path: &'static str) -> Self {
        self.at(http::Method::PATCH, path)
    }

    /// Also at `DELETE` of this path; the query has the members that are not in the path.
    pub fn delete(self, path: &'static str) -> Self {
        self.at(http::Method::DELETE, path)
    }

    fn at(mut self, method: http::Method, path: &'static str) -> Self {
        self.rest = Some(Rest::new(method, path));
        self
    }

    /// For those whom the policy admits and who act for a tenant.
    pub fn policy(self, policy: Policy) -> Guarded<Tenant> {
        self.guarded(Access::Tenant(policy))
    }

    /// For those whom the policy admits, whether they act for a tenant or not. No tenant's data can be reached from it.
    pub fn policy_without_tenant(self, policy: Policy) -> Guarded<Known> {
        self.guarded(Access::Known(policy))
    }

    /// For everybody. The reason stands in the list of entries.
    pub fn public(self, reason: &'static str) -> Guarded<Public> {
        self.guarded(Access::Public(reason))
    }

    fn guarded<S>(self, access: Access) -> Guarded<S> {
        Guarded {
            outline: self,
            access,
            limit: None,
            cached: None,
            invalidates: Vec::new(),
            kind: PhantomData,
        }
    }
}

impl<G> Guarded<Tenant, G> {
    /// Its outputs are kept, apart for each tenant.
    pub fn cached(mut self, cached: Cached) -> Guarded<Tenant, One> {
        self.cached = Some(cached);
        self.of_one_output()
    }
}

impl<G> Guarded<Public, G> {
    /// Its outputs are kept: one for strangers, apart for each tenant whose callers are known.
    pub fn cached(mut self, cached: Cached) -> Guarded<Public, One> {
        self.cached = Some(cached);
        self.of_one_output()
    }
}

impl<S: Scope, G> Guarded<S, G> {
    /// How often one caller may call it: a user of a tenant, or an address where nobody is known.
    pub fn limit(mut self, rule: LimitRule) -> Self {
        self.limit = Some(rule);
        self
    }

    /// When a call ends, outputs under these tags are void; `{name}` is the input's member of that name.
    pub fn invalidates(mut self, tags: impl IntoIterator<Item = &'static str>) -> Guarded<S, One> {
        self.invalidates = tags.into_iter().map(Template::new).collect();
        self.of_one_output()
    }

    /// The code behind it.
    pub fn handler<I, O, E, F, Fut>(self, handler: F) -> Method
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema,
        E: ApiError,
        F: Fn(Cx<S>, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, E>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let prepare =
            move |call: Call, identity: Option<Identity>, bytes: &[u8]| -> Result<Work, Problem> {
                let cx = Cx::<S>::enter(call, identity)?;
                let input: I = input::read(bytes)?;
                let handler = handler.clone();
                Ok(Work::Unary(Box::pin(async move {
                    let output = handler(cx, input).await;
                    json(output)
                })))
            };
        self.method::<I, O>(E::DECLARED, false, Box::new(prepare))
    }

    fn method<I: JsonSchema, O: JsonSchema>(
        self,
        problems: &'static [Declared],
        is_stream: bool,
        prepare: Box<Prepare>,
    ) -> Method {
        Method {
            outline: self.outline,
            access: self.access,
            limit: self.limit,
            cached: self.cached,
            invalidates: self.invalidates,
            input: |generator| generator.subschema_for::<I>(),
            output: |generator| generator.subschema_for::<O>(),
            problems,
            is_stream,
            prepare,
        }
    }

    fn of_one_output(self) -> Guarded<S, One> {
        Guarded {
            outline: self.outline,
            access: self.access,
            limit: self.limit,
            cached: self.cached,
            invalidates: self.invalidates,
            kind: PhantomData,
        }
    }
}

impl<S: Scope> Guarded<S> {
    /// The code behind a method that gives a stream of outputs. What the handler refuses is an ordinary problem with its HTTP
    /// status; a problem after that ends the stream.
    ///
    /// The deadline is the handler's. The stream lives on until it ends, the caller leaves, or the caller's token or session
    /// is no longer good. Then it is dropped, which cancels what it does. It is asked for an item when its reader has room.
    ///
    /// ```
    /// use bastide_auth::Policy;
    /// use bastide_context::Cx;
    /// use bastide_rpc::{Method, Problem};
    /// use futures_util::stream;
    ///
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Count { to: u32 }
    ///
    /// let method = Method::named("count").policy(Policy::identified()).stream(|_: Cx, input: Count| async move {
    ///     if input.to > 1_000 {
    ///         return Err(Problem::new(422, "too_far", "count to 1000 at most"));
    ///     }
    ///     Ok(stream::iter((1..=input.to).map(Ok)))
    /// });
    /// assert!(method.is_stream());
    /// ```
    pub fn stream<I, O, E, F, Fut, Items>(self, handler: F) -> Method
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        E: ApiError,
        F: Fn(Cx<S>, I) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Items, E>> + Send + 'static,
        Items: Stream<Item = Result<O, E>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        let prepare =
            move |call: Call, identity: Option<Identity>, bytes: &[u8]| -> Result<Work, Problem> {
                let end = Instant::now() + UNBOUNDED;
                let call = Call::incoming(call.request_id(), call.trace(), end);
                let cx = Cx::<S>::enter(call, identity)?;
                let input: I = input::read(bytes)?;
                let handler = handler.clone();
                Ok(Work::Stream(Box::pin(async move {
                    let items = handler(cx, input).await.map_err(ApiError::into_problem)?;
                    Ok(items.map(json).boxed())
                })))
            };
        self.method::<I, O>(E::DECLARED, true, Box::new(prepare))
    }
}

fn json<O: Serialize, E: ApiError>(output: Result<O, E>) -> Result<Bytes, Problem> {
    let output = output.map_err(ApiError::into_problem)?;
    match serde_json::to_vec(&output) {
        Ok(json) => Ok(json.into()),
        Err(error) => {
            tracing::error!(%error, "an answer has no JSON form");
            Err(Problem::internal())
        }
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Method")
            .field("name", &self.outline.name)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
