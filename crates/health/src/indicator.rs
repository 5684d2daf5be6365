//! One thing a process depends on, and how it is asked.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::report::Check;
use crate::verdict::{Condition, Verdict};

type Asked = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// A named check with its rules.
///
/// Defaults: required, timeout 2 s, result given again for 1 s, unhealthy at the first failure, no limit on its latency.
pub struct Indicator {
    name: String,
    ask: Box<dyn Fn() -> Asked + Send + Sync>,
    required: bool,
    timeout: Duration,
    cache: Duration,
    slow: Option<Duration>,
    patience: u32,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    result: Option<(Instant, Check)>,
    failures: u32,
}

impl Indicator {
    /// A check called `name`. `ask` is run on the runtime that asks for the report.
    pub fn new<F>(name: impl Into<String>, ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Verdict> + Send + 'static,
    {
        Self {
            name: name.into(),
            ask: Box::new(move || Box::pin(ask())),
            required: true,
            timeout: Duration::from_secs(2),
            cache: Duration::from_secs(1),
            slow: None,
            patience: 1,
            last: Mutex::default(),
        }
    }

    /// The process can work without it.
    pub fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// No answer within this time is a failure.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// For how long a result is given again before the check is run again.
    pub fn cache_for(mut self, time: Duration) -> Self {
        self.cache = time;
        self
    }

    /// An answer that takes this long is degraded, whatever it says.
    pub fn degraded_at(mut self, latency: Duration) -> Self {
        self.slow = Some(latency);
        self
    }

    /// How many failures in a row make it unhealthy; before that it is degraded. At least 1.
    pub fn unhealthy_after(mut self, failures: u32) -> Self {
        self.patience = failures.max(1);
        self
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) async fn check(&self) -> (String, Check) {
        let asked_at = Instant::now();
        // Who comes while a run is under way waits here, and finds its result.
        let mut last = self.last.lock().await;
        if let Some((found_at, check)) = &last.result
            && (*found_at >= asked_at || found_at.elapsed() < self.cache)
        {
            return (self.name.clone(), check.clone());
        }
        let verdict = self.run().await;
        let latency = asked_at.elapsed();
        last.failures = match verdict.condition() {
            Condition::Unhealthy => last.failures.saturating_add(1),
            Condition::Healthy | Condition::Degraded => 0,
        };
        let verdict = self.judge(verdict, latency, last.failures);
        let check = Check::new(verdict, latency, self.required);
        last.result = Some((Instant::now(), check.clone()));
        (self.name.clone(), check)
    }

    async fn run(&self) -> Verdict {
        // A task of its own, so that a panic stays there; the set ends it when this future is dropped.
        let mut task = JoinSet::new();
        task.spawn((self.ask)());
        match tokio::time::timeout(self.timeout, task.join_next()).await {
            Ok(Some(Ok(verdict))) => verdict,
            Ok(_) => Verdict::unhealthy("the check failed to run"),
            Err(_) => Verdict::unhealthy(format!("no answer within {:?}", self.timeout)),
        }
    }

    fn judge(&self, verdict: Verdict, latency: Duration, failures: u32) -> Verdict {
        match verdict {
            Verdict::Unhealthy(why) if failures < self.patience => {
                Verdict::Degraded(format!("{why} (failure {failures} of {})", self.patience))
            }
            verdict => match self.slow {
                Some(slow) if latency >= slow => verdict.and(Verdict::Degraded(format!(
                    "answered only after {latency:.0?}"
                ))),
                _ => verdict,
            },
        }
    }
}

impl fmt::Debug for Indicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Indicator")
            .field("name", &self.name)
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}
