//! What the gateway is started with: flags first, then the environment, then defaults.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bastide_config::env::{Effective, Env, Settings as Reader};
use bastide_config::network::TrustedPeers;
use bastide_config::{Problems, Secret, parse};

use bastide_telemetry::log::Filter;

/// How strict the gateway is about what it was not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Missing things are made: an embedded database, an admin key.
    Development,
    /// As development, named apart for configuration files.
    Test,
    /// Nothing is made up: a missing database or admin key stops the start.
    Production,
}

/// Where the Admin API listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminListen {
    /// On an address of its own.
    At(SocketAddr),
    /// Beside the routes.
    Same,
}

/// Certificate and key files of the public listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM, the server's certificate first.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

/// Flags as they were given; everything may also come from the environment.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--listen`
    pub listen: Option<String>,
    /// `--admin-listen`
    pub admin_listen: Option<String>,
    /// `--database-url`
    pub database_url: Option<String>,
    /// `--redis-url`
    pub redis_url: Option<String>,
    /// `--config`
    pub config: Option<String>,
    /// `--data-dir`
    pub data_dir: Option<String>,
    /// `--workers`
    pub workers: Option<String>,
    /// `--trusted-proxies`
    pub trusted_proxies: Option<String>,
    /// `--maintenance-page`
    pub maintenance_page: Option<String>,
    /// `--max-connections`
    pub max_connections: Option<String>,
    /// `--keep-alive-timeout`
    pub keep_alive_timeout: Option<String>,
    /// `--send-timeout`
    pub send_timeout: Option<String>,
    /// `--drain-delay`
    pub drain_delay: Option<String>,
    /// `--drain-timeout`
    pub drain_timeout: Option<String>,
    /// `--access-log`
    pub access_log: Option<String>,
    /// `--upgrade-timeout`
    pub upgrade_timeout: Option<String>,
    /// `--tls-cert`
    pub tls_cert: Option<String>,
    /// `--tls-key`
    pub tls_key: Option<String>,
    /// `--upstream-ca`
    pub upstream_ca: Option<String>,
}

/// Checked settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The public listener. Default `0.0.0.0:3000`; `PORT` changes the port.
    pub listen: SocketAddr,
    /// Default `127.0.0.1:3001`.
    pub admin_listen: AdminListen,
    /// `None` means SQLite in the data directory.
    pub database_url: Option<Secret>,
    /// `None` means that limits and switches are this process's own.
    pub redis_url: Option<Secret>,
    /// The declarative file, watched.
    pub config: Option<PathBuf>,
    /// Default `.bastide`.
    pub data_dir: PathBuf,
    /// Threads of the data plane. Default one per core.
    pub workers: usize,
    /// `None` means that one is made (not in production).
    pub admin_key: Option<Secret>,
    /// `None` means that one is made and kept in the database.
    pub key_pepper: Option<Secret>,
    /// Whose `X-Forwarded-*` are believed. Default nobody's.
    pub trusted: TrustedPeers,
    /// The page of maintenance mode.
    pub maintenance_page: Option<PathBuf>,
    /// Clients' connections that are open at a time. `None` means as many as there are descriptors for.
    pub max_connections: Option<usize>,
    /// How long a client's connection is kept without a request. Default 75 s, longer than the load balancers in front of us
    /// keep theirs, so that it is them who let go first.
    pub keep_alive_timeout: Duration,
    /// How long a client may take nothing, or under 256 bytes a second, of a response that waits for it; over HTTP/2 twice as
    /// long. Default 60 s, so that who pauses what it plays is not cut off at once.
    pub send_timeout: Duration,
    /// How long connections are still accepted after SIGTERM. Default 5 s in production, else 0.
    pub drain_delay: Duration,
    /// How long requests in flight may take after that. Default 30 s.
    pub drain_timeout: Duration,
    /// How long a new process may take, in an upgrade, until it accepts connections. Default 30 s.
    pub upgrade_timeout: Duration,
    /// TLS on the public listener.
    pub tls: Option<TlsFiles>,
    /// PEM roots that upstreams' certificates may come from, beside the public ones.
    pub upstream_ca: Option<PathBuf>,
    /// What is logged. Default `info`.
    pub log: Filter,
    /// Whether every request is told of on a line of its own. Default no.
    pub access_log: bool,
    /// Default development.
    pub environment: Environment,
    /// Everything as it is in use, fit to be shown.
    pub effective: Vec<Effective>,
}

