//! A request as an upstream got it.

use std::io::{self, BufRead};

use serde_json::Value;

use super::super::response::{read_chunked, read_fields, read_line, values};

/// One request, with nothing decoded, joined or reordered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    pub(crate) method: String,
    /// Path and query as they stood in the request's line.
    pub(crate) target: String,
    pub(crate) version: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Counts the upstream's connections from 0.
    pub(crate) connection: usize,
}

impl Received {
    /// The field's value; fails if it stands more than once.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let all = self.headers(name);
        assert!(all.len() < 2, "{name} stands more than once: {all:?}");
        all.first().copied()
    }

    /// Every value of the field.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        values(&self.headers, name)
    }

    /// The target without its query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Reads line and fields. `None` if the connection ended before its first byte.
    pub(super) fn read_head(
        input: &mut impl BufRead,
        connection: usize,
    ) -> io::Result<Option<Self>> {
        if input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let line = read_line(input)?;
        let mut parts = line.split(' ').map(str::to_owned);
        let (method, target, version) = (parts.next(), parts.next(), parts.next());
        let (Some(method), Some(target), Some(version), None) =
            (method, target, version, parts.next())
        else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, line));
        };
        let headers = read_fields(input)?;
        Ok(Some(Self {
            method,
            target,
            version,
            headers,
            connection,
            ..Self::default()
        }))
    }

    pub(super) fn read_body(&mut self, input: &mut impl BufRead) -> io::Result<()> {
        if self.headers("transfer-encoding") == ["chunked"] {
            (self.body, self.trailers) = read_chunked(input)?;
        } else if let Some(length) = self.headers("content-length").first() {
            let length = length
                .parse()
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "length"))?;
            self.body = vec![0; length];
            input.read_exact(&mut self.body)?;
        }
        Ok(())
    }
}
