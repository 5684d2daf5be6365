//! The program under test: started with a folder of its own, asked over HTTP, and gone with the test.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bastide::auth::{Claims, Issuer, SigningKey};
use bastide::config::Secret;
use bastide_testkit::{Database, TestFolder, free_port, until};
use serde_json::{Value, json};

pub(crate) const SECRET: &str = "a secret of thirty-two bytes at least";
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A folder with a configuration, and variables.
pub(crate) struct Setup {
    folder: Arc<TestFolder>,
    variables: Vec<(String, String)>,
}

impl Setup {
    /// With this text in `config/default.toml`, in the environment `test`, with nothing of this process's own.
    pub(crate) fn new(text: &str) -> Self {
        let setup = Self {
            folder: Arc::new(TestFolder::new().unwrap()),
            variables: Vec::new(),
        };
        setup.write("default.toml", text);
        setup
            .set("BASTIDE_ENV", "test")
            .set("SHOP_SIGN__GREETING", "welcome")
            .set("SHOP_AUTH__SECRET", SECRET)
            // A machine on which many tests run wakes timers late.
            .set("SHOP_HEALTH__RUNTIME_LAG__DEGRADED", "30s")
            .set("SHOP_HEALTH__RUNTIME_LAG__UNHEALTHY", "60s")
    }

