//! The binary is changed under load: another process takes over the sockets, and nobody notices.

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use bastide_testkit::Postgres;
use rustix::process::Signal;
use serde_json::json;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket, client::IntoClientRequest as _};

use crate::harness::upstream::Step;
use crate::harness::wait::eventually;
use crate::harness::{
    Answer, Backend, Client, Gate, Gateway, Options, Request, Stores, TenantKey, Upstream, on_both,
};
use crate::load::Load;
use crate::raw::{self, Server};
use crate::succession::{Succession, echo, put_real, put_script, signal};

/// Clients of every kind: those that keep their connections and those that never do, with bodies and without, of both
/// listeners.
struct Clients(Vec<Load>);

impl Clients {
    fn start(gateway: &Gateway, tenant: &TenantKey) -> Self {
        let body: Vec<u8> = (0..20_000_u32).map(|number| number as u8).collect();
        let get = Request::get("/").key(&tenant.key);
        let health = Request::get("/health");
        let post = Request::post("/", body.clone()).key(&tenant.key);
        let once = |request: &Request| request.clone().header("Connection", "close");
        let address = gateway.public;
        let whole = move |response: &crate::harness::Response| {
            response.status == 200 && response.body == body
        };
        Self(vec![
            Load::of_ok(address, 6, &get),
            Load::of_ok(address, 6, &once(&get)),
            Load::start(address, 3, &post, whole.clone()),
            Load::start(address, 3, &once(&post), whole),
            Load::of_ok(gateway.admin, 1, &health),
            Load::of_ok(gateway.admin, 1, &once(&health)),
        ])
    }

    /// Waits until each kind has had `count` more answers.
    #[track_caller]
    fn wait_for(&self, count: u64) {
        for load in &self.0 {
            load.wait_for(count);
        }
    }

    /// Stops them. Nothing may have failed.
    #[track_caller]
    #[allow(clippy::print_stdout, reason = "what a test has measured")]
    fn assert_clean(self) {
        for load in self.0 {
            let report = load.stop();
            println!(
                "{} answered, {} failed, the slowest took {:?}",
                report.answered,
                report.failures.len(),
                report.quantile(1.0)
            );
            report.assert_clean();
        }
    }
}

/// A WebSocket server that sends back what it gets.
fn websocket_echo() -> Server {
    Server::start(|stream, _| {
        let Ok(mut socket) = tungstenite::accept(stream) else {
            return Ok(());
        };
        while let Ok(message) = socket.read() {
            if message.is_text() && socket.send(message).is_err() {
                return Ok(());
            }
        }
        Ok(())
    })
}

#[track_caller]
fn websocket(gateway: &Gateway, tenant: &TenantKey) -> WebSocket<TcpStream> {
    let mut request = format!("ws://{}/chat", gateway.public)
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("X-API-Key", tenant.key.parse().unwrap());
    let stream = TcpStream::connect(gateway.public).unwrap();
    stream.set_read_timeout(Some(raw::PATIENCE)).unwrap();
    tungstenite::client(request, stream).unwrap().0
}

#[track_caller]
fn assert_echoed(socket: &mut WebSocket<TcpStream>, text: &str) {
    socket.send(Message::text(text)).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text(text));
}

