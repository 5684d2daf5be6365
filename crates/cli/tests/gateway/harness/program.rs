//! The program itself: its environment, its output, its end.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longer than any orderly end takes.
const END: Duration = Duration::from_secs(30);

/// A run of `bastide` with its output in files.
pub(crate) struct Program {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// Starts it with nothing in its environment but `env`, in `folder`, where its output goes too.
    pub(crate) fn start(args: &[String], env: &[(String, String)], folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bastide"));
        command.args(args).stdin(Stdio::null());
        Self::start_by(&mut command, env, folder)
    }

    /// As [`Program::start`] by another command that comes to the same.
    pub(crate) fn start_by(command: &mut Command, env: &[(String, String)], folder: &Path) -> Self {
        let (stdout, stderr) = (folder.join("stdout.log"), folder.join("stderr.log"));
        let create = |path: &Path| File::create(path).expect("the test's folder can be written");
        let child = command
            .env_clear()
            .envs(env.iter().cloned())
            .current_dir(folder)
            .stdout(create(&stdout))
            .stderr(create(&stderr))
            .spawn()
            .expect("the program was built and can be run");
        Self {
            child,
            stdout,
            stderr,
        }
    }

    /// Runs it to its end with `input` on its standard input.
    pub(crate) fn run_with_input(args: &[&str], folder: &Path, input: &str) -> Ended {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bastide"))
            .args(args)
            .env_clear()
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built and can be run");
        // Dropped at once: the program reads to the end.
        let written = child
            .stdin
            .take()
            .map(|mut stdin| stdin.write_all(input.as_bytes()));
        written
            .expect("it was asked for")
            .expect("the program reads its input");
        let output = child.wait_with_output().expect("its output can be read");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Runs it to its end.
    pub(crate) fn run(args: &[&str], env: &[(&str, &str)], folder: &Path) -> Ended {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let env: Vec<_> = env
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut program = Self::start(&args, &env, folder);
        let status = program.wait();
        Ended {
            code: status.code(),
            stdout: program.stdout(),
            stderr: program.stderr(),
        }
    }

    pub(crate) fn stdout(&self) -> String {
        read(&self.stdout)
    }

    pub(crate) fn stderr(&self) -> String {
        read(&self.stderr)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // It fails only if the program has ended already.
        kill_process(id.expect("a child has an id"), signal).ok();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        bastide_testkit::until(END, || {
            status = self
                .child
                .try_wait()
                .expect("a child can be asked for its status");
            status.is_some()
        });
        if let Some(status) = status {
            return status;
        }
        self.kill();
        panic!(
            "the program did not end within {END:?}: {}{}",
            self.stdout(),
            self.stderr()
        );
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let (stdout, stderr) = (self.stdout(), self.stderr());
            #[allow(
                clippy::print_stdout,
                reason = "a test's output is shown when it failed"
            )]
            {
                println!(
                    "--- bastide, standard output\n{stdout}--- bastide, standard error\n{stderr}---"
                );
            }
        }
    }
}

fn read(path: &Path) -> String {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}
