//! A file that several processes share, and files that cannot be.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bastide_store::{Event, Kind, Namespace, SqliteOptions, Store, StoreError};

use crate::support::eventually;

/// Tells the test below that it is the other process, and which file to open.
const PATH: &str = "BASTIDE_STORE_TEST_FILE";
const ROUNDS: i64 = 500;

async fn open(path: &Path) -> Store {
    Store::sqlite(path, SqliteOptions::default()).await.unwrap()
}

/// Another process: this test binary, running only [`the_other_process`].
struct Other(Child);

impl Other {
    fn start(path: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "file::the_other_process"])
            .env(PATH, path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// SIGKILL, wherever it is.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the other process does; nothing, where nobody started it as one.
#[tokio::test]
async fn the_other_process() {
    let Some(path) = std::env::var_os(PATH) else {
        return;
    };
    let store = open(Path::new(&path)).await;
    let raw = store.raw();
    let mut questions = raw.subscribe("questions").await.unwrap();
    raw.set("ready", b"1", None).await.unwrap();
    while let Some(event) = questions.next().await {
        match event {
            Event::Message(word) if word == b"count" => {
                for _ in 0..ROUNDS {
                    raw.increment("count", 1, None).await.unwrap();
                }
                raw.publish("answers", b"counted").await.unwrap();
            }
            Event::Message(word) => raw.publish("answers", &word).await.unwrap(),
            Event::Missed => panic!("nothing was missed"),
        }
    }
}

async fn with_other(path: &Path) -> (Store, Other) {
    let store = open(path).await;
    let other = Other::start(path);
    eventually("the other is ready", async || {
        store.raw().get("ready").await.unwrap().is_some()
    })
    .await;
    (store, other)
}

#[tokio::test]
async fn processes_count_together() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _other) = with_other(&folder.path().join("store.db")).await;
    assert_eq!(store.kind(), Kind::Sqlite);
    let raw = store.raw();
    let mut answers = raw.subscribe("answers").await.unwrap();
    raw.publish("questions", b"count").await.unwrap();
    for _ in 0..ROUNDS {
        raw.increment("count", 1, None).await.unwrap();
    }
    assert_eq!(
        answers.next().await,
        Some(Event::Message(b"counted".to_vec()))
    );
    let count = raw.get("count").await.unwrap().unwrap();
    assert_eq!(count, (2 * ROUNDS).to_string().as_bytes());
}

#[tokio::test]
async fn processes_hear_each_other_soon() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _other) = with_other(&folder.path().join("store.db")).await;
    let raw = store.raw();
    let mut answers = raw.subscribe("answers").await.unwrap();
    let mut soonest = Duration::MAX;
    for round in 0..20u8 {
        let asked = Instant::now();
        raw.publish("questions", &[round]).await.unwrap();
        assert_eq!(answers.next().await, Some(Event::Message(vec![round])));
        soonest = soonest.min(asked.elapsed());
    }
    // There and back, so twice; the best of many, as the machine is shared.
    assert!(soonest < Duration::from_millis(100), "{soonest:?}");
}

#[tokio::test]
async fn a_process_that_was_killed_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let (store, mut other) = with_other(&folder.path().join("store.db")).await;
    let raw = store.raw();
    raw.publish("questions", b"count").await.unwrap();
    eventually("it counts", async || {
        raw.get("count").await.unwrap().is_some()
    })
    .await;
    other.kill();
    let before = raw.increment("count", 0, None).await.unwrap();
    assert_eq!(raw.increment("count", 1, None).await, Ok(before + 1));
}

#[tokio::test]
async fn values_outlive_their_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let sessions = open(&path).await.namespace(Namespace::Sessions);
    sessions.set("ada", b"token", None).await.unwrap();
    drop(sessions);
    let again = open(&path).await.namespace(Namespace::Sessions);
    assert_eq!(
        again.get("ada").await.unwrap().as_deref(),
        Some(&b"token"[..])
    );
}

