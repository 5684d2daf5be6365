//! What is wrong with services is found when they are put together.

use bastide_auth::Policy;
use bastide_context::Cx;
use bastide_rpc::{Method, Outline, Problem, Registry, RegistryError, Service};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize, JsonSchema)]
struct Input {
    id: Option<u32>,
}

fn with(outline: Outline) -> Method {
    outline
        .policy(Policy::identified())
        .handler(|_: Cx, input: Input| async move { Ok::<_, Problem>(Value::from(input.id)) })
}

fn service(
    name: &'static str,
    version: &str,
    methods: impl IntoIterator<Item = Outline>,
) -> Service {
    let service = Service::new(name, version).unwrap();
    methods.into_iter().map(with).fold(service, Service::method)
}

fn refused(services: impl IntoIterator<Item = Service>) -> String {
    Registry::new(services).unwrap_err().to_string()
}

#[test]
fn s14_versions_stand_side_by_side_and_the_latest_is_meant() {
    let registry = Registry::new([
        service("users", "1.9.0", [Method::named("find")]),
        service("users", "1.10.0", [Method::named("find")]),
        service("users", "2.0.0-beta.1", [Method::named("find")]),
        service(
            "users",
            "1.2.0",
            [Method::named("find"), Method::named("old")],
        ),
    ])
    .unwrap();
    for (name, full) in [
        ("users/find", "users@1.10.0/find"),
        ("users@1/find", "users@1.10.0/find"),
        ("users@1.9/find", "users@1.9.0/find"),
        ("users@1.2.0/find", "users@1.2.0/find"),
        ("users@2.0.0-beta.1/find", "users@2.0.0-beta.1/find"),
        ("users/old", "users@1.2.0/old"),
    ] {
        assert_eq!(registry.find(name).unwrap().full_name(), full, "{name}");
    }
    assert!(registry.find("users@2/find").is_none());
}

#[test]
fn s14_names_and_versions_are_checked() {
    for name in ["", "Users", "1users", "users/x", "users@1", "übung", "a b"] {
        assert!(
            matches!(Service::new(name, "1.0.0"), Err(RegistryError::Name(_))),
            "{name}"
        );
    }
    for version in ["", "1", "1.0", "v1.0.0", "latest"] {
        assert!(
            matches!(
                Service::new("users", version),
                Err(RegistryError::Version { .. })
            ),
            "{version}"
        );
    }
    let text = Service::new("users", "1").unwrap_err().to_string();
    assert_eq!(
        text,
        "\"1\" is no version for the service `users`; write it as `1.0.0`"
    );
    let text = refused([service("users", "1.0.0", [Method::named("find/all")])]);
    assert!(text.starts_with("\"find/all\" is no name"), "{text}");
}

#[test]
fn s16_entries_that_cannot_be_told_apart_stop_the_start() {
    let twice = refused([
        service("users", "1.0.0", [Method::named("find")]),
        service("users", "1.0.0", [Method::named("find")]),
    ]);
    assert_eq!(
        twice,
        "there are two of `users@1.0.0/find`; give one another name or version"
    );
    let path = refused([
        service(
            "users",
            "1.0.0",
            [Method::named("find").get("/things/{id}")],
        ),
        service(
            "orders",
            "1.0.0",
            [Method::named("find").get("/things/{id}")],
        ),
    ]);
    assert!(
        path.starts_with("`orders@1.0.0/find` wants GET /things/{id}"),
        "{path}"
    );
    assert!(
        Registry::new([service(
            "users",
            "1.0.0",
            [
                Method::named("find").get("/things/{id}"),
                Method::named("remove").delete("/things/{id}")
            ],
        )])
        .is_ok()
    );
}

#[test]
fn s14_a_path_names_members_of_the_input() {
    let text = refused([service(
        "users",
        "1.0.0",
        [Method::named("find").get("/users/{user_id}")],
    )]);
    assert_eq!(
        text,
        "the path /users/{user_id} of `users@1.0.0/find` names `user_id`, which is no member of its input"
    );
}

#[test]
fn s10_every_entry_is_listed_with_its_policy() {
    let public = Method::named("health")
        .public("load balancers have no token")
        .handler(|_, _: Input| async { Ok::<_, Problem>(()) });
    let admin = Method::named("remove")
        .policy_without_tenant(Policy::any_role(&["admin"]).all_scopes(&["users:write"]))
        .handler(|_, _: Input| async { Ok::<_, Problem>(()) });
    let users = service("users", "1.0.0", [Method::named("find")])
        .method(public)
        .method(admin);
    let registry = Registry::new([users]).unwrap();
    let listed: Vec<_> = registry
        .entries()
        .iter()
        .map(|entry| format!("{}: {}", entry.full_name(), entry.method().access()))
        .collect();
    assert_eq!(
        listed,
        [
            "users@1.0.0/find: any identity; for a tenant",
            "users@1.0.0/health: public: load balancers have no token",
            "users@1.0.0/remove: role admin; scope users:write",
        ]
    );
}
