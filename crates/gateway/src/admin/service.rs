//! Which handler a method and a path name: the routes of the Admin API, and how a request gets to a handler and back.

use std::sync::Arc;
use std::time::Duration;

use bastide_context::{Cx, Known};
use bastide_rpc::{Problem, RawRequest, RawResponse, Route, Service};

use super::access::OPERATOR;
use super::call::{Call, MAX_BODY, MAX_DOCUMENT};
use super::configuration::Configuration;
use super::problem::{self, Code};
use super::reply::Reply;
use super::{audit, config, keys, maintenance, routes, tenants};
use crate::maintenance::Board;

/// How often a change is tried that others keep coming before.
const ATTEMPTS: u32 = 20;
/// At most this long, times the attempts so far, before the next: two nodes in step would come before each other again.
const PAUSE_MICROS: u64 = 2_000;

/// How long a client is answered to. Planning a large configuration takes long; a change goes on past it.
const TIME: Duration = Duration::from_mins(10);

/// The Admin API over a configuration, with the switches of maintenance mode on this board.
pub(crate) fn service<C: Configuration + 'static>(configuration: Arc<C>, board: Board) -> Service {
    use Endpoint as To;
    let tenants = "/admin/tenants";
    let tenant = "/admin/tenants/{id}";
    let keys = "/admin/tenants/{id}/keys";
    let key = "/admin/tenants/{id}/keys/{keyId}";
    let rotate = "/admin/tenants/{id}/keys/{keyId}/rotate";
    let routes_of_tenant = "/admin/tenants/{id}/routes";
    let routes = "/admin/routes";
    let route = "/admin/routes/{id}";
    let config = "/admin/config";
    let maintenance = "/admin/maintenance";
    // `Allow` names methods in this order.
    let all = [
        (Route::get(tenants), To::ListTenants),
        (Route::post(tenants), To::CreateTenant),
        (Route::get(tenant), To::GetTenant),
        (Route::patch(tenant), To::PatchTenant),
        (Route::delete(tenant), To::DeleteTenant),
        (Route::get(keys), To::ListKeys),
        (Route::post(keys), To::CreateKey),
        (Route::get(key), To::GetKey),
        (Route::patch(key), To::PatchKey),
        (Route::delete(key), To::RevokeKey),
        (Route::post(rotate), To::RotateKey),
        (Route::get(routes_of_tenant), To::ListTenantRoutes),
        (Route::get(routes), To::ListRoutes),
        (Route::post(routes), To::CreateRoute),
        (Route::get(route), To::GetRoute),
        (Route::patch(route), To::PatchRoute),
        (Route::put(route), To::ReplaceRoute),
        (Route::delete(route), To::DeleteRoute),
        (Route::get("/admin/audit"), To::ListAudit),
        (Route::get(config), To::GetConfig),
        (Route::put(config), To::PutConfig),
        (Route::get(maintenance), To::GetMaintenance),
        (Route::put(maintenance), To::PutMaintenance),
    ];
    let api = Arc::new(AdminApi {
        configuration,
        board,
    });
    let service = Service::new("admin", "1.0.0").expect("a name and a version");
    all.into_iter().fold(service, |service, (route, endpoint)| {
        let api = Arc::clone(&api);
        let handler = move |_: Cx<Known>, request| Arc::clone(&api).answer(endpoint, request);
        let route = route.policy_without_tenant(OPERATOR).within(TIME);
        service.route(route.handler(handler))
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    ListTenants,
    CreateTenant,
    GetTenant,
    PatchTenant,
    DeleteTenant,
    ListKeys,
    CreateKey,
    GetKey,
    PatchKey,
    RevokeKey,
    RotateKey,
    ListTenantRoutes,
    ListRoutes,
    CreateRoute,
    GetRoute,
    PatchRoute,
    ReplaceRoute,
    DeleteRoute,
    ListAudit,
    GetConfig,
    PutConfig,
    GetMaintenance,
    PutMaintenance,
}

struct AdminApi<C> {
    configuration: Arc<C>,
    board: Board,
}

impl<C: Configuration + 'static> AdminApi<C> {
    async fn answer(
        self: Arc<Self>,
        endpoint: Endpoint,
        request: RawRequest,
    ) -> Result<RawResponse, Problem> {
        let limit = match endpoint {
            Endpoint::PutConfig => MAX_DOCUMENT,
            _ => MAX_BODY,
        };
        let call = Call::read(request, limit).await?;
        // Who leaves, or waits no longer, does not take back what has begun.
        let work = async move { self.settle(endpoint, &call).await };
        match tokio::spawn(work).await {
            Ok(answer) => answer.map(Reply::into_response),
            Err(error) => {
                tracing::error!(%error, "answering a request to the Admin API failed");
                Err(Code::Internal.problem("something failed inside; the log says what"))
            }
        }
    }

    /// Answers by what stands in the repository where this node's own knowledge turned out to be old: a change of
    /// another node may have come in between, and only who names a version (`If-Match`) has to hear of that.
    async fn settle(&self, endpoint: Endpoint, call: &Call) -> Result<Reply, Problem> {
        let configuration = &*self.configuration;
        let mut attempt = 1;
        loop {
            let known = configuration.state().revision;
            let problem = match self.handle(endpoint, call).await {
                Err(problem) if problem::may_be_outdated(&problem) && attempt < ATTEMPTS => problem,
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

    async fn handle(&self, endpoint: Endpoint, call: &Call) -> Result<Reply, Problem> {
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
