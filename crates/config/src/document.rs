//! TOML, YAML and JSON text into one kind of tree, with the line and column of everything in it.
//!
//! The three formats are held to one meaning:
//! - a key that stands twice in one object is a syntax error, also in JSON (RFC 8259 leaves it open) and YAML;
//! - numbers without a JSON form (`nan`, `.inf`, a YAML integer beyond 64 bits) are errors;
//! - nesting stops at [`MAX_DEPTH`], size at [`MAX_BYTES`].
//!
//! TOML dates and times become strings in their RFC 3339 form.
//!
//! YAML is version 1.2, core schema: `on`, `off`, `yes`, `no` are strings, `0755` is the number 755 and `0o755` is 493.
//! There is one document in a file. A key is a scalar and means its text (`503: x` has the key `"503"`). Anchors and aliases
//! work, but all copies together may hold [`MAX_ALIASED`] values at most, so that a small file cannot grow without
//! bound. Merge keys (`<<`) and tags of other schemas are refused.

mod json;
mod marks;
mod toml;
mod yaml;

use std::io::ErrorKind;
use std::path::{Path as FilePath, PathBuf};

use serde_json::Value;

use crate::path::Path;
use crate::problem::{Problem, Problems, Subject};
use crate::read::{self, Node};
use marks::Mark;
pub use marks::Position;

/// The longest text that is read, in bytes.
pub const MAX_BYTES: usize = 64 << 20;
/// How deep objects and lists may stand in one another.
pub const MAX_DEPTH: usize = 64;
/// How many values may come from YAML aliases.
pub const MAX_ALIASED: usize = 100_000;

/// The three ways to write a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML 1.1.
    Toml,
    /// YAML 1.2, core schema.
    Yaml,
    /// JSON (RFC 8259).
    Json,
}

impl Format {
    /// The format that a file's extension names: `.toml`, `.yaml`, `.yml`, `.json`.
    pub fn of(file: &FilePath) -> Result<Self, DocumentError> {
        let extension = file.extension().and_then(|extension| extension.to_str());
        match extension.unwrap_or_default().to_ascii_lowercase().as_str() {
            "toml" => Ok(Self::Toml),
            "yaml" | "yml" => Ok(Self::Yaml),
            "json" => Ok(Self::Json),
            _ => Err(DocumentError::UnknownFormat {
                file: file.to_owned(),
            }),
        }
    }
}

/// Why a document could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The file name does not say which format it is.
    #[error("{}: unknown kind of file; name it .toml, .yaml, .yml or .json", file.display())]
    UnknownFormat {
        /// The file.
        file: PathBuf,
    },
    /// The file could not be read.
    #[error("{}: {}", file.display(), unreadable(source))]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is no text.
    #[error("{name}:{at}: this is not UTF-8 text")]
    NotText {
        /// What the document is called.
        name: String,
        /// The first byte that is not UTF-8.
        at: Position,
    },
    /// The file is too long.
    #[error("{name}: the file has {found} bytes; at most {MAX_BYTES} are read")]
    TooLong {
        /// What the document is called.
        name: String,
        /// Its length.
        found: u64,
    },
    /// The text breaks the rules of its format.
    #[error("{name}:{at}: {message}")]
    Syntax {
        /// What the document is called.
        name: String,
        /// Where.
        at: Position,
        /// What is wrong.
        message: String,
    },
}

fn unreadable(source: &std::io::Error) -> String {
    match source.kind() {
        ErrorKind::NotFound => {
            "there is no such file; check the path, which begins in the current directory unless it begins with `/`".into()
        }
        ErrorKind::PermissionDenied => {
            format!("{source}; let the user that this runs as read it")
        }
        _ => source.to_string(),
    }
}

/// A mistake of syntax, before it is known in which file.
#[derive(Debug)]
struct Fault {
    at: Position,
    message: String,
}

impl Fault {
    fn new(at: Position, message: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
        }
    }

    fn too_deep(at: Position) -> Self {
        Self::new(at, format!("nested more than {MAX_DEPTH} deep"))
    }
}

/// A parsed text: its tree, and where in the text everything stands.
#[derive(Debug)]
pub struct Document {
    name: String,
    value: Value,
    marks: Mark,
}

