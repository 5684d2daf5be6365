//! G16: tenants and routes from a file.

use std::fs;
use std::path::Path;

use bastide_testkit::TestFolder;
use serde_json::{Value, json};

use crate::harness::program::{Ended, Program};
use crate::harness::*;

const KEY: &str = "a-key-that-stands-in-a-file";

fn toml(upstream: &Upstream, path: &str) -> String {
    format!(
        r#"[[tenants]]
name = "acme"
rateLimit = {{ requestsPerSecond = 1000 }}
keys = [{{ name = "main", key = "{KEY}" }}]

[[tenants.routes]]
method = "GET"
path = "{path}"
pathType = "prefix"
upstreams = [{{ url = "{}" }}]
"#,
        upstream.url()
    )
}

fn yaml(upstream: &Upstream, path: &str) -> String {
    format!(
        "tenants:\n  - name: acme\n    keys:\n      - {{ name: main, key: {KEY} }}\n    routes:\n      - method: GET\n        \
         path: {path}\n        pathType: prefix\n        upstreams:\n          - url: {}\n",
        upstream.url()
    )
}

fn in_json(upstream: &Upstream, path: &str) -> String {
    let route = json!({ "method": "GET", "path": path, "pathType": "prefix", "upstreams": [{ "url": upstream.url() }] });
    json!({ "tenants": [{ "name": "acme", "keys": [{ "name": "main", "key": KEY }], "routes": [route] }] }).to_string()
}

/// Replaces a file as editors do: whole, by a rename.
fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(&beside, file).unwrap();
}

/// A gateway with this file.
fn declared(backend: Backend, name: &str, text: &str) -> (Gateway, std::path::PathBuf) {
    let options = Options::new(backend);
    let folder = options.folder().join("etc");
    fs::create_dir(&folder).unwrap();
    let file = folder.join(name);
    fs::write(&file, text).unwrap();
    let gateway = Gateway::start(options.arg("--config", file.to_str().unwrap()));
    (gateway, file)
}

fn check(text: &str, name: &str) -> Ended {
    let folder = TestFolder::new().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    Program::run(&["gateway", "check", name], &[], folder.path())
}

