//! The text of a doc comment, in which fields may stand.

use std::fmt::Write as _;

use quote::format_ident;
use syn::ext::IdentExt as _;
use syn::{Attribute, Error, Expr, ExprLit, Fields, Ident, Lit, Member, Meta, Result};

/// What the caller is told.
pub(super) enum Message {
    /// The same for all.
    Fixed(String),
    /// A format string, and the fields that it names.
    Formatted(String, Vec<Place>),
}

/// A field that stands in a message.
pub(super) struct Place {
    pub field: Member,
    /// Under what it is known in the format string. Its own name may be a keyword or a number.
    pub binding: Ident,
}

impl Message {
    /// The first paragraph: what follows is for those who read the source.
    pub(super) fn read(variant: &Ident, attributes: &[Attribute], fields: &Fields) -> Result<Self> {
        let wrong = |reason: String| Error::new_spanned(variant, reason);
        let lines = attributes.iter().filter_map(line);
        let lines: Vec<String> = lines
            .map(|line| line.trim().to_owned())
            .skip_while(String::is_empty)
            .take_while(|line| !line.is_empty())
            .collect();
        if lines.is_empty() {
            return Err(wrong(format!(
                "what the caller is told is the doc comment of `{variant}`; write one"
            )));
        }
        let (text, mut format, mut places) = (lines.join(" "), String::new(), Vec::<Place>::new());
        let mut rest = text.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            let (before, braced) = rest.split_at(at);
            format.push_str(before);
            if let Some(behind) = braced
                .strip_prefix("{{")
                .or_else(|| braced.strip_prefix("}}"))
            {
                format.push_str(&braced[..2]);
                rest = behind;
                continue;
            }
            let inner = braced
                .strip_prefix('{')
                .and_then(|braced| braced.split_once('}'));
            let Some((inner, behind)) = inner else {
                return Err(wrong(format!(
                    "a brace of {text:?} has no partner; write `{{{{` or `}}}}` for one that is to be seen"
                )));
            };
            let (field, how) = inner.split_at(inner.find(':').unwrap_or(inner.len()));
            let Some(member) = member(fields, field) else {
                return Err(wrong(format!(
                    "{text:?} names `{field}`, which is no field of `{variant}`"
                )));
            };
            let binding = format_ident!("field_{field}");
            let _ = write!(format, "{{{binding}{how}}}");
            if !places.iter().any(|place| place.field == member) {
                places.push(Place {
                    field: member,
                    binding,
                });
            }
            rest = behind;
        }
        format.push_str(rest);
        Ok(if places.is_empty() {
            Self::Fixed(format.replace("{{", "{").replace("}}", "}"))
        } else {
            Self::Formatted(format, places)
        })
    }
}

fn line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(meta) = &attribute.meta else {
        return None;
    };
    match &meta.value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) if meta.path.is_ident("doc") => Some(text.value()),
        _ => None,
    }
}

fn member(fields: &Fields, name: &str) -> Option<Member> {
    fields.members().find(|member| match member {
        Member::Named(ident) => ident.unraw() == name,
        Member::Unnamed(index) => index.index.to_string() == name,
    })
}
