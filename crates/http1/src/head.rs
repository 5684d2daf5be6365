//! What requests and responses share: the bytes of a head, its fields, and reading them piece by piece.

use memchr::memchr;

use crate::charset;
use crate::error::{FieldError, FramingError};
use crate::field::{self, Field, Span};
use crate::known::Known;
use crate::limits::Limits;

/// How far reading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Stage {
    #[default]
    StartLine,
    Fields,
    Done,
}

/// Marks a name that has no field in [`Head::first`].
const ABSENT: u16 = u16::MAX;

/// The bytes and fields of one head. Spans are offsets into `bytes`; for a head that was read, they are
/// offsets into the input as well.
#[derive(Clone)]
pub(crate) struct Head {
    /// The lines read so far, exactly as they were checked; text made by us may follow.
    pub(crate) bytes: Vec<u8>,
    pub(crate) fields: Vec<Field>,
    /// For each known name the index of its first field.
    first: [u16; Known::COUNT],
    /// A bit for each known name that came more than once.
    repeated: u64,
    pub(crate) stage: Stage,
    /// Where the first line starts that has not been read.
    pub(crate) at: usize,
    /// How much of the input has been searched for the end of that line.
    seen: usize,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            fields: Vec::new(),
            first: [ABSENT; Known::COUNT],
            repeated: 0,
            stage: Stage::StartLine,
            at: 0,
            seen: 0,
        }
    }
}

