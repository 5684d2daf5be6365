//! Server-sent events (WHATWG HTML, 9.2.6) read from bytes as they come.
//!
//! Pure: no sockets, no clock. One thing is wider than a browser reads it: an event with a name and no data is an event too.
//!
//! ```
//! use bastide_client::sse::Reader;
//!
//! let mut reader = Reader::new(1 << 20);
//! assert_eq!(reader.push(b"id: 1\ndata: {\"a\"")?, []);
//! let events = reader.push(b":1}\n\n")?;
//! assert_eq!((events[0].id.as_deref(), &events[0].data[..]), (Some("1"), "{\"a\":1}"));
//! # Ok::<(), bastide_client::sse::TooLong>(())
//! ```

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// Its name; `None` where it has none, which browsers call `message`.
    pub name: Option<String>,
    /// The id that came with it or before it.
    pub id: Option<String>,
    /// Its lines of data, with line ends between them.
    pub data: String,
}

/// An event, or a line, has more bytes than the reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event has more than {0} bytes")]
pub struct TooLong(usize);

/// Reads events. What does not make one yet is kept.
#[derive(Debug)]
pub struct Reader {
    max: usize,
    line: Vec<u8>,
    /// The line before ended with CR: an LF that follows belongs to it.
    after_return: bool,
    is_first_line: bool,
    name: Option<String>,
    id: Option<String>,
    data: Option<String>,
}

impl Reader {
    /// Of events with at most this many bytes.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            line: Vec::new(),
            after_return: false,
            is_first_line: true,
            name: None,
            id: None,
            data: None,
        }
    }

    /// The events that end within these bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let part = &rest[..end.unwrap_or(rest.len())];
            let kept = self.data.as_ref().map_or(0, String::len);
            if kept + self.line.len() + part.len() > self.max {
                return Err(TooLong(self.max));
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else { break };
            self.after_return = rest[end] == b'\r';
            rest = &rest[end + 1..];
            events.extend(self.line_ended());
        }
        Ok(events)
    }

    fn line_ended(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        // What is no UTF-8 shows up as what it is not where the data is read.
        let line = String::from_utf8_lossy(&line);
        let line = match line.strip_prefix('\u{feff}') {
            Some(line) if self.is_first_line => line,
            _ => &line,
        };
        self.is_first_line = false;
        if line.is_empty() {
            return self.event_ended();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = Some(value.to_owned()),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // Comments begin with a colon; `retry` is for who connects again; other fields are for later.
            _ => {}
        }
        None
    }

    fn event_ended(&mut self) -> Option<Event> {
        let (name, data) = (self.name.take(), self.data.take());
        (name.is_some() || data.is_some()).then(|| Event {
            name,
            id: self.id.clone(),
            data: data.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: Option<&str>, id: Option<&str>, data: &str) -> Event {
        Event {
            name: name.map(str::to_owned),
            id: id.map(str::to_owned),
            data: data.to_owned(),
        }
    }

    const TEXT: &str = "\u{feff}: hello\r\nid: 1\r\ndata: {\"a\":1}\r\n\r\n\
                        :\n\ndata:one\ndata\ndata:  two\nid:2\nretry: 5\nother: x\n\n\
                        event: problem\rdata: é\r\revent: end\n\nid: lost\ndata: cut";

    fn expected() -> [Event; 4] {
        [
            event(None, Some("1"), "{\"a\":1}"),
            event(None, Some("2"), "one\n\n two"),
            event(Some("problem"), Some("2"), "é"),
            event(Some("end"), Some("2"), ""),
        ]
    }

    #[test]
    fn events_are_read_whole() {
        assert_eq!(Reader::new(1024).push(TEXT.as_bytes()).unwrap(), expected());
    }

    #[test]
    fn where_the_bytes_are_cut_does_not_matter() {
        for size in 1..TEXT.len() {
            let mut reader = Reader::new(1024);
            let chunks = TEXT.as_bytes().chunks(size);
            let events: Vec<_> = chunks
                .flat_map(|chunk| reader.push(chunk).unwrap())
                .collect();
            assert_eq!(events, expected(), "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_is_read_no_further_than_allowed() {
        let mut reader = Reader::new(10);
        assert!(reader.push(b"data: 1234\n\ndata: 5678\n\n").is_ok());
        assert!(reader.push(b"data: 1234\n").is_ok());
        assert_eq!(reader.push(b"data: 12345"), Err(TooLong(10)));
        assert_eq!(Reader::new(10).push(b"data: 12345"), Err(TooLong(10)));
    }
}
