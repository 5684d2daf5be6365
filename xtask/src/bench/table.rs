//! Figures as a Markdown table, with ratios to the first row.

use std::fmt::Write as _;

use super::load::Figures;

/// Rows of a benchmark; the first is what the others are compared with.
#[derive(Default)]
pub(crate) struct Table(Vec<(String, Vec<Figures>)>);

impl Table {
    /// Adds a round of a subject.
    pub(crate) fn add(&mut self, name: &str, figures: Figures) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, rounds)) => rounds.push(figures),
            None => self.0.push((name.to_owned(), vec![figures])),
        }
    }

    /// Medians over the rounds.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "| | requests/s | p50 ms | p99 ms | CPU us/request | x nginx | RSS MB | failed |\n|---|---|---|---|---|---|---|---|\n",
        );
        let cpu = |rounds: &[Figures]| median(rounds, |f| f.cpu_per_request.as_secs_f64() * 1e6);
        let base = self.0.first().map_or(1.0, |(_, rounds)| cpu(rounds));
        for (name, rounds) in &self.0 {
            writeln!(
                text,
                "| {name} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} | {} |",
                median(rounds, |f| f.requests_per_second),
                median(rounds, |f| f.p50.as_secs_f64() * 1e3),
                median(rounds, |f| f.p99.as_secs_f64() * 1e3),
                cpu(rounds),
                cpu(rounds) / base,
                median(rounds, |f| f.resident_bytes as f64 / 1e6),
                rounds.iter().map(|f| f.failed).sum::<u64>(),
            )
            .expect("writing to a string cannot fail");
        }
        text
    }
}

/// The middle one of these values.
pub(super) fn median<T>(rounds: &[T], value: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
