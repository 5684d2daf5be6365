//! How a default is shown among the values in use: as it would be written.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::units::TimeSpan;

/// A default that can be shown as it would be written in a file.
pub trait Shown {
    /// As it would be written.
    fn shown(&self) -> Value;
}

macro_rules! as_it_is {
    ($($kind:ty),*) => {$(
        impl Shown for $kind {
            fn shown(&self) -> Value {
                Value::from(self.to_owned())
            }
        }
    )*};
}

as_it_is!(bool, u16, u32, u64, usize, f64, String);

impl Shown for SocketAddr {
    fn shown(&self) -> Value {
        self.to_string().into()
    }
}

impl Shown for Duration {
    fn shown(&self) -> Value {
        TimeSpan::new(*self).to_string().into()
    }
}
