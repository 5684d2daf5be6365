//! The one place that calls the operating system by hand.
#![expect(
    unsafe_code,
    reason = "no crate offers TCP_INFO, descriptors by number, an exec that knows its own process id, or the allocator's \
              collection as a safe call"
)]

mod exec;

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

pub(crate) use exec::{ERROR_NUMBER, Image};

/// Takes over a descriptor that this process was started with, and lets no later program inherit it.
///
/// # Errors
/// When there is none of this number, or it was opened or taken over by this process.
pub(crate) fn take_inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: numbers go in and come out.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    // What came through `exec` has no such flag, and all that this program opens has it from its first moment: only
    // so it is nobody else's.
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(io::Error::other("was not handed over"));
    }
    // SAFETY: numbers go in and come out.
    if unsafe { libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and by the flag that it did not have, nothing else in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// How many bytes the other side's kernel has acknowledged since the connection began (`tcpi_bytes_acked` of RFC
/// 4898's `tcpEStatsAppHCThruOctetsAcked`).
pub(crate) fn tcp_bytes_acknowledged(socket: impl AsFd) -> io::Result<u64> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as it is borrowed; the kernel writes at most `length` bytes to
    // `info`, which has that many.
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

/// Frees the pages that hold nothing any more but what the allocator keeps at hand for this thread. Takes milliseconds;
/// for the end of something large.
pub(crate) fn release_memory() {
    // SAFETY: it has no preconditions; in a process with another allocator it finds nothing to collect.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_descriptor_that_was_not_handed_over_is_not_taken() {
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(take_inherited(own.as_raw_fd()).is_err());
        assert!(take_inherited(RawFd::MAX).is_err());
        own.local_addr().unwrap();
    }

    #[test]
    fn one_that_was_handed_over_is_taken_once() {
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        // As it is after `exec`: open, without the flag, and no value's.
        let number = rustix::io::fcntl_dupfd_cloexec(&own, 100).unwrap();
        rustix::io::fcntl_setfd(&number, rustix::io::FdFlags::empty()).unwrap();
        let number = std::os::fd::IntoRawFd::into_raw_fd(number);
        let taken = take_inherited(number).unwrap();
        assert!(take_inherited(number).is_err());
        assert_eq!(
            TcpListener::from(taken).local_addr().unwrap(),
            own.local_addr().unwrap()
        );
    }

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
