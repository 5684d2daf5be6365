//! Database URLs: what they mean, and how they are shown without their password.

use std::path::PathBuf;
use std::str::FromStr as _;

use crate::{DbError, Result};

/// Where a URL leads.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Postgres(Box<PostgresTarget>),
    Sqlite(SqliteTarget),
}

/// A Postgres server and how far its certificate is checked.
#[derive(Debug, Clone)]
pub(crate) struct PostgresTarget {
    pub(crate) config: tokio_postgres::Config,
    pub(crate) verify: Verify,
    /// PEM file with the authorities to trust instead of Mozilla's.
    pub(crate) root_certificates: Option<PathBuf>,
}

/// How far a server's certificate is checked, in the words of libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verify {
    /// `prefer`, `require`: the channel is encrypted, the server is not authenticated.
    Nothing,
    /// `verify-ca`: a trusted authority has signed it.
    Authority,
    /// `verify-full`: and it is for this host.
    Host,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SqliteTarget {
    File(PathBuf),
    Memory,
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let fail = |reason: String| DbError::InvalidUrl {
            url: redact(url),
            reason,
        };
        if url.trim().is_empty() {
            return Err(fail("it is empty; write `postgres://user:password@host/database` or `sqlite:path/to/file.db`".into()));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return PostgresTarget::parse(url)
                .map(|target| Self::Postgres(Box::new(target)))
                .map_err(fail);
        }
        if let Some(rest) = url.strip_prefix("sqlite:") {
            return SqliteTarget::parse(rest.strip_prefix("//").unwrap_or(rest))
                .map(Self::Sqlite)
                .map_err(fail);
        }
        if let Some((scheme, _)) = url.split_once("://") {
            return Err(fail(format!(
                "`{scheme}` is not supported; use `postgres://`, `postgresql://` or `sqlite:`"
            )));
        }
        if let Some(rest) = url
            .strip_prefix("postgres:")
            .or_else(|| url.strip_prefix("postgresql:"))
        {
            return Err(fail(format!(
                "two slashes are missing: write `postgres://{rest}`",
                rest = redact(rest)
            )));
        }
        Ok(Self::Sqlite(SqliteTarget::File(url.into())))
    }
}

impl SqliteTarget {
    fn parse(path: &str) -> Result<Self, String> {
        if path.is_empty() {
            return Err("it names no file; write `sqlite:path/to/file.db`".into());
        }
        if path == ":memory:" {
            return Ok(Self::Memory);
        }
        if path.contains('?') {
            return Err("options after `?` are not supported for SQLite; remove them".into());
        }
        Ok(Self::File(path.into()))
    }
}

const PERCENT_HINT: &str = "write special characters in user, password and options percent-encoded (`@` as `%40`, `/` as `%2F`, `?` as `%3F`)";

impl PostgresTarget {
    fn parse(url: &str) -> Result<Self, String> {
        // Read on regardless, parts of the password would become host, database or option names, and those are shown.
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = after_scheme.split(['/', '?']).next().unwrap_or_default();
        let ats = |text: &str| text.matches('@').count();
        if ats(authority) > 1 || ats(after_scheme) > ats(authority) {
            return Err(format!("an `@` stands where none may; {PERCENT_HINT}"));
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut rest = Vec::new();
        let (mut mode, mut root_certificates) = ("prefer", None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = value,
                Some(("sslrootcert", value)) => root_certificates = Some(percent_decode(value)?),
                _ => rest.push(pair),
            }
        }
        let (tls, mut verify) = match mode {
            "disable" => ("disable", Verify::Nothing),
            "prefer" | "allow" => ("prefer", Verify::Nothing),
            "require" => ("require", Verify::Nothing),
            "verify-ca" => ("require", Verify::Authority),
            "verify-full" => ("require", Verify::Host),
            other => {
                return Err(format!(
                    "sslmode={other} is unknown; use disable, prefer, require, verify-ca or verify-full"
                ));
            }
        };
        // As in libpq: whoever names an authority together with `require` wants it checked.
        if mode == "require" && root_certificates.is_some() {
            verify = Verify::Authority;
        }
        rest.push(match tls {
            "disable" => "sslmode=disable",
            "prefer" => "sslmode=prefer",
            _ => "sslmode=require",
        });
        let config = tokio_postgres::Config::from_str(&format!("{base}?{}", rest.join("&")))
            .map_err(|error| format!("{}; {PERCENT_HINT}", chain(&error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("it names no host; write `postgres://user:password@host/database`".into());
        }
        Ok(Self {
            config,
            verify,
            root_certificates: root_certificates.map(PathBuf::from),
        })
    }
}

fn percent_decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |b: &u8| char::from(*b).to_digit(16);
                let (Some(high), Some(low)) = (digit(high), digit(low)) else {
                    return Err(format!("`%` in `{text}` is not followed by two hex digits"));
                };
                ((high * 16 + low) as u8, tail)
            }
            (byte, tail) => (*byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| format!("`{text}` is not UTF-8"))
}

/// An error with its causes: drivers keep what matters in the last one.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}

