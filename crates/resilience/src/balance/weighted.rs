use std::sync::{Mutex, PoisonError};

/// nginx's smooth weighted round-robin (`ngx_http_upstream_round_robin`, 2012).
///
/// Each pick adds its weight to every available endpoint's credit, takes the highest, and charges it the sum of what was
/// added. Over as many picks as the sum of the weights each endpoint is therefore chosen exactly as often as its weight
/// says, and never in a burst: weights 5, 1, 1 give `a a b a c a a`. An endpoint that is unavailable keeps its credit,
/// so it is neither forgotten nor flooded when it returns.
///
/// The credits only make sense together, so a lock holds them, for a few nanoseconds per endpoint. Memory and time depend
/// on the number of endpoints, not on their weights.
#[derive(Debug)]
pub(super) struct SmoothWeighted {
    credits: Mutex<Box<[i64]>>,
}

impl SmoothWeighted {
    pub(super) fn new(endpoints: usize) -> Self {
        Self {
            credits: Mutex::new(vec![0; endpoints].into_boxed_slice()),
        }
    }

    pub(super) fn pick(&self, weights: &[u32], available: impl Fn(usize) -> bool) -> Option<usize> {
        // Should `available` panic, some credits have grown and nobody paid: one pick is off, no more.
        let mut credits = self.credits.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut best, mut highest, mut added) = (None, i64::MIN, 0);
        for (endpoint, (credit, &weight)) in credits.iter_mut().zip(weights).enumerate() {
            if available(endpoint) {
                let weight = i64::from(weight);
                *credit += weight;
                added += weight;
                if *credit > highest {
                    (best, highest) = (Some(endpoint), *credit);
                }
            }
        }
        let best = best?;
        credits[best] -= added;
        Some(best)
    }
}
