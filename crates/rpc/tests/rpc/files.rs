//! Files and other content, served whole and in parts, and received, over real sockets.

use std::convert::Infallible;
use std::io::Cursor;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bastide_context::{Cx, Public};
use bastide_rpc::{
    Content, Dispatcher, FileError, Files, HttpEntry, HttpOptions, Problem, RawRequest,
    RawResponse, Registry, Route, Server, Service,
};
use bastide_telemetry::metrics;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, Request, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tempfile::TempDir;

use crate::sockets::{Answer, begin, send, serve, try_begin, with};

const OPEN: &str = "for tests";
const MAX: u64 = 2 << 30;

async fn app() -> (TempDir, Server, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::under(folder.path()).unwrap();
    let (serving, receiving) = (files.clone(), files);
    let service = Service::new("files", "1.0.0")
        .unwrap()
        .route(Route::get("/files/{*name}").public(OPEN).handler(
            move |_: Cx<Public>, request: RawRequest| {
                let files = serving.clone();
                async move { files.serve(request.head.member("name").unwrap()).await }
            },
        ))
        .route(
            Route::put("/files/{*name}")
                .public(OPEN)
                .within(Duration::from_secs(300))
                .handler(move |_: Cx<Public>, request: RawRequest| {
                    let files = receiving.clone();
                    async move {
                        let RawRequest { head, body } = request;
                        let max = if head.query() == "small" { 10 } else { MAX };
                        let name = head.member("name").unwrap();
                        let length = files.receive(name, body.stream(), max).await?;
                        RawResponse::json(&length)
                    }
                }),
        )
        .route(Route::get("/report").public(OPEN).handler(
            |_: Cx<Public>, _: RawRequest| async move {
                let report =
                    Content::bytes("text/csv", "0123456789").download("Bericht \"Ü\"\r\n.csv");
                let kept = HeaderValue::from_static("public, max-age=60");
                let response = RawResponse::content(report);
                Ok::<_, Problem>(response.field(header::CACHE_CONTROL, kept))
            },
        ))
        .route(Route::get("/reader").public(OPEN).handler(
            |_: Cx<Public>, _: RawRequest| async move {
                let reader = Cursor::new("0123456789");
                let content = Content::reader("text/plain", 10, reader)
                    .entity_tag("v\"7")
                    .modified(SystemTime::UNIX_EPOCH + Duration::from_millis(1_500));
                Ok::<_, Problem>(RawResponse::content(content))
            },
        ))
        .route(Route::get("/short").public(OPEN).handler(
            |_: Cx<Public>, _: RawRequest| async move {
                let content = Content::reader("text/plain", 11, Cursor::new("0123456789"));
                Ok::<_, Problem>(RawResponse::content(content))
            },
        ));
    let registry = Registry::new([service]).unwrap();
    let dispatcher = Dispatcher::new(registry, &metrics::Registry::new(), None).unwrap();
    let (server, address) = serve(HttpEntry::new(dispatcher.into(), HttpOptions::default())).await;
    (folder, server, address)
}

