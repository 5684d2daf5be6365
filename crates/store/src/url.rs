//! URLs of Redis servers, checked before anything starts.

use std::fmt;

use redis::IntoConnectionInfo;

/// A checked `redis://` or `rediss://` URL. Shows itself without its password.
#[derive(Clone)]
pub struct RedisUrl {
    info: redis::ConnectionInfo,
    shown: String,
}

/// Why a URL was not accepted. Never contains the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not a scheme of Redis.
    #[error(
        "the store URL begins with {found:?}; it has to be redis://HOST:PORT or, over TLS, rediss://HOST:PORT"
    )]
    Scheme {
        /// What stands before `://`, or nothing.
        found: String,
    },
    /// The part after the scheme cannot be read.
    #[error(
        "the store URL {shown:?} is not valid ({reason}); write redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE] and percent-encode special characters in the password"
    )]
    Malformed {
        /// The URL without its password.
        shown: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl RedisUrl {
    /// Checks a URL. Nothing is connected.
    ///
    /// # Errors
    /// [`UrlError`], fit to be shown to the operator as it is.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
        if !matches!(scheme, "redis" | "rediss") {
            return Err(UrlError::Scheme {
                found: scheme.chars().take(20).collect(),
            });
        }
        let shown = without_password(text);
        let malformed = |reason| UrlError::Malformed {
            shown: shown.clone(),
            reason,
        };
        let authority = text[scheme.len() + 3..]
            .split(['/', '?', '#'])
            .next()
            .unwrap_or_default();
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        if host.is_empty() || host.starts_with(':') {
            return Err(malformed("the host is missing"));
        }
        if text[scheme.len() + 3..].contains('#') {
            return Err(malformed("'#' has no meaning here"));
        }
        let info = text
            .into_connection_info()
            .map_err(|_| malformed(reason(text, scheme, host)))?;
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        Ok(Self {
            info: info.set_tcp_settings(tcp),
            shown,
        })
    }

    pub(crate) fn info(&self) -> redis::ConnectionInfo {
        self.info.clone()
    }
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
    fn names_the_fault_and_the_remedy() {
        let message = |url: &str| RedisUrl::parse(url).unwrap_err().to_string();
        assert!(message("localhost:6379").contains("redis://HOST:PORT"));
        assert!(message("http://localhost").contains("\"http\""));
        assert!(message("redis://").contains("host is missing"));
        assert!(message("redis://:6379").contains("host is missing"));
        assert!(message("redis://h:port").contains("port is not a number"));
        assert!(message("redis://h:99999").contains("port is not a number"));
        assert!(message("redis://h/abc").contains("database"));
    }

    #[test]
    fn shows_no_password() {
        for url in [
            "redis://u:hunter2@h:1/0",
            "redis://:hunter2@h",
            "redis://u:hunter2@h:x",
            "redis://u:a/hunter2@h/abc",
        ] {
            let shown = match RedisUrl::parse(url) {
                Ok(url) => format!("{url} {url:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
