//! Becoming another program after a fork, with descriptors at fixed numbers and one's own process id in the
//! environment.
//!
//! `LISTEN_PID` names the process that sockets are meant for. It is only known after the fork, where the standard
//! library has already made the environment; so this calls `execve` itself.

use std::ffi::{CString, OsStr, OsString};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::ptr;

use libc::c_char;
use tokio::process::Command;

/// Before the error number that a process writes to the last of its descriptors when the program cannot be executed.
pub(crate) const ERROR_NUMBER: &[u8] = b"ERRNO=";

/// `LISTEN_PID=`, ten digits, the end.
type ProcessId = [u8; 22];

/// A program as it is to be executed, made whole before the fork: after it, no memory may be allocated.
pub(crate) struct Image {
    path: CString,
    _strings: Vec<CString>,
    /// Pointers into `_strings`, and a null.
    arguments: Vec<*const c_char>,
    /// Pointers into `_strings`, a place for `LISTEN_PID`, and a null.
    environment: Vec<*const c_char>,
    process: ProcessId,
    first: RawFd,
    /// Above the numbers that they will have.
    descriptors: Vec<OwnedFd>,
}

// SAFETY: the pointers lead to memory that this value owns and nobody changes.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

impl Image {
    /// The program at `path`, whose descriptors from `first` on will be copies of `descriptors`. To the last of these
    /// it is written if the program cannot be executed.
    ///
    /// `LISTEN_PID` is added to the environment.
    pub(crate) fn new(
        path: &OsStr,
        arguments: &[OsString],
        environment: &[(OsString, OsString)],
        first: RawFd,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<Self> {
        let arguments = arguments.iter().map(|argument| text(&[argument]));
        let arguments = arguments.collect::<io::Result<Vec<CString>>>()?;
        let environment = environment
            .iter()
            .map(|(name, value)| text(&[name, OsStr::new("="), value]));
        let environment = environment.collect::<io::Result<Vec<CString>>>()?;
        // Nothing that is yet to be copied may stand where a copy goes.
        let above = first + descriptors.len() as RawFd;
        let descriptors = descriptors
            .iter()
            .map(|descriptor| Ok(rustix::io::fcntl_dupfd_cloexec(descriptor, above)?));
        let pointers = |strings: &[CString], more: usize| -> Vec<*const c_char> {
            let pointers = strings.iter().map(|string| string.as_ptr());
            pointers.chain(vec![ptr::null(); more]).collect()
        };
        Ok(Self {
            path: text(&[path])?,
            arguments: pointers(&arguments, 1),
            environment: pointers(&environment, 2),
            _strings: arguments.into_iter().chain(environment).collect(),
            process: *b"LISTEN_PID=\0\0\0\0\0\0\0\0\0\0\0",
            first,
            descriptors: descriptors.collect::<io::Result<_>>()?,
        })
    }

    /// Makes the command become this, whatever else it was to be.
    pub(crate) fn become_of(mut self, command: &mut Command) {
        // SAFETY: `execute` makes system calls that are allowed after a fork and touches only memory that this value
        // owns; it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(move || self.execute());
        }
    }

    /// Returns only by ending the process: the pipe by which the standard library hears of errors may be among the
    /// numbers that were overwritten.
    fn execute(&mut self) -> io::Result<()> {
        let error = match self.try_execute() {
            Ok(never) => match never {},
            Err(error) => error,
        };
        let mut words = [0; 24];
        let mut rest = words.as_mut_slice();
        rest.write_all(ERROR_NUMBER).ok();
        writeln!(rest, "{}", error.raw_os_error().unwrap_or(0)).ok();
        let left = rest.len();
        let said = &words[..words.len() - left];
        if let Some(last) = self.descriptors.last() {
            // SAFETY: the descriptor is open and the memory is as long as is said.
            unsafe { libc::write(last.as_raw_fd(), said.as_ptr().cast(), said.len()) };
        }
        // SAFETY: it ends the process and runs nothing of it.
        unsafe { libc::_exit(127) }
    }

    fn try_execute(&mut self) -> io::Result<std::convert::Infallible> {
        for (number, descriptor) in (self.first..).zip(&self.descriptors) {
            // SAFETY: numbers go in and come out; whatever stood at `number` belonged to the process that was forked
            // from.
            if unsafe { libc::dup2(descriptor.as_raw_fd(), number) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        let digits = &mut self.process[b"LISTEN_PID=".len()..];
        write!(&mut *digits, "{}", std::process::id())?;
        let place = self.environment.len() - 2;
        self.environment[place] = self.process.as_ptr().cast();
        // SAFETY: the disposition is the documented constant. Asked again before it knows that signal, the new
        // program would end by it.
        unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
        // SAFETY: the path ends in a zero, both lists end in a null, and everything in them is owned by `self` and
        // ends in a zero: the digits of an id are at most ten and leave the last byte as it was.
        unsafe {
            libc::execve(
                self.path.as_ptr(),
                self.arguments.as_ptr(),
                self.environment.as_ptr(),
            )
        };
        Err(io::Error::last_os_error())
    }
}

fn text(parts: &[&OsStr]) -> io::Result<CString> {
    let bytes: Vec<u8> = parts
        .iter()
        .flat_map(|part| part.as_bytes())
        .copied()
        .collect();
    Ok(CString::new(bytes)?)
}
