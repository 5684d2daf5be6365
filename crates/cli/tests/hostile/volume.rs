//! Much data in little memory.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use crate::harness::Request;
use crate::raw::{self, Server};
use crate::scene::{gateway_before, one_worker};
use crate::{harness, memory};

/// Each way: more than any cache on the way could hide.
const VOLUME: u64 = 10 * 1024 * 1024 * 1024;

/// How long that may take, on two slow cores and without optimisation.
const TIME: Duration = Duration::from_mins(4);

/// How much the gateway may grow by, in kibibytes.
const GROWTH: u64 = 20 * 1024;

const PIECE: usize = 256 * 1024;

/// Watches a gateway's memory from here to the end.
struct Watch {
    process: u32,
    before: u64,
    started: Instant,
}

impl Watch {
    fn start(gateway: &harness::Gateway) -> Self {
        let process = gateway.id();
        memory::forget_peak(process);
        Self {
            process,
            before: memory::resident(process),
            started: Instant::now(),
        }
    }

    /// Its figures, in words.
    #[track_caller]
    fn finish(self, what: &str) -> String {
        let (after, peak) = (memory::resident(self.process), memory::peak(self.process));
        let took = self.started.elapsed();
        assert!(
            peak.saturating_sub(self.before) < GROWTH,
            "{what}: grew from {} to {peak} KiB",
            self.before
        );
        assert!(took < TIME, "{what}: took {took:?}");
        format!(
            "{what}: {} KiB before, {peak} at most, {after} after, in {took:?}",
            self.before
        )
    }
}

/// Takes any upload and sends any download: `GET /N` answers N bytes, `POST` how many came.
fn warehouse() -> Server {
    Server::start(|mut stream, _| {
        let mut piece = vec![b'x'; PIECE];
        while let Ok(head) = raw::read_head(&mut stream) {
            let head = String::from_utf8_lossy(&head).to_lowercase();
            if let Some(length) = head
                .strip_prefix("get /")
                .and_then(|rest| rest.split(' ').next())
            {
                let mut left: u64 = length.parse().unwrap_or_default();
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n")?;
                while left > 0 {
                    let count = left.min(PIECE as u64);
                    stream.write_all(&piece[..count as usize])?;
                    left -= count;
                }
                continue;
            }
            let length = head
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.split("\r\n").next());
            let length: u64 = length
                .and_then(|length| length.parse().ok())
                .unwrap_or_default();
            let mut left = length;
            while left > 0 {
                left -= stream.read(&mut piece)? as u64;
            }
            let body = length.to_string();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )?;
        }
        Ok(())
    })
}

#[test]
fn a_large_upload_passes_in_constant_memory() {
    let server = warehouse();
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    gateway
        .call(&Request::post("/", "warm").key(&tenant.key))
        .expect(200);
    let watch = Watch::start(&gateway);
    let mut client = gateway.connect();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nContent-Length: {VOLUME}\r\n\r\n",
        tenant.key
    ));
    let piece = vec![b'x'; PIECE];
    for _ in 0..VOLUME / PIECE as u64 {
        client.send(&piece);
    }
    assert_eq!(client.read(false).expect(200).text(), VOLUME.to_string());
    println!("{}", watch.finish("an upload of 10 GiB"));
}

#[test]
fn a_large_download_passes_in_constant_memory() {
    let server = warehouse();
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    gateway
        .call(&Request::get("/5").key(&tenant.key))
        .expect(200);
    let watch = Watch::start(&gateway);
    let mut client = gateway.connect();
    client.send(Request::get(&format!("/{VOLUME}")).key(&tenant.key).bytes());
    assert_eq!(
        client.read_head().expect(200).number("content-length"),
        VOLUME
    );
    let mut stream = client.stream.get_ref().try_clone().unwrap();
    let mut left = VOLUME - client.stream.buffer().len() as u64;
    let mut piece = vec![0; PIECE];
    while left > 0 {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "{left} bytes are missing");
        left -= count as u64;
    }
    println!("{}", watch.finish("a download of 10 GiB"));
}

#[test]
fn a_stream_of_a_million_events_passes_in_constant_memory() {
    const EVENTS: usize = 1_000_000;
    let server = Server::start(|mut stream, _| {
        raw::read_head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        // 16 bytes each, 512 to a write.
        let events = b"10\r\ndata: an event\n\n\r\n".repeat(512);
        for _ in 0..EVENTS / 512 {
            stream.write_all(&events)?;
        }
        stream.write_all(b"0\r\n\r\n")
    });
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    gateway
        .admin("GET", "/admin/tenants", serde_json::Value::Null)
        .expect(200);
    let watch = Watch::start(&gateway);
    let mut client = gateway.connect();
    client.send(Request::get("/").key(&tenant.key).bytes());
    client.read_head().expect(200);
    let (body, _) = harness::response::read_chunked(&mut client.stream).unwrap();
    assert_eq!(body.len(), EVENTS / 512 * 512 * 16);
    println!("{}", watch.finish("a million events"));
}

#[test]
fn many_connections_at_once_cost_little_and_give_it_back() {
    let server = warehouse();
    let (gateway, tenant) = gateway_before(one_worker(), &server.url());
    gateway
        .call(&Request::get("/5").key(&tenant.key))
        .expect(200);
    let before = memory::resident(gateway.id());
    let mut clients: Vec<_> = (0..400).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client
            .call(&Request::get("/5").key(&tenant.key))
            .expect(200);
    }
    let with_idle = memory::resident(gateway.id());
    println!("400 idle connections: {before} KiB before, {with_idle} KiB with them");
    assert!(
        with_idle.saturating_sub(before) < GROWTH,
        "from {before} to {with_idle} KiB"
    );
}
