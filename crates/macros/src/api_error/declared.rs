//! What the author declared, read and checked.

use syn::{
    Attribute, Data, DeriveInput, Error, Field, Fields, Ident, LitInt, LitStr, Meta, Result, Type,
    Variant,
};

use super::message::Message;
use crate::errors::Errors;

const HOW: &str = "says `#[error(status = 404, code = \"user_not_found\")]`, or `#[error(transparent)]` where it holds another `ApiError`";

pub(super) struct Failure {
    pub ident: Ident,
    pub variants: Vec<Case>,
}

/// One variant.
pub(super) struct Case {
    pub ident: Ident,
    pub kind: Kind,
    /// The type that becomes this variant by `?`.
    pub from: Option<Type>,
}

pub(super) enum Kind {
    Own {
        status: u16,
        code: LitStr,
        message: Message,
    },
    /// Says what the error says that it holds.
    Transparent(Type),
}

impl Failure {
    pub(super) fn read(input: &DeriveInput) -> Result<Self> {
        let Data::Enum(data) = &input.data else {
            return Err(Error::new_spanned(
                &input.ident,
                "an `ApiError` is an enum: each variant is one problem",
            ));
        };
        if !input.generics.params.is_empty() {
            return Err(Error::new_spanned(
                &input.generics,
                "an `ApiError` has no parameters: its codes are fixed",
            ));
        }
        if data.variants.is_empty() {
            return Err(Error::new_spanned(
                &input.ident,
                "an `ApiError` has variants; what cannot fail gives `std::convert::Infallible`",
            ));
        }
        let mut errors = Errors::default();
        let variants: Vec<Case> = data
            .variants
            .iter()
            .filter_map(|variant| errors.keep(Case::read(variant)))
            .collect();
        let failure = Self {
            ident: input.ident.clone(),
            variants,
        };
        errors.keep(failure.check());
        errors.finish(failure)
    }

    /// The codes of its own.
    pub(super) fn own(&self) -> impl Iterator<Item = (u16, &LitStr)> {
        self.variants
            .iter()
            .filter_map(|variant| match &variant.kind {
                Kind::Own { status, code, .. } => Some((*status, code)),
                Kind::Transparent(_) => None,
            })
    }

    fn check(&self) -> Result<()> {
        let mut errors = Errors::default();
        for (number, (status, code)) in self.own().enumerate() {
            let before = self
                .own()
                .take(number)
                .find(|(_, other)| other.value() == code.value());
            if let Some((other, _)) = before.filter(|(other, _)| *other != status) {
                errors.push(Error::new_spanned(
                    code,
                    format!(
                        "`{}` is a {other} already; a code has one status",
                        code.value()
                    ),
                ));
            }
        }
        errors.finish(())
    }
}

impl Case {
    fn read(variant: &Variant) -> Result<Self> {
        let mut attributes = variant
            .attrs
            .iter()
            .filter(|one| one.path().is_ident("error"));
        let Some(attribute) = attributes.next() else {
            return Err(Error::new_spanned(
                &variant.ident,
                format!("`{}` {HOW}", variant.ident),
            ));
        };
        if let Some(second) = attributes.next() {
            return Err(Error::new_spanned(second, "said twice"));
        }
        let is_from = |field: &&Field| field.attrs.iter().any(|one| one.path().is_ident("from"));
        let from = variant.fields.iter().find(is_from);
        if let Some(field) = from.filter(|_| only(&variant.fields).is_none()) {
            return Err(Error::new_spanned(
                field,
                "`#[from]` stands at the one field of a variant, as `Repo(#[from] RepoError)`",
            ));
        }
        Ok(Self {
            ident: variant.ident.clone(),
            kind: kind(variant, attribute)?,
            from: from.map(|field| field.ty.clone()),
        })
    }
}

/// The one field of a tuple.
fn only(fields: &Fields) -> Option<&Field> {
    match fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => fields.unnamed.first(),
        _ => None,
    }
}

fn kind(variant: &Variant, attribute: &Attribute) -> Result<Kind> {
    if !matches!(attribute.meta, Meta::List(_)) {
        return Err(Error::new_spanned(attribute, format!("a variant {HOW}")));
    }
    let (mut status, mut code, mut transparent) = (None, None, false);
    attribute.parse_nested_meta(|meta| {
        if meta.path.is_ident("transparent") {
            transparent = true;
            return Ok(());
        }
        if meta.path.is_ident("status") {
            let number: LitInt = meta.value()?.parse()?;
            let value = number
                .base10_parse::<u16>()
                .ok()
                .filter(|value| (400..600).contains(value));
            let value = value.ok_or_else(|| {
                Error::new_spanned(&number, "an error's HTTP status is from 400 to 599")
            })?;
            return match status.replace(value) {
                Some(_) => Err(meta.error("said twice")),
                None => Ok(()),
            };
        }
        if meta.path.is_ident("code") {
            let text: LitStr = meta.value()?.parse()?;
            check_code(&text)?;
            return match code.replace(text) {
                Some(_) => Err(meta.error("said twice")),
                None => Ok(()),
            };
        }
        Err(meta.error(format!("not known here; a variant {HOW}")))
    })?;
    match (transparent, status, code) {
        (true, None, None) => match only(&variant.fields) {
            Some(field) => Ok(Kind::Transparent(field.ty.clone())),
            None => Err(Error::new_spanned(
                &variant.ident,
                "a transparent variant holds the error that it stands for, as `Repo(#[from] RepoError)`",
            )),
        },
        (false, Some(status), Some(code)) => Ok(Kind::Own {
            status,
            code,
            message: Message::read(&variant.ident, &variant.attrs, &variant.fields)?,
        }),
        _ => Err(Error::new_spanned(attribute, format!("a variant {HOW}"))),
    }
}

fn check_code(text: &LitStr) -> Result<()> {
    let value = text.value();
    let is_plain = value.starts_with(|first: char| first.is_ascii_lowercase())
        && value
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if is_plain {
        return Ok(());
    }
    Err(Error::new_spanned(
        text,
        "a code is written as `user_not_found`",
    ))
}
