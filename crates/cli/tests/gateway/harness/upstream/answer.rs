//! What an upstream does about a request.

use std::fmt::Write as _;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

/// One thing that an upstream does.
#[derive(Clone)]
pub(crate) enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Lets time pass.
    Pause(Duration),
    /// Waits until the test opens the gate.
    Wait(Gate),
    /// Waits until the other side closes the connection.
    Hold,
    /// Closes the connection in order.
    Close,
    /// Resets the connection.
    Reset,
}

/// An answer: an ordinary response, or a script of anything at all.
#[derive(Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    before: Vec<Step>,
    script: Option<Vec<Step>>,
}

impl Answer {
    /// An empty response.
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            before: Vec::new(),
            script: None,
        }
    }

    /// 200 with a text.
    pub(crate) fn text(body: &str) -> Self {
        Self::status(200)
            .header("Content-Type", "text/plain")
            .body(body)
    }

    /// 200 with JSON.
    pub(crate) fn json(body: &Value) -> Self {
        Self::status(200)
            .header("Content-Type", "application/json")
            .body(body.to_string())
    }

    /// These bytes, and the connection stays open for another request.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::script([Step::Send(bytes.into())])
    }

    /// These bytes, then the end of the connection.
    pub(crate) fn raw_and_close(bytes: impl Into<Vec<u8>>) -> Self {
        Self::script([Step::Send(bytes.into()), Step::Close])
    }

    /// No answer at all: the connection is closed.
    pub(crate) fn close() -> Self {
        Self::script([Step::Close])
    }

    /// No answer at all: the connection is reset.
    pub(crate) fn reset() -> Self {
        Self::script([Step::Reset])
    }

    /// No answer, for as long as the other side waits.
    pub(crate) fn hang() -> Self {
        Self::script([Step::Hold])
    }

    /// Anything.
    pub(crate) fn script(steps: impl Into<Vec<Step>>) -> Self {
        Self {
            script: Some(steps.into()),
            ..Self::status(200)
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// After this time.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.before.push(Step::Pause(delay));
        self
    }

    /// When the test opens the gate.
    pub(crate) fn behind(mut self, gate: &Gate) -> Self {
        self.before.push(Step::Wait(gate.clone()));
        self
    }

    /// The steps, for a response to this method.
    pub(super) fn into_steps(self, method: &str) -> Vec<Step> {
        let mut steps = self.before;
        if let Some(script) = self.script {
            steps.extend(script);
            return steps;
        }
        let has = |wanted: &str| {
            self.headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case(wanted))
        };
        let mut head = format!("HTTP/1.1 {} Status\r\n", self.status);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").expect("writing to memory cannot fail");
        }
        let is_framed =
            has("content-length") || has("transfer-encoding") || matches!(self.status, 204 | 304);
        if !is_framed {
            write!(head, "Content-Length: {}\r\n", self.body.len())
                .expect("writing to memory cannot fail");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if method != "HEAD" {
            bytes.extend_from_slice(&self.body);
        }
        steps.push(Step::Send(bytes));
        steps
    }
}

/// Shut until the test opens it; then it stays open.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    inner: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.inner.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.inner.1.notify_all();
    }

    /// Shuts it again, for those who come from now on.
    pub(crate) fn shut(&self) {
        *self.inner.0.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    pub(crate) fn is_open(&self) -> bool {
        *self.inner.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is open, a minute at most.
    pub(super) fn wait(&self) {
        let open = self.inner.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(
            self.inner
                .1
                .wait_timeout_while(open, Duration::from_mins(1), |open| !*open),
        );
    }
}
