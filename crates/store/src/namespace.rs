//! Concerns that share one store.

/// A concern; the first part of its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// Who is signed in.
    Sessions,
    /// Values that can be computed again.
    Cache,
    /// Work to do.
    Queue,
    /// Counts of admissions.
    RateLimit,
    /// Who may do what only one may.
    Locks,
    /// State that gateways tell each other.
    Gateway,
}

impl Namespace {
    /// The prefix, with the colon that ends it.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Sessions => "sessions:",
            Self::Cache => "cache:",
            Self::Queue => "queue:",
            Self::RateLimit => "ratelimit:",
            Self::Locks => "locks:",
            Self::Gateway => "gateway:",
        }
    }
}
