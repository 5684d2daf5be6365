//! Prints what a pick, a finished request and a retry decision cost on this machine, uncontended.
//!
//! `cargo run --release -p bastide-resilience --example pick_cost`
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bastide_resilience::backoff::Backoff;
use bastide_resilience::balance::{Balancer, Load, Strategy};
use bastide_resilience::budget::{Budget, BudgetConfig};

const TURNS: u64 = 2_000_000;

/// Nanoseconds per call: the best of five rounds, which is the one least disturbed by others on the machine.
fn nanos(mut call: impl FnMut(u64)) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        for turn in 0..TURNS {
            call(turn);
        }
        best = best.min(start.elapsed().as_nanos() as f64 / TURNS as f64);
    }
    best
}

/// A cheap, evenly spread sequence, so that the generator does not count.
fn random(turn: u64) -> u64 {
    turn.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn main() {
    println!("| ns per pick | 1 endpoint | 3 | 64 | 3, one down |\n|---|---|---|---|---|");
    for strategy in Strategy::ALL {
        print!("| {} |", strategy.name());
        for (count, down) in [(1, usize::MAX), (3, usize::MAX), (64, usize::MAX), (3, 1)] {
            let weights: Vec<u32> = (1..=count).collect();
            let balancer = Balancer::new(strategy, &weights);
            let loads: Vec<Load> = weights.iter().map(|_| Load::default()).collect();
            for (load, millis) in loads.iter().zip(5..) {
                for _ in 0..40 {
                    load.finish(Some(Duration::from_millis(millis)), true, 0);
                }
            }
            let cost = nanos(|turn| {
                let available = |endpoint| black_box(endpoint) != down;
                black_box(balancer.pick(
                    available,
                    |endpoint| &loads[endpoint],
                    random(turn),
                    turn / 4,
                ));
            });
            print!(" {cost:.1} |");
        }
        println!();
    }

    let load = Load::default();
    let finish = nanos(|turn| {
        load.start();
        load.finish(
            Some(Duration::from_nanos(random(turn) >> 40)),
            true,
            turn * 10,
        );
    });
    let budget = Budget::new(BudgetConfig {
        min_per_second: 1_000_000,
        ..BudgetConfig::default()
    });
    let deposit = nanos(|turn| budget.deposit(turn));
    let granted = nanos(|turn| _ = black_box(budget.withdraw(turn)));
    let spent = Budget::new(BudgetConfig {
        min_per_second: 0,
        percent: 0,
        ..BudgetConfig::default()
    });
    let refused = nanos(|turn| _ = black_box(spent.withdraw(turn)));
    let active = nanos(|_| drop(black_box(budget.begin())));
    let backoff = Backoff::default();
    let delay = nanos(|turn| _ = black_box(backoff.delay(turn as u32 & 7, random(turn))));
    println!();
    println!("load: start and finish {finish:.1} ns");
    println!(
        "budget: deposit {deposit:.1} ns; withdraw {granted:.1} ns granted, {refused:.1} ns refused"
    );
    println!("budget: begin and end {active:.1} ns");
    println!("backoff: delay {delay:.1} ns");
}
