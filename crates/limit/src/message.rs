//! What a node and Redis tell each other about one limit.

use smallvec::SmallVec;

/// One message to Redis about one limit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Request {
    /// Permits that requests wait for now.
    pub must: u32,
    /// Permits hoped for, those included.
    pub want: u32,
    /// Permits this node may have while Redis is still collecting what was admitted without it.
    pub room: u32,
    /// When that will be more than nothing, microseconds from now; 0 if it is.
    pub room_after: u64,
    /// Divides what is left when more than `must` is wanted.
    pub nodes: u32,
    /// Something was admitted without a lease, so other nodes may have done the same.
    pub away: bool,
    /// One part per window.
    pub windows: SmallVec<[RequestWindow; 2]>,
}

/// The part of a message that concerns one window.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct RequestWindow {
    /// Which life of the counters this node knows; 0 for none.
    pub generation: u64,
    /// Unspent permits: bucket and count.
    pub refunds: SmallVec<[(u64, u32); 3]>,
    /// Admissions that Redis has not counted: at least how many microseconds old, and count.
    pub reports: Vec<(u64, u32)>,
}

/// What Redis said about one limit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub status: Status,
    pub granted: u32,
    /// How long the permits last from the moment Redis spoke, microseconds.
    pub valid: u64,
    /// When there will be room for this node again, microseconds from then. 0 if there is.
    pub retry: u64,
    pub windows: SmallVec<[ReplyWindow; 2]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    /// Some node was away from Redis, or Redis has lost its counters: until all have reported, each keeps to its share.
    Recovering,
    /// The counters this node knew are gone. Nothing else of the message was carried out.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplyWindow {
    pub generation: u64,
    /// The bucket the permits are counted in.
    pub bucket: u64,
    /// The fleet's count, these permits included.
    pub used: u32,
}
