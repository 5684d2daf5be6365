//! Sharing limits between nodes over Redis: the task that asks, and the words it uses.

mod session;
mod task;
#[cfg(test)]
mod tests;
mod wire;

use std::future::Future;

use bastide_store::RedisStore;

use crate::limiter::Limiter;
use crate::link::SharedOptions;

impl Limiter {
    /// Limits shared by all nodes that use the same prefix on the same Redis, and the task that leases for them.
    ///
    /// Spawn the task on a runtime whose threads are not kept busy by others; it ends when the last clone of the limiter
    /// is gone. Until it first reaches Redis, and whenever it cannot, each limit does as its
    /// [`FailMode`](crate::FailMode) says.
    pub fn shared(
        redis: RedisStore,
        options: SharedOptions,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (limiter, link) = Self::with_options(options);
        let task = task::run(redis, link, std::sync::Arc::downgrade(limiter.registry()));
        (limiter, task)
    }
}
