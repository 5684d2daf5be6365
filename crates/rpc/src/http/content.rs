//! Content of a known length, of which a client may have parts, or nothing where it has it already.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use bastide_telemetry::ids;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method as Verb, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeek, AsyncSeekExt as _};

use super::answer::{Body, Broken};
use super::conditions::{self, Validators, Verdict};
use super::range::{self, Asked, Span};

/// Bytes with a length, a tag and a time: for [`RawResponse::content`](super::RawResponse::content). It answers `Range`, `If-Range`,
/// `If-None-Match` and their like, and streams in constant memory.
///
/// ```
/// use bastide_rpc::{Content, RawResponse};
/// let report = Content::bytes("text/csv", "id,name\n7,Ada\n").download("report.csv");
/// let response = RawResponse::content(report);
/// # drop(response);
/// ```
pub struct Content {
    source: Source,
    length: u64,
    kind: HeaderValue,
    disposition: Option<HeaderValue>,
    validators: Validators,
}

enum Source {
    Bytes(Bytes),
    Reader(Pin<Box<dyn Seekable>>),
}

trait Seekable: AsyncRead + AsyncSeek + Send {}
impl<T: AsyncRead + AsyncSeek + Send> Seekable for T {}

/// What is read at once.
const PIECE: usize = 128 << 10;

impl Content {
    /// These bytes; their tag is made of them.
    ///
    /// # Panics
    /// If the kind has characters that no header field may have.
    pub fn bytes(kind: &'static str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let sum = digest::digest(&digest::SHA256, &bytes);
        let (half, _) = sum.as_ref().split_at(16);
        let tag = half
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Self {
            length: bytes.len() as u64,
            source: Source::Bytes(bytes),
            kind: HeaderValue::from_static(kind),
            disposition: None,
            validators: Validators {
                tag: Some(format!("\"{tag}\"")),
                modified: None,
            },
        }
    }

    /// What this reader has, `length` bytes from its start. Without a tag or a time it is always sent.
    ///
    /// # Panics
    /// As [`Content::bytes`].
    pub fn reader(
        kind: &'static str,
        length: u64,
        reader: impl AsyncRead + AsyncSeek + Send + 'static,
    ) -> Self {
        Self {
            source: Source::Reader(Box::pin(reader)),
            length,
            kind: HeaderValue::from_static(kind),
            disposition: None,
            validators: Validators::default(),
        }
    }

