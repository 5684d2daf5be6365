//! A configuration that follows its files, where that is allowed.
#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bastide_config::env::Env;
use bastide_config::layers::Reload;
use bastide_config::{Fields, Layers, Watched, parse};
use bastide_testkit::until;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq)]
struct App {
    port: u16,
    limit: u32,
}

fn app(root: &mut Fields<'_, '_>) -> Option<App> {
    let port = root.required("port", parse::integer(1..=65_535_u16));
    let limits = root.object("limits", |limits| {
        limits.required("perMinute", parse::integer(1..=1_000_u32))
    });
    Some(App {
        port: port?,
        limit: limits?,
    })
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn count(&self, words: &str) -> usize {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.matches(words).count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn write(file: &Path, port: &str, limit: &str) {
    // By a rename, as careful editors and deployments do.
    let new = file.with_extension("new");
    std::fs::write(
        &new,
        format!("port = {port}\n[limits]\nperMinute = {limit}\n"),
    )
    .unwrap();
    std::fs::rename(&new, file).unwrap();
}

fn watch(file: &Path, reload: Reload, environment: &str) -> Watched<App> {
    let env = Env::of([("BASTIDE_ENV", environment)]);
    let layers = Layers::new().file(file);
    layers.watch(&env, reload, &["limits"], app).unwrap()
}

#[test]
fn s1_only_named_sections_change_and_a_wrong_file_changes_nothing() {
    let log = Log::default();
    let writer = log.clone();
    // The thread that watches logs too, so that it is the whole process's.
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("app.toml");
    write(&file, "80", "10");
    let watched = watch(&file, Reload::Always, "production");
    assert_eq!(
        *watched.get(),
        App {
            port: 80,
            limit: 10
        }
    );

    write(&file, "81", "20");
    assert!(until(PATIENCE, || watched.get().limit == 20));
    assert_eq!(watched.get().port, 80, "it is not named, so it stays");
    let source = watched.effective()[0].source.to_string();
    assert!(source.ends_with("app.toml:3:13"), "{source}");
    assert!(until(PATIENCE, || log
        .count("in force after the next start")
        == 1));

    let before = watched.get();
    write(&file, "\"no\"", "30");
    assert!(until(PATIENCE, || log.count("what was in force stays") == 1));
    assert!(
        Arc::ptr_eq(&before, &watched.get()),
        "all of it was refused"
    );
    // Touched again, and again wrong in the same way: that was told already.
    write(&file, "\"no\"", "31");
    write(&file, "80", "40");
    assert!(until(PATIENCE, || watched.get().limit == 40));
    assert_eq!(log.count("what was in force stays"), 1);
}

#[test]
fn s1_nothing_is_watched_in_production_unless_asked_for() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("app.toml");
    write(&file, "80", "10");
    let fixed = watch(&file, Reload::OutsideProduction, "production");
    let followed = watch(&file, Reload::OutsideProduction, "development");
    write(&file, "80", "20");
    assert!(until(PATIENCE, || followed.get().limit == 20));
    assert_eq!(fixed.get().limit, 10);
}

#[test]
fn a_configuration_that_is_wrong_at_the_start_is_an_error() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("app.toml");
    write(&file, "0", "10");
    let layers = Layers::new().file(&file);
    let error = layers
        .watch(&Env::of([("", "")]), Reload::Always, &["limits"], app)
        .unwrap_err();
    assert!(
        error.to_string().contains("app.toml:1:8: port: expected"),
        "{error}"
    );
}
