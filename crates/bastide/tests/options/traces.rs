//! Calls as spans of a collector.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use bastide_testkit::until;

use crate::shop::{PATIENCE, Setup, Shop, token};

/// Takes what is sent to it, and passes on each request, head and body.
fn collector() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, received) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let lower = head.to_ascii_lowercase();
            let length = lower
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |text| text.parse().unwrap())];
            reader.read_exact(&mut body).unwrap();
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            let request = head + &String::from_utf8_lossy(&body);
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (address, received)
}

#[test]
fn traces_go_to_the_collector_with_its_headers() {
    let (address, received) = collector();
    let text =
        "[traces]\ndelay = \"50ms\"\nheaders = {authorization = \"Bearer of-the-collector\"}\n";
    let shop = Setup::new(text)
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        .start();
    assert_eq!(shop.get_as(&token(), "/me").status, 200);
    let request = received.recv_timeout(PATIENCE).unwrap();
    assert!(request.contains("Bearer of-the-collector"), "{request}");
    for part in ["shop@1.0.0/me", "service.name", "1.2.3", "\"test\""] {
        assert!(request.contains(part), "{part} in {request}");
    }
}

#[test]
fn traces_ratio() {
    let start = |ratio: u8| {
        let (address, received) = collector();
        let text = format!("[traces]\ndelay = \"50ms\"\nendpoint = {address:?}\nratio = {ratio}\n");
        (Setup::new(&text).start(), received)
    };
    let ((none, of_none), (all, _of_all)) = (start(0), start(1));
    for shop in [&none, &all] {
        for _ in 0..20 {
            assert_eq!(shop.get_as(&token(), "/me").status, 200);
        }
    }
    let sent = |shop: &Shop| shop.metric("otlp_spans_total{outcome=\"exported\"}");
    assert!(until(PATIENCE, || sent(&all) >= 20.0));
    assert_eq!(sent(&none), 0.0);
    assert!(of_none.try_recv().is_err());
}