/// A text that is not parsed yet. Far smaller than its [`Document`], it can be kept where places in it may be asked for
/// later.
#[derive(Debug)]
pub struct Source {
    name: String,
    format: Format,
    text: String,
}

impl Source {
    /// Reads a file; its extension says the format.
    pub fn load(file: &FilePath) -> Result<Self, DocumentError> {
        let format = Format::of(file)?;
        let unreadable = |source| DocumentError::Unreadable {
            file: file.to_owned(),
            source,
        };
        let name = file.display().to_string();
        let length = std::fs::metadata(file).map_err(unreadable)?.len();
        if length > MAX_BYTES as u64 {
            return Err(DocumentError::TooLong {
                name,
                found: length,
            });
        }
        match String::from_utf8(std::fs::read(file).map_err(unreadable)?) {
            Ok(text) => Ok(Self { name, format, text }),
            Err(error) => {
                let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let before = String::from_utf8_lossy(valid);
                let at = marks::Lines::of(&before).position(before.len());
                Err(DocumentError::NotText { name, at })
            }
        }
    }

    /// A text. `name` is how messages call it.
    pub fn new(name: impl Into<String>, format: Format, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            format,
            text: text.into(),
        }
    }

    /// Parses it.
    pub fn parse(&self) -> Result<Document, DocumentError> {
        Document::parse(&self.name, self.format, &self.text)
    }
}

impl Document {
    /// Reads and parses a file; its extension says the format.
    pub fn load(file: &FilePath) -> Result<Self, DocumentError> {
        Source::load(file)?.parse()
    }

    /// Parses a text. `name` is how messages call it, usually the file's name as the user gave it.
    pub fn parse(
        name: impl Into<String>,
        format: Format,
        text: &str,
    ) -> Result<Self, DocumentError> {
        let name = name.into();
        if text.len() > MAX_BYTES {
            return Err(DocumentError::TooLong {
                name,
                found: text.len() as u64,
            });
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let parsed = match format {
            Format::Toml => toml::parse(text),
            Format::Yaml => yaml::parse(text),
            Format::Json => json::parse(text),
        };
        match parsed {
            Ok((value, marks)) => Ok(Self { name, value, marks }),
            Err(Fault { at, message }) => Err(DocumentError::Syntax { name, at, message }),
        }
    }

    /// The tree.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// How messages call the document.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads the tree with a parser: the value, or every problem in it.
    pub fn read<T>(&self, parser: impl FnOnce(Node<'_, '_>) -> Option<T>) -> Result<T, Problems> {
        read::tree(&self.value, parser)
    }

    /// Where the value at `path` begins; for a path that is not in the document, its nearest ancestor that is.
    pub fn locate(&self, path: &Path) -> Position {
        self.marks.find(path.steps()).0.value
    }

    /// A problem as one line with its place: `gateway.toml:12:5: routes[3].method: expected ...`.
    pub fn describe(&self, problem: &Problem) -> String {
        let at = self.place(problem);
        one_line(&format!("{}:{at}: {problem}", self.name))
    }

    /// Where in the text a problem is.
    pub(crate) fn place(&self, problem: &Problem) -> Position {
        let (mark, found) = self.marks.find(problem.path.steps());
        debug_assert!(
            found || problem.subject != Subject::Key,
            "an unknown key stands in the text"
        );
        match problem.subject {
            Subject::Key => mark.key,
            // A missing member has no place of its own; its parent is where it should be written.
            Subject::Value | Subject::Missing => mark.value,
        }
    }

    /// All problems, one line each, in the order of the text.
    pub fn describe_all(&self, problems: &Problems) -> String {
        let mut lines: Vec<(Position, String)> = problems
            .iter()
            .map(|problem| (self.locate(&problem.path), self.describe(problem)))
            .collect();
        lines.sort_by_key(|(at, _)| *at);
        let mut text: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        if problems.unlisted() > 0 {
            text.push(format!("{}: and {} more", self.name, problems.unlisted()));
        }
        text.join("\n")
    }
}

/// A member's name may hold line breaks, in JSON and in quoted keys of the others.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}
