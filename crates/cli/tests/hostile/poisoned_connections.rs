//! Upstream connections that carry more than they should: whatever comes on them between responses belongs to nobody.

use std::time::Duration;

use crate::harness::upstream::Step;
use crate::harness::wait::pause;
use crate::harness::{Answer, Response};
use crate::raw;
use crate::scene::Scene;

const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

/// The gap in which what comes late is on its way.
const GAP: Duration = Duration::from_millis(60);

/// Answers `/bad` with `answer` and, with or without a gap, more; the next request must not get to see it.
#[track_caller]
fn assert_not_reused(
    method: &str,
    answer: &'static str,
    more: &'static str,
    status: u16,
    body: &str,
) {
    let scene = Scene::new(|_| Answer::text("fine"));
    for late in [false, true] {
        let steps = if late {
            vec![
                Step::Send(answer.into()),
                Step::Pause(GAP / 3),
                Step::Send(more.into()),
            ]
        } else {
            vec![Step::Send([answer, more].concat().into_bytes())]
        };
        scene.upstream.set(move |request| match request.path() {
            "/bad" => Answer::script(steps.clone()),
            _ => Answer::text("fine"),
        });
        for _ in 0..3 {
            let mut client = scene.gateway.connect();
            let response = client.call(&scene.request(method, "/bad"));
            assert_eq!(
                (response.status, response.text().as_str()),
                (status, body),
                "late: {late}"
            );
            if late {
                pause(GAP);
            }
            let response = client.call(&scene.request("GET", "/good"));
            assert_eq!(
                (response.status, response.text().as_str()),
                (200, "fine"),
                "late: {late}"
            );
        }
    }
}

#[test]
fn bytes_behind_a_length_are_nobodys() {
    assert_not_reused(
        "GET",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        EVIL,
        200,
        "ok",
    );
}

#[test]
fn bytes_behind_the_last_chunk_are_nobodys() {
    assert_not_reused(
        "GET",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        EVIL,
        200,
        "ok",
    );
}

#[test]
fn a_body_behind_a_response_to_head_is_nobodys() {
    assert_not_reused(
        "HEAD",
        "HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n",
        EVIL,
        200,
        "",
    );
}

#[test]
fn a_body_behind_204_is_nobodys() {
    assert_not_reused("GET", "HTTP/1.1 204 No Content\r\n\r\n", EVIL, 204, "");
}

#[test]
fn a_204_that_announces_a_body_ends_its_connection() {
    let scene = Scene::new(|request| match request.path() {
        "/bad" => Answer::raw("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
        _ => Answer::text("fine"),
    });
    let response = scene.get("/bad");
    assert_eq!(
        (response.status, response.headers("content-length").len()),
        (204, 0)
    );
    assert_eq!(scene.get("/").expect(200).text(), "fine");
    assert_eq!(
        scene.upstream.connections(),
        2,
        "the body may be on its way"
    );
}

#[test]
fn a_body_behind_304_is_nobodys() {
    assert_not_reused(
        "GET",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 44\r\n\r\n",
        EVIL,
        304,
        "",
    );
}

#[test]
fn a_server_that_says_408_and_closes_answers_nobody() {
    let late = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_not_reused(
        "GET",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        late,
        200,
        "ok",
    );
}

#[test]
fn a_final_response_behind_a_final_response_is_nobodys() {
    let scene = Scene::new(|request| match request.path() {
        "/bad" => Answer::raw(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{EVIL}{EVIL}"
        )),
        _ => Answer::text("fine"),
    });
    // Pipelined, so that the second request is there when the first response ends.
    let key = &scene.tenant.key;
    let bytes: String = ["/bad", "/good", "/bad", "/good"]
        .map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"))
        .concat();
    let mut client = scene.gateway.connect();
    client.send(bytes);
    let bodies: Vec<_> = (0..4).map(|_| client.read(false).text()).collect();
    assert_eq!(bodies, ["ok", "fine", "ok", "fine"]);
}

#[test]
fn head_and_304_keep_the_length_and_have_no_body() {
    let scene = Scene::new(|request| match request.path() {
        "/304" => {
            Answer::raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n")
        }
        "/chunked" => Answer::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        "/none" => Answer::raw("HTTP/1.1 200 OK\r\n\r\n"),
        _ => Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    });
    let request = |method: &str, path: &str| scene.request(method, path).bytes();
    let bytes = [
        request("HEAD", "/length"),
        request("GET", "/304"),
        request("HEAD", "/chunked"),
        request("HEAD", "/none"),
        request("HEAD", "/length"),
    ]
    .concat();
    let mut client = scene.gateway.connect();
    client.send(bytes);
    let heads: Vec<Response> = (0..5).map(|_| client.read(true)).collect();
    let lengths: Vec<_> = heads
        .iter()
        .map(|head| head.header("content-length"))
        .collect();
    assert_eq!(
        lengths,
        [Some("5"), Some("5"), None, None, Some("5")],
        "{heads:?}"
    );
    assert_eq!(heads[1].status, 304);
}

#[test]
fn connection_close_is_obeyed_and_costs_no_request() {
    let scene = Scene::new(|_| Answer::text("fine").header("Connection", "close"));
    let mut client = scene.gateway.connect();
    for number in 1..=50 {
        let method = if number % 2 == 0 { "GET" } else { "POST" };
        assert_eq!(
            client
                .call(&scene.request(method, "/").body("x"))
                .expect(200)
                .text(),
            "fine"
        );
        assert_eq!(
            scene.upstream.connections(),
            number,
            "the upstream said that it closes"
        );
    }
}

#[test]
fn an_upstream_of_http_1_0_is_asked_once_per_connection_unless_it_keeps_it() {
    for (connection, expected) in [("", 3), ("Connection: keep-alive\r\n", 1)] {
        let scene = Scene::new(move |_| {
            Answer::raw(format!(
                "HTTP/1.0 200 OK\r\n{connection}Content-Length: 2\r\n\r\nok"
            ))
        });
        for _ in 0..3 {
            assert_eq!(scene.get("/").expect(200).text(), "ok");
        }
        assert_eq!(scene.upstream.connections(), expected, "{connection:?}");
    }
}

#[test]
fn a_client_that_leaves_mid_response_does_not_leave_it_to_the_next() {
    let scene = Scene::new(|request| match request.path() {
        "/long" => Answer::script([
            Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nlong".to_vec()),
            Step::Pause(GAP),
            Step::Send(b"long".to_vec()),
        ]),
        _ => Answer::text("fine"),
    });
    for _ in 0..10 {
        let mut client = scene.gateway.connect();
        client.send(scene.request("GET", "/long").bytes());
        client.read_head();
        drop(client);
        assert_eq!(scene.get("/good").expect(200).text(), "fine");
    }
    // None of them may be answered by what an earlier one left behind.
    let bytes = scene
        .request("GET", "/good")
        .header("Connection", "close")
        .bytes();
    let (bytes, _) = raw::exchange(scene.gateway.public, &bytes, raw::PATIENCE);
    assert_eq!(raw::statuses(&bytes), [200]);
}
