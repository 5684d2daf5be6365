//! The same with two real processes: this test program runs itself.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bastide_cache::{CacheOptions, Reach};
use bastide_testkit::{Redis, unique};

use crate::support::{Source, cache, eventually, key, options, redis, tag, tagged};

const PREFIX: &str = "BASTIDE_INNER_CACHE_PREFIX";
const URL: &str = "BASTIDE_INNER_CACHE_URL";

/// The other process: told `read` it answers with its value, told `invalidate` it does.
struct Other {
    child: Child,
    told: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Other {
    fn start(url: &str, prefix: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["processes::the_other_process", "--exact", "--nocapture"])
            .env(URL, url)
            .env(PREFIX, prefix)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            told: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn tell(&mut self, what: &str) -> String {
        writeln!(self.told, "{what}").unwrap();
        loop {
            let mut line = String::new();
            let length = self.answers.read_line(&mut line).unwrap();
            assert!(length > 0, "the other process ended early");
            if let Some((_, answer)) = line.trim().rsplit_once("answer=") {
                return answer.to_owned();
            }
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn in_common(prefix: &str) -> CacheOptions {
    CacheOptions {
        prefix: prefix.to_owned(),
        ..options()
    }
}

/// Does nothing unless another test has started it.
#[tokio::test]
async fn the_other_process() {
    let (Ok(url), Ok(prefix)) = (std::env::var(URL), std::env::var(PREFIX)) else {
        return;
    };
    let cache = cache(&redis(&url), in_common(&prefix)).await;
    let mut out = std::io::stdout();
    // Blocking is for a thread of its own: the cache listens meanwhile.
    let (lines, mut line) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for told in std::io::stdin().lines().map_while(Result::ok) {
            let _ = lines.send(told);
        }
    });
    while let Some(told) = line.recv().await {
        let answer = match told.split_once(' ') {
            Some(("read", computed)) => {
                let compute = async || Ok::<u32, Infallible>(computed.parse().unwrap());
                let Ok(value) = cache.get_or_compute(&key(1), &tagged(), compute).await;
                value.to_string()
            }
            _ => format!("{:?}", cache.invalidate(&[tag("user")]).await),
        };
        writeln!(out, "answer={answer}").unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s8_two_processes_share_values_and_invalidations() {
    let url = Redis::shared_url().unwrap();
    let prefix = unique("t");
    let mut other = Other::start(&url, &prefix);
    let here = cache(&redis(&url), in_common(&prefix)).await;
    assert_eq!(other.tell("read 1"), "1");
    let source = Source::of(2);
    assert_eq!(source.through(&here, &key(1), &tagged()).await, 1);
    assert_eq!(source.asked(), 0, "it was the other's");

    assert_eq!(other.tell("invalidate"), "Everywhere");
    eventually("it is heard here", async || {
        source.through(&here, &key(1), &tagged()).await == 2
    })
    .await;
    assert_eq!(other.tell("read 9"), "2");
    assert_eq!(here.invalidate(&[tag("user")]).await, Reach::Everywhere);
    eventually("it is heard there", async || other.tell("read 3") == "3").await;
    assert_eq!(here.totals().l1_drops.get(), 0, "no notice was missed");
}