on_both! {
    fn g19_upgrades_one_after_the_other_under_load_fail_no_request(backend) {
        let gateway = Succession::of(Gateway::start(backend));
        let upstream = echo();
        let tenant = gateway.tenant_before(&upstream);
        let clients = Clients::start(&gateway, &tenant);
        clients.wait_for(50);
        for _ in 0..5 {
            let (old, new) = gateway.upgrade();
            gateway.wait_for_end_of(old);
            assert_eq!(gateway.processes(), [new]);
            clients.wait_for(50);
            gateway.admin("GET", "/admin/tenants", json!(null)).expect(200);
        }
        clients.assert_clean();
        gateway.terminate_last();
        assert!(Client::try_connect(gateway.public).is_err(), "nobody holds the sockets any more");
    }

    /// Half of a response, half of a request's body and an open WebSocket are with the old process when the new one
    /// takes over.
    fn g19_what_is_under_way_is_finished_by_the_old_process(backend) {
        let gateway = Succession::of(Gateway::start(backend));
        let gate = Gate::default();
        let upstream = Upstream::start({
            let gate = gate.clone();
            move |request| match request.path() {
                "/stream" => Answer::script([
                    Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst".to_vec()),
                    Step::Wait(gate.clone()),
                    Step::Send(b" half".to_vec()),
                ]),
                _ => Answer::text(&request.text()),
            }
        });
        let tenant = gateway.tenant_before(&upstream);
        let sockets = websocket_echo();
        gateway.route(json!({
            "tenantId": tenant.id, "method": "GET", "path": "/chat", "upstreams": [{ "url": sockets.url() }],
        }));
        let mut streaming = gateway.connect();
        streaming.send(Request::get("/stream").key(&tenant.key).bytes());
        streaming.read_head().expect(200);
        assert_eq!(streaming.read_some().unwrap(), b"first");
        let mut uploading = gateway.connect();
        let upload = Request::post("/", "what is sent in two halves").key(&tenant.key).bytes();
        let (before, after) = upload.split_at(upload.len() - 10);
        uploading.send(before);
        let mut socket = websocket(&gateway, &tenant);
        assert_echoed(&mut socket, "before");

        let (old, new) = gateway.upgrade();
        gateway.call(&Request::post("/", "new").key(&tenant.key)).expect(200);
        assert_eq!(gateway.processes(), [old, new], "three connections are with the old one");
        assert_echoed(&mut socket, "after");
        uploading.send(after);
        let uploaded = uploading.read(false).expect(200);
        assert_eq!(uploaded.text(), "what is sent in two halves");
        assert_eq!(uploaded.header("connection"), Some("close"));
        gate.open();
        assert_eq!(streaming.read_some().unwrap(), b" half");
        assert_echoed(&mut socket, "at last");
        socket.close(None).unwrap();
        while socket.read().is_ok() {}
        drop((socket, streaming));
        gateway.wait_for_end_of(old);
        assert_eq!(gateway.processes(), [new]);
    }

    /// Programs that fail, that never get anywhere, that cannot be run and that are not there; then a good one.
    fn g19_a_broken_program_changes_nothing_and_a_good_one_may_follow(backend) {
        let gateway = Succession::start(Options::new(backend).arg("--upgrade-timeout", "300ms"));
        let upstream = echo();
        let tenant = gateway.tenant_before(&upstream);
        let clients = Clients::start(&gateway, &tenant);
        clients.wait_for(20);
        let program = gateway.program();
        put_script(&program, "exit 7");
        gateway.fail_to_upgrade();
        put_script(&program, "kill -STOP $$");
        gateway.fail_to_upgrade();
        std::fs::remove_file(&program).unwrap();
        gateway.fail_to_upgrade();
        std::fs::create_dir(&program).unwrap();
        gateway.fail_to_upgrade();
        std::fs::remove_dir(&program).unwrap();
        let printed = gateway.stdout();
        for expected in ["exit status: 7", "was not ready within 300ms", "No such file", "Permission denied"] {
            assert!(printed.contains(expected), "{expected} in {printed}");
        }
        gateway.call(&Request::get("/ready")).expect(200);
        clients.wait_for(20);
        clients.assert_clean();
        assert_eq!(gateway.counts(), (0, 4));
    }

    /// A kept connection that was closed at once would cost a client that is just writing its request.
    fn g19_a_kept_connection_serves_once_more_and_is_let_go(backend) {
        let gateway = Succession::of(Gateway::start(backend));
        let upstream = Upstream::named("fine");
        let tenant = gateway.tenant_before(&upstream);
        let request = Request::get("/").key(&tenant.key);
        let mut kept: Vec<_> = (0..10).map(|_| gateway.connect()).collect();
        for client in &mut kept {
            assert_eq!(client.call(&request).expect(200).header("connection"), None);
        }
        let mut balancer = gateway.connect();
        let mut silent = gateway.connect();
        let mut admin = Client::connect(gateway.admin);
        admin.call(&Request::get("/health")).expect(200);
        let (old, new) = gateway.upgrade();
        // A load balancer that asks on an old connection must not look away from the new process.
        let ready = balancer.call(&Request::get("/ready")).expect(200);
        assert_eq!(ready.header("connection"), Some("close"));
        for client in kept.iter_mut().chain([&mut silent]) {
            let response = client.call(&request).expect(200);
            assert_eq!(response.header("connection"), Some("close"));
            assert!(client.is_closed());
        }
        let response = admin.call(&Request::get("/metrics")).expect(200);
        assert_eq!(response.header("connection"), Some("close"));
        gateway.wait_for_end_of(old);
        let served = gateway.call(&request).expect(200);
        assert_eq!(served.header("connection"), None, "by the new one");
        assert_eq!(gateway.processes(), [new]);
    }

    fn g19_a_change_at_the_old_process_is_known_to_the_new_one(backend) {
        let gateway = Succession::of(Gateway::start(backend));
        let upstream = Upstream::named("fine");
        let (old, _) = gateway.upgrade();
        gateway.wait_for_end_of(old);
        let tenant = gateway.tenant_before(&upstream);
        let (old, _) = gateway.upgrade();
        gateway.get("/", &tenant.key).expect(200);
        gateway.wait_for_end_of(old);
        gateway.get("/", &tenant.key).expect(200);
        let saved = gateway.data_dir().join("snapshot.json");
        eventually("the new one keeps what it knows", || {
            std::fs::read_to_string(&saved).is_ok_and(|saved| saved.contains(&tenant.id))
        });
    }
}