impl Head {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        self.first = [ABSENT; Known::COUNT];
        self.repeated = 0;
        self.stage = Stage::StartLine;
        self.at = 0;
        self.seen = 0;
    }

    /// Whether a look at `input` can get further than the last one did: it starts a new line, or an end
    /// has come for the line that was left, or `full` says that no more input may come.
    ///
    /// Each line is therefore read at most twice, and each byte searched once, however the input is cut.
    #[inline]
    pub(crate) fn has_news(&mut self, input: &[u8], full: bool) -> bool {
        if self.seen <= self.at || full {
            return true;
        }
        let news = input
            .get(self.seen..)
            .is_some_and(|new| memchr(b'\n', new).is_some());
        self.seen = input.len();
        news
    }

    /// What of the input the head may take, and whether it is full: then no more may come.
    #[inline]
    pub(crate) fn window<'i>(
        &self,
        input: &'i [u8],
        limits: &Limits,
    ) -> Result<(&'i [u8], bool), FramingError> {
        let max = limits.head();
        let window = &input[..input.len().min(max)];
        if window.len() < self.at {
            return Err(FramingError::HeadTooLarge);
        }
        Ok((window, input.len() >= max))
    }

    /// Keeps the lines read so far and remembers that the rest holds no whole line. There is nothing to wait for when the
    /// window is full.
    pub(crate) fn pause(&mut self, window: &[u8], full: bool) -> Result<(), FramingError> {
        if full {
            return Err(FramingError::HeadTooLarge);
        }
        self.keep(window);
        self.seen = window.len();
        Ok(())
    }

    /// Copies what was read since the last call.
    #[inline]
    fn keep(&mut self, input: &[u8]) {
        self.bytes
            .extend_from_slice(&input[self.bytes.len()..self.at]);
    }

    /// Reads field lines up to and with the empty one. `false` when that has not come yet.
    #[inline]
    pub(crate) fn read_fields<E>(&mut self, input: &[u8], limits: &Limits) -> Result<bool, E>
    where
        E: From<FieldError> + From<FramingError>,
    {
        let max = limits.field_count();
        loop {
            match &input[self.at..] {
                [b'\r', b'\n', ..] => {
                    self.at += 2;
                    self.keep(input);
                    self.stage = Stage::Done;
                    return Ok(true);
                }
                [b'\r', _, ..] => return Err(FieldError::BareCr.into()),
                _ => {}
            }
            let Some((field, next)) = field::parse_line(input, self.at)? else {
                return Ok(false);
            };
            if self.fields.len() >= max {
                return Err(FramingError::TooManyFields.into());
            }
            self.index(field);
            self.at = next;
        }
    }

    /// Appends a field whose spans are already right.
    #[inline]
    pub(crate) fn index(&mut self, field: Field) {
        if field.known != Known::Other {
            let first = &mut self.first[field.known as usize];
            if *first == ABSENT {
                *first = self.fields.len() as u16;
            } else {
                self.repeated |= 1 << field.known as u32;
            }
        }
        self.fields.push(field);
    }

    /// Checks and appends a field that came in parts (over HTTP/2). White space around the value is
    /// dropped, as HTTP/1.1 would.
    pub(crate) fn push<E>(&mut self, name: &[u8], value: &[u8], limits: &Limits) -> Result<(), E>
    where
        E: From<FieldError> + From<FramingError>,
    {
        let (token, underscore) = charset::token(name);
        if name.is_empty() {
            return Err(FieldError::EmptyName.into());
        }
        if token != name.len() {
            return Err(FieldError::InvalidName.into());
        }
        let value = charset::trim(value);
        if charset::value(value) != value.len() {
            return Err(FieldError::InvalidValue.into());
        }
        if self.fields.len() >= limits.field_count() {
            return Err(FramingError::TooManyFields.into());
        }
        if self.bytes.len() + name.len() + value.len() > limits.head() {
            return Err(FramingError::HeadTooLarge.into());
        }
        let known = Known::of(name);
        let mut hop = known.is_hop_by_hop();
        match known {
            // The one connection-specific field that HTTP/2 keeps, in this one form.
            Known::Te if value.eq_ignore_ascii_case(b"trailers") => {}
            Known::Te
            | Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::TransferEncoding
            | Known::Upgrade => return Err(FramingError::ConnectionField.into()),
            Known::Cookie if self.join_cookie(value) => return Ok(()),
            _ => {}
        }
        if underscore {
            match Known::aliased_by(name) {
                Known::Other => {}
                Known::ContentLength | Known::TransferEncoding => {
                    return Err(FieldError::FramingAlias.into());
                }
                _ => hop = true,
            }
        }
        let name = self.store(name);
        let value = self.store(value);
        self.index(Field {
            name,
            value,
            known,
            hop,
        });
        Ok(())
    }

    /// Joins a further piece of a cookie that HTTP/2 split (RFC 9113 section 8.2.3).
    fn join_cookie(&mut self, piece: &[u8]) -> bool {
        let Some(index) = self.first_index(Known::Cookie) else {
            return false;
        };
        let Span { start, end } = self.fields[index].value;
        let (mut start, end) = (start as usize, end as usize);
        if end != self.bytes.len() {
            let moved = self.bytes.len();
            self.bytes.extend_from_within(start..end);
            start = moved;
        }
        self.bytes.extend_from_slice(b"; ");
        self.bytes.extend_from_slice(piece);
        self.fields[index].value = Span::new(start, self.bytes.len());
        true
    }

    /// Appends text and tells where it is.
    pub(crate) fn store(&mut self, text: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        Span::new(start, self.bytes.len())
    }

    #[inline]
    pub(crate) fn first_index(&self, known: Known) -> Option<usize> {
        let index = self.first[known as usize];
        (index != ABSENT).then_some(usize::from(index))
    }

    #[inline]
    pub(crate) fn find(&self, known: Known) -> Option<&[u8]> {
        self.first_index(known)
            .map(|index| self.fields[index].value.of(&self.bytes))
    }

    pub(crate) fn find_name(&self, name: &[u8]) -> Option<&[u8]> {
        match Known::of(name) {
            Known::Other => self
                .fields
                .iter()
                .find(|field| {
                    field.known == Known::Other
                        && field.name.of(&self.bytes).eq_ignore_ascii_case(name)
                })
                .map(|field| field.value.of(&self.bytes)),
            known => self.find(known),
        }
    }

    pub(crate) fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        let from = self.first_index(known).unwrap_or(self.fields.len());
        self.fields[from..]
            .iter()
            .filter(move |field| field.known == known)
            .map(|field| field.value.of(&self.bytes))
    }

    #[inline]
    pub(crate) fn is_repeated(&self, known: Known) -> bool {
        self.repeated & (1 << known as u32) != 0
    }

    /// Marks every field of this name as ending here.
    pub(crate) fn stop(&mut self, known: Known) {
        for field in &mut self.fields {
            field.hop |= field.known == known;
        }
    }
}

/// The accessors that both kinds of head offer over their `head`.
macro_rules! field_accessors {
    () => {
        /// The fields in the order they came in.
        #[inline]
        pub fn fields(&self) -> &[Field] {
            &self.head.fields
        }

        /// A field's name, in the letter case it came in.
        #[inline]
        pub fn name(&self, field: &Field) -> &[u8] {
            field.name.of(&self.head.bytes)
        }

        /// A field's value, without the white space around it.
        #[inline]
        pub fn value(&self, field: &Field) -> &[u8] {
            field.value.of(&self.head.bytes)
        }

        /// The value of the first field of this name, in constant time. Always `None` for
        /// [`Known::Other`].
        #[inline]
        pub fn find(&self, known: Known) -> Option<&[u8]> {
            self.head.find(known)
        }

        /// The value of the first field of this name, in any letter case.
        pub fn find_name(&self, name: &[u8]) -> Option<&[u8]> {
            self.head.find_name(name)
        }

        /// The values of all fields of this name, in order.
        pub fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
            self.head.all(known)
        }

        /// Whether more than one field of this name came.
        #[inline]
        pub fn is_repeated(&self, known: Known) -> bool {
            self.head.is_repeated(known)
        }
    };
}
pub(crate) use field_accessors;
