//! A shell into which a test pastes what a page says.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use bastide_testkit::{TestFolder, binaries, until};

/// What ends the output of a block.
const END: &str = "--- end of the block ---";
/// A start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A shell in a folder with the quickstart's files, where nothing was run before.
pub(crate) struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    folder: TestFolder,
    replaced: Vec<(String, String)>,
    services: usize,
}

impl Shell {
    pub(crate) fn new() -> Self {
        let folder = TestFolder::new().unwrap();
        for part in ["config", "migrations"] {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(part);
            fs::create_dir(folder.path().join(part)).unwrap();
            for file in fs::read_dir(source).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), folder.path().join(part).join(file.file_name())).unwrap();
            }
        }
        // What the page needs beside curl may stand where no shell looks.
        let psql = binaries::find("psql").unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", psql.parent().unwrap().display());
        let mut child = Command::new("sh")
            .current_dir(folder.path())
            .env_clear()
            .envs([("PATH", path.as_str()), ("PORT", "0")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "exec 2>&1").unwrap();
        Self {
            input,
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            folder,
            replaced: vec![(
                "cargo run -q --".to_owned(),
                format!("'{}'", env!("CARGO_BIN_EXE_quickstart")),
            )],
            services: 0,
        }
    }

    /// Pastes this in place of that from now on.
    pub(crate) fn replace(&mut self, that: &str, this: &str) {
        self.replaced.retain(|(known, _)| known != that);
        self.replaced.push((that.to_owned(), this.to_owned()));
    }

    /// Pastes a block and returns what it prints.
    pub(crate) fn paste(&mut self, block: &str) -> String {
        let replace = |text: String, (that, this): &(String, String)| text.replace(that, this);
        let block = self.replaced.iter().fold(block.to_owned(), replace);
        writeln!(self.input, "{{\n{block}\n}} </dev/null\necho\necho '{END}'").unwrap();
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            let length = self.output.read_line(&mut line).unwrap();
            assert_ne!(length, 0, "the shell has ended: {block}\n{printed}");
            if line.trim_end() == END {
                return printed.trim_end().to_owned();
            }
            printed.push_str(&line);
        }
    }

    /// Does what `cargo run` does, on a free port, until the service says that it is ready.
    pub(crate) fn start_service(&mut self) {
        self.services += 1;
        let name = format!("service-{}.log", self.services);
        self.paste(&format!("cargo run -q -- >{name} & SERVICE=$!"));
        let log = || fs::read_to_string(self.folder.path().join(&name)).unwrap_or_default();
        let address = || {
            let log = log();
            let ready = log
                .lines()
                .find(|line| line.contains("ready") && line.contains("quickstart"))?;
            let (_, port) = ready.split_once("127.0.0.1:")?;
            let port: String = port.chars().take_while(char::is_ascii_digit).collect();
            Some(format!("127.0.0.1:{port}"))
        };
        assert!(until(START, || address().is_some()), "{}", log());
        let address = address().unwrap();
        self.replace("localhost:3000", &address);
    }

    /// Stops the service as its supervisor would.
    pub(crate) fn end_service(&mut self) {
        let ended = self.paste("kill $SERVICE; wait $SERVICE; echo \"code $?\"");
        assert!(ended.ends_with("code 0"), "{ended}");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // It may have ended before, and its service with it.
        let _ = writeln!(self.input, "kill -KILL $SERVICE\nexit");
        let _ = self.child.wait();
    }
}