/// The settings that a command needs which only works on the database.
#[derive(Debug, Clone)]
pub struct StorageSettings {
    /// `None` means SQLite in the data directory.
    pub database_url: Option<Secret>,
    /// Default `.bastide`.
    pub data_dir: PathBuf,
    /// `None` means that one is made and kept in the database.
    pub key_pepper: Option<Secret>,
}

const ENVIRONMENTS: &[(&str, Environment)] = &[
    ("development", Environment::Development),
    ("test", Environment::Test),
    ("production", Environment::Production),
];

const DATABASE_SCHEMES: &[&str] = &["postgres", "postgresql", "sqlite"];
const REDIS_SCHEMES: &[&str] = &["redis", "rediss"];

/// Shorter secrets can be guessed.
const MIN_SECRET: usize = 16;

impl Settings {
    /// Reads everything and reports every problem at once.
    pub fn read(flags: &Flags, env: &Env) -> Result<Self, Problems> {
        let mut reader = Reader::new(env);
        let environment = reader
            .variable("BASTIDE_ENV")
            .or("development", parse::choice(ENVIRONMENTS));
        let is_production = environment == Some(Environment::Production);

        let port = reader
            .variable("PORT")
            .or("3000", parse::integer(1..=65_535_u16));
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let address = parse::parsed::<SocketAddr>("an address and port such as 0.0.0.0:3000");
        let listen = reader
            .flag("--listen", flags.listen.as_deref())
            .optional(address);
        let listen = listen.or(port.map(|port| SocketAddr::new(any, port)));

        let admin_listen = reader
            .variable("ADMIN_LISTEN")
            .flag("--admin-listen", flags.admin_listen.as_deref())
            .or(
                "127.0.0.1:3001",
                parse::from_text(
                    "`same` or an address and port such as 127.0.0.1:3001",
                    |text| {
                        if text == "same" {
                            Some(AdminListen::Same)
                        } else {
                            text.parse().ok().map(AdminListen::At)
                        }
                    },
                ),
            );
        let storage = StorageSettings::read_with(&mut reader, flags);
        if is_production
            && reader.is_ok()
            && storage
                .as_ref()
                .is_some_and(|storage| storage.database_url.is_none())
        {
            reader.reject(
                "DATABASE_URL",
                "is required in production",
                "set it to e.g. postgres://gateway:password@db.internal/gateway, or to sqlite:/var/lib/bastide/gateway.db \
                 for a single node",
            );
        }
        let redis_url = reader
            .variable("REDIS_URL")
            .flag("--redis-url", flags.redis_url.as_deref())
            .example("redis://127.0.0.1:6379")
            .optional(parse::url(REDIS_SCHEMES));
        let config = reader
            .flag("--config", flags.config.as_deref())
            .optional(parse::string(1..=4096))
            .map(PathBuf::from);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = reader
            .variable("BASTIDE_WORKERS")
            .flag("--workers", flags.workers.as_deref())
            .example("2")
            .optional(parse::integer(1..=1024_usize))
            .unwrap_or(cores);
        let admin_key = reader
            .variable("ADMIN_API_KEY")
            .secret()
            .example("the output of `openssl rand -hex 32`");
        let admin_key = if is_production {
            admin_key.required("in production", parse::secret(MIN_SECRET))
        } else {
            admin_key.optional(parse::secret(MIN_SECRET))
        };
        let trusted = reader
            .variable("TRUSTED_PROXIES")
            .flag("--trusted-proxies", flags.trusted_proxies.as_deref())
            .example("10.0.0.0/8,fd00::/8")
            .optional(parse::parsed("networks separated by commas"))
            .unwrap_or_default();
        let maintenance_page = reader
            .variable("MAINTENANCE_PAGE")
            .flag("--maintenance-page", flags.maintenance_page.as_deref())
            .optional(parse::string(1..=4096))
            .map(PathBuf::from);
        let max_connections = reader
            .variable("MAX_CONNECTIONS")
            .flag("--max-connections", flags.max_connections.as_deref())
            .example("10000")
            .optional(parse::integer(1..=10_000_000_usize));
        let hour = Duration::from_secs(3600);
        let keep_alive_timeout = reader
            .variable("KEEP_ALIVE_TIMEOUT")
            .flag("--keep-alive-timeout", flags.keep_alive_timeout.as_deref())
            .or("75s", parse::duration(Duration::from_millis(1)..=hour));
        let send_timeout = reader
            .variable("SEND_TIMEOUT")
            .flag("--send-timeout", flags.send_timeout.as_deref())
            .or("60s", parse::duration(Duration::from_secs(1)..=hour));
        let drain_delay = reader
            .variable("DRAIN_DELAY")
            .flag("--drain-delay", flags.drain_delay.as_deref())
            .or(
                if is_production { "5s" } else { "0s" },
                parse::duration(Duration::ZERO..=hour),
            );
        let drain_timeout = reader
            .variable("DRAIN_TIMEOUT")
            .flag("--drain-timeout", flags.drain_timeout.as_deref())
            .or("30s", parse::duration(Duration::ZERO..=hour));
        let upgrade_timeout = reader
            .variable("UPGRADE_TIMEOUT")
            .flag("--upgrade-timeout", flags.upgrade_timeout.as_deref())
            .or("30s", parse::duration(Duration::from_millis(1)..=hour));
        let file = |reader: &mut Reader<'_>, name, flag, value: &Option<String>| {
            reader
                .variable(name)
                .flag(flag, value.as_deref())
                .optional(parse::string(1..=4096))
                .map(PathBuf::from)
        };
        let certificate = file(&mut reader, "TLS_CERT", "--tls-cert", &flags.tls_cert);
        let key = file(&mut reader, "TLS_KEY", "--tls-key", &flags.tls_key);
        let tls = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                reader.reject(
                    "TLS_KEY",
                    "is required beside TLS_CERT",
                    "name the file with the private key",
                );
                None
            }
            (None, Some(_)) => {
                reader.reject(
                    "TLS_CERT",
                    "is required beside TLS_KEY",
                    "name the file with the certificate chain",
                );
                None
            }
        };
        let upstream_ca = file(
            &mut reader,
            "UPSTREAM_CA",
            "--upstream-ca",
            &flags.upstream_ca,
        );
        let log = reader
            .variable("LOG_LEVEL")
            .or("info", parse::string(1..=4096))
            .map(|level| Filter::parse(&level));
        if let Some(Err(error)) = &log {
            reader.reject("LOG_LEVEL", error.to_string(), "set it to e.g. info");
        }
        let access_log = reader
            .variable("ACCESS_LOG")
            .flag("--access-log", flags.access_log.as_deref())
            .or("off", parse::choice(&[("off", false), ("json", true)]));
        let effective = reader.finish()?;
        let all_read = "every setting that was refused has made `finish` fail";
        let storage = storage.expect(all_read);
        Ok(Self {
            listen: listen.expect(all_read),
            admin_listen: admin_listen.expect(all_read),
            database_url: storage.database_url,
            redis_url: redis_url.map(Secret::new),
            config,
            data_dir: storage.data_dir,
            workers,
            admin_key,
            key_pepper: storage.key_pepper,
            trusted,
            maintenance_page,
            max_connections,
            keep_alive_timeout: keep_alive_timeout.expect(all_read),
            send_timeout: send_timeout.expect(all_read),
            drain_delay: drain_delay.expect(all_read),
            drain_timeout: drain_timeout.expect(all_read),
            upgrade_timeout: upgrade_timeout.expect(all_read),
            tls,
            upstream_ca,
            log: log.and_then(Result::ok).expect(all_read),
            access_log: access_log.expect(all_read),
            environment: environment.expect(all_read),
            effective,
        })
    }

    /// The part that concerns the database.
    pub fn storage(&self) -> StorageSettings {
        StorageSettings {
            database_url: self.database_url.clone(),
            data_dir: self.data_dir.clone(),
            key_pepper: self.key_pepper.clone(),
        }
    }
}

