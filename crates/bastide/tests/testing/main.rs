//! S21: what an author's tests rely on, tried with programs that are right and with such that are not.

#![allow(clippy::unwrap_used, reason = "a test that panics says where")]

mod assertions;
mod leaky;
mod notes;
mod test_app;