/// The one at the path is started, with one listener for everything as with two.
#[test]
fn the_program_that_now_stands_at_the_path_is_started_with_the_same_arguments() {
    let options = Options::new(Backend::Embedded).arg("--admin-listen", "same");
    let gateway = Succession::start(options.env("MARK", "a mark"));
    let facts = gateway.options().folder().join("facts");
    put_script(
        &gateway.program(),
        &format!(
            r#"echo "$MARK $*" > {}; exec {} "$@""#,
            facts.display(),
            env!("CARGO_BIN_EXE_bastide")
        ),
    );
    let (old, _) = gateway.upgrade();
    gateway.wait_for_end_of(old);
    let expected = format!("a mark {}\n", gateway.options().command().join(" "));
    assert_eq!(std::fs::read_to_string(facts).unwrap(), expected);
    gateway.call(&Request::get("/ready")).expect(200);
}

/// The real program, which gets as far as it can without the file.
#[test]
fn a_new_process_that_finds_its_configuration_wrong_takes_no_connection_with_it() {
    let options = Options::new(Backend::Embedded);
    let file = options.folder().join("gateway.toml");
    std::fs::write(&file, "tenants = []\n").unwrap();
    let gateway = Succession::of(Gateway::start(
        options.arg("--config", file.to_str().unwrap()),
    ));
    let upstream = echo();
    let tenant = gateway.tenant_before(&upstream);
    let clients = Clients::start(&gateway, &tenant);
    clients.wait_for(20);
    std::fs::write(&file, "this is no configuration").unwrap();
    for _ in 0..3 {
        gateway.fail_to_upgrade();
    }
    std::fs::write(&file, "tenants = []\n").unwrap();
    let (old, _) = gateway.upgrade();
    clients.wait_for(20);
    clients.assert_clean();
    gateway.wait_for_end_of(old);
}

/// A copy that is deleted while it runs, as package managers do it.
#[test]
fn a_program_whose_file_is_deleted_and_put_there_again_is_upgraded() {
    let options = Options::new(Backend::Embedded);
    let program = options.folder().join("bastide");
    std::fs::copy(env!("CARGO_BIN_EXE_bastide"), &program).unwrap();
    let mut command = std::process::Command::new(&program);
    command.args(options.command());
    let gateway = Succession::of(Gateway::start_by(options, &mut command));
    std::fs::remove_file(&program).unwrap();
    gateway.fail_to_upgrade();
    put_real(&program);
    let (old, _) = gateway.upgrade();
    gateway.wait_for_end_of(old);
    gateway.call(&Request::get("/ready")).expect(200);
}

#[test]
fn idle_connections_hold_up_the_old_process_for_ten_seconds_and_no_more() {
    let gateway = Succession::of(Gateway::start(Backend::Embedded));
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant_before(&upstream);
    let mut idle = gateway.connect();
    idle.set_patience(Duration::from_secs(30));
    idle.call(&Request::get("/").key(&tenant.key)).expect(200);
    let (old, _) = gateway.upgrade();
    assert!(idle.is_closed());
    gateway.wait_for_end_of(old);
}

