//! Maintenance mode: switches in the shared store that every node looks at.
//!
//! | key | value |
//! |---|---|
//! | `platform:maintenance` | `1` switches the whole platform |
//! | `platform:maintenance:tenants` | tenant ids, separated by commas |
//! | `platform:maintenance:routes` | route ids, separated by commas |
//!
//! The keys are plain, so that an operator can set them with any client of the store. When the store is gone every
//! switch is off: maintenance mode must not be what keeps a platform down.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bastide_store::{Store, StoreError};
use uuid::Uuid;

/// The platform's switch.
pub const PLATFORM_KEY: &str = "platform:maintenance";
/// Tenants that are switched off.
pub const TENANTS_KEY: &str = "platform:maintenance:tenants";
/// Routes that are switched off.
pub const ROUTES_KEY: &str = "platform:maintenance:routes";

/// How often the switches are looked at: a change is seen everywhere within a second.
const POLL: Duration = Duration::from_millis(400);

/// The page that is served when the operator gave none.
pub const DEFAULT_PAGE: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<title>Maintenance</title></head>\n<body><h1>Down for maintenance</h1><p>We will be back shortly.</p></body></html>\n";

/// The switches as they were last seen.
#[derive(Debug, Default)]
pub struct Maintenance {
    /// Whether any switch is on, so that the usual request looks at nothing else.
    any: AtomicBool,
    switches: ArcSwap<Switches>,
}

/// What is switched off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switches {
    /// Everything.
    pub platform: bool,
    /// These tenants.
    pub tenants: HashSet<Uuid>,
    /// These routes.
    pub routes: HashSet<Uuid>,
}

impl Maintenance {
    /// Whether anything at all is switched off.
    pub(crate) fn is_any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// What is switched off.
    pub fn switches(&self) -> Arc<Switches> {
        self.switches.load_full()
    }

    /// Takes over what the store holds.
    pub fn set(&self, switches: Switches) {
        if **self.switches.load() == switches {
            return;
        }
        tracing::warn!(
            platform = switches.platform,
            tenants = switches.tenants.len(),
            routes = switches.routes.len(),
            "maintenance mode changed"
        );
        let any = switches != Switches::default();
        self.switches.store(Arc::new(switches));
        self.any.store(any, Ordering::Release);
    }
}

impl Switches {
    /// Reads the values of the three keys. What is no id is left out: a typing error must not switch off the wrong thing.
    pub fn parse(platform: Option<&str>, tenants: Option<&str>, routes: Option<&str>) -> Self {
        let ids = |list: Option<&str>| {
            list.unwrap_or_default()
                .split(',')
                .filter_map(|id| Uuid::try_parse(id.trim()).ok())
                .collect()
        };
        Self {
            platform: platform.map(str::trim) == Some("1"),
            tenants: ids(tenants),
            routes: ids(routes),
        }
    }

    /// The values of the three keys; `None` where the key should not exist.
    pub fn values(&self) -> [Option<String>; 3] {
        let list = |ids: &HashSet<Uuid>| {
            let mut ids: Vec<_> = ids.iter().map(Uuid::to_string).collect();
            ids.sort_unstable();
            (!ids.is_empty()).then(|| ids.join(","))
        };
        [
            self.platform.then(|| "1".to_owned()),
            list(&self.tenants),
            list(&self.routes),
        ]
    }
}

/// The switches and the store that every node reads them from.
#[derive(Clone)]
pub struct Board {
    store: Store,
    seen: Arc<Maintenance>,
}

impl Default for Board {
    /// Switches in this process's memory.
    fn default() -> Self {
        Self::new(Store::memory(), Arc::default())
    }
}

impl Board {
    /// Switches in this store; what is read there is taken over by `seen`.
    pub fn new(store: Store, seen: Arc<Maintenance>) -> Self {
        Self { store, seen }
    }

    /// The switches as this node last saw them.
    pub fn switches(&self) -> Arc<Switches> {
        self.seen.switches()
    }

    /// Sets all switches, here at once and on every node within a second.
    pub async fn set(&self, switches: Switches) -> Result<(), StoreError> {
        let keys = self.store.raw();
        for (key, value) in [PLATFORM_KEY, TENANTS_KEY, ROUTES_KEY]
            .into_iter()
            .zip(switches.values())
        {
            match value {
                Some(value) => keys.set(key, value.as_bytes(), None).await?,
                None => {
                    keys.delete(key).await?;
                }
            }
        }
        self.seen.set(switches);
        Ok(())
    }

    /// Looks at the switches for ever.
    pub(crate) async fn follow(&self) {
        let mut tick = tokio::time::interval(POLL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            // What cannot be read is off.
            self.seen.set(self.read().await.unwrap_or_default());
        }
    }

    async fn read(&self) -> Result<Switches, StoreError> {
        let values = self
            .store
            .raw()
            .get_many(&[PLATFORM_KEY, TENANTS_KEY, ROUTES_KEY])
            .await?;
        let text = |index: usize| {
            let value = values.get(index)?.as_deref()?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        Ok(Switches::parse(
            text(0).as_deref(),
            text(1).as_deref(),
            text(2).as_deref(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_switches_the_platform_off() {
        for (value, on) in [
            (Some("1"), true),
            (Some("0"), false),
            (Some("true"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(Switches::parse(value, None, None).platform, on, "{value:?}");
        }
    }

    #[test]
    fn switches_read_back_as_they_were_written() {
        let [a, b] = [Uuid::now_v7(), Uuid::now_v7()];
        let switches = Switches {
            platform: true,
            tenants: [a, b].into(),
            routes: [b].into(),
        };
        let [platform, tenants, routes] = switches.values();
        assert_eq!(
            Switches::parse(platform.as_deref(), tenants.as_deref(), routes.as_deref()),
            switches
        );
        assert_eq!(Switches::default().values(), [None, None, None]);
    }

    #[test]
    fn what_is_no_id_switches_nothing_off() {
        assert_eq!(
            Switches::parse(None, Some("all, *, 1"), None),
            Switches::default()
        );
    }
}
