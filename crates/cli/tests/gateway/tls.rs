//! G17: TLS on the public listener, with certificates from files.

use std::fs;
use std::io::{BufRead as _, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bastide_testkit::TestFolder;

use crate::harness::program::Program;
use crate::harness::upstream::Step;
use crate::harness::wait::within;
use crate::harness::*;

/// A changed file is looked at after 5 s at most.
const RELOADED: Duration = Duration::from_secs(20);

/// A gateway whose public listener speaks TLS.
struct Scene {
    gateway: Gateway,
    authority: Authority,
    certificate: Certificate,
    files: TestFolder,
}

impl Scene {
    fn start() -> Self {
        Self::with(Options::new(Backend::Embedded))
    }

    fn with(options: Options) -> Self {
        let authority = Authority::new();
        let certificate = authority.issue("localhost");
        let files = TestFolder::new().unwrap();
        let (chain, key) = certificate.write(files.path());
        let options = options
            .arg("--tls-cert", &chain.display().to_string())
            .arg("--tls-key", &key.display().to_string());
        Self {
            gateway: Gateway::start(options),
            authority,
            certificate,
            files,
        }
    }

    #[track_caller]
    fn connect(&self) -> TlsClient {
        TlsClient::connect(self.gateway.public, &self.authority)
    }

    /// For clients that speak no TLS.
    fn relay(&self) -> Relay {
        Relay::into_tls(self.gateway.public, &self.authority)
    }
}

#[test]
fn g17_requests_come_by_tls_and_the_upstream_is_told_so() {
    let scene = Scene::start();
    let upstream = Upstream::echo();
    let tenant = scene.gateway.tenant_before(&upstream);
    assert!(
        scene.gateway.stdout().contains("gateway on https://"),
        "{}",
        scene.gateway.stdout()
    );
    let mut client = scene.connect();
    for number in 0..3 {
        let path = format!("/{number}?a=b");
        let response = client
            .call(&Request::get(&path).key(&tenant.key))
            .expect(200);
        assert_eq!(response.text(), format!("GET {path}"));
        assert_eq!(upstream.last().header("x-forwarded-proto"), Some("https"));
    }
    client
        .call(&Request::get("/"))
        .expect_problem(401, "api_key_missing");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    client.read(false).expect(400);
    assert!(
        client.read_to_end().unwrap().is_empty(),
        "and the connection ends as TLS wants it"
    );
}

#[test]
fn g17_both_versions_of_tls_are_spoken_and_none_before() {
    let scene = Scene::start();
    let upstream = Upstream::named("a");
    let tenant = scene.gateway.tenant_before(&upstream);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(
                rustls::pki_types::pem::PemObject::from_pem_slice(scene.authority.pem().as_bytes())
                    .unwrap(),
            )
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut client = TlsClient::try_connect(scene.gateway.public, Arc::new(config)).unwrap();
        client.call(&Request::get("/").key(&tenant.key)).expect(200);
    }
    // The hello of a client that knows nothing newer than TLS 1.1.
    let mut old = TcpStream::connect(scene.gateway.public).unwrap();
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, 2, 0xc0, 0x13, 1, 0]);
    old.write_all(&hello).unwrap();
    let mut answer = Vec::new();
    old.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.first(), Some(&0x15), "an alert: {answer:?}");
}

#[test]
fn g17_large_bodies_go_both_ways_by_tls() {
    const SIZE: usize = 24 * 1024 * 1024;
    let scene = Scene::start();
    let upstream = Upstream::start(|request| match request.method.as_str() {
        "POST" => Answer::text(&format!(
            "{} {}",
            request.body.len(),
            request.body.iter().all(|byte| *byte == b'u')
        )),
        _ => Answer::status(200).body(vec![b'd'; SIZE]),
    });
    let tenant = scene.gateway.tenant_before(&upstream);
    let mut client = scene.connect();
    let up = Request::post("/", vec![b'u'; SIZE]).key(&tenant.key);
    assert_eq!(client.call(&up).expect(200).text(), format!("{SIZE} true"));
    let down = client.call(&Request::get("/").key(&tenant.key)).expect(200);
    assert_eq!(down.body.len(), SIZE);
    assert!(down.body.iter().all(|byte| *byte == b'd'));
}