#[tokio::test]
async fn a_listener_that_fell_behind_learns_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(&path).await;
    let mut listener = store.raw().subscribe("c").await.unwrap();
    // What has been removed before a listener looked is as if it had been too slow.
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "BEGIN IMMEDIATE;
             INSERT INTO messages (channel, message, sent_at) VALUES (x'64', x'31', 0), (x'64', x'32', 0);
             DELETE FROM messages;
             COMMIT;",
        )
        .unwrap();
    assert_eq!(listener.next().await, Some(Event::Missed));
    store.raw().publish("c", b"3").await.unwrap();
    assert_eq!(listener.next().await, Some(Event::Message(b"3".to_vec())));
}

#[tokio::test]
async fn what_has_expired_and_was_said_goes_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(&path).await;
    let raw = store.raw();
    for key in 0..300 {
        raw.set(&key.to_string(), b"1", Some(Duration::from_millis(1)))
            .await
            .unwrap();
    }
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute(
            "INSERT INTO messages (channel, message, sent_at) VALUES (x'63', x'31', 0)",
            [],
        )
        .unwrap();
    eventually("it is swept", async || {
        let left: i64 = connection
            .query_row(
                "SELECT (SELECT count(*) FROM entries) + (SELECT count(*) FROM messages)
                 + (SELECT entries + bytes + message_bytes FROM size)",
                [],
                |row| row.get(0),
            )
            .unwrap();
        left == 0
    })
    .await;
}

#[tokio::test]
async fn a_file_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions {
        entries: 3,
        bytes: 100,
        ..SqliteOptions::default()
    };
    let store = Store::sqlite(folder.path().join("store.db"), options)
        .await
        .unwrap();
    let raw = store.raw();
    raw.set("a", b"1", Some(Duration::from_millis(300)))
        .await
        .unwrap();
    raw.set("b", b"2", None).await.unwrap();
    raw.set("c", b"3", None).await.unwrap();
    assert_eq!(raw.set("d", b"4", None).await, Err(StoreError::Full));
    raw.set("b", b"22", None).await.unwrap();
    eventually("what has expired makes room", async || {
        raw.set("d", b"4", None).await.is_ok()
    })
    .await;
    assert_eq!(raw.set("b", &[0; 200], None).await, Err(StoreError::Full));
    assert_eq!(raw.get("b").await.unwrap().as_deref(), Some(&b"22"[..]));
}

#[tokio::test]
async fn a_busy_file_is_waited_for_and_not_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let timeout = Duration::from_millis(500);
    let options = SqliteOptions {
        timeout,
        ..SqliteOptions::default()
    };
    let store = Store::sqlite(&path, options).await.unwrap();
    let raw = store.raw();
    eventually("it is written", async || {
        raw.set("k", b"1", None).await.is_ok()
    })
    .await;
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    assert_eq!(
        raw.set("k", b"2", None).await,
        Err(StoreError::Timeout(timeout))
    );
    assert!(start.elapsed() < Duration::from_secs(2));
    eventually("reading goes on meanwhile", async || {
        raw.get("k").await == Ok(Some(b"1".to_vec()))
    })
    .await;
    other.execute_batch("COMMIT").unwrap();
    eventually("it works again", async || {
        raw.set("k", b"3", None).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn an_unusable_file_says_which_and_why_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let message = async |path: &Path| {
        let error = Store::sqlite(path, SqliteOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.code(), "store_file_unusable");
        let text = error.to_string();
        assert!(text.contains(path.to_str().unwrap()), "{text}");
        text
    };
    let nowhere = message(&folder.path().join("none/store.db")).await;
    assert!(nowhere.contains("folder exists"), "{nowhere}");
    let is_folder = message(folder.path()).await;
    assert!(is_folder.contains("may write"), "{is_folder}");

    let damaged = folder.path().join("damaged.db");
    std::fs::write(&damaged, [b'x'; 8192]).unwrap();
    let damaged = message(&damaged).await;
    assert!(damaged.contains("move it away"), "{damaged}");

    let foreign = folder.path().join("foreign.db");
    rusqlite::Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    let foreign = message(&foreign).await;
    assert!(foreign.contains("path of its own"), "{foreign}");
}
