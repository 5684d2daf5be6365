//! A value read by serde, after its JSON Schema was checked: serde stops at the first mistake, the check names them all.
//!
//! What is checked: types, `required`, unknown keys, `enum` and `const`, ranges of numbers, lengths of texts and lists, and the
//! formats of this crate. All else is left to the type's own `Deserialize`, whose one complaint is told as well.

mod check;
mod outline;

use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use crate::path::Path;
use crate::problem::{Problem, Problems, Subject};
use check::Check;
use outline::{Definitions, Types};

/// Reads the value where the problems stand; `None`: it is not there.
pub(crate) fn read<T: DeserializeOwned + JsonSchema>(
    value: Option<&Value>,
    problems: &mut Problems,
) -> Option<T> {
    let schema = SchemaGenerator::default().into_root_schema_for::<T>();
    let definitions = Definitions::of(schema.as_value());
    definitions.note(definitions.root(), problems);
    let types = definitions.types(definitions.root());
    let absent = if types.contains(Types::OBJECT) && !types.contains(Types::NULL) {
        Value::Object(Map::new())
    } else {
        Value::Null
    };
    if value.is_none() && types.is_known() && !types.contains(Types::OBJECT | Types::NULL) {
        let problem = Problem::new(problems.here().clone(), "is required");
        problems.push(problem.about(Subject::Missing));
        return None;
    }
    let before = problems.len();
    let value =
        Check::new(&definitions, problems).value(definitions.root(), value.unwrap_or(&absent));
    if problems.len() > before {
        return None;
    }
    match serde_path_to_error::deserialize(value) {
        Ok(read) => Some(read),
        Err(error) => {
            let place = place(problems.here(), error.path());
            let message = told(&error.into_inner(), &place, problems);
            problems.push(Problem::new(place, message));
            None
        }
    }
}

fn place(here: &Path, path: &serde_path_to_error::Path) -> Path {
    path.iter()
        .fold(here.clone(), |place, segment| match segment {
            Segment::Map { key } => place.then(key.clone()),
            Segment::Seq { index } => place.then(*index),
            Segment::Enum { .. } | Segment::Unknown => place,
        })
}

/// A type's own message shows what was found, so that nothing of it is told where a secret is near.
fn told(error: &serde_json::Error, place: &Path, problems: &mut Problems) -> String {
    let mut near = false;
    problems.note(|ledger, _| {
        let within = |secret: &Path| secret.steps().starts_with(place.steps());
        near = ledger.is_secret(place) || ledger.secrets.iter().any(within);
    });
    if near {
        "this value is not accepted".to_owned()
    } else {
        error.to_string()
    }
}