    /// The file at this path, which the program chose: no part of it may come from a request. For those there is
    /// [`Files`](crate::Files). Its kind follows from its ending, its tag from its length, its time and its place on the disk.
    pub async fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        Self::opened(File::open(path).await?, path).await
    }

    pub(crate) async fn opened(file: File, name: &Path) -> io::Result<Self> {
        let about = file.metadata().await?;
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "not a file"));
        }
        Ok(Self {
            length: about.len(),
            source: Source::Reader(Box::pin(file)),
            kind: kind_of(name),
            disposition: None,
            validators: Validators {
                tag: Some(tag_of(&about)),
                modified: about.modified().ok().map(to_the_second),
            },
        })
    }

    /// Under this tag: whoever changes the content changes the tag. Letters, digits and `-_.` alone; others are left out.
    pub fn entity_tag(mut self, tag: &str) -> Self {
        let fits = |letter: &char| letter.is_ascii_alphanumeric() || "-_.".contains(*letter);
        let tag: String = tag.chars().filter(fits).collect();
        self.validators.tag = Some(format!("\"{tag}\""));
        self
    }

    /// Changed last at this time.
    pub fn modified(mut self, time: SystemTime) -> Self {
        self.validators.modified = Some(to_the_second(time));
        self
    }

    /// To be kept under this name and not shown (`Content-Disposition`). The name may come from anybody.
    pub fn download(mut self, name: &str) -> Self {
        self.disposition = Some(attachment(name));
        self
    }

    /// What a request is answered with.
    pub(super) fn answer(self, verb: &Verb, asked: &HeaderMap) -> Response<Body> {
        let mut fields = HeaderMap::new();
        if let Some(tag) = &self.validators.tag
            && let Ok(tag) = HeaderValue::from_str(tag)
        {
            fields.insert(header::ETAG, tag);
        }
        if let Some(modified) = self.validators.modified
            && let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(modified))
        {
            fields.insert(header::LAST_MODIFIED, date);
        }
        // May be kept, by who asked alone, and is asked for again each time.
        let kept = HeaderValue::from_static("private, no-cache");
        fields.insert(header::CACHE_CONTROL, kept);
        match conditions::judge(verb, asked, &self.validators) {
            Verdict::NotModified => return response(StatusCode::NOT_MODIFIED, fields, empty()),
            Verdict::Failed => return response(StatusCode::PRECONDITION_FAILED, fields, empty()),
            Verdict::Send => {}
        }
        fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        // What was uploaded as a text is not to be taken for a page.
        let nosniff = HeaderValue::from_static("nosniff");
        fields.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        if let Some(disposition) = &self.disposition {
            fields.insert(header::CONTENT_DISPOSITION, disposition.clone());
        }
        match self.parts(verb, asked) {
            Asked::Whole => self.whole(fields, verb),
            Asked::Nothing => {
                fields.insert(
                    header::CONTENT_RANGE,
                    text(format!("bytes */{}", self.length)),
                );
                response(StatusCode::RANGE_NOT_SATISFIABLE, fields, empty())
            }
            Asked::Parts(parts) => match parts[..] {
                [part] => self.part(fields, part),
                _ => self.several(fields, &parts),
            },
        }
    }

    fn parts(&self, verb: &Verb, asked: &HeaderMap) -> Asked {
        let mut ranges = asked.get_all(header::RANGE).iter();
        let (Some(range), None, &Verb::GET) = (ranges.next(), ranges.next(), verb) else {
            return Asked::Whole;
        };
        match range.to_str() {
            Ok(range) if conditions::allows_parts(asked, &self.validators, SystemTime::now()) => {
                range::read(range, self.length)
            }
            _ => Asked::Whole,
        }
    }

    fn whole(self, mut fields: HeaderMap, verb: &Verb) -> Response<Body> {
        fields.insert(header::CONTENT_TYPE, self.kind.clone());
        fields.insert(header::CONTENT_LENGTH, self.length.into());
        let span = (self.length > 0 && *verb != Verb::HEAD).then(|| {
            let last = self.length - 1;
            Piece::Span(Span { first: 0, last })
        });
        response(
            StatusCode::OK,
            fields,
            self.body(span.into_iter().collect()),
        )
    }

    fn part(self, mut fields: HeaderMap, part: Span) -> Response<Body> {
        fields.insert(header::CONTENT_TYPE, self.kind.clone());
        fields.insert(header::CONTENT_RANGE, text(self.content_range(part)));
        fields.insert(header::CONTENT_LENGTH, part.len().into());
        response(
            StatusCode::PARTIAL_CONTENT,
            fields,
            self.body([Piece::Span(part)].into()),
        )
    }

    /// `multipart/byteranges` (RFC 9110, section 14.6).
    fn several(self, mut fields: HeaderMap, parts: &[Span]) -> Response<Body> {
        // Its 128 bits are drawn for this response: no content has them but by chance.
        let boundary = ids::with_source(ids::IdSource::next_id);
        let kind = self.kind.to_str().unwrap_or("application/octet-stream");
        let mut pieces = VecDeque::with_capacity(parts.len() * 2 + 1);
        for part in parts {
            let range = self.content_range(*part);
            let head = format!(
                "\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n"
            );
            pieces.push_back(Piece::Text(head.into()));
            pieces.push_back(Piece::Span(*part));
        }
        pieces.push_back(Piece::Text(format!("\r\n--{boundary}--\r\n").into()));
        let length: u64 = pieces.iter().map(Piece::len).sum();
        let kind = text(format!("multipart/byteranges; boundary={boundary}"));
        fields.insert(header::CONTENT_TYPE, kind);
        fields.insert(header::CONTENT_LENGTH, length.into());
        response(StatusCode::PARTIAL_CONTENT, fields, self.body(pieces))
    }

    fn content_range(&self, part: Span) -> String {
        format!("bytes {}-{}/{}", part.first, part.last, self.length)
    }

    fn body(self, mut pieces: VecDeque<Piece>) -> Body {
        match (self.source, pieces.len()) {
            (_, 0) => empty(),
            (Source::Bytes(bytes), 1) => {
                let piece = pieces.pop_front().map(|piece| piece.of(&bytes));
                Body::Left(Full::new(piece.unwrap_or_default()))
            }
            (Source::Bytes(bytes), _) => {
                let pieces = pieces
                    .into_iter()
                    .map(move |piece| Ok(Frame::data(piece.of(&bytes))));
                Body::Right(StreamBody::new(stream::iter(pieces)).boxed_unsync())
            }
            (Source::Reader(reader), _) => {
                let reading = Reading {
                    reader,
                    pieces,
                    left: None,
                };
                let pieces = stream::try_unfold(reading, |mut reading| async move {
                    let bytes = reading.next().await.map_err(|error| Broken(error.into()))?;
                    Ok(bytes.map(|bytes| (Frame::data(bytes), reading)))
                });
                Body::Right(StreamBody::new(pieces).boxed_unsync())
            }
        }
    }
}

