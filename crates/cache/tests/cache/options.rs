//! Options that cannot be are refused, each by name.

use std::time::Duration;

use bastide_cache::{Cache, CacheOptions, OptionsError};
use bastide_store::Store;

#[tokio::test]
async fn what_cannot_be_is_refused_by_name() {
    let with = |change: fn(&mut CacheOptions)| {
        let mut options = CacheOptions::default();
        change(&mut options);
        options
    };
    let wrong = [
        ("l1_ttl", with(|o| o.l1_ttl = Duration::ZERO)),
        ("l2_ttl", with(|o| o.l2_ttl = Duration::MAX)),
        ("lease", with(|o| o.lease = Duration::ZERO)),
        ("store_timeout", with(|o| o.store_timeout = Duration::ZERO)),
        ("max_staleness", with(|o| o.max_staleness = Duration::ZERO)),
        ("jitter", with(|o| o.jitter = f64::NAN)),
        ("jitter", with(|o| o.jitter = 1.5)),
        ("max_value_bytes", with(|o| o.max_value_bytes = 0)),
        ("l1_bytes", with(|o| o.l1_bytes = 1 << 20)),
        ("prefix", with(|o| o.prefix = "a b".to_owned())),
    ];
    for (option, options) in wrong {
        let error = Cache::new(&Store::memory(), options).await.unwrap_err();
        assert!(error.to_string().contains(option), "{option}: {error}");
        assert_eq!(error.code(), "cache_option_out_of_range");
    }
    let none = with(|o| (o.l1_entries, o.multi_tier) = (0, false));
    let error = Cache::new(&Store::memory(), none).await.unwrap_err();
    assert_eq!(error, OptionsError::NoTier);
}
