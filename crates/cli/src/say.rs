//! How commands speak: results on standard output, complaints on standard error, and an exit code that tells which.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// What was tried failed.
const FAILED: u8 = 1;

/// What was given is wrong; nothing was tried.
const USAGE: u8 = 2;

/// Prints a result. A reader that went away is no error of ours.
pub(crate) fn say(text: impl Display) -> ExitCode {
    writeln!(std::io::stdout(), "{text}").ok();
    ExitCode::SUCCESS
}

/// What was tried failed.
pub(crate) fn failed(why: impl Display) -> ExitCode {
    complain(why, FAILED)
}

/// What was given is wrong.
pub(crate) fn refused(why: impl Display) -> ExitCode {
    complain(why, USAGE)
}

fn complain(why: impl Display, code: u8) -> ExitCode {
    for line in why.to_string().lines() {
        writeln!(std::io::stderr(), "bastide: {line}").ok();
    }
    ExitCode::from(code)
}