/// A piece of a body.
enum Piece {
    Text(Bytes),
    Span(Span),
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Span(span) => span.len(),
        }
    }

    fn of(self, bytes: &Bytes) -> Bytes {
        match self {
            Self::Text(text) => text,
            Self::Span(span) => bytes.slice(span.first as usize..=span.last as usize),
        }
    }
}

/// A reader on its way through the pieces.
struct Reading {
    reader: Pin<Box<dyn Seekable>>,
    pieces: VecDeque<Piece>,
    /// Bytes of the span that is being read.
    left: Option<u64>,
}

impl Reading {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let left = match self.left.take() {
            Some(left) => left,
            None => match self.pieces.pop_front() {
                None => return Ok(None),
                Some(Piece::Text(text)) => return Ok(Some(text)),
                Some(Piece::Span(span)) => {
                    self.reader.seek(SeekFrom::Start(span.first)).await?;
                    span.len()
                }
            },
        };
        let most = left.min(PIECE as u64);
        let mut bytes = BytesMut::with_capacity(most as usize);
        let read = (&mut self.reader).take(most).read_buf(&mut bytes).await?;
        if read == 0 {
            let error = "the content is shorter than it was";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error));
        }
        self.left = Some(left - read as u64).filter(|left| *left > 0);
        Ok(Some(bytes.freeze()))
    }
}

fn response(status: StatusCode, fields: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}

fn empty() -> Body {
    Body::Left(Full::default())
}

fn text(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits and letters")
}

/// Fields have times to the second.
fn to_the_second(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// A file that is written anew has another time, and one that is put in its place another number.
fn tag_of(about: &std::fs::Metadata) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let time = i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec());
    format!("\"{:x}-{time:x}-{:x}\"", about.len(), about.ino())
}

fn kind_of(name: &Path) -> HeaderValue {
    let kind = mime_guess::from_path(name)
        .first_raw()
        .unwrap_or("application/octet-stream");
    if kind.starts_with("text/") {
        text(format!("{kind}; charset=utf-8"))
    } else {
        HeaderValue::from_static(kind)
    }
}

/// For old readers what all can read of the name, for others all of it (RFC 6266).
fn attachment(name: &str) -> HeaderValue {
    let plain: String = name
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || " .-_()".contains(letter) {
                letter
            } else {
                '_'
            }
        })
        .collect();
    let escaped = name.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() || b".-_".contains(&byte) {
            (byte as char).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    let escaped: String = escaped.collect();
    text(format!(
        "attachment; filename=\"{plain}\"; filename*=UTF-8''{escaped}"
    ))
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("length", &self.length)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
