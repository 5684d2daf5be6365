//! More connections than there is room for: idle ones go first, then new ones, and the operator is served all the while.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use crate::flood::ticks;
use crate::harness::wait::{eventually, pause};
use crate::harness::{Answer, Client, Gate, Gateway, Options, Received, Upstream};
use crate::scene::{Scene, one_worker};

fn limited(limit: usize) -> Options {
    one_worker().arg("--max-connections", &limit.to_string())
}

fn closed(gateway: &Gateway, reason: &str) -> u64 {
    let name = format!("gateway_connections_closed_total{{reason=\"{reason}\"}} ");
    let metrics = gateway.metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn at_the_limit_the_longest_idle_connection_makes_room() {
    let scene = Scene::with(limited(4), serde_json::Value::Null, |_| {
        Answer::text("fine")
    });
    let request = scene.request("GET", "/");
    let mut clients: Vec<Client> = (0..4).map(|_| scene.gateway.connect()).collect();
    for client in &mut clients {
        client.call(&request).expect(200);
    }
    let mut fifth = scene.gateway.connect();
    fifth.call(&request).expect(200);
    assert!(clients[0].is_closed(), "the one that asked first");
    for client in &mut clients[1..] {
        client.call(&request).expect(200);
    }
    assert_eq!(closed(&scene.gateway, "made_room"), 1);
    assert_eq!(closed(&scene.gateway, "no_room"), 0);
}

#[test]
fn where_none_is_idle_a_new_one_is_closed_and_those_under_way_are_not() {
    let gate = Gate::default();
    let scene = Scene::with(limited(3), serde_json::Value::Null, {
        let gate = gate.clone();
        move |_: &Received| Answer::text("fine").behind(&gate)
    });
    let request = scene.request("GET", "/");
    let mut clients: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = scene.gateway.connect();
            client.send(request.bytes());
            client
        })
        .collect();
    eventually("all are at the upstream", || {
        scene.upstream.in_flight() == 3
    });
    for _ in 0..20 {
        scene.gateway.connect().try_call(&request).unwrap_err();
    }
    assert_eq!(closed(&scene.gateway, "no_room"), 20);
    let told = || scene.gateway.stdout().matches("--max-connections").count();
    eventually("it is said", || told() > 0);
    assert_eq!(told(), 1, "and not for each");
    gate.open();
    for client in &mut clients {
        client.read(false).expect(200);
    }
    scene.gateway.connect().call(&request).expect(200);
}

/// A gateway that may open so many files.
fn with_files(files: usize, options: Options) -> Gateway {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_bastide"))
        .args(options.command());
    Gateway::start_by(options, &mut command)
}

/// Half a request each, which is neither idle nor ever answered.
fn half_heads(gateway: &Gateway, count: usize) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = TcpStream::connect(gateway.public).unwrap();
        // One that was closed at once says so.
        stream.write_all(b"GET / HTTP/1.1\r\n").ok();
        stream
    };
    (0..count).map(open).collect()
}

/// Processor time that the gateway takes in a second, in hundredths.
fn load(gateway: &Gateway) -> f64 {
    let before = ticks(gateway.id());
    pause(Duration::from_secs(1));
    ticks(gateway.id()) - before
}

#[test]
fn by_itself_the_gateway_takes_no_more_connections_than_it_has_files_for() {
    let gateway = with_files(200, one_worker());
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant_before(&upstream);
    let mut strangers = half_heads(&gateway, 300);
    eventually("most are closed", || closed(&gateway, "no_room") > 200);
    let load = load(&gateway);
    assert!(load < 50.0, "{load} hundredths of a second in a second");
    assert!(!gateway.stdout().contains("accepting a connection failed"));
    for stranger in &mut strangers {
        stranger.shutdown(std::net::Shutdown::Both).ok();
        stranger.read_to_end(&mut Vec::new()).ok();
    }
    eventually("there is room again", || {
        gateway
            .connect()
            .try_call(&crate::harness::Request::get("/").key(&tenant.key))
            .is_ok_and(|response| response.status == 200)
    });
}

/// Told to take more than it can.
#[test]
fn without_files_idle_connections_make_room_and_nothing_spins() {
    let gateway = with_files(100, limited(10_000));
    let upstream = Upstream::named("fine");
    let tenant = gateway.tenant_before(&upstream);
    let request = crate::harness::Request::get("/").key(&tenant.key);
    eventually("the operator is warned", || {
        gateway.stdout().contains("LimitNOFILE=")
    });
    // Each becomes idle and stays, and each is served although there is never a file for all.
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..150 {
        let mut client = gateway.connect();
        assert_eq!(client.call(&request).status, 200);
        clients.push(client);
    }
    assert!(closed(&gateway, "made_room") > 0);
    eventually("it is said", || {
        gateway.stdout().contains("accepting a connection failed")
    });
    drop(clients);
    // Nobody is idle now, and there is nothing to be done but to wait.
    let strangers = half_heads(&gateway, 150);
    let load = load(&gateway);
    assert!(load < 50.0, "{load} hundredths of a second in a second");
    drop(strangers);
    eventually("everybody is served again", || {
        gateway
            .connect()
            .try_call(&request)
            .is_ok_and(|response| response.status == 200)
    });
    gateway.metrics();
}