    /// A file in `config`.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let folder = self.folder.path().join("config");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), text).unwrap();
    }

    pub(crate) fn with(self, name: &str, text: &str) -> Self {
        self.write(name, text);
        self
    }

    pub(crate) fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// In production, on a file and this process's memory.
    pub(crate) fn production(self) -> Self {
        let rows = format!("sqlite:{}", self.path().join("rows.db").display());
        self.set("BASTIDE_ENV", "production")
            .set("DATABASE_URL", rows)
            .set("REDIS_URL", "memory")
    }

    /// On this database, by a role that does not own the tables.
    pub(crate) fn postgres(self, database: &Database) -> Self {
        let name = database.name();
        // Roles of its own: they are the whole server's.
        let roles = format!(
            "CREATE ROLE {name}_owner LOGIN; CREATE ROLE {name}_app LOGIN NOBYPASSRLS; \
             GRANT CREATE ON SCHEMA public TO {name}_owner"
        );
        database.sql(&roles).unwrap();
        let url = |role: &str| {
            let role = format!("//{name}_{role}@");
            database.url().replacen("//postgres@", &role, 1)
        };
        let (app, owner) = (url("app"), url("owner"));
        self.set("DATABASE_URL", app)
            .set("DATABASE_OWNER_URL", owner)
    }

    /// With its tables made, as a step of its own.
    pub(crate) fn migrated(self) -> Self {
        self.print(&["db", "new", "begin"]);
        self.print(&["db", "migrate"]);
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// What the program answers to these arguments. It has to end.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Output {
        let mut child = self
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let ends = until(PATIENCE, || child.try_wait().unwrap().is_some());
        if !ends {
            child.kill().unwrap();
        }
        let output = child.wait_with_output().unwrap();
        assert!(ends, "it runs on: {output:?}");
        output
    }

    /// What is printed on its standard output.
    pub(crate) fn print(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The lines with which a start is refused; it must be by exit code 2.
    pub(crate) fn refusal(&self) -> Vec<String> {
        let output = self.ask(&[]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        let errors = errors.strip_prefix("error: ").unwrap_or(&errors);
        errors.lines().map(str::to_owned).collect()
    }

    pub(crate) fn start(&self) -> Shop {
        for _ in 0..3 {
            if let Some(shop) = self.try_start() {
                return shop;
            }
        }
        panic!("no port could be had");
    }

    /// `None`: somebody else was faster to take the port.
    fn try_start(&self) -> Option<Shop> {
        let port = free_port();
        let log = self.path().join(format!("{port}.log"));
        let errors = self.path().join(format!("{port}.err"));
        let child = self
            .command(&[])
            .env("PORT", port.to_string())
            .stdout(File::create(&log).unwrap())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        let folder = self.folder.clone();
        let mut shop = Shop {
            child,
            port,
            log,
            _folder: folder,
        };
        let mut has_ended = false;
        let answers = until(PATIENCE, || {
            has_ended = shop.child.try_wait().unwrap().is_some();
            // It is listened to a moment before the line that says so.
            has_ended || shop.log().contains("environment")
        });
        let said = fs::read_to_string(&errors).unwrap();
        if has_ended && said.contains("in use") {
            return None;
        }
        assert!(answers && !has_ended, "{said}{}", shop.log());
        Some(shop)
    }
}

/// The program as it runs.
pub(crate) struct Shop {
    child: Child,
    port: u16,
    log: PathBuf,
    /// Kept as long as the program runs in it.
    _folder: Arc<TestFolder>,
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Shop {
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn get(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        exchange(self.address(), "GET", path, fields, "")
    }

    /// As the bearer of this token.
    pub(crate) fn get_as(&self, token: &str, path: &str) -> Answer {
        self.get(path, &[("authorization", &format!("Bearer {token}"))])
    }

    pub(crate) fn send(&self, verb: &str, path: &str, token: Option<&str>, body: &Value) -> Answer {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut fields = vec![("content-type", "application/json")];
        fields.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        exchange(self.address(), verb, path, &fields, &body.to_string())
    }

    pub(crate) fn post(&self, path: &str, fields: &[(&str, &str)], body: &str) -> Answer {
        let fields = [&[("content-type", "application/json")], fields].concat();
        exchange(self.address(), "POST", path, &fields, body)
    }

    /// A connection to speak with it letter by letter.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Of a good that it makes.
    pub(crate) fn make_good(&self, name: &str) -> String {
        let answer = self.send(
            "POST",
            "/goods",
            Some(&token()),
            &json!({"name": name, "stock": 1}),
        );
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Looks a good up and gives its name.
    pub(crate) fn name_of(&self, id: &str) -> String {
        let answer = self.get_as(&token(), &format!("/goods/{id}"));
        answer.json()["name"].as_str().unwrap().to_owned()
    }

    pub(crate) fn metrics(&self) -> String {
        self.get("/metrics", &[]).body
    }

    /// The value of one series, as it is written before the value; 0 if there is none.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = self.metrics();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{series} ")));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// How often a good was looked up where goods are.
    pub(crate) fn looked_up(&self) -> f64 {
        self.metric("goods_found_total")
    }

    pub(crate) fn ready(&self) -> Value {
        self.get("/readyz", &[]).json_of_any_status()
    }
}

/// What is at this path of another listener.
pub(crate) fn ask(address: SocketAddr, path: &str) -> Answer {
    exchange(address, "GET", path, &[], "")
}

/// The claims of somebody of the tenant `acme` who may do everything.
pub(crate) fn claims() -> Claims {
    Claims::new("ada").tenant("acme").role("admin")
}

pub(crate) fn token() -> String {
    sign(&claims())
}

pub(crate) fn sign(claims: &Claims) -> String {
    let issuer = Issuer::new(SigningKey::hs256(&Secret::new(SECRET)).unwrap());
    issuer.sign(claims).unwrap().expose().to_owned()
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut named = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json_of_any_status()
    }

    pub(crate) fn json_of_any_status(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The code of the problem that it is.
    pub(crate) fn code(&self) -> String {
        let code = &self.json_of_any_status()["code"];
        code.as_str().unwrap_or_default().to_owned()
    }
}

fn exchange(
    address: SocketAddr,
    verb: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut request = format!("{verb} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in fields {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    write!(request, "content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{text:?}"));
    Answer {
        status: head[9..12].parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// What a Redis server answers to these commands, as the protocol writes it.
pub(crate) fn redis(port: u16, commands: &[&str]) -> String {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    for command in commands.iter().chain(&["QUIT"]) {
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