impl StorageSettings {
    /// Reads what a command needs that only works on the database.
    pub fn read(flags: &Flags, env: &Env) -> Result<Self, Problems> {
        let mut reader = Reader::new(env);
        let storage = Self::read_with(&mut reader, flags);
        reader.finish()?;
        Ok(storage.expect("every setting that was refused has made `finish` fail"))
    }

    fn read_with(reader: &mut Reader<'_>, flags: &Flags) -> Option<Self> {
        let database_url = reader
            .variable("DATABASE_URL")
            .flag("--database-url", flags.database_url.as_deref())
            .example("postgres://user:password@localhost:5432/gateway")
            .optional(parse::url(DATABASE_SCHEMES));
        let data_dir = reader
            .variable("BASTIDE_DATA_DIR")
            .flag("--data-dir", flags.data_dir.as_deref())
            .or(".bastide", parse::string(1..=4096));
        let key_pepper = reader
            .variable("BASTIDE_KEY_PEPPER")
            .secret()
            .example("the output of `openssl rand -hex 32`")
            .optional(parse::secret(MIN_SECRET));
        Some(Self {
            database_url: database_url.map(Secret::new),
            data_dir: PathBuf::from(data_dir?),
            key_pepper,
        })
    }

    /// The URL to open: the given one, or SQLite in the data directory.
    pub fn url(&self) -> String {
        match &self.database_url {
            Some(url) => url.expose().to_owned(),
            None => format!("sqlite:{}", self.data_dir.join("gateway.db").display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(env: &[(&str, &str)], flags: &Flags) -> Result<Settings, String> {
        Settings::read(flags, &Env::of(env.iter().copied()))
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn with_nothing_given_the_defaults_hold() {
        let settings = read(&[], &Flags::default()).unwrap();
        assert_eq!(settings.listen, "0.0.0.0:3000".parse().unwrap());
        assert_eq!(
            settings.admin_listen,
            AdminListen::At("127.0.0.1:3001".parse().unwrap())
        );
        assert_eq!(settings.data_dir, PathBuf::from(".bastide"));
        assert_eq!(settings.environment, Environment::Development);
        assert_eq!(settings.storage().url(), "sqlite:.bastide/gateway.db");
    }

    #[test]
    fn a_flag_wins_over_the_environment() {
        let flags = Flags {
            listen: Some("127.0.0.1:81".into()),
            admin_listen: Some("same".into()),
            ..Flags::default()
        };
        let settings = read(&[("PORT", "82"), ("ADMIN_LISTEN", "127.0.0.1:83")], &flags).unwrap();
        assert_eq!(settings.listen.port(), 81);
        assert_eq!(settings.admin_listen, AdminListen::Same);
        assert_eq!(
            read(&[("PORT", "82")], &Flags::default()).unwrap().listen,
            "0.0.0.0:82".parse().unwrap()
        );
    }

    #[test]
    fn every_wrong_value_is_named_at_once() {
        let env = [
            ("PORT", "abc"),
            ("BASTIDE_ENV", "prod"),
            ("REDIS_URL", "http://x"),
            ("BASTIDE_WORKERS", "0"),
        ];
        let problems = read(&env, &Flags::default()).unwrap_err();
        for name in ["PORT", "BASTIDE_ENV", "REDIS_URL", "BASTIDE_WORKERS"] {
            assert!(
                problems.lines().any(|line| line.starts_with(name)),
                "{name} in {problems}"
            );
        }
    }

    #[test]
    fn production_makes_nothing_up() {
        let problems = read(&[("BASTIDE_ENV", "production")], &Flags::default()).unwrap_err();
        assert!(
            problems.contains("ADMIN_API_KEY: is required in production"),
            "{problems}"
        );
        let with_key = [
            ("BASTIDE_ENV", "production"),
            ("ADMIN_API_KEY", "0123456789abcdef"),
        ];
        let problems = read(&with_key, &Flags::default()).unwrap_err();
        assert!(
            problems.contains("DATABASE_URL: is required in production"),
            "{problems}"
        );
    }

    #[test]
    fn a_secret_never_shows() {
        let env = [
            ("ADMIN_API_KEY", "too-short"),
            ("DATABASE_URL", "postgres://u:hunter2@h/d"),
        ];
        let problems = read(&env, &Flags::default()).unwrap_err();
        assert!(
            !problems.contains("too-short") && !problems.contains("hunter2"),
            "{problems}"
        );
        let env = [
            ("ADMIN_API_KEY", "0123456789abcdef"),
            ("DATABASE_URL", "postgres://u:hunter2@h/d"),
        ];
        let settings = read(&env, &Flags::default()).unwrap();
        let shown = format!("{settings:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("0123456789abcdef"),
            "{shown}"
        );
    }
}
