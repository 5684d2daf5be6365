//! How often one caller may call a method.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bastide_auth::Identity;
use bastide_config::network;
use bastide_limit::{Limit, LimitKey, Limiter, Outcome, Policy, PolicyError, Quota, Rate, clock};
use quick_cache::sync::Cache;

/// A limit for each caller of a method, wider for some tiers.
///
/// ```
/// use bastide_rpc::LimitRule;
/// let rule = LimitRule::parse("100/min").unwrap().tier("pro", "1000/min").unwrap();
/// # let _ = rule;
/// assert!(LimitRule::parse("100 per minute").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitRule {
    otherwise: Policy,
    tiers: Vec<(String, Policy)>,
    is_by_address: bool,
}

/// The text is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitTextError {
    /// Not a number, a slash and a unit.
    #[error("expected a limit as `100/s`, `100/min`, `100/h` or `100/day`; found {0:?}")]
    Form(String),
    /// A number that no limit may have.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl LimitRule {
    /// This policy for every caller.
    pub fn new(policy: Policy) -> Self {
        Self {
            otherwise: policy,
            tiers: Vec::new(),
            is_by_address: false,
        }
    }

    /// Reads `100/s`, `100/min`, `100/h` or `100/day`: so many in any interval of that length.
    pub fn parse(text: &str) -> Result<Self, LimitTextError> {
        Ok(Self::new(policy(text)?))
    }

    /// This limit for callers of a tier.
    pub fn tier(mut self, tier: impl Into<String>, text: &str) -> Result<Self, LimitTextError> {
        self.tiers.push((tier.into(), policy(text)?));
        Ok(self)
    }

    /// Counts addresses, whoever calls: where callers are not known yet, as at a sign-in, one that shows somebody's token would
    /// be counted as somebody else.
    pub fn by_address(mut self) -> Self {
        self.is_by_address = true;
        self
    }

    fn policy(&self, tier: Option<&str>) -> &Policy {
        let of_tier = self
            .tiers
            .iter()
            .find(|(name, _)| Some(name.as_str()) == tier);
        of_tier.map_or(&self.otherwise, |(_, policy)| policy)
    }
}

/// As it is written: `100/min`, then each tier.
impl fmt::Display for LimitRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_rate(f, &self.otherwise)?;
        for (tier, policy) in &self.tiers {
            write!(f, ", {tier} ")?;
            write_rate(f, policy)?;
        }
        if self.is_by_address {
            f.write_str(", by address")?;
        }
        Ok(())
    }
}

fn write_rate(f: &mut fmt::Formatter<'_>, policy: &Policy) -> fmt::Result {
    let (limit, millis) = match policy.rate() {
        Rate::Window { limit, window_ms } => (limit, window_ms),
        Rate::PerSecond {
            requests_per_second,
            burst_size,
        } => {
            let burst = burst_size.unwrap_or(requests_per_second);
            return write!(f, "{requests_per_second}/s with {burst} at once");
        }
    };
    match UNITS.iter().find(|(_, unit)| *unit == millis) {
        Some((name, _)) => write!(f, "{limit}/{name}"),
        None => write!(f, "{limit} in {millis} ms"),
    }
}

/// As they are shown, with their lengths in milliseconds.
const UNITS: [(&str, u64); 4] = [
    ("s", 1_000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("day", 86_400_000),
];

fn policy(text: &str) -> Result<Policy, LimitTextError> {
    let form = || LimitTextError::Form(text.to_owned());
    let (count, unit) = text.split_once('/').ok_or_else(form)?;
    let window_ms = match unit.trim() {
        "s" | "sec" | "second" => 1_000,
        "min" | "minute" => 60_000,
        "h" | "hour" => 3_600_000,
        "d" | "day" => 86_400_000,
        _ => return Err(form()),
    };
    let limit = count.trim().parse().map_err(|_| form())?;
    Ok(Policy::new(Rate::Window { limit, window_ms })?)
}

/// Who is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    /// A user of a tenant. Two tenants' users of one name are two.
    Subject(Option<String>, String),
    /// Nobody is known: an IPv4 address, or the /64 of an IPv6 one, which is what one host may choose from.
    Address(IpAddr),
    /// Neither: siblings on a Unix socket.
    Local,
}

/// The counts of callers. Those of the latest hundred thousand are kept.
#[derive(Debug)]
pub(crate) struct Limits {
    limiter: Limiter,
    counts: Cache<(usize, Who), Arc<Limit>>,
}

const CALLERS: usize = 100_000;

