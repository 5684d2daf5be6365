//! `#[rpc(..)]` and `#[route(..)]`: what is said of a method.

use std::time::Duration;

use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Error, Ident, LitBool, LitInt, LitStr, Meta, Result, Token, bracketed,
    parenthesized, token,
};

use super::spelling;

/// What can be said of a route. Requests and responses are as HTTP has them, of which nothing is kept.
const OF_ROUTES: &[&str] = &["auth", "public", "timeout", "limit", "max_body"];
const OF_METHODS: &[&str] = &[
    "auth",
    "public",
    "timeout",
    "limit",
    "cache",
    "invalidates",
    "input",
    "stream",
];

fn no_policy(attribute: &Attribute, name: &str) -> Error {
    Error::new_spanned(
        attribute,
        format!(
            "a method says who may call it: `#[{name}(auth)]`, or `#[{name}(public = \"why everybody may\")]`"
        ),
    )
}

pub(super) struct Options {
    pub access: Access,
    pub timeout: Option<Duration>,
    pub limit: Option<Limit>,
    pub cache: Option<Kept>,
    pub invalidates: Vec<LitStr>,
    /// The one argument is the input, rather than a member of it.
    pub input: Option<Ident>,
    /// It gives a stream of outputs.
    pub is_stream: bool,
    /// It is `#[route(..)]`.
    pub is_route: bool,
    pub max_body: Option<LitInt>,
}

pub(super) enum Access {
    Policy(Policy),
    Public(LitStr),
}

#[derive(Default)]
pub(super) struct Policy {
    pub roles: Vec<LitStr>,
    pub scopes: Vec<LitStr>,
    pub services_only: bool,
    pub any_tenant_or_none: bool,
}

pub(super) struct Limit {
    pub otherwise: LitStr,
    pub tiers: Vec<(String, LitStr)>,
}

pub(super) struct Kept {
    pub ttl: Duration,
    pub tags: Vec<LitStr>,
    pub for_each_caller: bool,
}

impl Options {
    pub(super) fn read(attribute: &Attribute) -> Result<Self> {
        let is_route = attribute.path().is_ident("route");
        let (name, known) = if is_route {
            ("route", OF_ROUTES)
        } else {
            ("rpc", OF_METHODS)
        };
        if !matches!(attribute.meta, Meta::List(_)) {
            return Err(no_policy(attribute, name));
        }
        let (mut auth, mut public) = (None, None);
        let (mut timeout, mut limit, mut cache) = (None, None, None);
        let (mut invalidates, mut input, mut kept_at) = (None, None, None);
        let (mut stream, mut of_one_output, mut max_body) = (None, None, None);
        let one_output = |meta: &ParseNestedMeta<'_>| {
            let name = said(meta);
            let reason = format!("`{name}` is of one output, and this method gives a stream");
            Error::new_spanned(&meta.path, reason)
        };
        attribute.parse_nested_meta(|meta| match said(&meta).as_str() {
            name if !known.contains(&name) => Err(unknown(&meta, known)),
            "auth" => set(&mut auth, policy(&meta)?, &meta),
            "public" => set(&mut public, text(&meta)?, &meta),
            "timeout" => set(&mut timeout, spelling::duration(&text(&meta)?)?, &meta),
            "limit" => set(&mut limit, read_limit(&meta)?, &meta),
            "cache" => {
                kept_at = Some(Error::new_spanned(
                    &meta.path,
                    "outputs are kept apart by tenant, and with `tenant = false` there may be none",
                ));
                of_one_output.get_or_insert_with(|| one_output(&meta));
                set(&mut cache, kept(&meta)?, &meta)
            }
            "invalidates" => {
                of_one_output.get_or_insert_with(|| one_output(&meta));
                set(&mut invalidates, tags(&meta)?, &meta)
            }
            "stream" => set(&mut stream, (), &meta),
            "input" => set(
                &mut input,
                Ident::new("input", meta.path.segments[0].ident.span()),
                &meta,
            ),
            // Of those that are known only this is left.
            _ => set(&mut max_body, meta.value()?.parse::<LitInt>()?, &meta),
        })?;
        let access = match (auth, public) {
            (Some(policy), None) => Access::Policy(policy),
            (None, Some(reason)) => {
                spelling::not_empty(&reason, "the reason, which stands in the list of entries,")?;
                Access::Public(reason)
            }
            (Some(_), Some(reason)) => {
                return Err(Error::new_spanned(
                    reason,
                    "a method has `auth` or it is `public`, not both",
                ));
            }
            (None, None) => return Err(no_policy(attribute, name)),
        };
        if let (
            Access::Policy(Policy {
                any_tenant_or_none: true,
                ..
            }),
            Some(error),
        ) = (&access, kept_at)
        {
            return Err(error);
        }
        if let (Some(()), Some(error)) = (stream, of_one_output) {
            return Err(error);
        }
        Ok(Self {
            access,
            timeout,
            limit,
            cache,
            invalidates: invalidates.unwrap_or_default(),
            input,
            is_stream: stream.is_some(),
            is_route,
            max_body,
        })
    }
}

