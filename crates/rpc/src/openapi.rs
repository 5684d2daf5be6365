//! The registry as an `OpenAPI` 3.1 document (<https://spec.openapis.org/oas/v3.1.0>).
//!
//! It is made of what dispatches calls, so it cannot tell of anything else: names, paths, policies, limits, schemas and the
//! problems that a method declares.

use std::collections::{BTreeMap, BTreeSet};

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::access::Access;
use crate::method::Method;
use crate::problem::Declared;
use crate::rest::{Rest, any};
use crate::route::{RouteEntry, Shape};
use crate::service::{Entry, Registry};

/// Describes every method, by RPC and at its own path if it has one, and every route. `title` and `version` are those of the whole.
pub fn openapi(registry: &Registry, title: &str, version: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for entry in registry.entries() {
        put(
            &mut paths,
            &format!("/rpc/{}", entry.full_name()),
            "post",
            by_rpc(entry, &mut generator),
        );
        if let Some(rest) = entry.method().rest() {
            let verb = rest.verb().as_str().to_ascii_lowercase();
            put(
                &mut paths,
                &plain(rest.path()),
                &verb,
                by_path(entry, rest, &mut generator),
            );
        }
    }
    let named = |entry: &&RouteEntry| *entry.route().rest().verb() != any();
    for entry in registry.routes().iter().filter(named) {
        let rest = entry.route().rest();
        let verb = rest.verb().as_str().to_ascii_lowercase();
        put(
            &mut paths,
            &plain(rest.path()),
            &verb,
            route(entry, &mut generator),
        );
    }
    put(&mut paths, "/rpc", "post", batch());
    let mut schemas = Value::Object(generator.take_definitions(true));
    schemas["Problem"] = problem_schema();
    json!({
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "serviceKey": {"type": "apiKey", "in": "header", "name": "X-Service-Key"},
            },
        },
    })
}

fn put(paths: &mut Map<String, Value>, path: &str, verb: &str, operation: Value) {
    let item = paths.entry(path).or_insert_with(|| json!({}));
    item[verb] = operation;
}

/// `{*rest}` is written as `{rest}`: the format has no name for a member with slashes.
fn plain(path: &str) -> String {
    path.replace("{*", "{")
}

fn by_rpc(entry: &Entry, generator: &mut SchemaGenerator) -> Value {
    let (input, output) = entry.method().schemas(generator);
    let mut operation = operation(entry, entry.full_name(), &output, &[]);
    operation["requestBody"] = body(&input);
    operation
}

fn by_path(entry: &Entry, rest: &Rest, generator: &mut SchemaGenerator) -> Value {
    let (input, output) = entry.method().schemas(generator);
    let id = format!("{} {}", rest.verb(), rest.path());
    let mut operation = operation(entry, &id, &output, &[MALFORMED_PATH]);
    let schemas = &resolved(&input, generator)["properties"];
    let in_path = |name: &str| rest.members().any(|member| member == name);
    let members = entry.members().names();
    let parameters = members
        .filter(|name| in_path(name) || !rest.has_body())
        .map(|name| {
            let place = if in_path(name) { "path" } else { "query" };
            let is_required = in_path(name) || entry.members().is_required(name);
            json!({"name": name, "in": place, "required": is_required, "schema": schemas[name]})
        });
    operation["parameters"] = parameters.collect();
    if rest.has_body() {
        operation["requestBody"] = body(&input);
    }
    operation
}

/// The schema itself where this is a reference to it.
fn resolved<'a>(schema: &'a Schema, generator: &'a SchemaGenerator) -> &'a Value {
    let name = schema.get("$ref").and_then(Value::as_str);
    let name = name.and_then(|path| path.rsplit('/').next());
    name.and_then(|name| generator.definitions().get(name))
        .unwrap_or(schema.as_value())
}

fn operation(entry: &Entry, id: &str, output: &Schema, further: &[Declared]) -> Value {
    let method = entry.method();
    let mut operation = json!({
        "operationId": id,
        "tags": [format!("{}@{}", entry.service(), entry.version())],
        "description": described(method.description(), method.access()),
        "responses": responses(method, output, further),
        "security": security(method.access()),
    });
    operation["x-policy"] = method.access().to_string().into();
    // What HTTP promises of the verb holds for the method, whichever way it is called.
    if method
        .rest()
        .is_some_and(|rest| rest.verb().is_idempotent())
    {
        operation["x-idempotent"] = true.into();
    }
    operation
}

fn content(shape: &Shape, generator: &mut SchemaGenerator) -> Value {
    let kind = shape.kind;
    match shape.schema {
        Some(schema) => json!({kind: {"schema": schema(generator)}}),
        None => json!({kind: {}}),
    }
}

/// What a route takes and gives is known as far as it says; its path, its policy and its problems are in any case.
fn route(entry: &RouteEntry, generator: &mut SchemaGenerator) -> Value {
    let route = entry.route();
    let rest = route.rest();
    let mut responses = json!({"2XX": {"description": "The route's own response."}});
    if let Some(shape) = route.gives() {
        responses["2XX"]["content"] = content(shape, generator);
    }
    let mut problems: BTreeSet<Declared> = route.problems().iter().copied().collect();
    problems.extend(station_problems(route.access(), route.limit().is_some()));
    let of_body: &[(u16, &'static str)] = if rest.has_body() {
        &[(408, "body_timeout"), (413, "body_too_large")]
    } else {
        &[]
    };
    problems.extend(
        of_body
            .iter()
            .map(|&(status, code)| Declared { status, code }),
    );
    put_problems(&mut responses, problems);
    let parameters = rest.members().map(
        |name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}),
    );
    let mut operation = json!({
        "operationId": entry.full_name(),
        "tags": [format!("{}@{}", entry.service(), entry.version())],
        "description": described(route.description(), route.access()),
        "parameters": parameters.collect::<Value>(),
        "responses": responses,
        "security": security(route.access()),
        "x-policy": route.access().to_string(),
    });
    if rest.has_body() {
        operation["requestBody"] = json!({"content": match route.takes() {
            Some(shape) => content(shape, generator),
            None => json!({"*/*": {}}),
        }});
    }
    operation
}

