//! The one place that calls the operating system by hand.
#![expect(unsafe_code, reason = "no crate offers TCP_INFO")]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd as _};

/// How many bytes the other side's kernel has acknowledged since the connection began (`tcpi_bytes_acked` of RFC 4898's
/// `tcpEStatsAppHCThruOctetsAcked`).
pub(crate) fn tcp_bytes_acknowledged(socket: impl AsFd) -> io::Result<u64> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as it is borrowed; the kernel writes at most `length` bytes to `info`,
    // which has that many.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all zeroes is a valid `tcp_info`, and so is whatever the kernel wrote over it: integers only.
    Ok(unsafe { info.assume_init() }.tcpi_bytes_acked)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_the_other_side_received_is_acknowledged() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let before = tcp_bytes_acknowledged(&client).unwrap();
        client.write_all(b"hello").unwrap();
        let mut bytes = [0; 5];
        server.read_exact(&mut bytes).unwrap();
        // The answer carries the acknowledgement with it.
        server.write_all(b"x").unwrap();
        client.read_exact(&mut bytes[..1]).unwrap();
        assert_eq!(tcp_bytes_acknowledged(&client).unwrap(), before + 5);
    }
}
