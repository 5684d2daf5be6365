//! The other side: where upstreams are, whether they are well, and the connections to them.

pub(crate) mod advice;
pub(crate) mod connect;
pub(crate) mod names;
pub(crate) mod origin;
pub(crate) mod pool;
pub(crate) mod probe;
pub(crate) mod report;
pub(crate) mod trust;
pub(crate) mod unreachable;