/// A process that was handed its descriptors must not hand them on to whatever it may start, nor gather them from one
/// upgrade to the next.
#[test]
fn descriptors_are_neither_inherited_nor_gathered() {
    let gateway = Succession::of(Gateway::start(Backend::Embedded));
    let count = |process: u32| {
        let folder = format!("/proc/{process}/fdinfo");
        let leads_to =
            |process: &str, number| std::fs::read_link(format!("/proc/{process}/fd/{number}"));
        let numbers: Vec<u32> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| {
                entry
                    .unwrap()
                    .file_name()
                    .to_str()
                    .unwrap()
                    .parse()
                    .unwrap()
            })
            .filter(|number| *number > 2)
            .collect();
        for number in &numbers {
            let (theirs, ours) = (
                leads_to(&process.to_string(), number),
                leads_to("self", number),
            );
            let Ok(facts) = std::fs::read_to_string(format!("{folder}/{number}")) else {
                // It was closed since then.
                continue;
            };
            let flags = facts
                .lines()
                .find_map(|line| line.strip_prefix("flags:"))
                .map(|flags| u64::from_str_radix(flags.trim(), 8).unwrap());
            // What the test itself was started with is nobody's here.
            let is_foreign = theirs.is_ok_and(|theirs| ours.is_ok_and(|ours| ours == theirs));
            assert!(
                is_foreign || flags.unwrap() & 0o2_000_000 != 0,
                "{number} is inherited: {facts}"
            );
        }
        numbers.len()
    };
    count(gateway.id());
    let (old, first) = gateway.upgrade();
    gateway.wait_for_end_of(old);
    let at_first = count(first);
    let mut last = first;
    for _ in 0..4 {
        let (old, new) = gateway.upgrade();
        gateway.wait_for_end_of(old);
        last = new;
    }
    let at_last = count(last);
    // Connections to the database come and go; five sockets and pipes for each upgrade would show.
    assert!(
        at_last <= at_first + 3,
        "{at_first} descriptors, then {at_last}"
    );
}

#[test]
fn told_to_stop_during_an_upgrade_it_stops_and_takes_the_new_process_with_it() {
    let mut gateway = Succession::start(Options::new(Backend::Embedded));
    let mark = gateway.options().folder().join("began");
    let script = format!("echo > {}; kill -STOP $$", mark.display());
    put_script(&gateway.program(), &script);
    let old = gateway.ask();
    eventually("the new process has begun", || mark.exists());
    signal(old, Signal::USR2);
    eventually("it says that it heard", || {
        gateway.stdout().contains("one is under way already")
    });
    gateway.terminate();
    assert!(gateway.wait().success());
    eventually("nothing runs", || gateway.processes().is_empty());
}

#[test]
fn a_supervisor_hears_who_is_ready_and_who_is_the_main_process() {
    let options = Options::new(Backend::Embedded);
    let path = options.folder().join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(raw::PATIENCE)).unwrap();
    let hear = || {
        let mut heard = [0; 64];
        let length = supervisor.recv(&mut heard).unwrap();
        String::from_utf8(heard[..length].to_vec()).unwrap()
    };
    let gateway = Succession::of(Gateway::start(
        options.env("NOTIFY_SOCKET", path.to_str().unwrap()),
    ));
    assert_eq!(hear(), "READY=1");
    let (old, new) = gateway.upgrade();
    let mut heard = [hear(), hear()];
    heard.sort_unstable();
    assert_eq!(heard, [format!("MAINPID={new}"), "READY=1".to_owned()]);
    gateway.wait_for_end_of(old);
    gateway.terminate_last();
    assert_eq!(hear(), "STOPPING=1", "from the new one; the old one left");
}

/// What the new process serves is what was last known, and nobody sees the difference.
#[test]
fn g19_an_upgrade_while_the_database_is_down_fails_no_request() {
    let mut postgres = Postgres::start().unwrap();
    let options =
        Options::over(Arc::new(Stores::redis_only())).env("DATABASE_URL", &postgres.url());
    let gateway = Succession::of(Gateway::start(options));
    let upstream = echo();
    let tenant = gateway.tenant_before(&upstream);
    let snapshot = gateway.data_dir().join("snapshot.json");
    eventually("the configuration is on disk", || {
        std::fs::read_to_string(&snapshot).is_ok_and(|text| text.contains(&upstream.authority()))
    });
    let clients = Clients::start(&gateway, &tenant);
    clients.wait_for(50);
    postgres.kill();
    for _ in 0..2 {
        let (old, new) = gateway.upgrade();
        gateway.wait_for_end_of(old);
        assert_eq!(gateway.processes(), [new]);
        clients.wait_for(50);
    }
    let change = || gateway.admin("POST", "/admin/tenants", json!({ "name": "other" }));
    change().expect_problem(503, "database_unavailable");
    postgres.restart().unwrap();
    eventually("changes are taken again", || change().status == 201);
    clients.assert_clean();
    gateway.terminate_last();
}
