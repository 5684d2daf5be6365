//! What `/readyz` looks at: the standard indicators as configured, the parts that are in use, and the program's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bastide_health::{Health, Indicator, Verdict, memory, runtime_lag};

use crate::app::App;

/// The health of the program, and what says that it takes calls.
#[derive(Debug)]
pub(crate) struct Readiness {
    pub(crate) health: Arc<Health>,
    pub(crate) started: Arc<AtomicBool>,
}

impl Readiness {
    /// Of the parts that are in use by now.
    pub(crate) fn of(app: &mut App) -> Self {
        let started = Arc::new(AtomicBool::new(false));
        let health = Arc::new(health(app, &started));
        Self { health, started }
    }
}

fn health(app: &mut App, started: &Arc<AtomicBool>) -> Health {
    let parts = app.parts.clone();
    let settings = &parts.settings.health;
    let configured = |indicator: Indicator| {
        indicator
            .timeout(settings.timeout)
            .cache_for(settings.cache_ttl)
    };
    let started = started.clone();
    let start = Indicator::new("start", move || {
        let has_started = started.load(Ordering::Acquire);
        async move {
            if has_started {
                Verdict::Healthy
            } else {
                Verdict::unhealthy("the program is starting")
            }
        }
    });
    let mut health = Health::new(parts.program.version)
        .with(start.cache_for(std::time::Duration::ZERO))
        .with(configured(runtime_lag(settings.runtime_lag)));
    if let Some(thresholds) = settings.memory {
        health = health.with(configured(memory(thresholds)));
    }
    if let Some(database) = parts.used_database() {
        let database = database.clone();
        health = health.with(configured(Indicator::new("database", move || {
            let database = database.clone();
            // Why is for the log: an address or a role is nobody's to know.
            async move { asked("database", database.ping().await) }
        })));
    }
    if let Some(store) = parts.used_store() {
        let store = store.clone();
        let indicator = configured(Indicator::new("store", move || {
            let store = store.clone();
            async move { asked("store", store.ping().await) }
        }));
        // Caches and limits help themselves for a while: that is no reason to send callers away.
        health = health.with(if parts.needs_store() {
            indicator
        } else {
            indicator.optional()
        });
    }
    std::mem::take(&mut app.indicators)
        .into_iter()
        .fold(health, Health::with)
}

fn asked<E: std::fmt::Display>(what: &'static str, answer: Result<(), E>) -> Verdict {
    match answer {
        Ok(()) => Verdict::Healthy,
        Err(error) => {
            tracing::warn!(%error, part = what, "does not answer");
            Verdict::unhealthy("it does not answer")
        }
    }
}