/// The URL without anything that could be a password, however broken it is.
///
/// The user part ends at the *last* `@` before the query: a password with an unescaped `@` or `/` must not show either.
pub(crate) fn redact(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), url),
    };
    let (rest, query) = match rest.rsplit_once('@') {
        // A `?` before the last `@` belongs to the password.
        Some((user, host)) => {
            let name = user.split(':').next().unwrap_or_default();
            let shown = if user.contains(':') {
                format!("{name}:***@")
            } else {
                format!("{name}@")
            };
            let (host, query) = host
                .split_once('?')
                .map_or((host, None), |(host, query)| (host, Some(query)));
            (format!("{shown}{host}"), query)
        }
        None => match rest.split_once('?') {
            Some((rest, query)) => (rest.to_owned(), Some(query)),
            None => (rest.to_owned(), None),
        },
    };
    let query = query.map_or(String::new(), |query| {
        let shown = query.split('&').map(|pair| match pair.split_once('=') {
            Some((key, _)) if key.contains("password") => format!("{key}=***"),
            _ => pair.to_owned(),
        });
        format!("?{}", shown.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}{rest}{query}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sqlite(url: &str) -> SqliteTarget {
        match Target::parse(url).unwrap() {
            Target::Sqlite(target) => target,
            Target::Postgres(_) => panic!("{url} was read as Postgres"),
        }
    }

    fn postgres(url: &str) -> PostgresTarget {
        match Target::parse(url).unwrap() {
            Target::Postgres(target) => *target,
            Target::Sqlite(_) => panic!("{url} was read as SQLite"),
        }
    }

    #[test]
    fn sqlite_urls_name_a_file_or_memory() {
        assert_eq!(sqlite("sqlite::memory:"), SqliteTarget::Memory);
        for (url, path) in [
            ("sqlite:data/x.db", "data/x.db"),
            ("sqlite://data/x.db", "data/x.db"),
            ("sqlite:///var/x.db", "/var/x.db"),
            ("sqlite:/var/x.db", "/var/x.db"),
            ("data/x.db", "data/x.db"),
        ] {
            assert_eq!(sqlite(url), SqliteTarget::File(path.into()), "{url}");
        }
    }

    #[test]
    fn sslmode_decides_how_far_the_server_is_checked() {
        use tokio_postgres::config::SslMode;
        for (query, tls, verify) in [
            ("", SslMode::Prefer, Verify::Nothing),
            ("?sslmode=disable", SslMode::Disable, Verify::Nothing),
            ("?sslmode=require", SslMode::Require, Verify::Nothing),
            (
                "?sslmode=require&sslrootcert=%2Fca.pem",
                SslMode::Require,
                Verify::Authority,
            ),
            ("?sslmode=verify-ca", SslMode::Require, Verify::Authority),
            (
                "?connect_timeout=3&sslmode=verify-full",
                SslMode::Require,
                Verify::Host,
            ),
        ] {
            let target = postgres(&format!("postgres://u:p@h/d{query}"));
            assert_eq!(
                (target.config.get_ssl_mode(), target.verify),
                (tls, verify),
                "{query}"
            );
        }
    }

    #[test]
    fn a_bad_url_says_what_is_wrong_and_what_to_write() {
        for (url, says) in [
            ("", "it is empty"),
            ("mysql://h/d", "`mysql` is not supported; use `postgres://`"),
            ("postgres:h/d", "two slashes are missing"),
            ("postgres://", "it names no host"),
            ("postgres://h:99999/d", "percent-encoded"),
            ("postgres://u:p@ss@h/d", "an `@` stands where none may"),
            ("postgres://u:p/ss@h/d", "an `@` stands where none may"),
            ("postgres://u:p?ss@h/d", "an `@` stands where none may"),
            ("postgres://h/d?sslmode=maybe", "sslmode=maybe is unknown"),
            ("postgres://h/d?sslmod=require", "sslmod"),
            ("sqlite:", "it names no file"),
            ("sqlite:x.db?mode=ro", "options after `?`"),
        ] {
            let message = Target::parse(url).unwrap_err().to_string();
            assert!(message.contains(says), "{url:?} said {message:?}");
        }
    }

    #[test]
    fn passwords_are_never_shown() {
        assert_eq!(
            redact("postgres://u:s3cret@h:5432/d"),
            "postgres://u:***@h:5432/d"
        );
        assert_eq!(redact("postgres://u@h/d"), "postgres://u@h/d");
        assert_eq!(
            redact("postgres://h/d?user=u&password=s3cret"),
            "postgres://h/d?user=u&password=***"
        );
        assert_eq!(redact("data/x.db"), "data/x.db");
    }

    proptest! {
        #[test]
        fn no_part_of_any_password_is_shown(password in "[A-Z@/:?&=%#]{4,20}") {
            let url = format!("postgres://user:{password}@host/db");
            prop_assert_eq!(redact(&url), "postgres://user:***@host/db");
            if let Err(error) = Target::parse(&url) {
                let message = error.to_string();
                for part in password.split(['/', '?', '@', ':', '&', '=', '%', '#']).filter(|part| part.len() > 3) {
                    prop_assert!(!message.contains(part), "{}", message);
                }
            }
        }
    }
}
