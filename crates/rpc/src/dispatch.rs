//! The one way of every call: from whatever brought it to the method's code and back.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bastide_auth::{AuthError, Identity, Policy, ServiceKeys, TenantId, Verifier};
use bastide_cache::Cache;
use bastide_config::Secret;
use bastide_context::{Call, DeadlinePassed, Refused};
use bastide_limit::{Limiter, Quota};
use bastide_telemetry::metrics::Registry as MetricsRegistry;
use bastide_telemetry::otlp::Exporter;
use bytes::Bytes;
use futures_util::FutureExt as _;
use serde_json::Value;
use tokio::time::Instant;

use crate::access::Access;
use crate::attempts::Attempts;
use crate::caching::Invalidation;
use crate::http::{Fault, HttpMetrics, RawRequest, RawResponse};
use crate::input;
use crate::limit::{LimitRule, Limits};
use crate::method::Work;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::replay::Taking;
use crate::route::{Behind, RouteEntry};
use crate::service::{Entry, Registry, RegistryError};
use crate::signature::Verified;
use crate::spans::{Recording, Spans};
use crate::stream::{Counted, Items, Output};

/// One call, whichever way it came in: a request, an item of a batch, a frame of a socket.
///
/// `I` gives the input as JSON, nothing for none. It is polled only once the caller is let in: who is refused sends in vain.
#[derive(Debug)]
pub struct Invocation<'a, I> {
    /// Which method.
    pub entry: &'a Entry,
    /// Its input, when it is wanted.
    pub input: I,
    /// What the caller shows.
    pub credentials: &'a Credentials,
    /// Its id, its trace and its deadline.
    pub call: Call,
    /// From where it came. `None`: from this machine, over a Unix socket.
    pub peer: Option<IpAddr>,
}

/// What a caller shows of itself.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Nothing.
    #[default]
    None,
    /// A token.
    Bearer(Secret),
    /// A service key, and the tenant for which this call is.
    Service {
        /// The key.
        key: Secret,
        /// The tenant that the call names, if it names one.
        tenant: Option<TenantId>,
    },
    /// Something that cannot be read as either.
    Unreadable,
}

/// What the stations ask about an entry, of whatever kind it is.
struct Door<'a> {
    name: &'a str,
    number: usize,
    access: &'a Access,
    limit: Option<&'a LimitRule>,
    timeout: Option<Duration>,
}

/// Who stands in front of a door, since when, and until when.
struct Caller<'a> {
    since: Instant,
    credentials: &'a Credentials,
    call: Call,
    peer: Option<IpAddr>,
}

/// What the stations find out on the way that is wanted whatever becomes of the call.
#[derive(Default)]
struct Noted {
    quota: Option<Quota>,
    /// The call once it is decided whether it is recorded, if anything is.
    call: Option<Call>,
}

/// What became of a call.
#[derive(Debug)]
pub struct Outcome {
    /// What the method gave, or what went wrong.
    pub result: Result<Output, Problem>,
    /// The caller's limit after this call, where the method has one.
    pub quota: Option<Quota>,
}

/// Takes calls to their methods. Share it by `Arc`.
#[derive(Debug)]
pub struct Dispatcher {
    registry: Registry,
    verifier: Option<Verifier>,
    service_keys: ServiceKeys,
    attempts: Option<Attempts>,
    refusal: fn(&AuthError) -> Problem,
    limits: Limits,
    default_limit: Option<LimitRule>,
    is_limited: bool,
    cache: Option<Cache>,
    metrics: Metrics,
    http_metrics: HttpMetrics,
    spans: Spans,
    timeout: Duration,
}

impl Dispatcher {
    /// How long a call may take unless said otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(30);

    /// For these methods, which keep outputs in this cache. Without a verifier only what is public can be called, and by service
    /// keys.
    /// They are counted and timed in this registry of metrics.
    ///
    /// # Errors
    /// [`RegistryError::NoCache`] if a method needs a cache and there is none.
    pub fn new(
        registry: Registry,
        metrics: &MetricsRegistry,
        cache: Option<Cache>,
    ) -> Result<Self, RegistryError> {
        let needs_cache = |entry: &&Entry| {
            let method = entry.method();
            method.cached().is_some() || !method.invalidated().is_empty()
        };
        if let (None, Some(entry)) = (&cache, registry.entries().iter().find(needs_cache)) {
            return Err(RegistryError::NoCache(entry.full_name().to_owned()));
        }
        Ok(Self {
            metrics: Metrics::new(registry.entries(), metrics),
            http_metrics: HttpMetrics::new(&registry, metrics),
            registry,
            verifier: None,
            service_keys: ServiceKeys::default(),
            attempts: None,
            refusal: |error| error.into(),
            limits: Limits::new(Limiter::local()),
            default_limit: None,
            is_limited: true,
            cache,
            spans: Spans::default(),
            timeout: Self::TIMEOUT,
        })
    }

