//! One connection of an upstream.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::wait::pause;
use super::{Received, Shared, Step, lock};

/// Longer than any test: a forgotten connection does not keep its thread for ever.
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) fn connection(shared: &Shared, stream: TcpStream, number: usize) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(mut request) = Received::read_head(&mut stream, number)? {
        let handler = Arc::clone(&lock(&shared.handler));
        if request
            .headers("expect")
            .iter()
            .any(|value| value.eq_ignore_ascii_case("100-continue"))
        {
            stream
                .get_mut()
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let reads_body = shared.reads_bodies.load(Ordering::SeqCst);
        if reads_body {
            request.read_body(&mut stream)?;
        }
        lock(&shared.received).push(request.clone());
        shared.in_flight.fetch_add(1, Ordering::SeqCst);
        let result = play(
            shared,
            &mut stream,
            number,
            handler(&request).into_steps(&request.method),
        );
        shared.in_flight.fetch_sub(1, Ordering::SeqCst);
        if !result? || !reads_body {
            return Ok(());
        }
    }
    Ok(())
}

/// Does what the steps say. Returns whether another request may follow.
fn play(
    shared: &Shared,
    stream: &mut BufReader<TcpStream>,
    number: usize,
    steps: Vec<Step>,
) -> io::Result<bool> {
    for step in steps {
        match step {
            Step::Send(bytes) => stream.get_mut().write_all(&bytes)?,
            Step::Pause(time) => pause(time),
            Step::Wait(gate) => gate.wait(),
            Step::Hold => {
                io::copy(&mut stream.by_ref(), &mut io::sink())?;
                return Ok(false);
            }
            Step::Close => {
                stream.get_mut().shutdown(Shutdown::Both)?;
                return Ok(false);
            }
            Step::Reset => {
                rustix::net::sockopt::set_socket_linger(stream.get_ref(), Some(Duration::ZERO))?;
                // The last handle's end is the connection's.
                lock(&shared.streams).remove(&number);
                return Ok(false);
            }
        }
    }
    Ok(true)
}
