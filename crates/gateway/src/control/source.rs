//! Which database a state came from, so that the one on disk is not served in another's place.

/// Names a database for comparison, from its URL without the password: where it is, not who asks and how.
pub fn source(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    // Both names of the scheme are the same.
    let scheme = scheme.strip_suffix("ql").unwrap_or(scheme);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut source = format!("{scheme}://{place}");
    // A place may also stand here; the rest says how to connect.
    for pair in query.split('&') {
        if ["host=", "port=", "dbname="]
            .iter()
            .any(|name| pair.starts_with(name))
        {
            source.push('&');
            source.push_str(pair);
        }
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_and_how_makes_no_other_database() {
        let name = source("postgres://db:5432/gateway");
        for same in [
            "postgresql://db:5432/gateway",
            "postgres://someone:***@db:5432/gateway",
            "postgres://other@db:5432/gateway?sslmode=require",
        ] {
            assert_eq!(source(same), name, "{same}");
        }
        for other in [
            "postgres://db:5432/another",
            "postgres://standby:5432/gateway",
            "postgres://db:5432/gateway?host=/run/other",
            "sqlite:///var/lib/bastide/gateway.db",
        ] {
            assert_ne!(source(other), name, "{other}");
        }
    }
}
