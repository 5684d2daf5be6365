//! The script on a real Redis with a clock that the test holds: against the window in memory, verdict by verdict, and
//! under a simulated fleet.

#[path = "../../../store/tests/support/mod.rs"]
mod support;

use std::cell::Cell;

use bastide_store::{RedisConnection, RedisOptions, RedisStore, RedisUrl, Script};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use smallvec::smallvec;

use super::wire::{self, Setting};
use crate::key::LimitKey;
use crate::lease::Lease;
use crate::message::{Reply, Request, RequestWindow, Status};
use crate::policy::{Policy, Rate, Window};
use crate::ring::{Geometry, Ring};
use crate::share::Nodes;
use crate::tally::{Geometries, Tally};
use support::PrivateRedis;

const START: u64 = 1_800_000_000_000_000;
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);

/// A server and a way to run the script on it at any time.
struct Bench {
    runtime: tokio::runtime::Runtime,
    connection: RedisConnection,
    script: Script,
    cases: Cell<u64>,
    _redis: PrivateRedis,
}

impl Bench {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let script = Script::new(wire::LEASE_SCRIPT);
        let (redis, connection) = runtime.block_on(async {
            let redis = PrivateRedis::start().await;
            let store = RedisStore::new(
                &RedisUrl::parse(&redis.url()).unwrap(),
                RedisOptions::default(),
            )
            .unwrap();
            let mut connection = store.connect(DEADLINE).await.unwrap();
            connection.load(&script, DEADLINE).await.unwrap();
            (redis, connection)
        });
        Self {
            runtime,
            connection,
            script,
            cases: Cell::new(0),
            _redis: redis,
        }
    }

    /// A limit that no case has used yet.
    fn fresh_key(&self) -> LimitKey {
        self.cases.set(self.cases.get() + 1);
        LimitKey::new("case", &self.cases.get().to_string())
    }

    fn ask(
        &self,
        time: u64,
        key: &LimitKey,
        windows: &[Window],
        cut: &[Geometry],
        request: &Request,
    ) -> Reply {
        let setting = Setting {
            prefix: "test",
            life: "life",
            probation: 0,
            grace: 0,
            time: Some(time),
        };
        let call = wire::call(&setting, key, windows, cut, request);
        let calls = [(&self.script, call)];
        let answer = self
            .runtime
            .block_on(self.connection.clone().run_all(&calls, DEADLINE))
            .unwrap();
        wire::reply(answer[0].as_ref().unwrap()).expect("the script's own form")
    }
}

fn one(windows: usize) -> Request {
    let part = RequestWindow::default();
    Request {
        must: 1,
        want: 1,
        room: u32::MAX,
        room_after: 0,
        nodes: 1,
        away: false,
        windows: smallvec![part; windows],
    }
}

fn rates() -> impl Strategy<Value = Rate> {
    prop_oneof![
        (1u32..30, 640u64..5_000).prop_map(|(limit, window_ms)| Rate::Window { limit, window_ms }),
        (1u32..20, 1u32..40).prop_map(|(rate, burst)| Rate::PerSecond {
            requests_per_second: rate,
            burst_size: Some(burst)
        }),
    ]
}

#[test]
fn g3_memory_and_redis_give_the_same_verdicts() {
    let bench = Bench::new();
    let steps = prop::collection::vec(prop_oneof![8 => 0u64..60_000, 1 => 0u64..3_000_000], 1..250);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 40,
        ..ProptestConfig::default()
    });
    let result = runner.run(
        &(rates(), steps, 0u64..10_000_000),
        |(rate, steps, offset)| {
            let key = bench.fresh_key();
            let windows = Policy::new(rate).unwrap().windows();
            let cut: Geometries = windows
                .iter()
                .map(|window| Geometry::new(window, 10_000))
                .collect();
            let mut rings: Vec<Ring> = cut
                .iter()
                .map(|geometry| Ring::new(geometry.longer_by_one()))
                .collect();
            let mut now = START + offset;
            for step in steps {
                now += step;
                let reply = bench.ask(now, &key, &windows, &cut, &one(windows.len()));
                for ring in &mut rings {
                    ring.advance(now);
                }
                let room = rings
                    .iter()
                    .zip(&windows)
                    .all(|(ring, window)| ring.total() < window.limit());
                prop_assert_eq!(reply.granted == 1, room, "at {} us", now - START);
                if room {
                    for ring in &mut rings {
                        ring.add(1);
                    }
                } else {
                    let opens = rings
                        .iter_mut()
                        .zip(&windows)
                        .map(|(ring, w)| ring.free_at(w.limit(), now).one);
                    prop_assert_eq!(reply.retry, opens.max().unwrap() - now);
                }
                for (ring, said) in rings.iter().zip(&reply.windows) {
                    prop_assert_eq!(ring.total(), said.used);
                }
            }
            Ok(())
        },
    );
    result.unwrap();
}

