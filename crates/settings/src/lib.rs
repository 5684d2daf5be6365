//! Settings that change while a program runs: typed in its code, kept in its database, the same in every process within a second.
//!
//! A [`Setting`] is a constant with a key, a type, a default and a rule. [`Settings::get`] reads it from memory; [`Settings::set`]
//! changes it, and writes down who did, when, from what to what. [`Settings::service`] does the same for administrators over RPC.
//!
//! # Invariants
//! - **Reading waits for nothing**: one atomic load and one look into a map. A database that is away changes nothing.
//! - **A change is seen everywhere within a second**, on Postgres by a notification with a poll behind it, on `SQLite` by a look
//!   at the file's change counter; in the process that made it when [`Settings::set`] returns.
//! - **No value that the code refuses is ever in force**, also one that somebody wrote into the table by hand: the last good one
//!   stays, or the default, with a warning and in [`Settings::problems`].
//! - **Changes are in one order.** Each makes a version of its setting, and a row of history in the same transaction; who names the
//!   version that was seen does not overwrite what came later.
//!
//! # What it deliberately does not do
//! No secrets and no addresses: what a program needs to start, and what must not be shown, is its configuration's. No values for
//! single tenants. No setting that is not stated in code: rows of other programs in the same table are left alone.
//!
//! # Example
//! ```
//! use bastide_db::Database;
//! use bastide_settings::{MIGRATIONS, Setting, Settings};
//!
//! const MAX_UPLOAD: Setting<u64> = Setting::new("uploads.max_mb", 100)
//!     .range(1..=10_000)
//!     .describe("The largest upload, in megabytes.");
//! const BETA: Setting<bool> = Setting::new("beta", false);
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let database = Database::open("sqlite::memory:")?;
//! MIGRATIONS.migrate(&database).await?;
//! let settings = Settings::open(&database, &[&MAX_UPLOAD, &BETA]).await?;
//! assert_eq!(settings.get(&MAX_UPLOAD), 100);
//! assert!(!settings.get(&BETA));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod error;
mod kind;
mod service;
mod setting;
mod settings;
mod table;

pub use error::{Result, SettingsError};
pub use kind::{Kind, Ranged};
pub use setting::{Declared, Setting};
pub use settings::{BadValue, InForce, Settings};
pub use table::{Change, MIGRATIONS, grant};
