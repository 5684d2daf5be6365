//! What can be served.

use crate::service::{RegistryError, Service};

/// What a service can be made of: a struct with `#[service]` at its `impl`, or a [`Service`] that was put together by hand.
///
/// ```
/// # use std::collections::HashMap;
/// # use bastide_context::{Cx, Public};
/// use bastide_rpc::{ApiError, IntoService, service};
///
/// struct Users { names: HashMap<u32, String> }
///
/// #[derive(Debug, ApiError)]
/// enum UserError {
///     /// There is no user {0}.
///     #[error(status = 404, code = "user_not_found")]
///     NotFound(u32),
/// }
///
/// #[service(name = "users", version = "1.0.0")]
/// impl Users {
///     /// The name of one user.
///     #[rpc(auth(role = ["admin", "owner"]), limit("100/min", pro = "1000/min"), cache(ttl = "60s", tags("user:{id}")))]
///     #[get("/users/{id}/name")]
///     async fn name(&self, cx: &Cx, id: u32) -> Result<String, UserError> {
///         tracing::debug!(tenant = %cx.tenant(), id, "a name is asked for");
///         self.names.get(&id).cloned().ok_or(UserError::NotFound(id))
///     }
///
///     /// How many there are.
///     #[rpc(public = "the number stands on the front page")]
///     async fn count(&self, _: &Cx<Public>) -> Result<usize, UserError> {
///         Ok(self.names.len())
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let users = Users { names: HashMap::from([(7, "Ada".to_owned())]) };
/// let registry = bastide_rpc::Registry::new([users.into_service()?])?;
/// assert_eq!(registry.entries()[0].method().access().to_string(), "role admin or owner; for a tenant");
/// # Ok(())
/// # }
/// ```
///
/// # Methods
/// A method is an `async fn` with `&self` that gives a `Result` of what can be serialised and has a schema, and of an
/// [`ApiError`](crate::ApiError). Its name is the method's, its doc comment the description. It stays a method that can be called as
/// it stands, in a test for example; functions without `#[rpc]` are no entries.
///
/// The first argument may be a reference: the context, of the type that the policy gives. **Each other argument is a member of
/// the input**, an object of which no other member is taken; it has to be `Deserialize` and `JsonSchema`. An `Option` may be left
/// out. Doc comments and attributes of serde and schemars at an argument are the member's: `#[serde(default)] tags: Vec<String>`.
/// With the option `input` the one argument is the whole input instead.
///
/// | `#[service(..)]` | |
/// |---|---|
/// | `name`, `version` | the service's |
/// | `rename_all = "camelCase"` | members of inputs are written `userId`; else as in Rust |
///
/// | `#[rpc(..)]` | | |
/// |---|---|---|
/// | `auth` | who has an identity and a tenant | context `&Cx` |
/// | `auth(role = "a", scope = ["b", "c"], service)` | of these, who has one of the roles and all scopes; only services | |
/// | `auth(.., tenant = false)` | for a tenant or for none | `&Cx<Known>` |
/// | `public = "reason"` | everybody; the reason stands in the list of entries | `&Cx<Public>` |
/// | `limit = "100/min"` | how often one caller may call it | [`LimitRule::parse`](crate::LimitRule::parse) |
/// | `limit("100/min", pro = "1000/min")` | and callers of a tier | [`LimitRule::tier`](crate::LimitRule::tier) |
/// | `timeout = "5s"` | `250ms`, `5s`, `1m30s` | [`Outline::within`](crate::Outline::within) |
/// | `cache(ttl = "60s", tags("user:{id}"), for_each_caller)` | which outputs are kept | [`Cached`](crate::Cached) |
/// | `invalidates("user:{id}")` | which go when a call ends | [`Guarded::invalidates`](crate::Guarded::invalidates) |
/// | `input` | the argument is the whole input | |
/// | `stream` | it gives a stream of outputs | [`Guarded::stream`](crate::Guarded::stream) |
///
/// `auth` or `public` has to be said. `#[get("/users/{id}")]`, `#[post(..)]`, `#[put(..)]`, `#[patch(..)]` and `#[delete(..)]` give the
/// method a path of its own too. All texts are read when they are compiled, and members in braces have to be arguments.
///
/// # Streams
/// With the option `stream` the method gives `Result<impl Stream<Item = Result<T, E>> + use<>, E>`: what it refuses at once is an
/// ordinary problem, and one after that ends the stream. `use<>` says that the stream borrows neither the service nor the
/// context, both of which it outlives. Nothing is kept of streams, so `cache` and `invalidates` do not stand beside `stream`.
/// ```
/// # use bastide_context::Cx;
/// # use bastide_rpc::{Problem, service};
/// use futures_util::stream::{self, Stream};
///
/// struct Counter;
///
/// #[service(name = "counter", version = "1.0.0")]
/// impl Counter {
///     /// Counts, up to a thousand.
///     #[rpc(auth, stream)]
///     async fn count(&self, _: &Cx, to: u32) -> Result<impl Stream<Item = Result<u32, Problem>> + use<>, Problem> {
///         if to > 1_000 {
///             return Err(Problem::new(422, "too_far", "count to 1000 at most"));
///         }
///         Ok(stream::iter((1..=to).map(Ok)))
///     }
/// }
/// # use bastide_rpc::{IntoService, Registry};
/// # let registry = Registry::new([Counter.into_service().unwrap()]).unwrap();
/// # assert!(registry.find("counter/count").unwrap().method().is_stream());
/// ```
///
/// # Routes
/// `#[route(..)]` in place of `#[rpc(..)]` makes a [`Route`](crate::Route), where requests and responses are as HTTP has them, at the
/// path beside it. Its one argument after the context is the request; of the options it has `auth`, `public`, `limit`, `timeout`
/// ([`GuardedRoute::within`](crate::GuardedRoute::within)) and `max_body`, in bytes. Whatever else a route can be, a webhook for
/// example, is made by hand and added to the service that [`IntoService::into_service`] gives.
/// ```
/// # use bastide_context::Cx;
/// # use bastide_rpc::{Problem, RawRequest, RawResponse, service};
/// struct Files;
///
/// #[service(name = "files", version = "1.0.0")]
/// impl Files {
///     /// Counts the bytes of a file.
///     #[route(auth, timeout = "5m", max_body = 10_000_000)]
///     #[post("/uploads/{name}")]
///     async fn upload(&self, _: &Cx, request: RawRequest) -> Result<RawResponse, Problem> {
///         RawResponse::json(&request.body.whole().await?.len())
///     }
/// }
/// # use bastide_rpc::{IntoService, Registry};
/// # let registry = Registry::new([Files.into_service().unwrap()]).unwrap();
/// # assert_eq!(registry.routes()[0].full_name(), "POST /uploads/{name}");
/// ```
///
/// # What does not compile
/// Each of these is told at the place that is wrong, with what to write instead.
///
/// A method without policy:
/// ```compile_fail
/// # use bastide_context::{Cx, Public, Tenant};
/// # use bastide_rpc::{Problem, service};
/// # struct Users;
/// #[service(name = "users", version = "1.0.0")]
/// impl Users {
///     #[rpc]
///     async fn count(&self) -> Result<usize, Problem> { Ok(7) }
/// }
/// ```
///
/// An option that there is not:
/// ```compile_fail
/// # use bastide_context::{Cx, Public, Tenant};
/// # use bastide_rpc::{Problem, service};
/// # struct Users;
/// #[service(name = "users", version = "1.0.0")]
/// impl Users {
///     #[rpc(auth, limits = "100/min")]
///     async fn count(&self) -> Result<usize, Problem> { Ok(7) }
/// }
/// ```
///
/// Who lets everybody in and asks for a tenant:
/// ```compile_fail
/// # use bastide_context::{Cx, Public, Tenant};
/// # use bastide_rpc::{Problem, service};
/// # struct Users;
/// #[service(name = "users", version = "1.0.0")]
/// impl Users {
///     #[rpc(public = "anybody may")]
///     async fn count(&self, _: &Cx) -> Result<usize, Problem> { Ok(7) }
/// }
/// ```
///
/// The same where the macro cannot read it:
/// ```compile_fail
/// # use bastide_context::{Cx, Public, Tenant};
/// # use bastide_rpc::{Problem, service};
/// # struct Users;
/// type Context = Cx<Tenant>;
/// #[service(name = "users", version = "1.0.0")]
/// impl Users {
///     #[rpc(public = "anybody may")]
///     async fn count(&self, _: &Context) -> Result<usize, Problem> { Ok(7) }
/// }
/// ```
///
/// And so it does:
/// ```
/// # use bastide_context::{Cx, Public};
/// # use bastide_rpc::{Problem, service};
/// # struct Users;
/// type Context = Cx<Public>;
/// #[service(name = "users", version = "1.0.0")]
/// impl Users {
///     #[rpc(public = "anybody may", limit = "100/min")]
///     async fn count(&self, _: &Context) -> Result<usize, Problem> { Ok(7) }
/// }
/// ```
///
/// # What is written
/// What a person could write. For the method `name` above:
/// ```
/// # use std::{collections::HashMap, sync::Arc, time::Duration};
/// # use bastide_auth::Policy;
/// # use bastide_context::Cx;
/// # use bastide_rpc::*;
/// # struct Users { names: HashMap<u32, String> }
/// # impl Users { async fn name(&self, _: &Cx, id: u32) -> Result<String, Problem> { Ok(self.names[&id].clone()) } }
/// impl IntoService for Users {
///     fn into_service(self) -> Result<Service, RegistryError> {
///         #[derive(serde::Deserialize, schemars::JsonSchema)]
///         #[serde(deny_unknown_fields)]
///         struct UsersNameInput { id: u32 }
///
///         let this = Arc::new(self);
///         let service = Service::new("users", "1.0.0")?;
///         let service = service.method({
///             let this = Arc::clone(&this);
///             Method::named("name")
///                 .describe("The name of one user.")
///                 .get("/users/{id}/name")
///                 .policy(Policy::any_role(&["admin", "owner"]))
///                 .limit(LimitRule::parse("100/min")?.tier("pro", "1000/min")?)
///                 .cached(Cached::lasting(Duration::from_millis(60_000)).tags(["user:{id}"]))
///                 .handler(move |cx: Cx, input: UsersNameInput| {
///                     let this = Arc::clone(&this);
///                     async move { this.name(&cx, input.id).await }
///                 })
///         });
///         Ok(service)
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no service",
    note = "say `#[service(name = \"..\", version = \"1.0.0\")]` at the `impl` that has its methods"
)]
pub trait IntoService {
    /// The service. `Err` is what only shows when it is put together.
    fn into_service(self) -> Result<Service, RegistryError>;
}

impl IntoService for Service {
    fn into_service(self) -> Result<Service, RegistryError> {
        Ok(self)
    }
}
