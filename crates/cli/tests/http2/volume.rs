//! Much data over HTTP/2 in little memory.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;

use crate::client::{run, send};
use crate::frames::{WINDOW_UPDATE, Wire};
use crate::harness::eventually;
use crate::harness::wait::{pause, within};
use crate::memory;
use crate::scene::{Scene, one_worker};
use crate::upstream::{Exchange, Http2Upstream};

/// Each way.
const VOLUME: u64 = 1024 * 1024 * 1024;

/// How much the gateway may grow by, in kibibytes.
const GROWTH: u64 = 20 * 1024;

const PIECE: usize = 64 * 1024;

/// Takes any upload and sends any download.
fn warehouse() -> Http2Upstream {
    Http2Upstream::start(async |mut exchange: Exchange| {
        if exchange.parts.method == "GET" {
            let mut stream = exchange.begin(http::Response::builder());
            let piece = Bytes::from(vec![b'x'; PIECE]);
            for _ in 0..VOLUME / PIECE as u64 {
                if send(&mut stream, piece.clone(), false).await.is_err() {
                    return;
                }
            }
            stream.send_data(Bytes::new(), true).ok();
        } else {
            let mut count = 0;
            while let Some(Ok(data)) = exchange.body.data().await {
                count += data.len();
                exchange
                    .body
                    .flow_control()
                    .release_capacity(data.len())
                    .ok();
            }
            exchange.answer(200, &count.to_string());
        }
    })
}

#[test]
fn a_gibibyte_each_way_in_constant_memory() {
    let upstream = warehouse();
    // What the allocator keeps for a while is not what a body takes.
    let options = one_worker().env("MIMALLOC_PURGE_DELAY", "0");
    let scene = Scene::with(options, &upstream.url(), "http2", json!(null));
    let process = scene.gateway.id();
    run(async {
        let client = scene.connect().await;
        client
            .call(scene.request(&client, "POST", "/"), "warm")
            .await
            .expect(200);
        memory::forget_peak(process);
        let (before, begun) = (memory::resident(process), Instant::now());

        let request = scene.request(&client, "POST", "/");
        let (response, mut stream) = client.open(request, false).await.unwrap();
        let piece = Bytes::from(vec![b'x'; PIECE]);
        for _ in 0..VOLUME / PIECE as u64 {
            send(&mut stream, piece.clone(), false).await.unwrap();
        }
        stream.send_data(Bytes::new(), true).unwrap();
        let answer = crate::client::read(response).await.unwrap().expect(200);
        assert_eq!(answer.text(), VOLUME.to_string());
        let up = begun.elapsed();

        let request = scene.request(&client, "GET", "/");
        let (response, _) = client.open(request, true).await.unwrap();
        let mut body = response.await.unwrap().into_body();
        let mut count = 0;
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            count += data.len() as u64;
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        assert_eq!(count, VOLUME);
        let (after, peak) = (memory::resident(process), memory::peak(process));
        let took = begun.elapsed();
        println!(
            "up in {up:?}, both in {took:?}; {before} KiB before, {peak} at most, {after} after"
        );
        assert!(
            peak.saturating_sub(before) < GROWTH,
            "from {before} to {peak} KiB"
        );
        assert!(took < Duration::from_secs(110), "{took:?}");
    });
}

/// What one connection may make the gateway keep, in kibibytes: its streams, times what each of them may hold.
const ONE_CONNECTION: u64 = 40 * 1024;

#[test]
fn clients_that_open_all_streams_and_read_nothing_hold_a_bounded_part_of_the_memory() {
    const CONNECTIONS: u64 = 4;
    let upstream = warehouse();
    let options = one_worker().env("MIMALLOC_PURGE_DELAY", "0");
    let scene = Scene::with(options, &upstream.url(), "http2", json!(null));
    let process = scene.gateway.id();
    run(async {
        let client = scene.connect().await;
        client
            .call(scene.request(&client, "POST", "/"), "warm")
            .await
            .expect(200);
        memory::forget_peak(process);
        let before = memory::resident(process);
        let block = crate::frames::request("GET", "/", &[("x-api-key", &scene.tenant.key)]);
        let held: Vec<Wire> = (0..CONNECTIONS)
            .map(|number| {
                // One half promises to take all that there can be and reads nothing; the other half does not even promise.
                let window = if number % 2 == 0 { (1 << 31) - 1 } else { 0 };
                // SETTINGS_INITIAL_WINDOW_SIZE
                let mut wire = Wire::connect(scene.gateway.public, &[(4, window)]);
                let rest: u32 = (1 << 31) - 1 - 65_535;
                wire.send(WINDOW_UPDATE, 0, 0, &rest.to_be_bytes()).unwrap();
                for number in 0..100 {
                    wire.send_headers(2 * number + 1, true, &block).unwrap();
                }
                wire
            })
            .collect();
        let wanted = 100 * CONNECTIONS as usize;
        eventually("all are under way", || upstream.in_flight() >= wanted);
        // Until nothing more is taken from the upstream.
        let mut last = 0;
        within(Duration::from_secs(30), "it comes to rest", || {
            pause(Duration::from_secs(1));
            let now = memory::resident(process);
            std::mem::replace(&mut last, now).abs_diff(now) < 64
        });
        let peak = memory::peak(process);
        println!("{before} KiB before, {peak} at most");
        drop(held);
        assert!(
            peak.saturating_sub(before) < CONNECTIONS * ONE_CONNECTION,
            "from {before} to {peak} KiB"
        );
    });
}