    /// Who tells tokens from forgeries.
    pub fn verifier(mut self, verifier: Verifier) -> Self {
        self.verifier = Some(verifier);
        self
    }

    /// Which service keys are known.
    pub fn service_keys(mut self, keys: ServiceKeys) -> Self {
        self.service_keys = keys;
        self
    }

    /// Counts wrong tokens and service keys by address. Unless said otherwise they are not counted.
    pub fn attempts(mut self, attempts: Attempts) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// What is told to callers who are not known, for a service whose codes and texts are older than these; unless said otherwise
    /// what [`Problem::from`] makes of the error.
    pub fn refusal(mut self, refusal: fn(&AuthError) -> Problem) -> Self {
        self.refusal = refusal;
        self
    }

    /// Where limits are counted; in this process alone unless said otherwise.
    pub fn limiter(mut self, limiter: Limiter) -> Self {
        self.limits = Limits::new(limiter);
        self
    }

    /// The limit of all entries together that state none of their own: what a caller's plan lets through.
    pub fn default_limit(mut self, rule: LimitRule) -> Self {
        self.default_limit = Some(rule);
        self
    }

    /// Counts nothing, also where an entry states a limit: for tests and for programs behind a gateway that limits.
    pub fn without_limits(mut self) -> Self {
        self.is_limited = false;
        self
    }

    /// Where each call goes as a span, named as its method (`users@1.0.0/find`) or route (`GET /users/{id}`), below that of its
    /// caller (`traceparent`). Which calls: the exporter's sampler chooses, and a caller who is a service, or comes over a Unix
    /// socket or from a trusted proxy, has chosen already. Without an exporter only those are believed, and what they say goes
    /// along to the services that are called on. Of a stream the span ends with it.
    pub fn exporter(mut self, exporter: Exporter) -> Self {
        self.spans = Spans::to(exporter);
        self
    }