#[test]
fn g17_events_are_not_held_back_by_tls() {
    let scene = Scene::start();
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| {
        Answer::script([
            Step::Send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n".to_vec()),
            Step::Wait(held.clone()),
            Step::Send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n".to_vec()),
        ])
    });
    let tenant = scene.gateway.tenant_before(&upstream);
    let mut client = scene.connect();
    client.send(Request::get("/").key(&tenant.key).bytes());
    let mut line = String::new();
    while !line.starts_with("data: 1") {
        line.clear();
        let count = client.stream.read_line(&mut line).unwrap();
        assert!(count > 0, "the first event comes before the second");
    }
    gate.open();
    while !line.starts_with("data: 2") {
        line.clear();
        assert!(client.stream.read_line(&mut line).unwrap() > 0);
    }
}

#[test]
fn g17_a_renewed_certificate_is_used_without_a_restart() {
    let scene = Scene::start();
    let upstream = Upstream::named("a");
    let tenant = scene.gateway.tenant_before(&upstream);
    let request = Request::get("/").key(&tenant.key);
    let mut open = scene.connect();
    open.call(&request).expect(200);
    assert_eq!(open.certificate(), scene.certificate.der());

    let renewed = scene.authority.issue("localhost");
    renewed.write(scene.files.path());
    within(RELOADED, "the new certificate is shown", || {
        let mut client = scene.connect();
        client.call(&request).expect(200);
        client.certificate() == renewed.der()
    });
    open.call(&request).expect(200);
}

#[test]
fn g17_a_renewed_certificate_that_does_not_fit_changes_nothing() {
    let scene = Scene::start();
    let upstream = Upstream::named("a");
    let tenant = scene.gateway.tenant_before(&upstream);
    // The certificate alone, as between the writing of the two files.
    let renewed = scene.authority.issue("localhost");
    let chain = scene.files.path().join("server.crt");
    fs::write(&chain, &renewed.chain).unwrap();
    within(RELOADED, "it is said", || {
        scene
            .gateway
            .stdout()
            .contains("the changed TLS certificate is not used; the old one stays")
    });
    let mut client = scene.connect();
    client.call(&Request::get("/").key(&tenant.key)).expect(200);
    assert_eq!(client.certificate(), scene.certificate.der());
    // Then the key.
    renewed.write(scene.files.path());
    within(RELOADED, "now they fit", || {
        scene.connect().certificate() == renewed.der()
    });
}

#[test]
fn g17_wrong_files_stop_the_start_with_one_message() {
    let files = TestFolder::new().unwrap();
    let authority = Authority::new();
    let (chain, key) = authority.issue("localhost").write(files.path());
    let other = files.path().join("other.key");
    fs::write(&other, authority.issue("localhost").key).unwrap();
    let empty = files.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    let missing = files.path().join("missing.pem");
    let start = |chain: &Path, key: &Path| {
        let folder = TestFolder::new().unwrap();
        let ended = Program::run(
            &[
                "gateway",
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
            ],
            &[
                ("TLS_CERT", &chain.display().to_string()),
                ("TLS_KEY", &key.display().to_string()),
            ],
            folder.path(),
        );
        assert_ne!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        ended.stderr
    };
    for (chain, key, wrong) in [
        (&missing, &key, &missing),
        (&chain, &missing, &missing),
        (&empty, &key, &empty),
        (&chain, &empty, &empty),
        // The wrong way round.
        (&key, &chain, &key),
    ] {
        let message = start(chain, key);
        assert!(
            message.contains(&wrong.display().to_string()) && message.contains("--tls-cert"),
            "{message}"
        );
    }
    let message = start(&chain, &other);
    assert!(
        message.contains("TLS_CERT") && message.contains("cannot be used together"),
        "{message}"
    );
}

#[test]
fn g17_one_file_without_the_other_is_refused() {
    let folder = TestFolder::new().unwrap();
    for (given, wanted) in [("TLS_CERT", "TLS_KEY"), ("TLS_KEY", "TLS_CERT")] {
        let ended = Program::run(&["gateway"], &[(given, "some.pem")], folder.path());
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let expected = format!("bastide: {wanted}: is required beside {given}");
        assert!(ended.stderr.starts_with(&expected), "{ended:?}");
    }
}

#[test]
fn g17_plain_http_on_the_tls_port_is_never_a_request() {
    let scene = Scene::start();
    let upstream = Upstream::named("a");
    let tenant = scene.gateway.tenant_before(&upstream);
    let mut plain = Client::connect(scene.gateway.public);
    plain.send(Request::get("/").key(&tenant.key).bytes());
    let answer = plain.read_to_end().unwrap_or_default();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert_eq!(upstream.count(), 0);
    scene
        .connect()
        .call(&Request::get("/").key(&tenant.key))
        .expect(200);
}

