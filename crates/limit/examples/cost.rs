//! What a decision costs: `cargo run --release -p bastide-limit --example cost [redis://HOST:PORT]`.
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bastide_limit::{
    Limit, LimitKey, Limiter, Policy, Rate, SharedOptions, clock, try_acquire_all,
};
use bastide_store::{RedisOptions, RedisStore, RedisUrl};

const ROUNDS: u32 = 5_000_000;

fn time(what: &str, mut decide: impl FnMut(u64) -> bool) {
    let mut best = f64::MAX;
    let mut admitted = 0u32;
    for _ in 0..3 {
        let start = Instant::now();
        admitted = (0..ROUNDS)
            .map(|_| u32::from(decide(black_box(clock::now()))))
            .sum();
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
    }
    println!(
        "{what:<44} {best:6.1} ns, {:.1} % admitted",
        f64::from(admitted) * 100.0 / f64::from(ROUNDS)
    );
}

fn policy(limit: u32, burst: Option<u32>) -> Policy {
    Policy::new(Rate::PerSecond {
        requests_per_second: limit,
        burst_size: burst,
    })
    .expect("in range")
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    time("reading the clock", |now| now > 0);
    let local = Limiter::local();
    let wide = local.handle(LimitKey::new("tenant", "wide"), &policy(900_000_000, None));
    time("local, admitted", |now| wide.try_acquire(now).is_admitted());
    let burst = local.handle(
        LimitKey::new("tenant", "burst"),
        &policy(400_000_000, Some(900_000_000)),
    );
    time("local, rate and burst, admitted", |now| {
        burst.try_acquire(now).is_admitted()
    });
    let narrow = local.handle(LimitKey::new("tenant", "narrow"), &policy(10, None));
    time("local, refused", |now| {
        narrow.try_acquire(now).is_admitted()
    });
    let three: [&Limit; 3] = [&wide, &burst, &wide];
    time("local, three limits, admitted", |now| {
        try_acquire_all(&three, now).is_some_and(|o| o.is_admitted())
    });

    if let Some(url) = std::env::args().nth(1) {
        let redis = RedisStore::new(&RedisUrl::parse(&url)?, RedisOptions::default())?;
        let (limiter, leasing) = Limiter::shared(redis, SharedOptions::default());
        tokio::spawn(leasing);
        while !limiter.is_connected() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let leased = limiter.handle(LimitKey::new("tenant", "wide"), &policy(900_000_000, None));
        let deciding = tokio::task::spawn_blocking(move || {
            let handle = tokio::runtime::Handle::current();
            // Lets demand be known, so that leases are as large as they become.
            for _ in 0..200_000 {
                handle.block_on(leased.acquire(clock::now()));
            }
            time("leased, admitted", |now| {
                leased.try_acquire(now).is_admitted()
            });
        });
        deciding.await?;
        let full = limiter.handle(LimitKey::new("tenant", "full"), &policy(10, None));
        tokio::task::spawn_blocking(move || {
            let handle = tokio::runtime::Handle::current();
            for _ in 0..100 {
                handle.block_on(full.acquire(clock::now()));
            }
            time("leased, refused", |now| full.try_acquire(now).is_admitted());
        })
        .await?;
    }
    Ok(())
}