    /// How long a call may take at most, whatever its caller asks for.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The methods.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn http_metrics(&self) -> &HttpMetrics {
        &self.http_metrics
    }

    /// When a call that comes in now must be answered: what the caller grants, if that is less than the server does.
    pub fn deadline(&self, granted: Option<Duration>) -> Instant {
        self.deadline_from(Instant::now(), granted)
    }

    /// The same of a call that came in at this moment.
    pub(crate) fn deadline_from(&self, begun: Instant, granted: Option<Duration>) -> Instant {
        deadline(begun, granted, self.timeout)
    }

    /// The same for a route, which may have a time of its own.
    pub(crate) fn deadline_of(&self, entry: &RouteEntry, granted: Option<Duration>) -> Instant {
        deadline(
            Instant::now(),
            granted,
            entry.route().time().unwrap_or(self.timeout),
        )
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Carries a call out; of a stream, until it begins.
    pub async fn dispatch<I>(self: &Arc<Self>, invocation: Invocation<'_, I>) -> Outcome
    where
        I: Future<Output = Result<Bytes, Problem>> + Send,
    {
        let started = Instant::now();
        let (entry, call) = (invocation.entry, self.spans.watched(&invocation.call));
        let mut noted = Noted::default();
        let result = self.line(invocation, started, &mut noted).await;
        // A stream is counted when it ends.
        if !matches!(result, Ok(Output::Stream(_))) {
            let problem = result.as_ref().err();
            self.metrics
                .count(entry.number(), started.elapsed(), problem);
            if let Some(recording) = self.recording(call, noted.call) {
                recording.end_method(entry, started, problem);
            }
        }
        let quota = noted.quota;
        Outcome { result, quota }
    }

    /// Of a call that ended before it was decided whether it is recorded, as of a stranger's.
    fn recording(&self, call: Option<Call>, decided: Option<Call>) -> Option<Recording> {
        let decided = decided.or_else(|| Some(self.spans.decide(call?, None)))?;
        self.spans.begin(&decided)
    }

    /// Takes a request to its route. `request` is what could be made of it.
    pub(crate) async fn enter(
        &self,
        entry: &RouteEntry,
        request: Result<RawRequest, Problem>,
        credentials: &Credentials,
        call: Call,
        peer: Option<IpAddr>,
    ) -> (Result<RawResponse, Problem>, Option<Quota>) {
        let route = entry.route();
        let door = Door {
            name: entry.full_name(),
            number: entry.number(),
            access: route.access(),
            limit: route.limit(),
            timeout: route.time(),
        };
        let caller = Caller {
            since: Instant::now(),
            credentials,
            call,
            peer,
        };
        let (started, call) = (Instant::now(), self.spans.watched(&caller.call));
        let mut noted = Noted::default();
        let fault = request.as_ref().ok().map(|request| request.body.fault());
        let result = match route.behind() {
            Behind::Request(run) => {
                let inside = async |call, identity| run(call, identity, request?)?.await;
                self.pass(door, caller, &mut noted, inside).await
            }
            Behind::Event(signature, run) => {
                let proof = async || signature.prove(request?).await;
                let inside = async |call, identity, (event, taking): (Verified, Taking)| {
                    let response = run(call, identity, event)?.await?;
                    if response.is_success() {
                        taking.keep();
                    }
                    Ok(response)
                };
                self.pass_proven(door, caller, &mut noted, proof, inside)
                    .await
            }
        };
        // What became of the body is known here better than where it was read.
        let result = result.map_err(|problem| {
            let of_body = fault.as_ref().and_then(Fault::get);
            of_body.cloned().unwrap_or(problem)
        });
        if let Some(recording) = self.recording(call, noted.call) {
            let outcome = result.as_ref().map(RawResponse::status_code);
            recording.end_route(entry, started, outcome);
        }
        (result, noted.quota)
    }

    /// Every station in order. What a station refuses, the ones behind it never see.
    async fn line<I>(
        self: &Arc<Self>,
        invocation: Invocation<'_, I>,
        started: Instant,
        noted: &mut Noted,
    ) -> Result<Output, Problem>
    where
        I: Future<Output = Result<Bytes, Problem>> + Send,
    {
        let Invocation {
            entry,
            input,
            credentials,
            call,
            peer,
        } = invocation;
        let method = entry.method();
        let door = Door {
            name: entry.full_name(),
            number: entry.number(),
            access: method.access(),
            limit: method.limit(),
            timeout: method.timeout(),
        };
        let caller = Caller {
            since: started,
            credentials,
            call,
            peer,
        };
        // Not by way of `pass`, which makes the future of every call larger.
        let inside = async |call, identity: Option<Identity>, ()| {
            let input = input.await?;
            let (identity, recording) = (identity.as_ref(), self.spans.begin(&call));
            match method.prepare(call, identity.cloned(), &input)? {
                Work::Unary(work) => {
                    let output = self.run(entry, identity, &input, work).await?;
                    Ok(Output::Whole(output))
                }
                Work::Stream(work) => {
                    let items = work.await?;
                    let counted = Counted::new(self, entry, started).recorded(recording);
                    let items = Items::open(items, self, credentials, identity, counted);
                    Ok(Output::Stream(items))
                }
            }
        };
        self.pass_proven(door, caller, noted, async || Ok(()), inside)
            .await
    }

    /// The stations in front of every kind of entry, then what is behind its door. What comes of that is the kind's own
    /// affair; who gets to it is not.
    async fn pass<T>(
        &self,
        door: Door<'_>,
        caller: Caller<'_>,
        noted: &mut Noted,
        inside: impl AsyncFnOnce(Call, Option<Identity>) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let inside = async |call, identity, ()| inside(call, identity).await;
        self.pass_proven(door, caller, noted, async || Ok(()), inside)
            .await
    }

    /// The same where the policy asks for a proof beside the caller's identity: what comes of it is handed on.
    async fn pass_proven<P, T>(
        &self,
        door: Door<'_>,
        caller: Caller<'_>,
        noted: &mut Noted,
        proof: impl AsyncFnOnce() -> Result<P, Problem>,
        inside: impl AsyncFnOnce(Call, Option<Identity>, P) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let Caller {
            since,
            credentials,
            call,
            peer,
        } = caller;
        let call = match door.timeout {
            Some(timeout) => call.shortened(timeout),
            None => call,
        };
        if call.is_over(since) {
            return Err(DeadlinePassed.into());
        }
        let deadline = call.clone();
        let line = pin!(async {
            let identity = self.verify(credentials, door.access.is_public()).await;
            let known = identity.as_ref().ok().and_then(Option::as_ref);
            let call = self.spans.decide(call, known);
            noted.call = self.spans.watched(&call);
            let identity = identity.map_err(|error| self.refuse(&error, peer))?;
            let admitted = door.access.admit(identity.as_ref());
            admitted.map_err(|refused| match refused {
                Refused::Stranger(error) => (self.refusal)(&error),
                Refused::Denied(denied) => denied.into(),
            })?;
            let proof = proof().await?;
            if let Some((name, rule)) = self.rule_of(&door) {
                let counted = self.limits.count(name, rule, identity.as_ref(), peer).await;
                noted.quota = Some(counted.unwrap_or_else(|quota| quota));
                if let Err(over) = counted {
                    return Err(over_limit(&over));
                }
            }
            let inside = AssertUnwindSafe(inside(call, identity, proof)).catch_unwind();
            inside.await.unwrap_or_else(|_| {
                tracing::error!(entry = door.name, "a handler panicked");
                Err(Problem::internal())
            })
        });
        deadline
            .run(line)
            .await
            .map_err(|DeadlinePassed| DeadlinePassed)?
    }

    /// The method's code, unless its output is kept; then what it makes void.
    async fn run(
        &self,
        entry: &Entry,
        identity: Option<&Identity>,
        input: &[u8],
        work: impl Future<Output = Result<Bytes, Problem>> + Send,
    ) -> Result<Bytes, Problem> {
        let (cached, invalidated) = (entry.method().cached(), entry.method().invalidated());
        let cache = match &self.cache {
            Some(cache) if cached.is_some() || !invalidated.is_empty() => cache,
            _ => return work.await,
        };
        let input: Value = input::read(input)?;
        let invalidation = Invalidation::new(cache, invalidated, identity, &input);
        let result = match cached {
            None => work.await,
            Some(cached) => {
                cached
                    .output(cache, entry.full_name(), identity, &input, work)
                    .await
            }
        };
        invalidation.carry_out().await;
        result
    }

    /// What counts calls at this door, under which number and name.
    fn rule_of<'a>(&'a self, door: &Door<'a>) -> Option<((usize, &'a str), &'a LimitRule)> {
        let own = door.limit.map(|rule| ((door.number, door.name), rule));
        let default = || Some(((usize::MAX, "*"), self.default_limit.as_ref()?));
        own.or_else(default).filter(|_| self.is_limited)
    }

    /// The verdict about a caller where no entry is.
    pub(crate) async fn admit(
        &self,
        policy: Policy,
        credentials: &Credentials,
        call: Call,
        peer: Option<IpAddr>,
    ) -> Result<(), Problem> {
        let door = Door {
            name: "*",
            number: usize::MAX,
            access: &Access::Known(policy),
            limit: None,
            timeout: None,
        };
        let caller = Caller {
            since: Instant::now(),
            credentials,
            call,
            peer,
        };
        self.pass(door, caller, &mut Noted::default(), async |_, _| Ok(()))
            .await
    }

    /// Who the caller of a stream still is.
    pub(crate) async fn identify(
        &self,
        credentials: &Credentials,
    ) -> Result<Option<Identity>, Problem> {
        let identity = self.verify(credentials, false).await;
        identity.map_err(|error| (self.refusal)(&error))
    }

    /// What the bearer of wrong credentials is told.
    fn refuse(&self, error: &AuthError, peer: Option<IpAddr>) -> Problem {
        let is_guess = matches!(error, AuthError::Invalid(_) | AuthError::ServiceKey);
        let Some(attempts) = self.attempts.as_ref().filter(|_| is_guess) else {
            return (self.refusal)(error);
        };
        match attempts.count(peer) {
            None => {
                let peer = peer.map(tracing::field::display);
                tracing::warn!(peer, "wrong credentials were shown");
                (self.refusal)(error)
            }
            Some(wait) => {
                let detail = "too much that is wrong came from this address; wait as long as `Retry-After` says";
                Problem::new(429, "too_many_attempts", detail).retry_after(wait)
            }
        }
    }

    /// Who the caller is. At a public entry bad credentials are no credentials: who signs in again still has the old ones.
    async fn verify(
        &self,
        credentials: &Credentials,
        is_public: bool,
    ) -> Result<Option<Identity>, AuthError> {
        let found = match (credentials, &self.verifier) {
            (Credentials::None, _) => return Ok(None),
            (Credentials::Bearer(token), Some(verifier)) => verifier.verify(token.expose()).await,
            (Credentials::Bearer(_), None) => Err(AuthError::Invalid("no verifier is configured")),
            (Credentials::Service { key, tenant }, _) => {
                self.service_keys.verify(key.expose(), tenant.as_ref())
            }
            (Credentials::Unreadable, _) => {
                Err(AuthError::Invalid("the credentials are malformed"))
            }
        };
        match found {
            Ok(identity) => Ok(Some(identity)),
            Err(_) if is_public => Ok(None),
            Err(error) => {
                tracing::debug!(
                    reason = error.reason(),
                    code = error.code(),
                    "credentials were refused"
                );
                Err(error)
            }
        }
    }
}

fn deadline(begun: Instant, granted: Option<Duration>, most: Duration) -> Instant {
    begun + granted.map_or(most, |granted| granted.min(most))
}

fn over_limit(quota: &Quota) -> Problem {
    let wait = Duration::from_micros(quota.retry_after);
    Problem::new(429, "rate_limited", "too many calls; try again later").retry_after(wait)
}
