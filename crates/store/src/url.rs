//! URLs of Redis servers, checked before anything starts.

use std::fmt;

use redis::IntoConnectionInfo;

/// A checked URL of Redis. Shows itself without its password.
///
/// | form | what it names |
/// |---|---|
/// | `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]` | one server |
/// | `redis+cluster://[USER:PASSWORD@]HOST[:PORT],...` | a Redis Cluster, by some of its nodes |
/// | `redis+sentinel://[USER:PASSWORD@]HOST[:PORT],.../MASTER[/DATABASE]` | the master that sentinels know by this name |
///
/// With `rediss` in place of `redis` over TLS. Ports are 6379, and 26379 for sentinels, where none is given. User and
/// password are those of the servers; sentinels are asked without.
#[derive(Clone)]
pub struct RedisUrl {
    target: Target,
    shown: String,
}

/// What a URL names.
#[derive(Clone)]
pub(crate) enum Target {
    Server(redis::ConnectionInfo),
    /// Some of its nodes.
    Cluster(Vec<redis::ConnectionInfo>),
    Sentinel {
        sentinels: Vec<redis::ConnectionInfo>,
        /// What they call the master.
        master: String,
        /// How to speak with the master; its address is of no meaning.
        like: redis::ConnectionInfo,
    },
}

/// Why a URL was not accepted. Never contains the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not a scheme of Redis.
    #[error(
        "the store URL begins with {found:?}; it has to be redis://HOST:PORT, redis+cluster://HOST:PORT,HOST:PORT or redis+sentinel://HOST:PORT,HOST:PORT/MASTER, or, over TLS, the same with rediss"
    )]
    Scheme {
        /// What stands before `://`, or nothing.
        found: String,
    },
    /// The part after the scheme cannot be read.
    #[error(
        "the store URL {shown:?} is not valid ({reason}); write {form} and percent-encode special characters in the password"
    )]
    Malformed {
        /// The URL without its password.
        shown: String,
        /// What is wrong.
        reason: &'static str,
        /// What it should look like.
        form: &'static str,
    },
    /// A database other than 0 on Redis Cluster.
    #[error(
        "the store URL {shown:?} is of a Redis Cluster, which has only database 0; leave databases out, as prefixes keep the namespaces apart"
    )]
    NoDatabases {
        /// The URL without its password.
        shown: String,
    },
}

/// The kinds of URL, by what follows `redis` or `rediss`.
#[derive(Clone, Copy)]
enum Form {
    Server,
    Cluster,
    Sentinel,
}

impl Form {
    fn of(scheme: &str) -> Option<Self> {
        match scheme {
            "redis" | "rediss" => Some(Self::Server),
            "redis+cluster" | "rediss+cluster" => Some(Self::Cluster),
            "redis+sentinel" | "rediss+sentinel" => Some(Self::Sentinel),
            _ => None,
        }
    }

    fn shown(self) -> &'static str {
        match self {
            Self::Server => "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]",
            Self::Cluster => "redis+cluster://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]",
            Self::Sentinel => {
                "redis+sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]/MASTER[/DATABASE]"
            }
        }
    }
}