on_both! {
    fn g16_a_file_of_each_format_is_in_force_at_the_start(backend) {
        let upstream = Upstream::echo();
        for (name, text) in [
            ("gateway.toml", toml(&upstream, "/a")),
            ("gateway.yaml", yaml(&upstream, "/a")),
            ("gateway.json", in_json(&upstream, "/a")),
        ] {
            let (gateway, _) = declared(backend, name, &text);
            assert_eq!(
                gateway.get("/a/x", KEY).expect(200).text(),
                "GET /x",
                "{name}"
            );
        }
    }

    fn g16_a_changed_file_is_applied_and_a_wrong_one_changes_nothing(backend) {
        let upstream = Upstream::named("a");
        let (gateway, file) = declared(backend, "gateway.toml", &toml(&upstream, "/one"));
        gateway.get("/one", KEY).expect(200);
        replace(&file, &toml(&upstream, "/two"));
        eventually("the file is applied", || {
            gateway.get("/two", KEY).status == 200
        });
        gateway.get("/one", KEY).expect(404);

        // One good change and one mistake: neither is applied.
        let half = format!("{}\n[[tenants]]\nname = 7\n", toml(&upstream, "/three"));
        replace(&file, &half);
        eventually("the mistake is reported with its place", || {
            let said = gateway.stdout();
            said.contains("gateway.toml:") && said.contains("tenants[1].name")
        });
        gateway.get("/two", KEY).expect(200);
        gateway.get("/three", KEY).expect(404);
        replace(&file, &toml(&upstream, "/four"));
        eventually("the corrected file is applied", || {
            gateway.get("/four", KEY).status == 200
        });
        gateway.get("/two", KEY).expect(404);
        // An empty file is one that is being written.
        replace(&file, "");
        eventually("it is reported", || gateway.stdout().contains("nothing is declared"));
        gateway.get("/four", KEY).expect(200);
        // What left the file is gone.
        replace(&file, "tenants = []\n");
        eventually("the tenant is gone", || {
            gateway.get("/four", KEY).status == 403
        });
    }

    /// The API's route of a tenant is not the file's to delete, and a tenant that comes back is the one that left.
    fn g16_a_tenant_that_leaves_the_file_keeps_what_the_api_made(backend) {
        let upstream = Upstream::named("a");
        let (gateway, file) = declared(backend, "gateway.toml", &toml(&upstream, "/one"));
        let tenants = || gateway.admin("GET", "/admin/tenants", Value::Null).expect(200).data();
        let id = tenants()[0]["id"].as_str().unwrap().to_owned();
        let own = TenantKey { id: id.clone(), key: KEY.to_owned() };
        gateway.prefix_route(&own, "/own", &[&upstream], Value::Null);
        gateway.get("/own", KEY).expect(200);
        replace(&file, "tenants = []\n");
        eventually("the tenant is out of use", || gateway.get("/own", KEY).status == 403);
        let kept = &tenants()[0];
        assert_eq!((&kept["isActive"], &kept["managedBy"]), (&json!(false), &json!("api")));
        let routes = gateway.admin("GET", "/admin/routes", Value::Null).expect(200).data();
        assert_eq!(routes.as_array().unwrap().len(), 1, "{routes}");
        assert_eq!(routes[0]["path"], "/own");
        eventually("the log names it", || gateway.stdout().contains("a tenant left the declarative file"));
        replace(&file, &toml(&upstream, "/two"));
        eventually("it is back", || gateway.get("/two", KEY).status == 200);
        gateway.get("/own", KEY).expect(200);
        assert_eq!(tenants()[0]["id"], *id);
    }

    fn g16_a_tenant_of_the_file_has_the_same_id_each_time(backend) {
        let upstream = Upstream::named("a");
        let (gateway, file) = declared(backend, "gateway.toml", &toml(&upstream, "/one"));
        let tenants = || gateway.admin("GET", "/admin/tenants", Value::Null).expect(200).data();
        let id = tenants()[0]["id"].clone();
        replace(&file, "tenants = []\n");
        eventually("the tenant is gone", || tenants() == json!([]));
        replace(&file, &toml(&upstream, "/one"));
        eventually("it is back", || gateway.get("/one", KEY).status == 200);
        assert_eq!(tenants()[0]["id"], id);
    }

    fn g16_what_the_file_manages_the_api_does_not_change(backend) {
        let upstream = Upstream::named("a");
        let (gateway, _) = declared(backend, "gateway.toml", &toml(&upstream, "/one"));
        let tenants = gateway
            .admin("GET", "/admin/tenants", Value::Null)
            .expect(200)
            .data();
        assert_eq!(tenants[0]["managedBy"], "file");
        let path = format!("/admin/tenants/{}", tenants[0]["id"].as_str().unwrap());
        gateway
            .admin("PATCH", &path, json!({ "tier": "pro" }))
            .expect_problem(409, "managed_by_file");
        gateway
            .admin("DELETE", &path, Value::Null)
            .expect_problem(409, "managed_by_file");
        // And the file leaves alone what the API manages.
        let own = gateway.tenant("own");
        let again = gateway.start_again();
        again.get("/", &own.key).expect(404);
        again.get("/one", KEY).expect(200);
    }

    fn g16_an_unchanged_file_changes_nothing_at_the_next_start(backend) {
        let upstream = Upstream::named("a");
        let (gateway, _) = declared(backend, "gateway.toml", &toml(&upstream, "/one"));
        let entries = |gateway: &Gateway| {
            gateway
                .admin("GET", "/admin/audit", Value::Null)
                .expect(200)
                .data()
        };
        let before = entries(&gateway);
        assert!(
            before
                .as_array()
                .unwrap()
                .iter()
                .all(|entry| entry["actor"] == "file"),
            "{before}"
        );
        let again = gateway.start_again();
        assert_eq!(entries(&again), before);
    }
}

#[test]
fn g16_a_wrong_file_stops_the_start() {
    let folder = TestFolder::new().unwrap();
    fs::write(
        folder.path().join("gateway.toml"),
        "[[tenants]]\nnome = \"a\"\n",
    )
    .unwrap();
    let args = [
        "gateway",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--config",
        "gateway.toml",
    ];
    let ended = Program::run(&args, &[], folder.path());
    assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
    assert!(
        ended.stderr.contains("gateway.toml:2:1") && ended.stderr.contains("nome"),
        "{ended:?}"
    );
}