fn security(access: &Access) -> Value {
    match access {
        Access::Public(_) | Access::Signed(_) => json!([]),
        Access::Known(_) | Access::Tenant(_) => json!([{"bearer": []}, {"serviceKey": []}]),
    }
}

fn described(text: &str, access: &Access) -> String {
    let policy = format!("Policy: {access}.");
    match text {
        "" => policy,
        text => format!("{text}\n\n{policy}"),
    }
}

fn body(input: &Schema) -> Value {
    json!({"content": {"application/json": {"schema": input}}})
}

fn responses(method: &Method, output: &Schema, further: &[Declared]) -> Value {
    let given = if method.is_stream() {
        json!({
            "description": "Server-sent events: one with `data` for each item, then `end` or, with a problem document, `problem`.",
            "content": {"text/event-stream": {"schema": output}},
        })
    } else {
        json!({"description": "The output.", "content": {"application/json": {"schema": output}}})
    };
    let mut responses = json!({"200": given});
    let problems = method.problems().iter().chain(further).copied();
    let problems = problems.chain(declared(INPUT));
    let stations = station_problems(method.access(), method.limit().is_some());
    put_problems(&mut responses, problems.chain(stations));
    responses
}

/// One response for each status, which names its codes to readers and in its schema.
fn put_problems(responses: &mut Value, problems: impl IntoIterator<Item = Declared>) {
    let mut codes: BTreeMap<u16, BTreeSet<&str>> = BTreeMap::new();
    for Declared { status, code } in problems {
        codes.entry(status).or_default().insert(code);
    }
    for (status, codes) in codes {
        let named: Vec<_> = codes.iter().map(|code| format!("`{code}`")).collect();
        responses[status.to_string()] = json!({
            "description": named.join(", "),
            "content": {"application/problem+json": {"schema": {"allOf": [
                {"$ref": "#/components/schemas/Problem"},
                {"properties": {"code": {"enum": codes}}},
            ]}}},
        });
    }
}

fn declared(problems: &[(u16, &'static str)]) -> impl Iterator<Item = Declared> {
    let problems = problems.iter();
    problems.map(|&(status, code)| Declared { status, code })
}

const MALFORMED_PATH: Declared = Declared {
    status: 400,
    code: "malformed_path",
};

/// What reading a method's input answers with.
const INPUT: &[(u16, &str)] = &[
    (400, "malformed_body"),
    (400, "validation_failed"),
    (408, "body_timeout"),
    (413, "body_too_large"),
    (415, "unsupported_media_type"),
];

/// What the stations in front of an entry answer with.
fn station_problems(access: &Access, is_limited: bool) -> impl Iterator<Item = Declared> {
    const ALWAYS: &[(u16, &str)] = &[(500, "internal"), (504, "deadline_passed")];
    const KNOWN: &[(u16, &str)] = &[
        (401, "token_missing"),
        (401, "token_invalid"),
        (401, "token_expired"),
        (401, "session_revoked"),
        (401, "session_unknown"),
        (401, "token_superseded"),
        (401, "service_key_invalid"),
        (403, "role_required"),
        (403, "scope_required"),
        (403, "tenant_required"),
        (403, "service_required"),
        (503, "auth_unavailable"),
    ];
    const LIMITED: &[(u16, &str)] = &[(429, "rate_limited")];
    const SIGNED: &[(u16, &str)] = &[(401, "signature_invalid"), (409, "event_replayed")];
    let known = if matches!(access, Access::Signed(_)) {
        SIGNED
    } else if access.is_public() {
        &[]
    } else {
        KNOWN
    };
    let limited = if is_limited { LIMITED } else { &[] };
    let all = ALWAYS.iter().chain(known).chain(limited);
    all.map(|&(status, code)| Declared { status, code })
}

fn batch() -> Value {
    const SIZE: Declared = Declared {
        status: 400,
        code: "batch_size",
    };
    let mut batch = batch_operation();
    put_problems(&mut batch["responses"], declared(INPUT).chain([SIZE]));
    batch
}

fn batch_operation() -> Value {
    json!({
        "operationId": "batch",
        "description": "Several calls at once; each is answered as it would be alone, in their order.",
        "security": [{}, {"bearer": []}, {"serviceKey": []}],
        "requestBody": {"content": {"application/json": {"schema": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["method"],
                "additionalProperties": false,
                "properties": {
                    "id": {"description": "Comes back with the answer."},
                    "method": {"type": "string", "description": "As `users@1.0.0/find`."},
                    "input": {"description": "The input of the method."},
                },
            },
        }}}},
        "responses": {
            "200": {"description": "The answers.", "content": {"application/json": {"schema": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["status"],
                    "properties": {
                        "id": {},
                        "status": {"type": "integer"},
                        "output": {},
                        "problem": {"$ref": "#/components/schemas/Problem"},
                    },
                },
            }}}},
        },
    })
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "Problem details (RFC 9457).",
        "required": ["type", "title", "status", "code", "detail", "requestId"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "description": "Stable: programs may compare it."},
            "detail": {"type": "string", "description": "For people: what to do."},
            "requestId": {"type": "string"},
            "retryAfter": {"type": "integer", "description": "In how many seconds it is worth trying again, if it is."},
            "errors": {"type": "array", "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            }},
        },
    })
}