/// A node of the simulated fleet, with a clock of its own.
struct Node {
    lease: Lease,
    tally: Tally,
    offset: u64,
    /// The answer on its way: when it arrives, when the question was sent, and the answer unless lost.
    coming: Option<(u64, u64, Option<Reply>)>,
}

#[derive(Debug, Clone)]
struct Step {
    after: u64,
    node: usize,
    requests: u32,
    /// How long a message takes, each way, and whether the answer gets lost.
    way: u64,
    lost: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let after = prop_oneof![10 => 0u64..4_000, 2 => 0u64..40_000, 1 => 0u64..1_500_000];
    (
        after,
        0usize..3,
        0u32..12,
        0u64..9_000,
        prop::bool::weighted(0.05),
    )
        .prop_map(|(after, node, requests, way, lost)| Step {
            after,
            node,
            requests,
            way,
            lost,
        })
}

#[test]
fn g3_a_fleet_with_slow_and_lost_messages_never_exceeds_the_limit() {
    let bench = Bench::new();
    let total = Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 40,
        ..ProptestConfig::default()
    });
    let result = runner.run(
        &(rates(), prop::collection::vec(step(), 50..400)),
        |(rate, steps)| {
            let key = bench.fresh_key();
            let windows = Policy::new(rate).unwrap().windows();
            let cut: Geometries = windows
                .iter()
                .map(|window| Geometry::new(window, 10_000))
                .collect();
            let mut nodes: Vec<Node> = (0..3)
                .map(|index| Node {
                    lease: Lease::new(cut.clone()),
                    tally: Tally::new(&cut),
                    offset: 1 << (40 + index),
                    coming: None,
                })
                .collect();
            let mut admitted: Vec<u64> = Vec::new();
            let mut time = START;
            for step in steps {
                time += step.after;
                deliver(&mut nodes, time, &windows);
                let node = &mut nodes[step.node];
                let now = node.tally.advance(time - node.offset);
                let mut dry = 0;
                for _ in 0..step.requests {
                    if node.lease.spend(now) {
                        node.tally.add();
                        admitted.push(time);
                    } else {
                        dry += 1;
                    }
                }
                let asks = node.coming.is_none()
                    && (dry > 0 || node.lease.runs_low(now))
                    && node.lease.ask();
                if asks {
                    for _ in 0..dry {
                        node.lease.wait();
                    }
                    let request =
                        node.lease
                            .request(now, &mut node.tally, &windows, fleet(step.node), false);
                    (0..dry).for_each(|_| node.lease.leave());
                    let reply = bench.ask(time + step.way, &key, &windows, &cut, &request);
                    node.coming =
                        Some((time + 2 * step.way, now, Some(reply).filter(|_| !step.lost)));
                    // Redis's clock goes on, so what follows happens later.
                    time += step.way;
                }
            }
            total.set(total.get() + admitted.len());
            for window in &windows {
                let limit = window.limit() as usize;
                for pair in admitted.windows(limit + 1) {
                    prop_assert!(
                        pair[limit] - pair[0] >= window.length(),
                        "{:?} broken",
                        window
                    );
                }
            }
            Ok(())
        },
    );
    result.unwrap();
    assert!(
        total.get() > 1_000,
        "only {} admissions were seen",
        total.get()
    );
}

fn fleet(rank: usize) -> Nodes {
    Nodes {
        count: 3,
        rank: rank as u32,
    }
}

fn deliver(nodes: &mut [Node], time: u64, windows: &[Window]) {
    for (rank, node) in nodes.iter_mut().enumerate() {
        if node.coming.as_ref().is_none_or(|coming| coming.0 > time) {
            continue;
        }
        let Some((_, sent, reply)) = node.coming.take() else {
            continue;
        };
        let now = node.tally.advance(time - node.offset);
        match reply {
            Some(reply) => {
                assert_ne!(reply.status, Status::Lost, "nothing was lost");
                node.lease
                    .reply(sent, now, &node.tally, windows, fleet(rank), &reply);
            }
            None => node.lease.failed(now),
        }
    }
}
