//! Steps with names, times and outcomes, and the summary at the end.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::interrupt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed,
    Skipped(&'static str),
}

/// What was done so far. A failed step does not keep the others from running: one run shows all that is wrong.
#[derive(Debug, Default)]
pub(crate) struct Steps(Vec<(String, Outcome, Duration)>);

impl Steps {
    /// Runs a step; `Ok(false)` and errors are failures, the latter printed. Nothing is run after an interrupt.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> anyhow::Result<bool>) -> bool {
        if interrupt::was_asked() {
            self.skip(name, "interrupted");
            return false;
        }
        eprintln!("\n== {name}");
        let begun = Instant::now();
        let passed = step().unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            false
        });
        let outcome = if passed {
            Outcome::Passed
        } else {
            Outcome::Failed
        };
        self.0.push((name.to_owned(), outcome, begun.elapsed()));
        passed
    }

    /// Runs a command as a step.
    pub(crate) fn command(&mut self, name: &str, command: &mut Command) -> bool {
        self.run(name, || Ok(interrupt::run(command)?.success()))
    }

    /// Notes that a step was not run, and why.
    pub(crate) fn skip(&mut self, name: &str, why: &'static str) {
        self.0
            .push((name.to_owned(), Outcome::Skipped(why), Duration::ZERO));
    }

    /// Prints the summary; whether nothing failed.
    pub(crate) fn finish(self) -> bool {
        let width = self
            .0
            .iter()
            .map(|(name, ..)| name.len())
            .max()
            .unwrap_or(0);
        let total: Duration = self.0.iter().map(|(.., time)| *time).sum();
        eprintln!("\n== summary");
        for (name, outcome, time) in &self.0 {
            let seconds = time.as_secs_f64();
            match outcome {
                Outcome::Passed => eprintln!("  {name:width$}  passed   {seconds:7.1} s"),
                Outcome::Failed => eprintln!("  {name:width$}  FAILED   {seconds:7.1} s"),
                Outcome::Skipped(why) => eprintln!("  {name:width$}  skipped  ({why})"),
            }
        }
        let failed = self
            .0
            .iter()
            .filter(|(_, outcome, _)| *outcome == Outcome::Failed)
            .count();
        let verdict = match (interrupt::was_asked(), failed) {
            (true, _) => "interrupted".to_owned(),
            (false, 0) => "all passed".to_owned(),
            (false, failed) => format!("{failed} failed"),
        };
        eprintln!("  {verdict} in {:.1} s", total.as_secs_f64());
        failed == 0
    }
}