impl Limits {
    pub(crate) fn new(limiter: Limiter) -> Self {
        Self {
            limiter,
            counts: Cache::new(CALLERS),
        }
    }

    /// Counts one call of the method with this number. `Err`: one too many.
    pub(crate) async fn count(
        &self,
        (number, name): (usize, &str),
        rule: &LimitRule,
        identity: Option<&Identity>,
        peer: Option<IpAddr>,
    ) -> Result<Quota, Quota> {
        let identity = identity.filter(|_| !rule.is_by_address);
        let policy = rule.policy(identity.and_then(Identity::tier));
        let who = Who::of(identity, peer);
        let key = (number, who);
        let limit = match self.counts.get(&key) {
            // A tier that changed is a new policy.
            Some(limit) if limit.policy() == policy => limit,
            _ => {
                let limit = self
                    .limiter
                    .handle(LimitKey::new(name, &key.1.text()), policy);
                self.counts.insert(key, limit.clone());
                limit
            }
        };
        let now = clock::now();
        let outcome = match limit.try_acquire(now) {
            Outcome::Pending => limit.acquire(now).await,
            outcome => outcome,
        };
        match outcome {
            Outcome::Admitted(quota) => Ok(quota),
            Outcome::Refused(quota) => Err(quota),
            Outcome::Pending => unreachable!("`acquire` decides"),
        }
    }
}

impl Who {
    fn of(identity: Option<&Identity>, peer: Option<IpAddr>) -> Self {
        match (identity, peer) {
            (Some(identity), _) => {
                let tenant = identity.tenant().map(|tenant| tenant.as_str().to_owned());
                Self::Subject(tenant, identity.subject().to_owned())
            }
            (None, Some(address)) => Self::Address(network::of(address)),
            (None, None) => Self::Local,
        }
    }

    /// Lengths before the parts, so that no two callers have one text.
    fn text(&self) -> String {
        match self {
            Self::Subject(None, subject) => format!("u:{subject}"),
            Self::Subject(Some(tenant), subject) => format!("t{}:{tenant}:{subject}", tenant.len()),
            Self::Address(address) => format!("a:{address}"),
            Self::Local => "l".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bastide_auth::{ServiceKey, ServiceKeys};
    use bastide_config::Secret;

    use super::*;

    #[test]
    fn limits_are_read_and_refused() {
        for (text, limit, window_ms) in [
            ("100/s", 100, 1_000),
            ("5/min", 5, 60_000),
            ("5 / hour", 5, 3_600_000),
            ("1/day", 1, 86_400_000),
        ] {
            let rule = LimitRule::parse(text).unwrap();
            assert_eq!(
                rule,
                LimitRule::new(Policy::new(Rate::Window { limit, window_ms }).unwrap())
            );
        }
        for bad in [
            "",
            "100",
            "/min",
            "x/min",
            "-1/min",
            "1.5/min",
            "100/fortnight",
            "0/min",
        ] {
            assert!(LimitRule::parse(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_limit_by_address_counts_strangers_and_callers_together() {
        let key = Secret::new("sk_0123456789abcdef0123456789abcdef");
        let keys = ServiceKeys::new([ServiceKey::new("billing", &key).unwrap()]).unwrap();
        let billing = keys.verify(key.expose(), None).unwrap();
        let limits = Limits::new(Limiter::local());
        let admitted = async |method: (usize, &str), rule: &LimitRule| {
            let peer = Some([192, 0, 2, 1].into());
            let mut admitted = Vec::new();
            for identity in [None, Some(&billing), None, Some(&billing)] {
                let counted = limits.count(method, rule, identity, peer);
                admitted.push(counted.await.is_ok());
            }
            admitted
        };
        let rule = LimitRule::parse("1/min").unwrap();
        assert_eq!(
            admitted((0, "call"), &rule).await,
            [true, true, false, false]
        );
        // Three are admitted, whoever they are.
        let rule = LimitRule::parse("3/min").unwrap().by_address();
        assert_eq!(
            admitted((1, "sign_in"), &rule).await,
            [true, true, true, false]
        );
    }

    #[test]
    fn a_rule_is_shown_as_it_is_written() {
        let rule = LimitRule::parse("60/min").unwrap();
        let rule = rule.tier("pro", "1000/day").unwrap().by_address();
        assert_eq!(rule.to_string(), "60/min, pro 1000/day, by address");
    }

    #[test]
    fn hosts_of_one_ipv6_network_are_one_caller() {
        let of = |text: &str| Who::of(None, Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        // As a socket for both versions has it.
        assert_ne!(of("::ffff:192.0.2.1"), of("::ffff:192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
