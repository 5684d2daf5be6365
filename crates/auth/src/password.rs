//! Passwords, by argon2id.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use bastide_config::Secret;
use tokio::sync::Semaphore;

/// Hashes and checks passwords. Share it by `Arc`.
///
/// Each takes about 20 ms of a core and 19 MiB (argon2id with `m=19456, t=2, p=1`, as the OWASP Password Storage Cheat Sheet
/// has it). It runs on threads of its own kind, at most as many at a time as there are cores; who waits longer than two
/// seconds is turned away, so that a flood of sign-ins costs others nothing.
#[derive(Debug)]
pub struct Passwords {
    params: Params,
    permits: Arc<Semaphore>,
    /// What is checked where there is no user, so that the answer takes as long.
    nobody: String,
    checks: AtomicU64,
}

/// Why a password was neither hashed nor checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too many are being checked.
    #[error("too many sign-ins at the moment; try again in a few seconds")]
    Busy,
    /// The stored text is no argon2 hash.
    #[error("the stored password hash cannot be read: {0}")]
    Stored(String),
    /// Longer than anybody types.
    #[error("a password has at most {} bytes", Passwords::MAX_LEN)]
    TooLong,
}

const PATIENCE: Duration = Duration::from_secs(2);
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;

impl Passwords {
    /// Of more bytes none is taken: hashing must not be a way to keep a core busy.
    pub const MAX_LEN: usize = 1024;

    /// With OWASP's parameters.
    pub fn new() -> Self {
        Self::with_params(Params::new(MEMORY_KIB, PASSES, 1, None).expect("these are allowed"))
    }

    /// Cheap ones for tests: 64 KiB, one pass. Never for people.
    pub fn for_tests() -> Self {
        Self::with_params(Params::new(64, 1, 1, None).expect("these are allowed"))
    }

    fn with_params(params: Params) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let nobody =
            hash(&params, b"nobody has this password").expect("the parameters are allowed");
        Self {
            params,
            permits: Arc::new(Semaphore::new(cores)),
            nobody,
            checks: AtomicU64::new(0),
        }
    }

    /// The hash to store, in PHC form (`$argon2id$v=19$...`).
    pub async fn hash(&self, password: &Secret) -> Result<String, PasswordError> {
        let password = checked(password)?;
        let params = self.params.clone();
        self.run(move || hash(&params, password.expose().as_bytes()))
            .await?
    }

    /// Whether this is the password of the stored hash. `None` as the hash: there is no such user; it takes as long and is
    /// never right.
    pub async fn verify(
        &self,
        password: &Secret,
        stored: Option<&str>,
    ) -> Result<bool, PasswordError> {
        let password = checked(password)?;
        let exists = stored.is_some();
        let stored = stored.unwrap_or(&self.nobody).to_owned();
        self.checks.fetch_add(1, Ordering::Relaxed);
        let fits = self
            .run(move || {
                let hash = PasswordHash::new(&stored)
                    .map_err(|error| PasswordError::Stored(error.to_string()))?;
                Ok(Argon2::default()
                    .verify_password(password.expose().as_bytes(), &hash)
                    .is_ok())
            })
            .await??;
        Ok(fits && exists)
    }

    /// How many passwords were checked, those of nobody included.
    pub fn checks(&self) -> u64 {
        self.checks.load(Ordering::Relaxed)
    }

    /// Whether the hash was made with other parameters, and is to be made anew when its password is next seen.
    pub fn is_outdated(&self, stored: &str) -> bool {
        let Ok(hash) = PasswordHash::new(stored) else {
            return true;
        };
        let params = Params::try_from(&hash);
        hash.algorithm.as_str() != "argon2id"
            || !params.is_ok_and(|params| {
                params.m_cost() == self.params.m_cost()
                    && params.t_cost() == self.params.t_cost()
                    && params.p_cost() == self.params.p_cost()
            })
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let permit = tokio::time::timeout(PATIENCE, self.permits.clone().acquire_owned()).await;
        let permit = permit
            .map_err(|_| PasswordError::Busy)?
            .map_err(|_| PasswordError::Busy)?;
        // The permit goes along: work that nobody waits for any more still keeps a core busy.
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        done.await.map_err(|_| PasswordError::Busy)
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

fn checked(password: &Secret) -> Result<Secret, PasswordError> {
    if password.expose().len() > Passwords::MAX_LEN {
        return Err(PasswordError::TooLong);
    }
    Ok(password.clone())
}

fn hash(params: &Params, password: &[u8]) -> Result<String, PasswordError> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let hash = argon2.hash_password(password);
    hash.map(|hash| hash.to_string())
        .map_err(|error| PasswordError::Stored(error.to_string()))
}