async fn get(address: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Answer {
    send(address, with("GET", path, fields, "")).await
}

#[tokio::test]
async fn s16_a_file_is_served_with_what_tells_its_state() {
    let (folder, _server, address) = app().await;
    std::fs::create_dir(folder.path().join("a b")).unwrap();
    std::fs::write(folder.path().join("a b/page.html"), "<p>hello</p>").unwrap();
    std::fs::write(folder.path().join("empty"), "").unwrap();
    let answer = get(address, "/files/a%20b/page.html", &[]).await;
    assert_eq!((answer.status, answer.text()), (200, "<p>hello</p>"));
    assert_eq!(answer.field("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.field("content-length"), "12");
    assert_eq!(answer.field("accept-ranges"), "bytes");
    assert_eq!(answer.field("cache-control"), "private, no-cache");
    assert_eq!(answer.field("x-content-type-options"), "nosniff");
    let (tag, modified) = (answer.field("etag"), answer.field("last-modified"));
    assert!(
        tag.len() > 10 && tag.starts_with('"') && tag.ends_with('"'),
        "{tag}"
    );
    for fields in [[("if-none-match", tag)], [("if-modified-since", modified)]] {
        let answer = get(address, "/files/a%20b/page.html", &fields).await;
        assert_eq!((answer.status, answer.body.len()), (304, 0), "{fields:?}");
        assert_eq!(answer.field("etag"), tag);
        assert_eq!(answer.field("content-type"), "");
    }
    let answer = get(
        address,
        "/files/a%20b/page.html",
        &[("if-match", "\"other\"")],
    )
    .await;
    assert_eq!(answer.status, 412);
    let head = send(
        address,
        with(
            "HEAD",
            "/files/a%20b/page.html",
            &[("range", "bytes=0-1")],
            "",
        ),
    )
    .await;
    assert_eq!(
        (head.status, head.field("content-length"), head.body.len()),
        (200, "12", 0)
    );
    let answer = get(address, "/files/empty", &[("range", "bytes=0-")]).await;
    assert_eq!((answer.status, answer.field("content-length")), (200, "0"));
    assert_eq!(answer.field("content-type"), "application/octet-stream");
    // Another file in its place is another state, even of the same length at the same time.
    let other = folder.path().join("a b/other");
    std::fs::write(&other, "<p>HELLO</p>").unwrap();
    std::fs::rename(other, folder.path().join("a b/page.html")).unwrap();
    assert_ne!(
        get(address, "/files/a%20b/page.html", &[])
            .await
            .field("etag"),
        tag
    );
}

#[tokio::test]
async fn s16_parts_of_a_file_are_served() {
    let (folder, _server, address) = app().await;
    let bytes: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
    std::fs::write(folder.path().join("numbers"), &bytes).unwrap();
    let whole = get(address, "/files/numbers", &[]).await;
    assert!(whole.body == bytes);
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=399999-2000000", 399_999, 2_000_000),
        ("bytes=3999990-", 3_999_990, 3_999_999),
        ("bytes=-5", 3_999_995, 3_999_999),
    ] {
        let answer = get(address, "/files/numbers", &[("range", range)]).await;
        assert_eq!(answer.status, 206, "{range}");
        assert_eq!(
            answer.field("content-range"),
            format!("bytes {first}-{last}/4000000")
        );
        assert!(answer.body == bytes[first..=last], "{range}");
    }
    let answer = get(address, "/files/numbers", &[("range", "bytes=4000000-")]).await;
    assert_eq!(
        (answer.status, answer.field("content-range")),
        (416, "bytes */4000000")
    );
    // Parts of what has changed would not fit together.
    let tag = whole.field("etag");
    for (if_range, status) in [(tag, 206), ("\"other\"", 200)] {
        let fields = [("range", "bytes=0-0"), ("if-range", if_range)];
        assert_eq!(get(address, "/files/numbers", &fields).await.status, status);
    }
    let several = get(
        address,
        "/files/numbers",
        &[("range", "bytes=0-1,200000-299999")],
    )
    .await;
    assert_eq!(several.status, 206);
    let boundary = several
        .field("content-type")
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let mut expected = Vec::new();
    for (range, part) in [
        ("0-1", &bytes[..2]),
        ("200000-299999", &bytes[200_000..300_000]),
    ] {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {range}/4000000\r\n\r\n"
        );
        expected.extend(head.bytes());
        expected.extend(part);
    }
    expected.extend(format!("\r\n--{boundary}--\r\n").bytes());
    assert!(several.body == expected);
    assert_eq!(several.field("content-length"), expected.len().to_string());
}

#[tokio::test]
async fn s16_content_that_is_no_file_is_served_the_same_way() {
    let (_folder, _server, address) = app().await;
    let answer = get(address, "/report", &[]).await;
    assert_eq!(
        (answer.text(), answer.field("content-type")),
        ("0123456789", "text/csv")
    );
    assert_eq!(answer.field("cache-control"), "public, max-age=60");
    assert_eq!(
        answer.field("content-disposition"),
        "attachment; filename=\"Bericht _____.csv\"; filename*=UTF-8''Bericht%20%22%C3%9C%22%0D%0A.csv"
    );
    let tag = answer.field("etag");
    assert_eq!(
        get(address, "/report", &[("if-none-match", tag)])
            .await
            .status,
        304
    );
    assert_eq!(
        get(address, "/report", &[("range", "bytes=3-5")])
            .await
            .text(),
        "345"
    );
    let several = get(address, "/report", &[("range", "bytes=0-0,-1")]).await;
    assert!(
        several.text().contains("\r\n\r\n0\r\n--") && several.text().contains("\r\n\r\n9\r\n--")
    );
    let answer = get(address, "/reader", &[("range", "bytes=-3")]).await;
    assert_eq!((answer.status, answer.text()), (206, "789"));
    assert_eq!(answer.field("etag"), "\"v7\"");
    assert_eq!(
        answer.field("last-modified"),
        "Thu, 01 Jan 1970 00:00:01 GMT"
    );
    // Shorter than it was said to be: what was cut looks cut.
    let response = try_begin(address, with("GET", "/short", &[], "")).await;
    let is_whole = match response {
        Ok(response) => response.into_body().collect().await.is_ok(),
        Err(_) => false,
    };
    assert!(!is_whole);
}

#[tokio::test]
async fn s16_no_request_reaches_what_is_outside_the_folder() {
    let (folder, _server, address) = app().await;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    std::fs::write(folder.path().join(".env"), "secret").unwrap();
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    symlink(outside.path(), folder.path().join("away")).unwrap();
    symlink(outside.path().join("secret"), folder.path().join("link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("pipe"), 0o600.into()).unwrap();
    let absolute = format!("/files/%2F{}/secret", outside.path().display());
    for (path, verdict) in [
        ("/files/../secret", (400, "file_name")),
        ("/files/%2e%2e/secret", (400, "file_name")),
        ("/files/sub/..%2f..%2fsecret", (400, "file_name")),
        ("/files/%00", (400, "file_name")),
        ("/files/.env", (400, "file_name")),
        (&absolute, (400, "file_name")),
        ("/files/away/secret", (404, "file_not_found")),
        ("/files/link", (404, "file_not_found")),
        ("/files/sub", (404, "file_not_found")),
        ("/files/sub/none", (404, "file_not_found")),
        ("/files/pipe", (404, "file_not_found")),
        ("/files/pipe/x", (404, "file_not_found")),
    ] {
        for verb in ["GET", "PUT"] {
            if verb == "PUT" && !path.contains("away") && verdict.0 == 404 {
                continue;
            }
            let (status, code) = send(address, with(verb, path, &[], "")).await.verdict();
            assert_eq!((status, code.as_str()), verdict, "{verb} {path}");
        }
    }
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn s16_an_upload_is_seen_once_it_is_whole() {
    let (folder, _server, address) = app().await;
    let answer = send(address, with("PUT", "/files/a.txt", &[], "first")).await;
    assert_eq!((answer.status, answer.text()), (200, "5"));
    assert_eq!(
        send(address, with("PUT", "/files/a.txt", &[], "second"))
            .await
            .status,
        200
    );
    assert_eq!(get(address, "/files/a.txt", &[]).await.text(), "second");
    let answer = send(
        address,
        with("PUT", "/files/b.txt?small", &[], "0123456789a"),
    )
    .await;
    assert_eq!(answer.verdict(), (413, "body_too_large".to_owned()));
    let answer = send(address, with("PUT", "/files/none/b.txt", &[], "x")).await;
    assert_eq!(answer.verdict(), (404, "file_not_found".to_owned()));
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let long = format!("/files/{}", "x".repeat(256));
    for path in ["/files/sub", &long] {
        let answer = send(address, with("PUT", path, &[], "x")).await;
        assert_eq!(answer.verdict(), (400, "file_name".to_owned()), "{path}");
    }
    assert_eq!(
        send(address, with("PUT", "/files/sub/b", &[], "x"))
            .await
            .status,
        200
    );
    assert_eq!(names(&folder.path().join("sub")), ["b"]);
    std::fs::remove_dir_all(folder.path().join("sub")).unwrap();
    assert_eq!(names(folder.path()), ["a.txt"]);

    // One that breaks off leaves nothing, and what was there stays.
    let half = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from("half")))]);
    let body = StreamBody::new(half.chain(stream::pending()));
    let request = Request::put("/files/a.txt").body(body).unwrap();
    let sending = tokio::spawn(async move { begin(address, request).await });
    let patience = Duration::from_secs(10);
    let has_names = async |count: usize| {
        let done = tokio::time::timeout(patience, async {
            while names(folder.path()).len() != count {
                tokio::task::yield_now().await;
            }
        });
        done.await.unwrap();
    };
    has_names(2).await;
    sending.abort();
    has_names(1).await;
    assert_eq!(get(address, "/files/a.txt", &[]).await.text(), "second");
}

