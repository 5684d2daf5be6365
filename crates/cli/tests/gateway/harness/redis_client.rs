//! A Redis client of a few lines: what an operator does with `redis-cli`.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// Sends one command and returns its answer as text; a bulk answer without its length.
pub(crate) fn ask(port: u16, command: &[&str]) -> String {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the test's Redis runs");
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a socket takes a time limit");
    let mut stream = BufReader::new(stream);
    let mut text = format!("*{}\r\n", command.len());
    for word in command {
        write!(text, "${}\r\n{word}\r\n", word.len()).expect("writing to memory cannot fail");
    }
    stream
        .get_mut()
        .write_all(text.as_bytes())
        .expect("Redis takes a command");
    let mut line = String::new();
    stream.read_line(&mut line).expect("Redis answers");
    let line = line.trim_end().to_owned();
    match line
        .strip_prefix('$')
        .and_then(|length| length.parse::<usize>().ok())
    {
        Some(length) => {
            let mut bytes = vec![0; length];
            stream
                .read_exact(&mut bytes)
                .expect("Redis sends what it announced");
            String::from_utf8_lossy(&bytes).into_owned()
        }
        None => line,
    }
}
