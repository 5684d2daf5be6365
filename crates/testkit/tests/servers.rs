//! The servers do what fault tests need of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use bastide_testkit::{Postgres, Redis, RedisCluster, RedisSentinel, TestFolder, unique, until};

fn redis(port: u16, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut answer = [0; 256];
    let length = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

#[test]
fn redis_can_be_killed_stopped_paused_and_restarted_on_its_port() {
    let mut server = Redis::start().unwrap();
    let port = server.port();
    assert_eq!(redis(port, "SET a 1").unwrap(), "+OK\r\n");

    server.pause();
    assert!(
        redis(port, "PING").is_err(),
        "a paused server does not answer"
    );
    server.resume();
    assert_eq!(redis(port, "GET a").unwrap(), "$1\r\n1\r\n");

    server.stop().unwrap();
    assert!(redis(port, "PING").is_err());
    server.restart().unwrap();
    assert_eq!(
        redis(port, "GET a").unwrap(),
        "$1\r\n1\r\n",
        "an orderly stop keeps data"
    );

    redis(port, "SET b 1").unwrap();
    server.kill();
    assert!(redis(port, "PING").is_err());
    server.restart().unwrap();
    assert_eq!(
        redis(port, "GET b").unwrap(),
        "$-1\r\n",
        "a crash loses data"
    );
    server.flush().unwrap();
    assert_eq!(redis(port, "DBSIZE").unwrap(), ":0\r\n");

    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn postgres_keeps_committed_data_over_a_crash() {
    let begun = Instant::now();
    let mut server = Postgres::start().unwrap();
    println!("started in {:?}", begun.elapsed());
    let database = server.database().unwrap();
    database
        .sql("CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
        .unwrap();

    server.kill();
    assert!(database.sql("SELECT 1").is_err());
    let begun = Instant::now();
    server.restart().unwrap();
    println!("restarted in {:?}", begun.elapsed());
    assert_eq!(database.sql("SELECT n FROM t").unwrap(), "7");

    server.stop();
    assert!(database.sql("SELECT 1").is_err());
    server.restart().unwrap();
    assert_eq!(database.sql("SELECT n FROM t").unwrap(), "7");
}

#[test]
fn databases_of_a_shared_server_are_apart_and_go_away() {
    let one = Postgres::shared_database().unwrap();
    let two = Postgres::shared_database().unwrap();
    one.sql("CREATE TABLE t (n int)").unwrap();
    assert!(two.sql("SELECT * FROM t").is_err());
    let gone = format!(
        "SELECT count(*) FROM pg_database WHERE datname = '{}'",
        one.name()
    );
    assert_eq!(two.sql(&gone).unwrap(), "1");
    drop(one);
    assert_eq!(two.sql(&gone).unwrap(), "0");
}

#[test]
fn shared_redis_answers() {
    assert!(Redis::shared_url().unwrap().starts_with("redis://"));
}

#[test]
fn folders_of_dead_processes_are_swept() {
    // A process that has ended, and whose number is not in use again.
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let dead = child.id();
    child.wait().unwrap();
    let left = std::env::temp_dir().join(format!("bastide-test-{dead}-{}", unique("x")));
    std::fs::create_dir(&left).unwrap();
    let folder = TestFolder::new().unwrap();
    assert!(!left.exists());
    let path = folder.path().to_owned();
    drop(folder);
    assert!(!path.exists());
}

#[test]
fn a_server_dies_with_the_process_that_started_it() {
    // The test binary runs itself: the inner run starts a server, prints where, and is killed.
    if std::env::var_os("BASTIDE_INNER_RUN").is_some() {
        let server = Redis::start().unwrap();
        println!("port={}", server.port());
        std::io::stdout().flush().unwrap();
        until(Duration::from_mins(1), || false);
        return;
    }
    if !Path::new("/usr/bin/setpriv").exists() {
        return;
    }
    let mut inner = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "a_server_dies_with_the_process_that_started_it",
            "--exact",
            "--nocapture",
        ])
        .env("BASTIDE_INNER_RUN", "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(inner.stdout.take().unwrap());
    let port = loop {
        let mut line = String::new();
        assert!(
            std::io::BufRead::read_line(&mut out, &mut line).unwrap() > 0,
            "the inner run ended early"
        );
        if let Some((_, port)) = line.trim().rsplit_once("port=") {
            break port.parse::<u16>().unwrap();
        }
    };
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    inner.kill().unwrap();
    inner.wait().unwrap();
    assert!(until(Duration::from_secs(10), || TcpStream::connect((
        "127.0.0.1",
        port
    ))
    .is_err()));
}

#[test]
fn a_redis_cluster_divides_the_keys_and_is_whole_again_after_a_restart() {
    let mut cluster = RedisCluster::start().unwrap();
    let port = cluster.nodes()[0].port();
    // `a` has slot 15495, in the last third; `b` has 3300, in the first.
    assert!(redis(port, "SET a 1").unwrap().starts_with("-MOVED 15495 "));
    assert_eq!(redis(port, "SET b 1").unwrap(), "+OK\r\n");
    cluster.move_slot(15_495, 0).unwrap();
    assert_eq!(redis(port, "SET a 1").unwrap(), "+OK\r\n");
    cluster.nodes()[2].kill();
    let is_down = || redis(port, "SET b 2").is_ok_and(|answer| answer.starts_with("-CLUSTERDOWN"));
    assert!(until(Duration::from_secs(10), is_down));
    cluster.nodes()[2].restart().unwrap();
    cluster.wait().unwrap();
    assert_eq!(redis(port, "SET b 2").unwrap(), "+OK\r\n");
}

#[test]
fn a_sentinel_makes_the_replica_the_master() {
    let mut redises = RedisSentinel::start().unwrap();
    assert_eq!(
        redis(redises.master().port(), "SET a 1").unwrap(),
        "+OK\r\n"
    );
    redises.wait_for_replica().unwrap();
    let address = redises.address();
    let (sentinel, name) = address.split_once('/').unwrap();
    let port = sentinel.rsplit_once(':').unwrap().1.parse().unwrap();
    let ask = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {name}");
    let before = redis(port, &ask).unwrap();
    redises.master().kill();
    let has_changed = || {
        let answer = redis(port, &ask).unwrap_or_default();
        let new = answer.lines().nth(4).and_then(|port| port.parse().ok());
        answer != before
            && new.is_some_and(|port| {
                redis(port, "GET a").is_ok_and(|value| value == "$1\r\n1\r\n")
                    && redis(port, "SET a 1").is_ok_and(|answer| answer == "+OK\r\n")
            })
    };
    assert!(until(Duration::from_secs(20), has_changed));
}
