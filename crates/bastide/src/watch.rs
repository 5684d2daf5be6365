//! The level of the log follows the configuration's files, outside production.

use std::sync::Arc;
use std::time::Duration;

use bastide_telemetry::log::Adjustable;
use tokio::time::MissedTickBehavior;

use crate::error::StartError;
use crate::parts::Parts;

/// How soon a change that was read is in force.
const LOOK: Duration = Duration::from_millis(250);

/// Follows the files until the program ends. The configuration has been read before, so that its mistakes are known.
///
/// # Errors
/// If the files were changed since, and are wrong now.
pub(crate) fn follow(parts: &Arc<Parts>, log: Adjustable) -> Result<(), StartError> {
    let reader = parts.clone();
    let watched = parts.document.watch(move |fields| {
        let settings = reader.document.read_all(fields)?;
        Some(settings.log)
    })?;
    let mut before = parts.settings.log.clone();
    tokio::spawn(async move {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let now = watched.get();
            if *now == before {
                continue;
            }
            if now.level != before.level {
                log.set(&now.level);
                tracing::info!(
                    level = now.level.as_str(),
                    "the log's level follows the configuration"
                );
            }
            if (now.format, &now.redact) != (before.format, &before.redact) {
                tracing::warn!("log.format and log.redact are in force after the next start");
            }
            before = (*now).clone();
        }
    });
    Ok(())
}
