//! The program's migrations: a folder of SQL files.
//!
//! `0001_create_users.sql` is for both databases; where they differ there are `0001_create_users.postgres.sql` and
//! `0001_create_users.sqlite.sql`. They are applied in the order of their names, each once, and never change afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bastide_db::{Dialect, Migration, Migrations};

use crate::error::StartError;

/// The files of one migration.
#[derive(Debug, Default)]
struct Files {
    both: Option<String>,
    postgres: Option<String>,
    sqlite: Option<String>,
}

/// What the folder holds; nothing if it does not exist.
///
/// The texts live as long as the process: it reads them once.
pub(crate) fn read(folder: &Path, component: &'static str) -> Result<Migrations, StartError> {
    let mut found: BTreeMap<String, Files> = BTreeMap::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Migrations {
                component,
                steps: &[],
            });
        }
        Err(error) => return Err(StartError::file(folder)(error)),
    };
    for entry in entries {
        let path = entry.map_err(StartError::file(folder))?.path();
        let Some((name, dialect)) = parse_name(&path)? else {
            continue;
        };
        let text = fs::read_to_string(&path).map_err(StartError::file(&path))?;
        let files = found.entry(name).or_default();
        match dialect {
            None => files.both = Some(text),
            Some(Dialect::Postgres) => files.postgres = Some(text),
            Some(Dialect::Sqlite) => files.sqlite = Some(text),
        }
    }
    let steps = found
        .into_iter()
        .map(|(name, files)| step(folder, name, files));
    let steps: Vec<Migration> = steps.collect::<Result<_, _>>()?;
    check_numbers(folder, &steps)?;
    Ok(Migrations {
        component,
        steps: Vec::leak(steps),
    })
}

/// Writes the next one: a file for both databases, or one for each where their texts differ.
pub(crate) fn write(
    folder: &Path,
    known: &Migrations,
    name: &str,
    postgres: &str,
    sqlite: &str,
) -> Result<Vec<PathBuf>, StartError> {
    let last = known.steps.last().and_then(|step| number(step.name));
    let stem = format!("{:04}_{name}", last.unwrap_or(0) + 1);
    let files = if postgres == sqlite {
        vec![(folder.join(format!("{stem}.sql")), postgres)]
    } else {
        vec![
            (folder.join(format!("{stem}.postgres.sql")), postgres),
            (folder.join(format!("{stem}.sqlite.sql")), sqlite),
        ]
    };
    fs::create_dir_all(folder).map_err(StartError::file(folder))?;
    for (path, text) in &files {
        fs::write(path, text).map_err(StartError::file(path))?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// The migration's name and for which database the file is. `None`: it is no SQL file.
fn parse_name(path: &Path) -> Result<Option<(String, Option<Dialect>)>, StartError> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(stem) = file.strip_suffix(".sql") else {
        return Ok(None);
    };
    let (name, dialect) = match stem.split_once('.') {
        None => (stem, None),
        Some((name, "postgres")) => (name, Some(Dialect::Postgres)),
        Some((name, "sqlite")) => (name, Some(Dialect::Sqlite)),
        Some(_) => return Err(wrong(path, "is for neither `postgres` nor `sqlite`")),
    };
    if number(name).is_none() {
        return Err(wrong(
            path,
            "has no number; name it as 0001_what_it_does.sql",
        ));
    }
    Ok(Some((name.to_owned(), dialect)))
}

fn step(folder: &Path, name: String, files: Files) -> Result<Migration, StartError> {
    let (postgres, sqlite) = match (files.both, files.postgres, files.sqlite) {
        (Some(both), None, None) => (both.clone(), both),
        (None, Some(postgres), Some(sqlite)) => (postgres, sqlite),
        (Some(_), _, _) => {
            let reason =
                "stands beside a file for one database; keep that for both, or one for each";
            return Err(wrong(&folder.join(format!("{name}.sql")), reason));
        }
        (None, Some(_), None) => {
            return Err(wrong(
                &folder.join(format!("{name}.sqlite.sql")),
                "is missing",
            ));
        }
        (None, None, _) => {
            return Err(wrong(
                &folder.join(format!("{name}.postgres.sql")),
                "is missing",
            ));
        }
    };
    Ok(Migration {
        name: String::leak(name),
        postgres: String::leak(postgres),
        sqlite: String::leak(sqlite),
    })
}

/// Two of one number come of two branches; which is first must be said by a person.
fn check_numbers(folder: &Path, steps: &[Migration]) -> Result<(), StartError> {
    for pair in steps.windows(2) {
        if number(pair[0].name) == number(pair[1].name) {
            let reason = format!(
                "has the number of {}; give the later one the next number",
                pair[0].name
            );
            return Err(wrong(&folder.join(pair[1].name), &reason));
        }
    }
    Ok(())
}

fn number(name: &str) -> Option<u32> {
    let (number, rest) = name.split_once('_')?;
    let is_number = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !rest.is_empty()).then(|| number.parse().ok())?
}

fn wrong(path: &Path, reason: &str) -> StartError {
    StartError::Migration {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that panics says where")]

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn files_become_steps_in_the_order_of_their_numbers() {
        let folder = folder(&[
            ("0002_b.postgres.sql", "p"),
            ("0002_b.sqlite.sql", "s"),
            ("0001_a.sql", "both"),
            ("README.md", "not SQL"),
        ]);
        let read = read(folder.path(), "app").unwrap();
        let steps: Vec<_> = read
            .steps
            .iter()
            .map(|step| (step.name, step.postgres, step.sqlite))
            .collect();
        assert_eq!(steps, [("0001_a", "both", "both"), ("0002_b", "p", "s")]);
        let written = write(folder.path(), &read, "c", "x", "x").unwrap();
        assert_eq!(written, [folder.path().join("0003_c.sql")]);
        let written = write(folder.path(), &read, "d", "x", "y").unwrap();
        assert_eq!(written.len(), 2);
    }

    #[test]
    fn what_cannot_be_put_in_order_is_refused() {
        for (files, reason) in [
            (&["a.sql"][..], "has no number"),
            (&["0001_a.mysql.sql"], "for neither"),
            (&["0001_a.postgres.sql"], "0001_a.sqlite.sql: is missing"),
            (&["0001_a.sqlite.sql"], "0001_a.postgres.sql: is missing"),
            (&["0001_a.sql", "0001_a.sqlite.sql"], "stands beside"),
            (&["0001_a.sql", "0001_b.sql"], "has the number of 0001_a"),
        ] {
            let files: Vec<_> = files.iter().map(|name| (*name, "")).collect();
            let error = read(folder(&files).path(), "app").unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert!(
            read(Path::new("/nowhere/at/all"), "app")
                .unwrap()
                .steps
                .is_empty()
        );
    }
}