#[tokio::test]
async fn s16_what_fails_while_an_upload_is_read_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::under(folder.path()).unwrap();
    let pieces = [Ok(Bytes::from("half")), Err(std::io::Error::other("gone"))];
    let error = files
        .receive("a", stream::iter(pieces), 100)
        .await
        .unwrap_err();
    assert!(matches!(error, FileError::Source(_)), "{error}");
    assert!(names(folder.path()).is_empty());
}

#[tokio::test]
async fn s15_a_download_that_nobody_takes_is_given_up() {
    let options = HttpOptions {
        write_timeout: Duration::from_millis(200),
        ..HttpOptions::default()
    };
    let (held, gone) = (Arc::new(()), Duration::from_secs(10));
    let given = held.clone();
    let endless =
        Route::get("/endless")
            .public(OPEN)
            .handler(move |_: Cx<Public>, _: RawRequest| {
                let given = given.clone();
                async move {
                    let pieces = stream::repeat_with(move || {
                        let holders = Arc::strong_count(&given) as u8;
                        Ok::<_, Infallible>(Bytes::from(vec![holders; 1 << 20]))
                    });
                    Ok::<_, Problem>(RawResponse::stream("text/plain", pieces))
                }
            });
    let registry = Registry::new([Service::new("any", "1.0.0").unwrap().route(endless)]).unwrap();
    let dispatcher = Dispatcher::new(registry, &metrics::Registry::new(), None).unwrap();
    let (_server, address) = serve(HttpEntry::new(dispatcher.into(), options)).await;
    // Takes the beginning, then nothing, and stays.
    let mut body = begin(address, with("GET", "/endless", &[], ""))
        .await
        .into_body();
    assert!(body.frame().await.unwrap().is_ok());
    assert_eq!(Arc::strong_count(&held), 3);
    let done = tokio::time::timeout(gone, async {
        while Arc::strong_count(&held) > 2 {
            tokio::task::yield_now().await;
        }
    });
    done.await.unwrap();
    drop(body);
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn s15_a_gigabyte_goes_in_and_out_in_constant_memory() {
    const GIGABYTE: u64 = 1 << 30;
    const PIECE: usize = 256 << 10;
    let (folder, _server, address) = app().await;
    let before = resident();
    let piece = Bytes::from(vec![7; PIECE]);
    let pieces = GIGABYTE / PIECE as u64;
    let pieces =
        stream::iter((0..pieces).map(move |_| Ok::<_, Infallible>(Frame::data(piece.clone()))));
    let request = Request::put("/files/large")
        .body(StreamBody::new(pieces))
        .unwrap();
    let answer = send(address, request).await;
    assert_eq!(
        (answer.status, answer.text()),
        (200, &*GIGABYTE.to_string())
    );
    assert_eq!(
        std::fs::metadata(folder.path().join("large"))
            .unwrap()
            .len(),
        GIGABYTE
    );
    let mut body = begin(address, with("GET", "/files/large", &[], ""))
        .await
        .into_body();
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        read += frame.unwrap().into_data().unwrap().len() as u64;
    }
    assert_eq!(read, GIGABYTE);
    // The highest that it ever was, client and server together.
    let grown = resident() - before;
    assert!(grown < 64 << 10, "{grown} KiB more");
}