#[test]
fn g17_a_slow_handshake_is_cut_off_and_costs_nobody_else() {
    let scene = Scene::with(Options::new(Backend::Embedded).arg("--workers", "1"));
    let upstream = Upstream::named("a");
    let tenant = scene.gateway.tenant_before(&upstream);
    let started = Instant::now();
    let mut silent = Client::connect(scene.gateway.public);
    let mut begun = Client::connect(scene.gateway.public);
    // The first bytes of a hello that says it has 512.
    begun.send([0x16, 3, 1, 2, 0, 1, 0]);
    for _ in 0..20 {
        scene
            .connect()
            .call(&Request::get("/").key(&tenant.key))
            .expect(200);
    }
    for client in [&mut silent, &mut begun] {
        client.set_patience(Duration::from_secs(20));
        assert!(client.is_closed(), "after {:?}", started.elapsed());
    }
    assert!(
        started.elapsed() > Duration::from_secs(5),
        "it had its time"
    );
}

#[test]
fn g17_what_is_cut_looks_cut_by_tls() {
    let scene = Scene::start();
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| {
        Answer::script([
            Step::Send(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n".to_vec(),
            ),
            Step::Wait(held.clone()),
            Step::Close,
        ])
    });
    let tenant = scene.gateway.tenant_before(&upstream);
    let mut client = scene.connect();
    // To this version a body ends with the connection: only the missing goodbye tells that it is not whole.
    client.send(format!(
        "GET / HTTP/1.0\r\nHost: a\r\nX-API-Key: {}\r\n\r\n",
        tenant.key
    ));
    let head = Response::read_head(&mut client.stream).unwrap();
    assert!(head.is_some_and(|head| head.headers("content-length").is_empty()));
    gate.open();
    let error = client.read_to_end().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn g19_a_drain_by_tls_loses_nothing() {
    let mut scene = Scene::with(Options::new(Backend::Embedded).arg("--drain-delay", "500ms"));
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |request| match request.path() {
        "/held" => Answer::text("finished").behind(&held),
        _ => Answer::text("a"),
    });
    let tenant = scene.gateway.tenant_before(&upstream);
    let relay = scene.relay();
    let mut plain = Client::connect(relay.address());
    plain.call(&Request::get("/").key(&tenant.key)).expect(200);
    let mut idle = scene.connect();
    idle.call(&Request::get("/").key(&tenant.key)).expect(200);
    let mut busy = scene.connect();
    busy.send(Request::get("/held").key(&tenant.key).bytes());
    eventually("the request is at the upstream", || {
        upstream.in_flight() == 1
    });
    scene.gateway.terminate();
    // Until the delay is over new connections are taken, and told to go elsewhere afterwards.
    eventually("connections are let go of by name", || {
        let response = scene
            .connect()
            .call(&Request::get("/").key(&tenant.key))
            .expect(200);
        response.header("connection") == Some("close")
    });
    eventually("nobody new is taken", || {
        Client::try_connect(scene.gateway.public).is_err()
    });
    assert!(plain.is_closed(), "who waits for nothing is let go");
    idle.read_to_end().ok();
    assert!(!scene.gateway.has_ended());
    gate.open();
    assert_eq!(busy.read(false).expect(200).text(), "finished");
    assert!(
        busy.read_to_end().unwrap().is_empty(),
        "in order to the last byte"
    );
    assert!(scene.gateway.wait().success());
}

/// Whoever has not asked for anything yet loses nothing.
#[test]
fn g19_a_client_that_has_not_sent_a_request_does_not_hold_the_drain() {
    let mut scene = Scene::start();
    let silent = TcpStream::connect(scene.gateway.public).unwrap();
    let mut half = TcpStream::connect(scene.gateway.public).unwrap();
    // The beginning of a ClientHello of 512 bytes.
    half.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    let connect = |protocol: &[u8]| {
        let config = scene.authority.client_offering(&[protocol]);
        TlsClient::try_connect(scene.gateway.public, config).unwrap()
    };
    let agreed = [connect(b"h2"), connect(b"http/1.1")];
    let started = Instant::now();
    scene.gateway.terminate();
    assert!(scene.gateway.wait().success());
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
    drop((silent, half, agreed));
}

/// A TLS connection is idle as any other is, though it cannot be seen from the socket.
#[test]
fn g17_an_idle_tls_connection_makes_room_for_another() {
    let options = Options::new(Backend::Embedded)
        .arg("--workers", "1")
        .arg("--max-connections", "1");
    let scene = Scene::with(options);
    let mut first = scene.connect();
    first.call(&Request::get("/health")).expect(200);
    let mut second = scene.connect();
    second.call(&Request::get("/health")).expect(200);
    assert!(first.read_to_end().unwrap_or_default().is_empty());
}
