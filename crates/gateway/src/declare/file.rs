//! Declarative files: loading, checking without applying, planning with messages that name line and column.

use std::path::Path as FilePath;

use bastide_config::Problems;
use bastide_config::document::Document;
use serde::Serialize;
use uuid::Uuid;

use super::changes::Author;
use super::document::Declared;
use super::plan::{Plan, Scope, plan};
use super::read::{Environment, read};
use crate::keys::Keys;
use crate::model::{State, Tiers};

/// A document that was read without mistakes, with the text's places at hand for those that only show when it is
/// compared with the state.
#[derive(Debug)]
pub struct Applicable {
    document: Document,
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
        let document = Document::load(file).map_err(|error| vec![error.to_string()])?;
        let applicable = Self::new(document, known, environment)
            .map_err(|(document, problems)| lines(&document, &problems))?;
        // Who writes a file in place empties it first; that is no wish to delete everything.
        if applicable.declared.is_empty() {
            return Err(vec![format!(
                "{}: nothing is declared; give an empty list of tenants to declare that there are none",
                file.display()
            )]);
        }
        Ok(applicable)
    }

    /// Reads a parsed document.
    ///
    /// # Errors
    /// The document and every mistake in it.
    #[expect(
        clippy::result_large_err,
        reason = "made once for a whole document, and taken apart at once"
    )]
    pub fn new(
        document: Document,
        known: &Tiers,
        environment: Environment<'_>,
    ) -> Result<Self, (Document, Problems)> {
        match read(document.value(), known, environment) {
            Ok(declared) => Ok(Self { document, declared }),
            Err(problems) => Err((document, problems)),
        }
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
        .map_err(|problems| lines(&self.document, &problems))
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
