//! A process of the test program, and calls to it.

mod http;
mod program;
pub(crate) mod scene;

pub(crate) use http::{Connection, Response, call, get};
pub(crate) use program::{Ended, PATIENCE, Plan, Program, signal_to};
