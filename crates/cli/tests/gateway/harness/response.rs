//! Responses, read strictly: what a lenient client would forgive is a failure here.

use std::fmt;
use std::io::{self, BufRead, Read as _};

use serde_json::Value;

/// Names and values, in the order in which they came.
pub(crate) type Fields = Vec<(String, String)>;

/// A whole response.
#[derive(Clone, Default)]
pub(crate) struct Response {
    pub(crate) version: String,
    pub(crate) status: u16,
    /// In the order in which they came, repeats and all.
    pub(crate) headers: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
    /// Whether the body ended with the connection.
    pub(crate) until_close: bool,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{} {}", self.version, self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        let shown: String = self.text().chars().take(2_000).collect();
        writeln!(f, "\n{shown}")
    }
}

impl Response {
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

    /// The field as a number.
    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> u64 {
        let text = self
            .header(name)
            .unwrap_or_else(|| panic!("no {name} in {self:?}"));
        text.parse()
            .unwrap_or_else(|_| panic!("{name}: {text} is no number"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The member `data` of the body.
    #[track_caller]
    pub(crate) fn data(&self) -> Value {
        self.json()["data"].take()
    }

    /// The stable code of a problem document.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{self:?}");
        assert!(
            problem["title"].is_string() && problem["detail"].is_string(),
            "{self:?}"
        );
        assert_eq!(
            problem["requestId"].as_str(),
            self.header("x-request-id"),
            "{self:?}"
        );
        problem["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Fails unless the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Fails unless it is a problem with this status and code.
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, code: &str) -> Self {
        let this = self.expect(status);
        assert_eq!(this.code(), code, "{this:?}");
        this
    }

    /// Reads one, interim responses aside. `Ok(None)` if the connection ended before its first byte.
    pub(crate) fn read(input: &mut impl BufRead, is_head: bool) -> io::Result<Option<Self>> {
        loop {
            let Some(mut response) = Self::read_head(input)? else {
                return Ok(None);
            };
            if (100..200).contains(&response.status) && response.status != 101 {
                continue;
            }
            response.read_body(input, is_head)?;
            return Ok(Some(response));
        }
    }

    /// Reads a head alone.
    pub(crate) fn read_head(input: &mut impl BufRead) -> io::Result<Option<Self>> {
        if input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let line = read_line(input)?;
        let mut parts = line.splitn(3, ' ');
        let version = parts.next().unwrap_or_default().to_owned();
        let status = parts
            .next()
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| wrong(&line))?;
        if !version.starts_with("HTTP/1.") {
            return Err(wrong(&line));
        }
        Ok(Some(Self {
            version,
            status,
            headers: read_fields(input)?,
            ..Self::default()
        }))
    }

    fn read_body(&mut self, input: &mut impl BufRead, is_head: bool) -> io::Result<()> {
        if is_head || matches!(self.status, 101 | 204 | 304) {
            return Ok(());
        }
        let encodings = self.headers("transfer-encoding");
        let lengths = self.headers("content-length");
        match (encodings.as_slice(), lengths.as_slice()) {
            (["chunked"], []) => {
                (self.body, self.trailers) = read_chunked(input)?;
            }
            ([], [length]) => {
                let length: usize = length.parse().map_err(|_| wrong(length))?;
                self.body = vec![0; length];
                input.read_exact(&mut self.body)?;
            }
            ([], []) => {
                input.read_to_end(&mut self.body)?;
                self.until_close = true;
            }
            _ => return Err(wrong(&format!("ambiguous framing: {:?}", self.headers))),
        }
        Ok(())
    }
}

/// Every value of a field.
pub(crate) fn values<'h>(headers: &'h [(String, String)], name: &str) -> Vec<&'h str> {
    headers
        .iter()
        .filter(|(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
        .collect()
}

/// Data and trailers of a chunked body.
pub(crate) fn read_chunked(input: &mut impl BufRead) -> io::Result<(Vec<u8>, Fields)> {
    let mut body = Vec::new();
    loop {
        let line = read_line(input)?;
        let digits = line.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(digits, 16).map_err(|_| wrong(&line))?;
        if size == 0 {
            return Ok((body, read_fields(input)?));
        }
        let start = body.len();
        body.resize(start + size, 0);
        input.read_exact(&mut body[start..])?;
        if !read_line(input)?.is_empty() {
            return Err(wrong("a chunk is longer than it says"));
        }
    }
}

/// Header fields up to the empty line.
pub(crate) fn read_fields(input: &mut impl BufRead) -> io::Result<Fields> {
    let mut fields = Vec::new();
    loop {
        let line = read_line(input)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line.split_once(':').ok_or_else(|| wrong(&line))?;
        fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
}

/// A line without its end, which must be CRLF.
pub(crate) fn read_line(input: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    input.take(64 * 1024).read_until(b'\n', &mut bytes)?;
    let line = bytes
        .strip_suffix(b"\r\n")
        .ok_or_else(|| wrong(&String::from_utf8_lossy(&bytes)))?;
    // Field values may be any bytes; what is not UTF-8 is read as Latin-1.
    Ok(String::from_utf8(line.to_vec())
        .unwrap_or_else(|_| line.iter().map(|&byte| char::from(byte)).collect()))
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP/1: {what:?}"))
}
