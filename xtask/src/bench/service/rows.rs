//! Figures of subjects as a table, with ratios to the first of them.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::load::Figures;
use super::super::table::median;

/// A run of a subject: the figures, and what the database took for a request.
type Round = (Figures, Duration);

#[derive(Default)]
pub(super) struct Rows(Vec<(&'static str, Vec<Round>)>);

impl Rows {
    pub(super) fn add(&mut self, name: &'static str, figures: Figures, in_database: Duration) {
        let round = (figures, in_database);
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, rounds)) => rounds.push(round),
            None => self.0.push((name, vec![round])),
        }
    }

    /// Medians over the rounds; ratios are taken within a round.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::from(
            "| | requests/s | p50 ms | p99 ms | CPU us/request | x first | database us/request | x first, with database | RSS MB | failed |\n\
             |---|---|---|---|---|---|---|---|---|---|\n",
        );
        let Some((_, first)) = self.0.first() else {
            return text;
        };
        for (name, rounds) in &self.0 {
            let pairs: Vec<(Round, Round)> =
                rounds.iter().copied().zip(first.iter().copied()).collect();
            let ratio = |cost: fn(&Round) -> Duration| {
                median(&pairs, |(own, first)| {
                    cost(own).div_duration_f64(cost(first))
                })
            };
            writeln!(
                text,
                "| {name} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {:.2} | {:.1} | {} |",
                median(rounds, |(figures, _)| figures.requests_per_second),
                median(rounds, |(figures, _)| millis(figures.p50)),
                median(rounds, |(figures, _)| millis(figures.p99)),
                median(rounds, |(figures, _)| micros(figures.cpu_per_request)),
                ratio(|(figures, _)| figures.cpu_per_request),
                median(rounds, |(_, in_database)| micros(*in_database)),
                ratio(|(figures, in_database)| figures.cpu_per_request + *in_database),
                median(rounds, |(figures, _)| figures.resident_bytes as f64 / 1e6),
                rounds
                    .iter()
                    .map(|(figures, _)| figures.failed)
                    .sum::<u64>(),
            )
            .expect("writing to a string cannot fail");
        }
        text
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
