//! A method's arguments: the context, and what its input is made of.

use quote::format_ident;
use syn::{
    Attribute, Error, FnArg, GenericArgument, Ident, ImplItemFn, Pat, PathArguments, Result, Type,
};

use super::options::Access;
use crate::errors::Errors;

/// Attributes of an argument that are meant for the member of the input.
const OF_MEMBERS: &[&str] = &["doc", "serde", "schemars"];

pub(super) enum Input {
    /// The arguments are the members of an object.
    Members(Vec<Member>),
    /// The one argument is the input.
    Whole(Box<Type>),
}

pub(super) struct Member {
    pub ident: Ident,
    pub ty: Type,
    pub attributes: Vec<Attribute>,
}

/// Attributes that stand at arguments and are meant for members of the input; the function itself may not have them.
pub(super) fn take_member_attributes(function: &mut ImplItemFn) -> Vec<Vec<Attribute>> {
    let typed = function
        .sig
        .inputs
        .iter_mut()
        .filter_map(|argument| match argument {
            FnArg::Typed(typed) => Some(typed),
            FnArg::Receiver(_) => None,
        });
    let ours = |attribute: &Attribute| {
        OF_MEMBERS
            .iter()
            .any(|name| attribute.path().is_ident(name))
    };
    typed
        .map(|typed| {
            let (own, kept) = typed.attrs.drain(..).partition(ours);
            typed.attrs = kept;
            own
        })
        .collect()
}

/// The context, which is what the first argument refers to, if it is a reference; and what is left.
pub(super) fn arguments(
    function: &ImplItemFn,
    attributes: Vec<Vec<Attribute>>,
    is_whole: bool,
) -> Result<(Option<Type>, Vec<Member>)> {
    let (mut errors, mut context, mut members) = (Errors::default(), None, Vec::new());
    let typed = function
        .sig
        .inputs
        .iter()
        .filter_map(|argument| match argument {
            FnArg::Typed(typed) => Some(typed),
            FnArg::Receiver(_) => None,
        });
    for (number, (typed, attributes)) in typed.zip(attributes).enumerate() {
        match (&*typed.ty, &*typed.pat) {
            (Type::Reference(reference), _) if number == 0 => {
                context = Some((*reference.elem).clone());
            }
            (Type::Reference(_), _) => errors.push(Error::new_spanned(
                &typed.ty,
                "an input is taken by value; only the context, which comes first, is a reference",
            )),
            (Type::ImplTrait(_), _) => {
                errors.push(Error::new_spanned(
                    &typed.ty,
                    "an input has one type, so that it has a schema",
                ));
            }
            (ty, Pat::Ident(name)) => members.push(Member {
                ident: name.ident.clone(),
                ty: ty.clone(),
                attributes,
            }),
            // A whole input is handed over by its place alone.
            (ty, _) if is_whole => members.push(Member {
                ident: format_ident!("input"),
                ty: ty.clone(),
                attributes,
            }),
            (_, pattern) => errors.push(Error::new_spanned(
                pattern,
                "an argument has a name here, which is that of a member of the input",
            )),
        }
    }
    errors.finish((context, members))
}

impl Input {
    /// Of a route: the request.
    pub(super) fn request(members: Vec<Member>, method: &Ident) -> Result<Self> {
        match <[Member; 1]>::try_from(members) {
            Ok([request]) => Ok(Self::Whole(Box::new(request.ty))),
            Err(_) => Err(Error::new_spanned(
                method,
                "a route takes one argument after the context, its `RawRequest`, and gives a `RawResponse`",
            )),
        }
    }

    pub(super) fn of(members: Vec<Member>, whole: Option<&Ident>) -> Result<Self> {
        let Some(whole) = whole else {
            return Ok(Self::Members(members));
        };
        let mut members = members.into_iter();
        match (members.next(), members.next()) {
            (Some(one), None) if one.attributes.is_empty() => Ok(Self::Whole(Box::new(one.ty))),
            (Some(one), None) => Err(Error::new_spanned(
                &one.attributes[0],
                "with `input` the argument's own type says how it is read",
            )),
            _ => Err(Error::new_spanned(
                whole,
                "with `input` there is one argument after the context, which is the whole input",
            )),
        }
    }
}

/// Where the types stand as everybody writes them, a mismatch is told in words; any other is left to the compiler, at the
/// same place.
pub(super) fn check_context(context: &Type, access: &Access) -> Result<()> {
    let given = access.scope();
    let Some(asked) = scope_of(context).filter(|asked| asked != given) else {
        return Ok(());
    };
    let why = match given {
        "Public" => "`public` lets strangers in, of whom nothing is known",
        "Known" => "with `tenant = false` the caller may act for no tenant",
        _ => {
            "`auth` lets in who acts for a tenant; for others say `auth(tenant = false)` or `public`"
        }
    };
    Err(Error::new_spanned(
        context,
        format!("{why}: take `&Cx<{given}>` here, not `&Cx<{asked}>`"),
    ))
}

/// `Known` of `Cx<Known>`.
fn scope_of(context: &Type) -> Option<String> {
    let Type::Path(path) = context else {
        return None;
    };
    let last = path
        .path
        .segments
        .last()
        .filter(|segment| segment.ident == "Cx")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return Some("Tenant".to_owned());
    };
    match arguments.args.first()? {
        GenericArgument::Type(Type::Path(scope)) => {
            let name = scope.path.segments.last()?.ident.to_string();
            ["Tenant", "Known", "Public", "System"]
                .contains(&name.as_str())
                .then_some(name)
        }
        _ => None,
    }
}
