//! A running gateway.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use bastide_testkit::{TestFolder, until};
use rustix::process::Signal;
use serde_json::Value;

use super::program::{Ended, Program};
use super::stores::{Backend, Stores};
use super::{Client, Request, Response};

/// The admin key of every gateway here, unless a test wants another.
pub(crate) const ADMIN_KEY: &str = "an-admin-key-for-tests";

/// How long a start may take.
const START: Duration = Duration::from_secs(10);

/// What a gateway is started with.
#[derive(Clone)]
pub(crate) struct Options {
    stores: Arc<Stores>,
    folder: Arc<TestFolder>,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Options {
    /// New stores, a new data directory, ports that the kernel chooses, two workers.
    pub(crate) fn new(backend: Backend) -> Self {
        Self::over(Arc::new(Stores::of(backend)))
    }

    /// As [`Options::new`] over stores that are there.
    pub(crate) fn over(stores: Arc<Stores>) -> Self {
        let folder = Arc::new(TestFolder::new().expect("a folder for the test"));
        let mut options = Self {
            stores,
            folder,
            args: Vec::new(),
            env: Vec::new(),
        };
        if let Some(url) = options.stores.database_url() {
            options = options.env("DATABASE_URL", &url);
        }
        if let Some(url) = options.stores.redis_url() {
            options = options.env("REDIS_URL", &url);
        }
        options
            .env("ADMIN_API_KEY", ADMIN_KEY)
            .env("LOG_LEVEL", "info")
    }

    /// Another node on the same stores: a data directory of its own.
    pub(crate) fn another_node(&self) -> Self {
        let folder = Arc::new(TestFolder::new().expect("a folder for the test"));
        Self {
            folder,
            ..self.clone()
        }
    }

    /// Adds a flag.
    pub(crate) fn arg(mut self, flag: &str, value: &str) -> Self {
        self.args.extend([flag.to_owned(), value.to_owned()]);
        self
    }

    /// Sets a variable, in place of what it was before.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(other, _)| other != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes a variable away.
    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.env.retain(|(other, _)| other != name);
        self
    }

    /// The gateway's working folder, with its data directory in `data`.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn stores(&self) -> &Arc<Stores> {
        &self.stores
    }

    /// The arguments that a gateway is started with.
    pub(crate) fn command(&self) -> Vec<String> {
        let data = self.folder.path().join("data").display().to_string();
        let mut args = vec!["gateway".to_owned()];
        let defaults = [
            ("--listen", "127.0.0.1:0"),
            ("--admin-listen", "127.0.0.1:0"),
            ("--workers", "2"),
            ("--data-dir", data.as_str()),
        ];
        for (flag, value) in defaults {
            if !self.args.iter().any(|arg| arg == flag) {
                args.extend([flag.to_owned(), value.to_owned()]);
            }
        }
        args.extend(self.args.iter().cloned());
        args
    }
}

impl From<Backend> for Options {
    fn from(backend: Backend) -> Self {
        Self::new(backend)
    }
}

/// A gateway that answers. It is killed when dropped, and what it printed is shown if the test failed.
pub(crate) struct Gateway {
    program: Program,
    /// Where it takes requests.
    pub(crate) public: SocketAddr,
    /// Where its Admin API is.
    pub(crate) admin: SocketAddr,
    options: Options,
}

impl Gateway {
    /// Starts one and waits until it says that it listens.
    #[track_caller]
    pub(crate) fn start(options: impl Into<Options>) -> Self {
        let options = options.into();
        let program = Program::start(&options.command(), &options.env, options.folder.path());
        Self::wait_for(program, options)
    }

    /// As [`Gateway::start`] by another command that comes to the same.
    #[track_caller]
    pub(crate) fn start_by(options: Options, command: &mut Command) -> Self {
        let program = Program::start_by(command, &options.env, options.folder.path());
        Self::wait_for(program, options)
    }

    #[track_caller]
    fn wait_for(mut program: Program, options: Options) -> Self {
        let mut listens = None;
        until(START, || {
            listens = addresses(&program.stdout());
            listens.is_some() || program.has_ended()
        });
        let Some((public, admin)) = listens.or_else(|| addresses(&program.stdout())) else {
            let printed = format!("{}{}", program.stdout(), program.stderr());
            panic!("the gateway did not start: {printed}");
        };
        Self {
            program,
            public,
            admin,
            options,
        }
    }

    /// Another one with the same data directory, stores and options, after this one has ended. The ports are new.
    #[track_caller]
    pub(crate) fn start_again(mut self) -> Self {
        self.program.kill();
        Self::start(self.options.clone())
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn stores(&self) -> &Arc<Stores> {
        &self.options.stores
    }

    /// What it is called in the process table.
    pub(crate) fn id(&self) -> u32 {
        self.program.id()
    }

    pub(crate) fn stdout(&self) -> String {
        self.program.stdout()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.program.has_ended()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.options.folder().join("data")
    }

    /// A new connection to the public listener.
    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.public)
    }

    /// One request over a connection of its own.
    #[track_caller]
    pub(crate) fn call(&self, request: &Request) -> Response {
        self.connect().call(request)
    }

    /// GET with a tenant's key.
    #[track_caller]
    pub(crate) fn get(&self, path: &str, key: &str) -> Response {
        self.call(&Request::get(path).key(key))
    }

    /// One request to the Admin API, with the admin key.
    #[track_caller]
    #[allow(
        clippy::needless_pass_by_value,
        reason = "`json!` makes values, and a test reads better without `&`"
    )]
    pub(crate) fn admin(&self, method: &str, path: &str, body: Value) -> Response {
        let mut request = Request::new(method, path).header("X-Admin-Key", ADMIN_KEY);
        if !body.is_null() {
            request = request.json(&body);
        }
        self.call_admin(&request)
    }

    /// One request to the Admin API, as it stands.
    #[track_caller]
    pub(crate) fn call_admin(&self, request: &Request) -> Response {
        Client::connect(self.admin).call(request)
    }

    /// SIGTERM.
    pub(crate) fn terminate(&self) {
        self.program.signal(Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.program.wait()
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.program.kill();
    }
}

/// Starts one that is expected to refuse, and waits for its end.
#[track_caller]
pub(crate) fn refused(options: &Options) -> Ended {
    let program = Program::start(&options.command(), &options.env, options.folder.path());
    end_of(program)
}

/// As [`refused`] by another command that comes to the same.
#[track_caller]
pub(crate) fn refused_by(options: &Options, command: &mut Command) -> Ended {
    end_of(Program::start_by(
        command,
        &options.env,
        options.folder.path(),
    ))
}

#[track_caller]
fn end_of(mut program: Program) -> Ended {
    let status = program.wait();
    Ended {
        code: status.code(),
        stdout: program.stdout(),
        stderr: program.stderr(),
    }
}

/// The addresses in what a gateway prints when it listens.
pub(crate) fn addresses(printed: &str) -> Option<(SocketAddr, SocketAddr)> {
    let address = |text: &str| {
        let (scheme, address) = text.trim().split_once("://")?;
        (scheme.starts_with("http"))
            .then(|| address.parse().ok())
            .flatten()
    };
    // A line that is not whole may hold half of an address.
    printed
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .find_map(|line| {
            if let Some(both) = line.strip_prefix("gateway and Admin API on ") {
                return Some((address(both)?, address(both)?));
            }
            let (public, admin) = line
                .strip_prefix("gateway on ")?
                .split_once(", Admin API on ")?;
            Some((address(public)?, address(admin)?))
        })
}
