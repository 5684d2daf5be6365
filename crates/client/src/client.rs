//! The client: where it calls, as whom, and for how long.

use std::sync::Arc;
use std::time::Duration;

use bastide_auth::TenantId;
use bastide_config::Secret;
use bastide_context::Call;
use bastide_resilience::backoff::Backoff;
use bastide_resilience::budget::Budget;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::address::{Address, AddressError};
use crate::batch::Batch;
use crate::credentials::{Credentials, TokenSource};
use crate::error::CallError;
use crate::exchange::{self, Outgoing};
use crate::stream::Items;
use crate::transport::Transport;

/// Calls the methods of one service, or of several behind one address. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) transport: Arc<Transport>,
    pub(crate) credentials: Credentials,
    pub(crate) budget: Arc<Budget>,
    /// From which the budget counts its time.
    pub(crate) started: Instant,
    pub(crate) call: Option<Call>,
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
    pub(crate) backoff: Backoff,
    pub(crate) max_answer: usize,
}

/// One call that is not as all others of its client.
#[derive(Debug)]
pub struct Request<'a> {
    client: &'a Client,
    method: &'a str,
    is_idempotent: bool,
}

impl Client {
    /// For the service at `http://host:port` (a path may follow, as `http://gateway/api/users`) or `unix:/path/to.sock`.
    /// Nothing is connected yet.
    pub fn new(address: &str) -> Result<Self, AddressError> {
        Ok(Self {
            transport: Arc::new(Transport::new(Address::parse(address)?)),
            credentials: Credentials::None,
            budget: Arc::default(),
            started: Instant::now(),
            call: None,
            timeout: Duration::from_secs(30),
            retries: 2,
            backoff: Backoff {
                base: Duration::from_millis(100),
                max: Duration::from_secs(2),
            },
            max_answer: 64 << 20,
        })
    }

    /// Calls with this token.
    pub fn bearer(mut self, token: Secret) -> Self {
        self.credentials = Credentials::Bearer(Arc::new(token));
        self
    }

    /// Calls with tokens from here. It is asked for the first call, and anew when a call is refused with `token_expired`,
    /// which is then sent again, once. Calls that wait for a token at the same time wait for the same one.
    pub fn token_source<F, Fut, E>(mut self, ask: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Secret, E>> + Send + 'static,
        E: std::fmt::Display,
    {
        let source = TokenSource::new(Box::new(move || {
            let asked = ask();
            Box::pin(async move { asked.await.map_err(|error| error.to_string()) })
        }));
        self.credentials = Credentials::Source(Arc::new(source));
        self
    }

    /// Calls as a service, by its key, and for this tenant if one is named.
    pub fn service_key(mut self, key: Secret, tenant: Option<TenantId>) -> Self {
        let key = Arc::new(key);
        self.credentials = Credentials::Service { key, tenant };
        self
    }

    /// How long a call may take in all, retries included; 30 s. The service is told how much of it is left. Of a stream it
    /// bounds the time until the first answer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often a call that failed is sent again where that is safe; 2, and 0 for never.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// How long to wait before a retry; 100 ms, doubling up to 2 s. Where the service asks for a longer wait than the most
    /// of this, there is no retry.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How many bytes an answer, or an item of a stream, may have; 64 MiB.
    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.max_answer = bytes;
        self
    }

    /// The same client on behalf of this call: its request id, its trace and its deadline go along.
    pub fn continuing(&self, call: &Call) -> Self {
        let mut client = self.clone();
        client.call = Some(call.clone());
        client
    }

    /// Calls a method: `users@1.0.0/find`, or `users@1/find` for the latest that begins so.
    pub async fn call<I, O>(&self, method: &str, input: &I) -> Result<O, CallError>
    where
        I: Serialize + ?Sized,
        O: DeserializeOwned,
    {
        self.request(method).send(input).await
    }

    /// A call of this method about which there is more to say.
    pub fn request<'a>(&'a self, method: &'a str) -> Request<'a> {
        Request {
            client: self,
            method,
            is_idempotent: false,
        }
    }

    /// Several calls in one request.
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(self)
    }

    /// Calls a method that answers with a stream of items.
    pub async fn stream<I, O>(&self, method: &str, input: &I) -> Result<Items<O>, CallError>
    where
        I: Serialize + ?Sized,
        O: DeserializeOwned,
    {
        let body = json(input)?;
        let outgoing = Outgoing::call(method, body, self.deadline()).of_items();
        let (response, _) = self.attempts(&outgoing, exchange::items).await?;
        Ok(Items::new(self, response))
    }

    /// The service's `OpenAPI` document, where it serves one at `/openapi.json`.
    pub async fn description(&self) -> Result<serde_json::Value, CallError> {
        let outgoing = Outgoing::description(self.deadline());
        let body = self.collected(&outgoing).await?;
        decode(&body)
    }

    /// Until when a call that begins now is to be answered.
    pub(crate) fn deadline(&self) -> Instant {
        // So far away that it never comes: what fits a timer, about thirty years.
        let now = Instant::now();
        let own = now
            .checked_add(self.timeout.min(Duration::from_secs(1 << 30)))
            .unwrap_or(now);
        let given = self.call.as_ref().and_then(Call::deadline);
        given.map_or(own, |given| given.min(own))
    }
}

impl Request<'_> {
    /// Carrying it out twice is as good as once: it may be sent again when the connection broke off, and when the service
    /// says that it is worth it (429 and 503 with `Retry-After`).
    pub fn idempotent(mut self) -> Self {
        self.is_idempotent = true;
        self
    }

    /// Calls.
    pub async fn send<I, O>(self, input: &I) -> Result<O, CallError>
    where
        I: Serialize + ?Sized,
        O: DeserializeOwned,
    {
        let Self {
            client,
            method,
            is_idempotent,
        } = self;
        let mut outgoing = Outgoing::call(method, json(input)?, client.deadline());
        outgoing.is_idempotent = is_idempotent;
        decode(&client.collected(&outgoing).await?)
    }
}

pub(crate) fn json(input: &(impl Serialize + ?Sized)) -> Result<Bytes, CallError> {
    match serde_json::to_vec(input) {
        Ok(json) => Ok(json.into()),
        Err(error) => Err(CallError::Unsendable {
            reason: format!("the input has no JSON form: {error}"),
        }),
    }
}

/// An output; where it is not what was expected, the member is named.
pub(crate) fn decode<O: DeserializeOwned>(json: &[u8]) -> Result<O, CallError> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let output = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| CallError::malformed(200, &error))?;
    reader
        .end()
        .map_err(|error| CallError::malformed(200, &error))?;
    Ok(output)
}
