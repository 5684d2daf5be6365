//! `sslmode` against a server with a certificate of its own.

#![allow(clippy::unwrap_used, reason = "a failed test")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bastide_db::{Database, DbError};
use bastide_testkit::{Postgres, TestFolder};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// An authority and a certificate of it for `localhost`.
struct Certificates {
    authority: String,
    server: String,
    key: String,
}

fn certificates() -> Certificates {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    Certificates {
        authority: authority.pem(),
        server: server.pem(),
        key: key.serialize_pem(),
    }
}

/// Writes the files where the server's user may read them, and switches TLS on.
fn switch_on(server: &Postgres, certificates: &Certificates) {
    let database = server.database().unwrap();
    let data = PathBuf::from(database.sql("SHOW data_directory").unwrap());
    let owner = std::fs::metadata(&data).unwrap();
    for (name, text) in [
        ("server.crt", &certificates.server),
        ("server.key", &certificates.key),
    ] {
        let path = data.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    database.sql("ALTER SYSTEM SET ssl = on").unwrap();
    database.sql("SELECT pg_reload_conf()").unwrap();
    let is_on = || database.sql("SHOW ssl").is_ok_and(|answer| answer == "on");
    assert!(bastide_testkit::until(
        std::time::Duration::from_secs(10),
        is_on
    ));
}

fn file(folder: &TestFolder, name: &str, text: &str) -> String {
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

async fn is_encrypted(url: &str) -> Result<bool, DbError> {
    let sql = "SELECT ssl, (SELECT count(*) FROM pg_prepared_statements) AS prepared FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let database = Database::open(url)?;
    database.query(sql, &[]).await?;
    let row = database.query(sql, &[]).await?.remove(0);
    // The connection is seen to be direct through TLS too.
    assert_eq!(row.get::<i64>("prepared")?, 1);
    row.get("ssl")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sslmode_is_honoured() {
    let server = Postgres::start().unwrap();
    let folder = TestFolder::new().unwrap();
    let url = |host: &str, query: &str| {
        format!(
            "postgres://postgres@{host}:{}/postgres?{query}",
            server.port()
        )
    };

    assert!(
        !is_encrypted(&url("127.0.0.1", "sslmode=prefer"))
            .await
            .unwrap()
    );
    let refused = is_encrypted(&url("127.0.0.1", "sslmode=require"))
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("does not support TLS"), "{refused}");

    let certificates = certificates();
    switch_on(&server, &certificates);
    let ours = file(&folder, "ours.pem", &certificates.authority);
    let others = file(&folder, "others.pem", &self::certificates().authority);
    for (host, query, expected) in [
        ("127.0.0.1", "sslmode=disable".to_owned(), Ok(false)),
        ("127.0.0.1", "sslmode=prefer".to_owned(), Ok(true)),
        ("127.0.0.1", "sslmode=require".to_owned(), Ok(true)),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={ours}"),
            Ok(true),
        ),
        (
            "127.0.0.1",
            format!("sslmode=verify-full&sslrootcert={ours}"),
            Err("certificate"),
        ),
        (
            "127.0.0.1",
            format!("sslmode=verify-ca&sslrootcert={ours}"),
            Ok(true),
        ),
        (
            "127.0.0.1",
            format!("sslmode=require&sslrootcert={others}"),
            Err("certificate"),
        ),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={others}"),
            Err("certificate"),
        ),
        (
            "localhost",
            "sslmode=verify-full".to_owned(),
            Err("certificate"),
        ),
    ] {
        match (is_encrypted(&url(host, &query)).await, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{host} {query}"),
            (Err(error), Err(says)) => {
                assert!(error.to_string().contains(says), "{host} {query}: {error}");
            }
            (found, expected) => panic!("{host} {query}: expected {expected:?}, got {found:?}"),
        }
    }
}

#[test]
fn a_bad_root_certificate_stops_the_start() {
    let folder = TestFolder::new().unwrap();
    let empty = file(&folder, "empty.pem", "nothing");
    for (path, says) in [
        ("/nowhere.pem", "cannot be read"),
        (empty.as_str(), "holds no certificate"),
    ] {
        assert!(Path::new(path).is_absolute());
        let error = Database::open(&format!(
            "postgres://h/d?sslmode=verify-full&sslrootcert={path}"
        ))
        .unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}