impl Access {
    /// What the handler knows of its caller, as the type of its context.
    pub(super) fn scope(&self) -> &'static str {
        match self {
            Self::Public(_) => "Public",
            Self::Policy(policy) if policy.any_tenant_or_none => "Known",
            Self::Policy(_) => "Tenant",
        }
    }
}

/// `auth`, or `auth(role = .., scope = .., service, tenant = false)`.
fn policy(meta: &ParseNestedMeta<'_>) -> Result<Policy> {
    let mut policy = Policy::default();
    if !meta.input.peek(token::Paren) {
        return Ok(policy);
    }
    let (mut roles, mut scopes, mut service, mut tenant) = (None, None, None, None);
    meta.parse_nested_meta(|meta| match said(&meta).as_str() {
        "role" => set(&mut roles, one_or_more(&meta, "the role")?, &meta),
        "scope" => set(&mut scopes, one_or_more(&meta, "the scope")?, &meta),
        "service" => set(&mut service, (), &meta),
        "tenant" => set(&mut tenant, meta.value()?.parse::<LitBool>()?.value, &meta),
        _ => Err(unknown(&meta, &["role", "scope", "service", "tenant"])),
    })?;
    policy.roles = roles.unwrap_or_default();
    policy.scopes = scopes.unwrap_or_default();
    policy.services_only = service.is_some();
    policy.any_tenant_or_none = tenant == Some(false);
    Ok(policy)
}

/// `limit = "100/min"`, or `limit("100/min", pro = "1000/min")`.
fn read_limit(meta: &ParseNestedMeta<'_>) -> Result<Limit> {
    if !meta.input.peek(token::Paren) {
        let otherwise = text(meta)?;
        spelling::limit(&otherwise)?;
        let tiers = Vec::new();
        return Ok(Limit { otherwise, tiers });
    }
    let content;
    parenthesized!(content in meta.input);
    let otherwise: LitStr = content.parse()?;
    spelling::limit(&otherwise)?;
    let mut tiers: Vec<(String, LitStr)> = Vec::new();
    while content.parse::<Option<Token![,]>>()?.is_some() && !content.is_empty() {
        let tier: Ident = content.parse()?;
        content.parse::<Token![=]>()?;
        let limit: LitStr = content.parse()?;
        spelling::limit(&limit)?;
        if tiers.iter().any(|(known, _)| tier == known.as_str()) {
            return Err(Error::new_spanned(tier, "this tier has a limit already"));
        }
        tiers.push((tier.to_string(), limit));
    }
    if !content.is_empty() {
        return Err(content.error("expected `tier = \"1000/min\"`"));
    }
    Ok(Limit { otherwise, tiers })
}

/// `cache(ttl = "60s", tags("user:{id}"), for_each_caller)`.
fn kept(meta: &ParseNestedMeta<'_>) -> Result<Kept> {
    let (mut ttl, mut labels, mut for_each_caller) = (None, None, None);
    if meta.input.peek(token::Paren) {
        meta.parse_nested_meta(|meta| match said(&meta).as_str() {
            "ttl" => set(&mut ttl, spelling::duration(&text(&meta)?)?, &meta),
            "tags" => set(&mut labels, tags(&meta)?, &meta),
            "for_each_caller" => set(&mut for_each_caller, (), &meta),
            _ => Err(unknown(&meta, &["ttl", "tags", "for_each_caller"])),
        })?;
    }
    Ok(Kept {
        ttl: ttl
            .ok_or_else(|| meta.error("says how long outputs are kept: `cache(ttl = \"60s\")`"))?,
        tags: labels.unwrap_or_default(),
        for_each_caller: for_each_caller.is_some(),
    })
}

/// `tags("user:{id}", "users")`.
fn tags(meta: &ParseNestedMeta<'_>) -> Result<Vec<LitStr>> {
    let content;
    parenthesized!(content in meta.input);
    let tags = Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?;
    if tags.is_empty() {
        return Err(meta.error("names at least one tag, as `\"user:{id}\"`"));
    }
    Ok(tags.into_iter().collect())
}

/// `= "admin"`, or `= ["admin", "owner"]`.
fn one_or_more(meta: &ParseNestedMeta<'_>, what: &str) -> Result<Vec<LitStr>> {
    let value = meta.value()?;
    let texts: Vec<LitStr> = if value.peek(token::Bracket) {
        let content;
        bracketed!(content in value);
        let texts = Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?;
        texts.into_iter().collect()
    } else {
        vec![value.parse()?]
    };
    if texts.is_empty() {
        return Err(meta.error("names at least one; without any, leave it out"));
    }
    texts
        .iter()
        .try_for_each(|text| spelling::not_empty(text, what))?;
    Ok(texts)
}

fn text(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    meta.value()?.parse()
}

pub(super) fn unknown(meta: &ParseNestedMeta<'_>, known: &[&str]) -> Error {
    let found = said(meta);
    meta.error(format!(
        "`{found}` is not known here; {}",
        spelling::instead(&found, known)
    ))
}

/// The name of an option, as it stands.
pub(super) fn said(meta: &ParseNestedMeta<'_>) -> String {
    meta.path
        .get_ident()
        .map_or_else(String::new, ToString::to_string)
}

pub(super) fn set<T>(slot: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>) -> Result<()> {
    if slot.replace(value).is_some() {
        return Err(meta.error("said twice"));
    }
    Ok(())
}