impl RedisUrl {
    /// Checks a URL. Nothing is connected.
    ///
    /// # Errors
    /// [`UrlError`], fit to be shown to the operator as it is.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        let form = Form::of(scheme).ok_or_else(|| UrlError::Scheme {
            found: scheme.chars().take(20).collect(),
        })?;
        let shown = without_password(text);
        let malformed = |reason| UrlError::Malformed {
            shown: shown.clone(),
            reason,
            form: form.shown(),
        };
        if rest.contains('#') {
            return Err(malformed("'#' has no meaning here"));
        }
        let (plain, _) = scheme.split_once('+').unwrap_or((scheme, ""));
        let target = match form {
            Form::Server => Target::Server(server(text).map_err(malformed)?),
            Form::Cluster | Form::Sentinel => {
                let parts = Parts::of(rest).map_err(malformed)?;
                match form {
                    Form::Sentinel => sentinel(plain, &parts).map_err(malformed)?,
                    _ if matches!(parts.path, "" | "0") => Target::Cluster(
                        parts
                            .servers(plain, parts.credentials, "", "")
                            .map_err(malformed)?,
                    ),
                    _ => return Err(UrlError::NoDatabases { shown }),
                }
            }
        };
        Ok(Self { target, shown })
    }

    pub(crate) fn target(&self) -> Target {
        self.target.clone()
    }

    /// The same with another database.
    ///
    /// # Errors
    /// [`UrlError::NoDatabases`] on Redis Cluster, which has but one.
    pub fn with_database(&self, index: u32) -> Result<Self, UrlError> {
        let at = |info: &redis::ConnectionInfo| {
            let settings = info.redis_settings().clone().set_db(index.into());
            info.clone().set_redis_settings(settings)
        };
        let target = match &self.target {
            Target::Server(info) => Target::Server(at(info)),
            Target::Sentinel {
                sentinels,
                master,
                like,
            } => Target::Sentinel {
                sentinels: sentinels.clone(),
                master: master.clone(),
                like: at(like),
            },
            Target::Cluster(_) => {
                return Err(UrlError::NoDatabases {
                    shown: self.shown.clone(),
                });
            }
        };
        Ok(Self {
            target,
            shown: self.shown.clone(),
        })
    }
}

/// What stands behind the scheme of a URL with several hosts.
struct Parts<'a> {
    /// With the `@`, or nothing.
    credentials: &'a str,
    hosts: &'a str,
    path: &'a str,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Result<Self, &'static str> {
        if rest.contains('?') {
            return Err("'?' has no meaning here");
        }
        let (credentials, rest) = rest.split_at(rest.rfind('@').map_or(0, |at| at + 1));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self {
            credentials,
            hosts,
            path,
        })
    }

    /// Each host as if it stood in a URL of its own.
    fn servers(
        &self,
        scheme: &str,
        credentials: &str,
        default_port: &str,
        database: &str,
    ) -> Result<Vec<redis::ConnectionInfo>, &'static str> {
        let one = |host: &str| {
            let has_port = host
                .rsplit_once(':')
                .is_some_and(|(_, port)| !port.ends_with(']'));
            let port = if has_port { "" } else { default_port };
            server(&format!("{scheme}://{credentials}{host}{port}/{database}"))
        };
        self.hosts.split(',').map(|host| one(host.trim())).collect()
    }
}

fn sentinel(scheme: &str, parts: &Parts<'_>) -> Result<Target, &'static str> {
    let (master, database) = parts.path.split_once('/').unwrap_or((parts.path, ""));
    if master.is_empty() {
        return Err("the master's name is missing");
    }
    let sentinels = parts.servers(scheme, "", ":26379", "")?;
    let like = parts
        .servers(scheme, parts.credentials, "", database)?
        .swap_remove(0);
    Ok(Target::Sentinel {
        sentinels,
        master: master.to_owned(),
        like,
    })
}

/// Reads the URL of one server.
fn server(text: &str) -> Result<redis::ConnectionInfo, &'static str> {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    if host.is_empty() || host.starts_with(':') {
        return Err("the host is missing");
    }
    let info = text
        .into_connection_info()
        .map_err(|_| reason(text, scheme, host))?;
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    Ok(info.set_tcp_settings(tcp))
}

/// The likeliest fault; the client's own error text may quote the whole URL.
fn reason(text: &str, scheme: &str, host: &str) -> &'static str {
    let port = host
        .rsplit_once(':')
        .filter(|(_, port)| !port.ends_with(']'))
        .map(|(_, port)| port);
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return "the port is not a number from 1 to 65535";
    }
    let path = text[scheme.len() + 3..]
        .split_once('/')
        .map_or("", |(_, path)| path);
    let database = path.split('?').next().unwrap_or_default();
    if !database.is_empty() && database.parse::<u32>().is_err() {
        return "the database after the last '/' is not a number";
    }
    "it cannot be read"
}

fn without_password(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    // Up to the last '@' of the whole text: an unencoded '/' in a password must not end the search early.
    match rest.rsplit_once('@') {
        None => format!("{scheme}://{}", without_query(rest)),
        Some((credentials, host)) => {
            let user = credentials.split_once(':').map_or("", |(user, _)| user);
            format!("{scheme}://{user}:***@{}", without_query(host))
        }
    }
}

