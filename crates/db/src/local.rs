//! What holds for one transaction and ends with it.

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::Duration;

use crate::Value;

/// Settings and limits of one transaction. Nothing of it is left on the connection afterwards.
#[derive(Debug, Clone, Default)]
pub struct Local {
    /// Names and values that Postgres' `current_setting` gives within the transaction, by `set_config(.., true)`. Row-level
    /// security reads them. `SQLite` has nothing like it. A statement may be [prepared](crate::Options::prepared_statements)
    /// without them, so that `search_path` has no place here.
    pub settings: Vec<(&'static str, String)>,
    /// For one statement, where it is shorter than [`Options::statement_timeout`](crate::Options::statement_timeout).
    pub limit: Option<Duration>,
    /// Nothing may be written.
    pub is_read_only: bool,
}

impl Local {
    /// How long a statement may take.
    pub(crate) fn limit(&self, otherwise: Duration) -> Duration {
        self.limit.map_or(otherwise, |limit| limit.min(otherwise))
    }

    /// One statement for all settings and the limit, as Postgres takes them.
    pub(crate) fn set_config(&self, limit: Duration) -> (Cow<'static, str>, Vec<Value>) {
        // 0 would be no limit at all.
        let limit = limit.as_millis().max(1).to_string();
        let limits = [("statement_timeout", limit)];
        let all = self.settings.iter().chain(&limits);
        let params = all.flat_map(|(name, value)| [Value::from(*name), Value::from(value)]);
        let settings = self.settings.len() + limits.len();
        let sql = match TEXTS.get(settings) {
            Some(text) => Cow::Borrowed(text.as_str()),
            None => Cow::Owned(text(settings)),
        };
        (sql, params.collect())
    }
}

/// For so many settings as there usually are.
static TEXTS: LazyLock<[String; 9]> = LazyLock::new(|| std::array::from_fn(text));

fn text(settings: usize) -> String {
    let call = |index| format!("set_config(${}, ${}, true)", index * 2 + 1, index * 2 + 2);
    let calls: Vec<String> = (0..settings).map(call).collect();
    format!("SELECT {}", calls.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_parameters_and_the_limit_is_never_none() {
        let local = Local {
            settings: vec![("app.tenant_id", "a'b".to_owned())],
            limit: Some(Duration::from_nanos(1)),
            is_read_only: false,
        };
        let limit = local.limit(Duration::from_secs(10));
        let (sql, params) = local.set_config(limit);
        assert_eq!(
            sql,
            "SELECT set_config($1, $2, true), set_config($3, $4, true)"
        );
        assert_eq!(
            params,
            crate::values!["app.tenant_id", "a'b", "statement_timeout", "1"]
        );
        assert_eq!(
            local.limit(Duration::from_secs(10)),
            Duration::from_nanos(1)
        );
        assert_eq!(
            Local::default().limit(Duration::from_secs(10)),
            Duration::from_secs(10)
        );
    }
}
