//! The settings as a service, for who administers the program.

use bastide_auth::Policy;
use bastide_context::{Cx, Known};
use bastide_rpc::{Method, RegistryError, Service};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::error::SettingsError;
use crate::settings::{MAX_HISTORY, Settings};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Key {
    key: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Set {
    key: String,
    value: Json,
    /// The version that the caller has seen.
    #[serde(default)]
    expected_version: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Reset {
    key: String,
    /// The version that the caller has seen.
    #[serde(default)]
    expected_version: Option<u64>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct History {
    key: String,
    /// Changes before this version.
    #[serde(default)]
    before: Option<u64>,
    /// At most so many; 500 unless said otherwise, and never more.
    #[serde(default)]
    limit: Option<u32>,
}

impl Settings {
    /// `settings@1.0.0` with `list`, `get`, `set`, `reset` and `history`, for those whom this policy admits. The settings are the
    /// whole program's and no tenant's, so the policy should ask for what no tenant can give to its own people.
    ///
    /// # Errors
    /// As [`Service::new`].
    pub fn service(&self, policy: Policy) -> Result<Service, RegistryError> {
        let (list, get, set, reset, history) = (
            self.clone(),
            self.clone(),
            self.clone(),
            self.clone(),
            self.clone(),
        );
        let service = Service::new("settings", "1.0.0")?
            .method(
                Method::named("list")
                    .describe("Every setting as it is in force.")
                    .policy_without_tenant(policy)
                    .handler(move |_: Cx<Known>, _: Nothing| {
                        let settings = list.clone();
                        async move { Ok::<_, SettingsError>(settings.list()) }
                    }),
            )
            .method(
                Method::named("get")
                    .describe("One setting as it is in force.")
                    .policy_without_tenant(policy)
                    .handler(move |_: Cx<Known>, input: Key| {
                        let settings = get.clone();
                        async move { settings.find(&input.key) }
                    }),
            )
            .method(
                Method::named("set")
                    .describe("Changes a setting for every process.")
                    .policy_without_tenant(policy)
                    .handler(move |cx: Cx<Known>, input: Set| {
                        let settings = set.clone();
                        async move {
                            let Set {
                                key,
                                value,
                                expected_version,
                            } = input;
                            settings
                                .set_json(&cx, &key, &value, expected_version)
                                .await?;
                            settings.find(&key)
                        }
                    }),
            )
            .method(
                Method::named("reset")
                    .describe("Puts a setting's default in force again.")
                    .policy_without_tenant(policy)
                    .handler(move |cx: Cx<Known>, input: Reset| {
                        let settings = reset.clone();
                        async move {
                            settings
                                .reset(&cx, &input.key, input.expected_version)
                                .await?;
                            settings.find(&input.key)
                        }
                    }),
            )
            .method(
                Method::named("history")
                    .describe("Who changed a setting, when, from what and to what; newest first.")
                    .policy_without_tenant(policy)
                    .handler(move |_: Cx<Known>, input: History| {
                        let settings = history.clone();
                        async move {
                            let limit = input.limit.unwrap_or(MAX_HISTORY);
                            settings.history(&input.key, input.before, limit).await
                        }
                    }),
            );
        Ok(service)
    }
}
