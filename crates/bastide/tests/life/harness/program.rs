//! The process itself: its environment, its output, its end.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bastide_testkit::until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything takes that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How a program is started: its variables, in a folder of its own.
pub(crate) struct Plan {
    variables: Vec<(String, String)>,
    folder: Arc<TempDir>,
}

/// A run of the program.
pub(crate) struct Program {
    child: Child,
    folder: Arc<TempDir>,
    number: usize,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Plan {
    /// In the environment `test`, with free ports, and with the operator's endpoints apart.
    pub(crate) fn new() -> Self {
        let plan = Self {
            variables: Vec::new(),
            folder: Arc::new(tempfile::tempdir().unwrap()),
        };
        plan.with("BASTIDE_ENV", "test")
            .with("PORT", "0")
            .with("PROBE_HTTP__OPS", "127.0.0.1:0")
    }

    /// With this variable.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Another in the same folder, with this variable.
    pub(crate) fn clone_with(&self, name: &str, value: &str) -> Self {
        let plan = Self {
            variables: self.variables.clone(),
            folder: self.folder.clone(),
        };
        plan.with(name, value)
    }

    /// Where the program runs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the program.
    pub(crate) fn start(&self) -> Program {
        self.start_with(&[])
    }

    pub(crate) fn start_with(&self, arguments: &[&str]) -> Program {
        let folder = self.folder.path();
        let taken = |number: &usize| folder.join(format!("{number}.out")).exists();
        let number = (0..1_000_usize).find(|number| !taken(number)).unwrap();
        let create = |ending| File::create(folder.join(format!("{number}.{ending}"))).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_bastide-test-program"))
            .args(arguments)
            .env_clear()
            .envs(self.variables.iter().cloned())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(create("out"))
            .stderr(create("err"))
            .spawn()
            .unwrap();
        Program {
            child,
            folder: self.folder.clone(),
            number,
        }
    }

    /// Starts it and waits until it takes calls.
    #[track_caller]
    pub(crate) fn ready(&self) -> Program {
        let mut program = self.start();
        until(PATIENCE, || {
            let lines = program.lines("ready");
            program.has_ended() || lines.iter().any(|line| line["address"].is_string())
        });
        assert!(
            !program.has_ended(),
            "{}{}",
            program.stdout(),
            program.stderr()
        );
        program
    }

    /// Runs it to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.start_with(arguments).ended()
    }
}

impl Program {
    pub(crate) fn stdout(&self) -> String {
        self.output("out")
    }

    pub(crate) fn stderr(&self) -> String {
        self.output("err")
    }

    fn output(&self, ending: &str) -> String {
        fs::read_to_string(self.folder.path().join(format!("{}.{ending}", self.number))).unwrap()
    }

    /// The lines of its log with this message.
    pub(crate) fn lines(&self, message: &str) -> Vec<Value> {
        let stdout = self.stdout();
        let lines = stdout.lines().filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["message"] == message).then_some(line)
        });
        lines.collect()
    }

    /// The messages of its log, in order.
    pub(crate) fn messages(&self) -> Vec<String> {
        messages(&self.stdout())
    }

    /// Waits until its log has a line with this message.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, message: &str) -> Value {
        let mut found = None;
        until(PATIENCE, || {
            let has_ended = self.child.try_wait().unwrap().is_some();
            found = self.lines(message).pop();
            found.is_some() || has_ended
        });
        found
            .unwrap_or_else(|| panic!("no line `{message}`:\n{}\n{}", self.stdout(), self.stderr()))
    }

    /// Where it takes calls.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address_in("ready")
    }

    /// Where the operator's endpoints are.
    pub(crate) fn ops(&self) -> SocketAddr {
        self.address_in("the operator's endpoints answer")
    }

    fn address_in(&self, message: &str) -> SocketAddr {
        let lines = self.lines(message);
        // A worker that is ready has none.
        let address = lines.iter().find_map(|line| line["address"].as_str());
        address.unwrap().parse().unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal_to(self.child.id(), signal);
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(mut self) -> Ended {
        let mut status: Option<ExitStatus> = None;
        until(PATIENCE, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let (stdout, stderr) = (self.stdout(), self.stderr());
        let status = status.unwrap_or_else(|| panic!("it does not end:\n{stdout}\n{stderr}"));
        Ended {
            code: status.code(),
            stdout,
            stderr,
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already if the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// The messages of its log, in order.
    pub(crate) fn messages(&self) -> Vec<String> {
        messages(&self.stdout)
    }

    /// Whether its log has a line with this message.
    pub(crate) fn said(&self, message: &str) -> bool {
        self.messages().iter().any(|said| said == message)
    }
}

fn messages(stdout: &str) -> Vec<String> {
    let lines = stdout.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        Some(line["message"].as_str()?.to_owned())
    });
    lines.collect()
}

pub(crate) fn signal_to(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    // It fails only if the process has ended already.
    let _ = kill_process(pid, signal);
}
