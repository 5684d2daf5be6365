//! Declarative files: loading, checking without applying, planning with messages that name line and column.

use std::path::Path as FilePath;

use bastide_config::Problems;
use bastide_config::document::{Document, Source};
use serde::Serialize;
use uuid::Uuid;

use super::changes::Author;
use super::document::Declared;
use super::plan::{Plan, Scope, plan};
use super::read::{Environment, read};
use crate::keys::Keys;
use crate::model::{State, Tiers};

/// A document that was read without mistakes. Its text is kept for the places of mistakes that only show when it is
/// compared with the state; the tree that was parsed of it, ten times as large, is not.
#[derive(Debug)]
pub struct Applicable {
    source: Source,
    declared: Declared,
}

/// How much stands in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Tiers, 0 if the document leaves them as they are.
    pub tiers: usize,
    /// Tenants.
    pub tenants: usize,
    /// Keys of all tenants.
    pub keys: usize,
    /// Routes of all tenants and of the platform.
    pub routes: usize,
}

impl Applicable {
    /// Reads a TOML, YAML or JSON file.
    ///
    /// # Errors
    /// One line for each mistake: `gateway.toml:12:5: routes[3].method: expected ...`.
    pub fn load(
        file: &FilePath,
        known: &Tiers,
        environment: Environment<'_>,
    ) -> Result<Self, Vec<String>> {
        let source = Source::load(file).map_err(|error| vec![error.to_string()])?;
        let applicable = Self::read(source, known, environment)?;
        // Who writes a file in place empties it first; that is no wish to delete everything.
        if applicable.declared.is_empty() {
            return Err(vec![format!(
                "{}: nothing is declared; give an empty list of tenants to declare that there are none",
                file.display()
            )]);
        }
        Ok(applicable)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// One line for each mistake.
    pub fn read(
        source: Source,
        known: &Tiers,
        environment: Environment<'_>,
    ) -> Result<Self, Vec<String>> {
        let document = source.parse().map_err(|error| vec![error.to_string()])?;
        let declared = read(document.value(), known, environment)
            .map_err(|problems| lines(&document, &problems))?;
        Ok(Self { source, declared })
    }

    /// What stands in it.
    pub fn declared(&self) -> &Declared {
        &self.declared
    }

    /// How much stands in it.
    pub fn summary(&self) -> Summary {
        let Declared { tiers, routes, .. } = &self.declared;
        let tenants = self.declared.tenants();
        Summary {
            tiers: tiers.as_ref().map_or(0, Tiers::len),
            tenants: tenants.len(),
            keys: tenants.iter().map(|tenant| tenant.keys().len()).sum(),
            routes: tenants
                .iter()
                .map(|tenant| tenant.routes().len())
                .sum::<usize>()
                + routes.as_ref().map_or(0, Vec::len),
        }
    }

    /// Plans how `state` becomes what the file says.
    ///
    /// # Errors
    /// One line for each reason why it cannot.
    pub fn plan(
        &self,
        state: &State,
        scope: Scope,
        keys: &Keys,
        author: &Author,
    ) -> Result<Plan, Vec<String>> {
        plan(
            state,
            &self.declared,
            scope,
            keys,
            author,
            &mut Uuid::now_v7,
        )
        .map_err(|problems| match self.source.parse() {
            Ok(document) => lines(&document, &problems),
            // It could be parsed before.
            Err(error) => vec![error.to_string()],
        })
    }
}

/// Checks a file without a gateway: whatever [`Applicable::load`] and a first application to an empty gateway
/// would find. Variables of the environment that it names have to be set.
///
/// # Errors
/// One line for each mistake.
pub fn check_file(file: &FilePath) -> Result<Summary, Vec<String>> {
    let empty = State::default();
    let applicable = Applicable::load(file, &empty.tiers, &super::apply::process_environment)?;
    let author = Author {
        actor: "file",
        request_id: None,
        now: jiff::Timestamp::now(),
    };
    // Which pepper is used makes no difference to whether two keys are the same.
    applicable.plan(&empty, Scope::File, &Keys::new(b"check"), &author)?;
    Ok(applicable.summary())
}

fn lines(document: &Document, problems: &Problems) -> Vec<String> {
    document
        .describe_all(problems)
        .lines()
        .map(str::to_owned)
        .collect()
}
