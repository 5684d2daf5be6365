//! Connections over a gateway's life: its end and its changes cost no request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinHandle;

use crate::client::{Http2, run};
use crate::frames::{GOAWAY, NO_ERROR, Wire};
use crate::harness::wait::within;
use crate::harness::{Answer, Client, Gate, Request, Upstream, eventually};
use crate::memory;
use crate::scene::{Scene, one_worker};
use crate::upstream::Http2Upstream;

/// Clients that ask all the time, eight at once over each of so many connections, and connect again when told to go.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(scene: &Scene, connections: usize) -> Self {
        let (stop, answered) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let mut clients = Vec::new();
        for _ in 0..connections {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let (address, key) = (scene.gateway.public, scene.tenant.key.clone());
            clients.push(tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let client = Http2::connect(address).await;
                    let streams: Vec<_> = (0..8)
                        .map(|_| {
                            tokio::spawn(ask(
                                client.clone(),
                                key.clone(),
                                Arc::clone(&stop),
                                Arc::clone(&answered),
                            ))
                        })
                        .collect();
                    for stream in streams {
                        stream.await.expect("every request is answered");
                    }
                }
            }));
        }
        Self {
            stop,
            answered,
            clients,
        }
    }

    fn wait_for(&self, count: usize) {
        let target = self.answered.load(Ordering::SeqCst) + count;
        within(Duration::from_secs(30), "the load goes on", || {
            self.answered.load(Ordering::SeqCst) >= target
        });
    }

    /// Ends it; how many requests were answered.
    async fn finish(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await.expect("every request is answered");
        }
        self.answered.load(Ordering::SeqCst)
    }
}

/// Asks until it is to stop, or the connection takes no more.
async fn ask(client: Http2, key: String, stop: Arc<AtomicBool>, answered: Arc<AtomicUsize>) {
    while !stop.load(Ordering::SeqCst) {
        let request = client.request("POST", "/").header("x-api-key", &key);
        match client.try_call(request, "body").await {
            Ok(answer) => drop(answer.expect(200)),
            // Said before anybody acted on it: any client asks again elsewhere.
            Err(error) if error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR) => {
                return;
            }
            Err(error) => panic!("a request failed: {error}"),
        }
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_gateway_that_is_told_to_stop_under_load_fails_no_request() {
    let upstream = Http2Upstream::echo();
    let options = one_worker().arg("--drain-delay", "1500ms");
    let mut scene = Scene::with(options, &upstream.url(), "http2", json!(null));
    run(async {
        let load = Load::start(&scene, 4);
        load.wait_for(300);
        scene.gateway.terminate();
        within(
            Duration::from_secs(5),
            "the gateway says that it is not ready",
            || {
                Client::try_connect(scene.gateway.public)
                    .and_then(|mut client| client.try_call(&Request::get("/ready")))
                    .is_ok_and(|response| response.status == 503)
            },
        );
        println!("{} answered", load.finish().await);
    });
    assert!(scene.gateway.wait().success());
}

#[test]
fn connections_are_told_to_go_and_what_is_under_way_is_finished() {
    let gate = Gate::default();
    let upstream = {
        let gate = gate.clone();
        Upstream::start(move |_| Answer::text("fine").behind(&gate))
    };
    let mut scene = Scene::before(&upstream);
    let mut idle = Wire::connect(scene.gateway.public, &[]);
    run(async {
        let client = scene.connect().await;
        let request = scene.request(&client, "GET", "/");
        let (response, _) = client.open(request, true).await.unwrap();
        eventually("it is at the upstream", || upstream.in_flight() == 1);
        scene.gateway.terminate();
        let told = idle.wait(|frame| frame.kind == GOAWAY).expect("it is told");
        assert_eq!(told.code(), NO_ERROR);
        assert!(idle.wait(|_| false).is_none(), "and closed");
        gate.open();
        crate::client::read(response).await.unwrap().expect(200);
        assert_eq!(client.ended().await, Ok(()));
    });
    assert!(scene.gateway.wait().success());
}

#[test]
fn a_thousand_reloads_under_load_fail_no_request() {
    let upstream = Http2Upstream::echo();
    let scene = Scene::before_http2(&upstream);
    run(async {
        let load = Load::start(&scene, 2);
        load.wait_for(50);
        let mut admin = Client::connect(scene.gateway.admin);
        let mut warm = 0;
        for number in 0..1_000 {
            let path = format!("/admin/routes/{}", scene.route);
            let request = Request::new("PATCH", &path)
                .header("X-Admin-Key", crate::harness::ADMIN_KEY)
                .json(&json!({ "priority": number }));
            admin.call(&request).expect(200);
            if number == 200 {
                warm = memory::resident(scene.gateway.id());
            }
        }
        let answered = load.finish().await;
        let after = memory::resident(scene.gateway.id());
        println!("{answered} answered; {warm} KiB after 200 reloads, {after} at the end");
        assert!(
            after.saturating_sub(warm) < 8 * 1024,
            "from {warm} to {after} KiB"
        );
        assert_eq!(upstream.connections(), 1, "a reload costs no connection");
    });
}

#[test]
fn a_connection_without_a_request_is_told_to_go_when_its_time_is_over() {
    let upstream = Upstream::named("fine");
    let options = one_worker().arg("--keep-alive-timeout", "700ms");
    let scene = Scene::with(options, &upstream.url(), "http1", json!(null));
    run(async {
        let client = scene.connect().await;
        client.get("/", &scene.tenant.key).await.expect(200);
        let begun = Instant::now();
        assert_eq!(client.ended().await, Ok(()), "in order");
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_millis(500) && took < Duration::from_secs(8),
            "{took:?}"
        );
    });
}

#[test]
fn an_idle_connection_makes_room_for_another() {
    let upstream = Upstream::named("fine");
    let options = one_worker().arg("--max-connections", "1");
    let scene = Scene::with(options, &upstream.url(), "http1", json!(null));
    run(async {
        let client = scene.connect().await;
        client.get("/", &scene.tenant.key).await.expect(200);
        eventually("there is room for another", || {
            Client::try_connect(scene.gateway.public)
                .and_then(|mut client| client.try_call(&Request::get("/health")))
                .is_ok_and(|response| response.status == 200)
        });
        assert_eq!(client.ended().await, Ok(()), "in order");
    });
}
