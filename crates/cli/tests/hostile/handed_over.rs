//! Listening sockets that come from outside by the convention of systemd.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use bastide_testkit::TestFolder;

use crate::harness::program::Program;
use crate::harness::{Backend, Client, Gateway, Options, Request, Upstream, on_both};
use crate::load::Load;
use crate::succession::{Succession, put_script};

/// What a socket activator does: the socket stands at descriptor 3, and the variables, set by a line of shell, tell
/// whom it is for.
fn activator(socket: impl Into<OwnedFd>, variables: &str, args: &[String]) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(format!(
            "exec 3<&0 </dev/null; export {variables}; exec \"$0\" \"$@\""
        ))
        .arg(env!("CARGO_BIN_EXE_bastide"))
        .args(args)
        // The way to hand a descriptor to a shell.
        .stdin(Stdio::from(socket.into()));
    command
}

fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[track_caller]
fn start(options: Options, socket: TcpListener, variables: &str) -> Succession {
    let mut command = activator(socket, variables, &options.command());
    Succession::of(Gateway::start_by(options, &mut command))
}

on_both! {
    fn g19_a_socket_from_outside_is_served_and_handed_on(backend) {
        let (listener, address) = bind();
        // Whoever connects before there is a gateway waits for it.
        let mut early = Client::connect(address);
        early.send(Request::get("/health").bytes());
        let gateway = start(Options::new(backend), listener, "LISTEN_PID=$$ LISTEN_FDS=1");
        assert_eq!(gateway.public, address);
        assert_ne!(gateway.admin, address, "it has an address of its own");
        early.read(false).expect(200);
        drop(early);
        let upstream = Upstream::named("fine");
        let tenant = gateway.tenant_before(&upstream);
        let request = Request::get("/").key(&tenant.key);
        let loads = [
            Load::of_ok(address, 4, &request),
            Load::of_ok(address, 4, &request.clone().header("Connection", "close")),
        ];
        for load in &loads {
            load.wait_for(50);
        }
        let (old, _) = gateway.upgrade();
        for load in loads {
            load.wait_for(50);
            load.stop().assert_clean();
        }
        gateway.wait_for_end_of(old);
    }
}

#[test]
fn a_socket_named_admin_is_the_admin_apis_and_one_named_public_the_gateways() {
    for (name, is_admin) in [("admin", true), ("public", false)] {
        let (listener, address) = bind();
        let variables = format!("LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name}");
        let gateway = start(Options::new(Backend::Embedded), listener, &variables);
        assert_eq!(gateway.admin == address, is_admin, "{name}");
        assert_eq!(gateway.public == address, !is_admin, "{name}");
        gateway.tenant("acme");
        gateway.call(&Request::get("/health")).expect(200);
        gateway
            .call(&Request::get("/admin/tenants"))
            .expect_problem(401, "api_key_missing");
    }
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let (listener, address) = bind();
    let variables = "LISTEN_PID=1 LISTEN_FDS=1 LISTEN_FDNAMES=anything";
    let gateway = start(Options::new(Backend::Embedded), listener, variables);
    assert!(gateway.public != address && gateway.admin != address);
}

/// Every socket has a queue of its own, and a queue that nobody reads shows: its clients wait for ever.
#[test]
fn fewer_or_more_workers_than_sockets_serve_them_all() {
    for workers in ["1", "5"] {
        let options = Options::new(Backend::Embedded).arg("--workers", "3");
        let gateway = Succession::start(options);
        let script = format!(
            "exec {} gateway --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --workers {workers} --data-dir {}",
            env!("CARGO_BIN_EXE_bastide"),
            gateway.data_dir().display()
        );
        put_script(&gateway.program(), &script);
        let (old, new) = gateway.upgrade();
        gateway.wait_for_end_of(old);
        let threads = std::fs::read_dir(format!("/proc/{new}/task"))
            .unwrap()
            .filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).ok())
            .filter(|name| name.starts_with("worker-"))
            .count();
        assert_eq!(threads.to_string(), workers);
        let mut clients: Vec<_> = (0..200).map(|_| gateway.connect()).collect();
        for client in &mut clients {
            client.send(Request::get("/health").bytes());
        }
        for client in &mut clients {
            client.read(false).expect(200);
        }
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_one_message() {
    let folder = TestFolder::new().unwrap();
    let args: Vec<String> = ["gateway", "--listen", "127.0.0.1:0"]
        .map(str::to_owned)
        .into();
    let (listener, address) = bind();
    let connected = TcpStream::connect(address).unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    let cases: [(OwnedFd, &str, &str); 7] = [
        (bind().0.into(), "LISTEN_FDS=two", "LISTEN_FDS: `two`"),
        (bind().0.into(), "LISTEN_FDS=2", "LISTEN_FDS: descriptor 4 "),
        (
            bind().0.into(),
            "LISTEN_FDS=1 LISTEN_FDNAMES=web.socket",
            "LISTEN_FDNAMES: `web.socket`",
        ),
        (
            bind().0.into(),
            "LISTEN_FDS=1 LISTEN_FDNAMES=public:admin",
            "LISTEN_FDNAMES: 2 name(s) for 1",
        ),
        (
            connected.into(),
            "LISTEN_FDS=1",
            "LISTEN_FDS: descriptor 3 does not listen",
        ),
        (
            file.into(),
            "LISTEN_FDS=1",
            "LISTEN_FDS: descriptor 3 is not a socket",
        ),
        (
            bind().0.into(),
            "LISTEN_FDS=1 LISTEN_FDNAMES=admin ADMIN_LISTEN=same",
            "a socket was handed over as `admin`",
        ),
    ];
    for (socket, variables, expected) in cases {
        let variables = format!("LISTEN_PID=$$ {variables}");
        let mut command = activator(socket, &variables, &args);
        let mut program = Program::start_by(&mut command, &[], folder.path());
        assert!(!program.wait().success(), "{variables}");
        let (stdout, stderr) = (program.stdout(), program.stderr());
        assert_eq!(stderr.lines().count(), 1, "{variables}: {stderr}");
        assert!(
            stderr.starts_with(&format!("bastide: {expected}")),
            "{variables}: {stderr}"
        );
        assert!(stdout.is_empty(), "{variables}: {stdout}");
    }
    drop(listener);
}
