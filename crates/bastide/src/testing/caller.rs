//! Who calls a program under test, and what it answers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use bastide_auth::Claims;
use bastide_config::Secret;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::test_app::TestApp;

/// Somebody who calls. Each call shows a new token, or a service key.
#[derive(Debug, Clone)]
pub struct Caller<'a> {
    app: &'a TestApp,
    who: Who,
}

#[derive(Debug, Clone)]
pub(super) enum Who {
    Nobody,
    User(User),
    Token(String),
    Service { key: Secret, tenant: String },
}

#[derive(Debug, Clone)]
pub(super) struct User {
    subject: String,
    tenant: Option<String>,
    roles: Vec<String>,
    scopes: Vec<String>,
    tier: Option<String>,
}

impl Who {
    pub(super) fn user(tenant: Option<&str>) -> Self {
        Self::User(User {
            subject: "user".to_owned(),
            tenant: tenant.map(str::to_owned),
            roles: Vec::new(),
            scopes: Vec::new(),
            tier: None,
        })
    }
}

impl<'a> Caller<'a> {
    pub(super) fn new(app: &'a TestApp, who: Who) -> Self {
        Self { app, who }
    }

    /// Another user than `user`.
    ///
    /// # Panics
    /// As all that tells of a user: if this is nobody, has a token already, or is a service, whose roles go with its key.
    pub fn user(self, subject: &str) -> Self {
        self.change(|user| subject.clone_into(&mut user.subject))
    }

    /// With one more role.
    pub fn role(self, role: &str) -> Self {
        self.change(|user| user.roles.push(role.to_owned()))
    }

    /// With one more scope.
    pub fn scope(self, scope: &str) -> Self {
        self.change(|user| user.scopes.push(scope.to_owned()))
    }

    /// On this tier of rate limits.
    pub fn tier(self, tier: &str) -> Self {
        self.change(|user| user.tier = Some(tier.to_owned()))
    }

    fn change(mut self, change: impl FnOnce(&mut User)) -> Self {
        match &mut self.who {
            Who::User(user) => change(user),
            _ => panic!("only of a user something can be said that is in the token"),
        }
        self
    }

    /// A new token of this user, valid for 15 minutes of the test's clock.
    ///
    /// # Panics
    /// If this is no user.
    pub async fn token(&self) -> String {
        let Who::User(user) = &self.who else {
            panic!("only users have tokens");
        };
        let mut claims = Claims::new(&user.subject);
        if let Some(tenant) = &user.tenant {
            claims = claims.tenant(tenant);
        }
        claims = user.roles.iter().fold(claims, Claims::role);
        claims = user.scopes.iter().fold(claims, Claims::scope);
        if let Some(tier) = &user.tier {
            claims = claims.tier(tier);
        }
        let tenant = user.tenant.as_deref();
        let token = self.app.sign(claims, &user.subject, tenant).await;
        token.expose().to_owned()
    }

    /// Calls a method, `users@1.0.0/create` or `users/create`, with this input.
    ///
    /// # Errors
    /// The problem that was answered, which is equal to its code.
    ///
    /// # Panics
    /// If what was answered is no `T`.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        input: impl Serialize,
    ) -> Result<T, Refusal> {
        let reply = self.ask(method, &input).await;
        if let Some(refusal) = reply.refusal() {
            return Err(refusal);
        }
        Ok(reply.to())
    }

    /// As [`Caller::call`], with all of the answer.
    ///
    /// # Panics
    /// If the input has no JSON.
    pub async fn ask(&self, method: &str, input: &impl Serialize) -> Reply {
        let body = serde_json::to_vec(input).expect("the input has a JSON form");
        let request = Request::post(format!("/rpc/{method}"))
            .header("content-type", "application/json")
            .body(Bytes::from(body));
        self.send(request.expect("a method's name makes a path"))
            .await
    }

    /// Asks for a path.
    ///
    /// # Panics
    /// If it is none.
    pub async fn get(&self, path: &str) -> Reply {
        let request = Request::get(path).body(Bytes::new());
        self.send(request.expect("a path is `/users?skip=1`")).await
    }

    /// Sends a request as it stands, but for the credentials, which are added. The answer is waited for to its end.
    ///
    /// # Panics
    /// If the answer breaks off.
    pub async fn send(&self, request: Request<Bytes>) -> Reply {
        let mut request = request.map(Full::new);
        let mut show = |name: &'static str, value: &str| {
            let value = value.parse().expect("credentials are plain text");
            request.headers_mut().insert(name, value);
        };
        match &self.who {
            Who::Nobody => {}
            Who::User(_) => show("authorization", &format!("Bearer {}", self.token().await)),
            Who::Token(token) => show("authorization", &format!("Bearer {token}")),
            Who::Service { key, tenant } => {
                show("x-service-key", key.expose());
                show("x-tenant-id", tenant);
            }
        }
        let peer = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let entry = &self.app.running().entry;
        // Large: it holds what the method holds.
        let (head, body) = Box::pin(entry.answer(request, peer)).await.into_parts();
        let body = body.collect().await.expect("the answer ends in order");
        Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body: body.to_bytes(),
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its HTTP status.
    pub status: u16,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// The body as JSON; `null` if it is empty.
    ///
    /// # Panics
    /// If it is no JSON.
    pub fn json(&self) -> Value {
        self.to()
    }

    /// The body as this type.
    ///
    /// # Panics
    /// If it is none.
    pub fn to<T: DeserializeOwned>(&self) -> T {
        let body: &[u8] = if self.body.is_empty() {
            b"null"
        } else {
            &self.body
        };
        serde_json::from_slice(body).unwrap_or_else(|error| {
            let (text, wanted) = (self.text(), std::any::type_name::<T>());
            panic!("{} {text} is no {wanted}: {error}", self.status)
        })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// One field; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The problem that this is, of any status that is no success.
    pub fn refusal(&self) -> Option<Refusal> {
        if (200..400).contains(&self.status) {
            return None;
        }
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let code = problem["code"].as_str().unwrap_or_default();
        Some(Refusal {
            status: self.status,
            code: code.to_owned(),
            problem,
        })
    }
}

/// A problem that was answered. It is equal to its code: `assert_eq!(refusal, "user_not_found")`.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The problem's code; empty if the answer was no problem document.
    pub code: String,
    /// The whole document.
    pub problem: Value,
}

impl PartialEq<str> for Refusal {
    fn eq(&self, code: &str) -> bool {
        self.code == code
    }
}

impl PartialEq<&str> for Refusal {
    fn eq(&self, code: &&str) -> bool {
        self.code == *code
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.problem)
    }
}

impl std::error::Error for Refusal {}
