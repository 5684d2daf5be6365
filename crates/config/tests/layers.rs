//! Layers: what wins, what is named, what is shown.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

use std::collections::BTreeMap;
use std::time::Duration;

use bastide_config::document::{Document, Format};
use bastide_config::env::Env;
use bastide_config::layers::{Source, table};
use bastide_config::{ByteSize, Fields, Layers, Secret, TimeSpan, parse};
use schemars::JsonSchema;
use serde::Deserialize;
use tempfile::TempDir;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Auth {
    jwt_secret: Secret,
    issuer: String,
    #[serde(default)]
    audience: Vec<String>,
    #[serde(default = "an_hour")]
    lifetime: TimeSpan,
}

fn an_hour() -> TimeSpan {
    TimeSpan::new(Duration::from_hours(1))
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Uploads {
    max_size: ByteSize,
    #[serde(default)]
    resume: bool,
    #[serde(default)]
    weights: Vec<u8>,
    #[schemars(range(min = 1, max = 64))]
    workers: u16,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    quota: Option<u32>,
    #[serde(default)]
    buckets: BTreeMap<String, Bucket>,
    #[serde(default)]
    target: Option<Target>,
}

#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Fast,
    Careful,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Bucket {
    url: String,
    #[serde(default)]
    read_only: bool,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Target {
    Disk { folder: String },
    Remote { url: String, retries: u8 },
}

const BASE: &str = r#"
port = 8080
tags = ["a", "b"]

[auth]
jwtSecret = "from the file, long enough"
issuer = "https://auth.example"

[uploads]
max_size = "10MB"
workers = 4

[uploads.buckets.avatars]
url = "https://s3.example"
"#;

struct Files(TempDir);

impl Files {
    fn of(files: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn layers(&self) -> Layers {
        Layers::new()
            .file(self.0.path().join("default.toml"))
            .optional_file(self.0.path().join("{env}.yaml"))
            .env_prefix("MEDIA_")
    }

    /// Mistakes without the folder's name.
    fn mistakes<T: std::fmt::Debug>(
        &self,
        variables: &[(&str, &str)],
        reader: impl FnMut(&mut Fields<'_, '_>) -> Option<T>,
    ) -> Vec<String> {
        let error = self
            .layers()
            .read(&env(variables), reader)
            .map(|loaded| loaded.value)
            .unwrap_err();
        let folder = format!("{}/", self.0.path().display());
        let lines = error.to_string().replace(&folder, "");
        lines.lines().map(str::to_owned).collect()
    }
}

fn env(variables: &[(&str, &str)]) -> Env {
    Env::of(variables.iter().copied())
}

#[derive(Debug)]
struct App {
    auth: Auth,
    uploads: Uploads,
    port: u16,
    tags: Vec<String>,
}

fn app(root: &mut Fields<'_, '_>) -> Option<App> {
    let auth = root.section("auth");
    let uploads = root.section("uploads");
    let port = root.required("port", parse::integer(1..=65_535_u16));
    let tags = root.list("tags", parse::string(1..=20));
    Some(App {
        auth: auth?,
        uploads: uploads?,
        port: port?,
        tags,
    })
}

#[test]
fn s1_later_layers_win_member_by_member_and_lists_are_replaced() {
    let production = "port: 443\ntags: [c]\nuploads:\n  workers: 8\n  buckets:\n    videos: {url: 'https://v.example'}\n";
    let files = Files::of(&[("default.toml", BASE), ("production.yaml", production)]);
    let read = |variables: &[(&str, &str)]| files.layers().read(&env(variables), app).unwrap();
    let loaded = read(&[
        ("BASTIDE_ENV", "production"),
        ("MEDIA_UPLOADS__WORKERS", "16"),
    ]);
    assert_eq!((loaded.value.port, loaded.value.uploads.workers), (443, 16));
    assert_eq!(loaded.value.uploads.max_size.get(), 10_000_000);
    assert_eq!(loaded.value.uploads.buckets.len(), 2, "objects are merged");
    assert_eq!(loaded.value.tags, ["c"], "lists are not");
    let source = |path: &str| {
        let found = loaded
            .effective
            .iter()
            .find(|one| one.path.to_string() == path);
        found
            .unwrap()
            .source
            .to_string()
            .rsplit('/')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(source("port"), "production.yaml:1:7");
    assert_eq!(source("uploads.max_size"), "default.toml:10:12");
    assert_eq!(source("uploads.workers"), "MEDIA_UPLOADS__WORKERS");
    assert_eq!(
        read(&[]).value.port,
        8080,
        "no file for development, which is allowed"
    );
}

#[test]
fn s1_variables_find_their_members_however_these_are_spelled_and_are_read_by_type() {
    let files = Files::of(&[("default.toml", BASE)]);
    let variables = [
        ("MEDIA_AUTH__JWT_SECRET", "from the variable, 12"),
        ("MEDIA_AUTH__AUDIENCE", "web, mobile"),
        ("MEDIA_AUTH__LIFETIME", "5m"),
        ("MEDIA_UPLOADS__MAX_SIZE", "10gb"),
        ("MEDIA_UPLOADS__RESUME", "1"),
        ("MEDIA_UPLOADS__WEIGHTS", "1,2,3"),
        ("MEDIA_UPLOADS__MODE", "careful"),
        ("MEDIA_UPLOADS__QUOTA", "7"),
        ("MEDIA_UPLOADS__BUCKETS__AVATARS__READ_ONLY", "true"),
        ("MEDIA_UPLOADS__BUCKETS__NEW__URL", "https://n.example"),
        ("MEDIA_UPLOADS__TARGET__KIND", "remote"),
        ("MEDIA_UPLOADS__TARGET__URL", "https://t.example"),
        ("MEDIA_UPLOADS__TARGET__RETRIES", "3"),
        ("MEDIA_TAGS", "x,y"),
        ("MEDIA_PORT", "9090"),
        ("MEDIA_AUTH__ISSUER", ""),
    ];
    let App {
        auth,
        uploads,
        port,
        tags,
    } = files.layers().read(&env(&variables), app).unwrap().value;
    assert_eq!(auth.jwt_secret.expose(), "from the variable, 12");
    assert_eq!(
        auth.issuer, "https://auth.example",
        "empty counts as not set"
    );
    assert_eq!(auth.audience, ["web", "mobile"]);
    assert_eq!(auth.lifetime.get(), Duration::from_mins(5));
    assert_eq!(uploads.max_size.get(), 10_000_000_000);
    assert!(uploads.resume);
    assert_eq!(uploads.weights, [1, 2, 3]);
    assert_eq!(uploads.mode, Mode::Careful);
    assert_eq!(uploads.quota, Some(7));
    assert!(uploads.buckets["avatars"].read_only);
    assert_eq!(uploads.buckets["new"].url, "https://n.example");
    let target = Target::Remote {
        url: "https://t.example".to_owned(),
        retries: 3,
    };
    assert_eq!(uploads.target, Some(target));
    assert_eq!((port, tags), (9090, vec!["x".to_owned(), "y".to_owned()]));
}

/// By hand, where keys are known only once they are asked for.
#[test]
fn s1_a_reader_written_by_hand_takes_variables_too() {
    let files = Files::of(&[("default.toml", "")]);
    let variables = [
        ("MEDIA_DB__POOL__MAX_SIZE", "20"),
        ("MEDIA_DB__POOL__IDLE", "30s"),
        ("MEDIA_DB__HOSTS", "a,b"),
        ("MEDIA_DB__PORTS", "1,2"),
    ];
    let read = files.layers().read(&env(&variables), |root| {
        root.object("db", |db| {
            let pool = db.object("pool", |pool| {
                let idle = pool.required("idle", parse::duration(Duration::ZERO..=Duration::MAX));
                let size = pool.required("maxSize", parse::integer(1..=100_u32));
                Some((size?, idle?))
            });
            let hosts = db.list("hosts", parse::string(1..=9));
            let ports = db.required("ports", parse::list(1..=3, parse::integer(1..=9_u8)));
            Some((pool?, hosts, ports?))
        })
    });
    let ((size, idle), hosts, ports) = read.unwrap().value;
    assert_eq!((size, idle), (20, Duration::from_secs(30)));
    assert_eq!(hosts, ["a", "b"]);
    assert_eq!(ports, [1, 2]);
}

#[test]
fn s1_every_mistake_is_named_with_its_source() {
    let base = r#"
port = "80"
colour = "red"

[auth]
issuer = 7
issuers = "x"

[uploads]
max_size = "10 parsecs"
workers = 65
mode = "fats"
retries = 1
[uploads.buckets.a]
url = "u"
readonly = true
"#;
    let files = Files::of(&[
        ("default.toml", base),
        ("development.yaml", "uploads:\n  weights: [1, 256]\n"),
    ]);
    let variables = [
        ("MEDIA_UPLOADS__RESUME", "maybe"),
        ("MEDIA_AUTH__LIFETIME", "5"),
        ("MEDIA_AUTH_JWT_SECRET", "hunter2"),
        ("MEDIA_UPLOADS__WORKRES", "1"),
        ("MEDIA_NOTHING__LIKE__IT", "1"),
        ("MEDIA_", "1"),
    ];
    assert_eq!(
        files.mistakes(&variables, app),
        [
            "default.toml:2:8: port: expected a whole number from 1 to 65535, found \"80\"",
            "default.toml:3:1: colour: unknown key `colour`; known keys: auth, uploads, port, tags",
            "default.toml:5:1: auth.jwtSecret: is required; write it there, or set MEDIA_AUTH__JWT_SECRET",
            "default.toml:6:10: auth.issuer: expected a string, found 7",
            "default.toml:7:1: auth.issuers: unknown key `issuers`; did you mean `issuer`?",
            "default.toml:10:12: uploads.max_size: expected a number of bytes, such as 65536, 64KiB or 10MB, found \"10 parsecs\"",
            "default.toml:11:11: uploads.workers: expected a whole number from 1 to 64, found 65",
            "default.toml:12:8: uploads.mode: expected one of fast, careful; found \"fats\"; did you mean fast?",
            "default.toml:13:1: uploads.retries: unknown key `retries`; known keys: buckets, max_size, mode, quota, resume, target, weights, workers",
            "default.toml:16:1: uploads.buckets.a.readonly: unknown key `readonly`; did you mean `read_only`?",
            "development.yaml:2:16: uploads.weights[1]: expected a whole number from 0 to 255, found 256",
            "MEDIA_: no setting has this name; unset it, or see the settings that there are",
            "MEDIA_AUTH_JWT_SECRET: no setting has this name; did you mean MEDIA_AUTH__JWT_SECRET?",
            "MEDIA_AUTH__LIFETIME: auth.lifetime: expected a time such as 250ms, 10s, 5m, 2h or 1h30m, found \"5\"",
            "MEDIA_NOTHING__LIKE__IT: no setting has this name; unset it, or see the settings that there are",
            "MEDIA_UPLOADS__RESUME: uploads.resume: expected true or false, found \"maybe\"",
            "MEDIA_UPLOADS__WORKRES: no setting has this name; did you mean MEDIA_UPLOADS__WORKERS?",
        ]
    );
}

#[test]
fn s1_what_was_meant_as_a_template_is_refused() {
    let base = "[auth]\nissuer = \"https://${HOST}/\"\naudience = [\"${A}\"]\njwtSecret = \"a long enough secret\"\n";
    let files = Files::of(&[("default.toml", base)]);
    let lines = files.mistakes(&[("MEDIA_AUTH__JWT_SECRET", "${SECRET}")], |root| {
        root.section::<Auth>("auth")
    });
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].starts_with("default.toml:2:10: auth.issuer: `${` is not replaced"));
    assert!(lines[1].starts_with("default.toml:3:13: auth.audience[0]: `${` is not replaced"));
    assert!(lines[2].starts_with("MEDIA_AUTH__JWT_SECRET: `${` is not replaced"));
    let layers = Layers::new().optional_file("config/${NODE_ENV}.yaml");
    let error = layers
        .read(&env(&[]), |_| Some(()))
        .unwrap_err()
        .to_string();
    assert!(error.contains("only `{env}` is replaced"), "{error}");
}

#[test]
fn s1_an_optional_file_may_be_missing_but_not_malformed() {
    let broken = Files::of(&[("default.toml", BASE), ("development.yaml", "a: [")]);
    let lines = broken.mistakes(&[], app);
    assert!(lines[0].starts_with("development.yaml:"), "{lines:?}");
    let list = Files::of(&[("default.toml", BASE), ("development.yaml", "[1]")]);
    assert_eq!(
        list.mistakes(&[], app),
        ["development.yaml:1:1: expected an object"]
    );
    let missing = Files::of(&[]);
    let lines = missing.mistakes(&[], app);
    assert!(lines[0].contains("there is no such file"), "{lines:?}");
    let lines = missing.mistakes(&[("BASTIDE_ENV", "../etc/x")], app);
    assert!(
        lines[0].starts_with("BASTIDE_ENV: expected a name of letters"),
        "{lines:?}"
    );
}

#[test]
fn s1_two_variables_for_one_member_and_two_members_for_one_variable_are_refused() {
    #[derive(Debug, Deserialize, JsonSchema)]
    struct Twins {
        #[serde(default)]
        ab: u8,
        #[serde(default)]
        #[serde(rename = "a_b")]
        a_b: u8,
        #[serde(default)]
        one: u8,
    }
    let files = Files::of(&[("default.toml", "")]);
    let variables = [
        ("MEDIA_T__AB", "1"),
        ("MEDIA_T__ONE", "1"),
        ("MEDIA_T__O_NE", "2"),
    ];
    assert_eq!(
        files.mistakes(&variables, |root| root.section::<Twins>("t")),
        [
            "MEDIA_T__AB: this could be a_b or ab; set it in a file",
            "MEDIA_T__O_NE: MEDIA_T__ONE sets t.one already; unset one of them",
        ]
    );
    let twins = Twins {
        ab: 0,
        a_b: 0,
        one: 0,
    };
    assert_eq!((twins.ab, twins.a_b, twins.one), (0, 0, 0));
}

#[test]
fn s1_the_effective_configuration_shows_sources_and_no_secret() {
    #[derive(Debug, Deserialize, JsonSchema)]
    struct Db {
        url: String,
        password: String,
        #[serde(default)]
        pins: Vec<Secret>,
        #[serde(default = "twenty")]
        pool: u32,
    }
    fn twenty() -> u32 {
        20
    }
    let base = "[db]\nurl = \"postgres://u:hunter2@h/d\"\npassword = \"hunter3\"\npins = [\"hunter4\"]\n[own]\nkey = \"hunter5\"\n";
    let files = Files::of(&[("default.toml", base)]);
    let loaded = files
        .layers()
        .read(&env(&[("MEDIA_OWN__NAME", "n")]), |root| {
            let db = root.section::<Db>("db");
            let own = root.object("own", |own| {
                let name = own.required("name", parse::string(1..=9));
                let key = own.required("key", parse::secret(4));
                Some((name?, key?))
            });
            Some((db?, own?))
        })
        .unwrap();
    let (db, (name, key)) = &loaded.value;
    assert_eq!(
        (db.password.as_str(), db.pins[0].expose(), db.pool),
        ("hunter3", "hunter4", 20)
    );
    assert!(db.url.contains("hunter2") && name == "n" && key.expose() == "hunter5");
    let folder = format!("{}/", files.0.path().display());
    let shown = table(&loaded.effective).replace(&folder, "");
    assert!(!shown.contains("hunter"), "{shown}");
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(
        lines,
        [
            "db.password  [redacted]            (default.toml:3:12)",
            "db.pins      [redacted]            (default.toml:4:8)",
            "db.pool      20                    (default)",
            "db.url       postgres://u:***@h/d  (default.toml:2:7)",
            "own.key      [redacted]            (default.toml:6:7)",
            "own.name     n                     (MEDIA_OWN__NAME)",
        ]
    );
    assert!(matches!(loaded.effective[2].source, Source::Default));
}

/// Whatever is wrong with a secret, its text is not told.
#[test]
fn mistakes_show_no_secret() {
    let base = "[auth]\njwtSecret = 1234567\nissuer = \"x\"\n[own]\npassword = \"hunter2\"\n";
    let files = Files::of(&[("default.toml", base)]);
    let lines = files.mistakes(&[("MEDIA_OWN__API_KEY", "hunter3")], |root| {
        let auth = root.section::<Auth>("auth");
        let own = root.object("own", |own| {
            let password = own.required("password", parse::integer(1..=5_u8));
            let key = own.required("apiKey", parse::boolean);
            Some((password?, key?))
        });
        Some((auth?, own?))
    });
    let told = lines.join("\n");
    assert_eq!(lines.len(), 3, "{told}");
    assert!(
        !told.contains("hunter") && !told.contains("1234567"),
        "{told}"
    );
}

/// Also in a document of its own, where no layers are.
#[test]
fn a_section_of_a_document_shows_no_secret_either() {
    #[derive(Debug, Deserialize, JsonSchema)]
    struct Card {
        #[expect(dead_code, reason = "it is refused")]
        pins: Vec<Option<Secret>>,
    }
    let text = "[card]\npins = [\"a\", 1234567]\n[card2]\npins = 7654321\n";
    let document = Document::parse("a.toml", Format::Toml, text).unwrap();
    let problems = document
        .read(|root| {
            root.object(|root| {
                let one = root.section::<Card>("card");
                let two = root.section::<Card>("card2");
                Some((one?, two?))
            })
        })
        .unwrap_err();
    assert_eq!(
        document.describe_all(&problems),
        "a.toml:2:14: card.pins[1]: expected a string, found a number\n\
         a.toml:4:8: card2.pins: expected a list, found a number"
    );
}

/// What a schema does not say, the type does.
#[test]
fn a_type_that_refuses_by_itself_is_named_with_its_place() {
    #[derive(Debug)]
    struct Even;
    impl<'de> Deserialize<'de> for Even {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            match u32::deserialize(deserializer)? % 2 {
                0 => Ok(Self),
                _ => Err(serde::de::Error::custom("this is odd")),
            }
        }
    }
    #[derive(Debug, Deserialize, JsonSchema)]
    struct Section {
        #[schemars(with = "Vec<u32>")]
        numbers: Vec<Even>,
    }
    let files = Files::of(&[("default.toml", "[s]\nnumbers = [2, 3]\n")]);
    let lines = files.mistakes(&[], |root| root.section::<Section>("s"));
    assert_eq!(lines, ["default.toml:2:15: s.numbers[1]: this is odd"]);
    let numbers = files
        .layers()
        .read(&env(&[("MEDIA_S__NUMBERS", "4,6")]), |root| {
            root.section::<Section>("s")
        });
    assert_eq!(numbers.unwrap().value.numbers.len(), 2);
}

#[test]
fn a_section_that_is_absent_is_read_as_an_empty_one() {
    #[derive(Debug, Default, Deserialize, JsonSchema)]
    #[serde(default)]
    struct All {
        name: String,
    }
    let files = Files::of(&[("default.toml", "")]);
    let read = files.layers().read(&env(&[]), |root| {
        let all = root.section::<All>("all");
        let perhaps = root.section::<Option<Bucket>>("perhaps");
        Some((all?, perhaps?))
    });
    let (all, perhaps) = read.unwrap().value;
    assert_eq!((all.name.as_str(), perhaps), ("", None));
    let lines = files.mistakes(&[], |root| {
        let bucket = root.section::<Bucket>("bucket");
        let count = root.section::<u16>("count");
        Some((bucket?, count?))
    });
    assert_eq!(
        lines,
        [
            "default.toml:1:1: bucket.url: is required; write it there, or set MEDIA_BUCKET__URL",
            "default.toml:1:1: count: is required; write it there, or set MEDIA_COUNT",
        ]
    );
}

/// `[database] url`, or nothing.
fn database(fields: &mut Fields<'_, '_>) -> Option<String> {
    let url = parse::string(1..=99);
    let read = |fields: &mut Fields<'_, '_>| Some(fields.or("url", String::new(), url));
    fields.object_or_empty("database", read)
}

#[test]
fn a_common_variable_is_the_setting_unless_the_programs_own_says_otherwise() {
    let layers = Layers::new()
        .env_prefix("MEDIA_")
        .common_variable("DATABASE_URL", "DATABASE__URL")
        .common_variable("PORT", "PORT");
    let read = |variables: &[(&str, &str)]| {
        let env = Env::of(variables.iter().copied());
        layers.read(&env, database).unwrap()
    };
    // `PORT` is nobody's here, and no mistake.
    let loaded = read(&[("DATABASE_URL", "common"), ("PORT", "80")]);
    assert_eq!(loaded.value, "common");
    assert_eq!(
        loaded.effective[0].to_string(),
        "database.url = common (DATABASE_URL)"
    );
    let own = [("DATABASE_URL", "common"), ("MEDIA_DATABASE__URL", "own")];
    assert_eq!(read(&own).value, "own");
}

#[test]
fn a_part_leaves_the_rest_to_others_and_the_whole_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.toml");
    std::fs::write(&path, "[database]\nurl = \"u\"\n[billing]\nrate = 1\n").unwrap();
    let layers = Layers::new().file(&path).env_prefix("MEDIA_");
    let env = Env::of([("MEDIA_BILLING__RATE", "2")]);
    let part = layers.read_part(&env, database).unwrap();
    assert_eq!(part.value, "u");
    let mistakes = layers.read(&env, database).unwrap_err().to_string();
    assert!(mistakes.contains("unknown key `billing`"), "{mistakes}");
    assert!(
        mistakes.contains("MEDIA_BILLING__RATE: no setting"),
        "{mistakes}"
    );
    // Within what it asks for a part is as strict as the whole.
    std::fs::write(&path, "[database]\nurk = \"u\"\n").unwrap();
    let mistakes = layers.read_part(&env, database).unwrap_err().to_string();
    assert!(mistakes.contains("unknown key `urk`"), "{mistakes}");
}