/// Options may carry secrets too.
fn without_query(text: &str) -> &str {
    text.split('?').next().unwrap_or_default()
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({})", self.shown)
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_redis_has() {
        for url in [
            "redis://localhost",
            "redis://127.0.0.1:6380/3",
            "rediss://user:p%40ss@redis.internal:6380/0",
            "redis://:secret@[::1]:6379",
            " redis://localhost:1 ",
        ] {
            RedisUrl::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        }
    }

    #[test]
    fn reads_several_hosts() {
        let hosts = |infos: &[redis::ConnectionInfo]| -> Vec<String> {
            infos.iter().map(|info| info.addr().to_string()).collect()
        };
        let url = RedisUrl::parse("redis+cluster://u:p%40ss@a:1,b,[::1]:3/0").unwrap();
        let Target::Cluster(nodes) = url.target() else {
            panic!("{url:?} is a cluster");
        };
        assert_eq!(hosts(&nodes), ["a:1", "b:6379", "::1:3"]);
        assert!(
            nodes
                .iter()
                .all(|node| node.redis_settings().password() == Some("p@ss")
                    && node.tcp_settings().nodelay())
        );

        let url = RedisUrl::parse("rediss+sentinel://u:p@a:1,b/main/4").unwrap();
        let Target::Sentinel {
            sentinels,
            master,
            like,
        } = url.target()
        else {
            panic!("{url:?} has sentinels");
        };
        assert_eq!(
            (hosts(&sentinels), master.as_str()),
            (vec!["a:1".to_owned(), "b:26379".to_owned()], "main")
        );
        assert_eq!(sentinels[0].redis_settings().password(), None);
        assert_eq!(like.redis_settings().password(), Some("p"));
        assert_eq!(like.redis_settings().db(), 4);
    }

    #[test]
    fn databases_are_for_servers_that_have_them() {
        let at = |url: &str| RedisUrl::parse(url).and_then(|url| url.with_database(4));
        let Ok(Target::Server(info)) = at("redis://h/1").map(|url| url.target()) else {
            panic!("one server has databases");
        };
        assert_eq!(info.redis_settings().db(), 4);
        at("redis+sentinel://h/main/1").unwrap();
        let cluster = at("redis+cluster://h").unwrap_err().to_string();
        assert!(cluster.contains("only database 0"), "{cluster}");
    }

    #[test]
    fn names_the_fault_and_the_remedy() {
        let message = |url: &str| RedisUrl::parse(url).unwrap_err().to_string();
        assert!(message("localhost:6379").contains("redis://HOST:PORT"));
        assert!(message("http://localhost").contains("\"http\""));
        assert!(message("redis://").contains("host is missing"));
        assert!(message("redis://:6379").contains("host is missing"));
        assert!(message("redis://h:port").contains("port is not a number"));
        assert!(message("redis://h:99999").contains("port is not a number"));
        assert!(message("redis://h/abc").contains("database"));
        assert!(message("redis+cluster://h:1,,h:2").contains("host is missing"));
        assert!(message("redis+cluster://h:1,h:port").contains("port is not a number"));
        assert!(message("redis+cluster://h:1/3").contains("only database 0"));
        assert!(message("redis+cluster://h?x=1").contains("'?'"));
        assert!(message("redis+sentinel://h:1").contains("name is missing"));
        assert!(message("redis+sentinel://h:1/main/abc").contains("database"));
        assert!(message("redis+sentinel://h:1").contains("HOST[:PORT]/MASTER"));
    }

    #[test]
    fn shows_no_password() {
        for url in [
            "redis://u:hunter2@h:1/0",
            "redis://:hunter2@h",
            "redis://u:hunter2@h:x",
            "redis://u:a/hunter2@h/abc",
            "redis+cluster://u:hunter2@h:1,h:2",
            "redis+cluster://u:hunter2@h:1,h:2/1",
            "redis+sentinel://u:hunter2@h:1,h:2",
            "redis+sentinel://u:hunter2@h:1,h:2/main",
        ] {
            let shown = match RedisUrl::parse(url) {
                Ok(url) => format!("{url} {url:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
