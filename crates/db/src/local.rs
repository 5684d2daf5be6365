//! What holds for one transaction and ends with it.

use std::time::Duration;

use crate::Value;

/// Settings and limits of one transaction. Nothing of it is left on the connection afterwards.
#[derive(Debug, Clone, Default)]
pub struct Local {
    /// Names and values that Postgres' `current_setting` gives within the transaction, by `set_config(.., true)`. Row-level
    /// security reads them. `SQLite` has nothing like it.
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
    pub(crate) fn set_config(&self, limit: Duration) -> (String, Vec<Value>) {
        // 0 would be no limit at all.
        let limit = limit.as_millis().max(1).to_string();
        let limits = [("statement_timeout", limit)];
        let (mut calls, mut params) = (Vec::new(), Vec::new());
        for (name, value) in self.settings.iter().chain(&limits) {
            let (key, text) = (params.len() + 1, params.len() + 2);
            calls.push(format!("set_config(${key}, ${text}, true)"));
            params.push(Value::from(*name));
            params.push(Value::from(value));
        }
        (format!("SELECT {}", calls.join(", ")), params)
    }
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