#[test]
fn g16_check_says_what_is_in_a_file_or_each_mistake_with_line_and_column() {
    let upstream = Upstream::named("a");
    for (name, text) in [
        ("g.toml", toml(&upstream, "/a")),
        ("g.yaml", yaml(&upstream, "/a")),
        ("g.json", in_json(&upstream, "/a")),
    ] {
        let valid = check(&text, name);
        assert_eq!(valid.code, Some(0), "{valid:?}");
        assert!(
            valid
                .stdout
                .contains("valid; 1 tenant, 1 key, 1 route, 0 tiers"),
            "{valid:?}"
        );
    }
    let wrong = "[[tenants]]\nname = \"a\"\ntire = \"pro\"\n\n[[tenants.routes]]\nmethod = \"GTE\"\npath = \"/a\"\nupstreams = [{ url = \"ftp://a\" }]\n";
    let refused = check(wrong, "g.toml");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert_eq!(refused.stderr.lines().count(), 3, "{refused:?}");
    for part in [
        "g.toml:3:1: tenants[0].tire",
        "g.toml:6:10: tenants[0].routes[0].method",
        "tenants[0].routes[0].upstreams[0].url",
        "`tier`",
    ] {
        assert!(refused.stderr.contains(part), "{part}: {refused:?}");
    }
    let broken = check("tenants: [", "g.yaml");
    assert_eq!(broken.code, Some(2), "{broken:?}");
    assert!(broken.stderr.contains("g.yaml:"), "{broken:?}");
    let empty = check("", "other.toml");
    assert_eq!(empty.code, Some(2), "{empty:?}");
    assert!(empty.stderr.contains("nothing is declared"), "{empty:?}");
    assert_eq!(check("tenants = []\n", "other.toml").code, Some(0));
    let folder = TestFolder::new().unwrap();
    let absent = Program::run(&["gateway", "check", "absent.toml"], &[], folder.path());
    assert!(
        absent.code == Some(2)
            && absent
                .stderr
                .contains("absent.toml: there is no such file; check the path"),
        "{absent:?}"
    );
    for star in ["*", "*\n    path: /a", "*a"] {
        let starred = check(&format!("routes:\n  - method: {star}\n"), "g.yaml");
        assert_eq!(starred.code, Some(2), "{starred:?}");
        assert!(
            starred.stderr.contains("stands in quotes: \"*\""),
            "{starred:?}"
        );
    }
}

#[test]
fn g16_a_wrong_upstream_is_one_clear_message() {
    for (url, words) in [
        (
            "unix:run/a.sock",
            "the socket's whole path: it begins with `/`",
        ),
        ("http://[::1", "stands in brackets: `http://[::1]:8080`"),
        ("http://[a.test]:80", "stands in brackets"),
    ] {
        let text = format!(
            "[[routes]]\nmethod = \"GET\"\npath = \"/a\"\nupstreams = [{{ url = \"{url}\" }}]\n"
        );
        let refused = check(&text, "g.toml");
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
}

#[test]
fn g16_a_key_can_come_from_the_environment() {
    let upstream = Upstream::named("a");
    let text = toml(&upstream, "/a").replace(KEY, "${env:ACME_KEY}");
    let options = Options::new(Backend::Embedded).env("ACME_KEY", "from-the-environment-1");
    let file = options.folder().join("gateway.toml");
    fs::write(&file, text).unwrap();
    let gateway = Gateway::start(options.arg("--config", file.to_str().unwrap()));
    gateway.get("/a", "from-the-environment-1").expect(200);
}

/// The hash that `keys hash` prints opens the door for the key, where the data directory (and so the pepper) is the same.
#[test]
fn g16_a_hash_made_by_the_command_stands_for_its_key() {
    let upstream = Upstream::named("a");
    let options = Options::new(Backend::Embedded);
    let data = options.folder().join("data");
    let args = [
        "gateway",
        "keys",
        "hash",
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let hashed =
        Program::run_with_input(&args, &options.folder(), "a-key-that-nobody-wrote-down\n");
    assert_eq!(hashed.code, Some(0), "{hashed:?}");
    let hash = hashed.stdout.trim();
    assert!(hash.starts_with("hmac-sha256:"), "{hashed:?}");
    let text =
        toml(&upstream, "/a").replace(&format!("key = \"{KEY}\""), &format!("hash = \"{hash}\""));
    let file = options.folder().join("gateway.toml");
    fs::write(&file, text).unwrap();
    let gateway = Gateway::start(options.arg("--config", file.to_str().unwrap()));
    gateway
        .get("/a", "a-key-that-nobody-wrote-down")
        .expect(200);
    gateway.get("/a", KEY).expect(403);
}
