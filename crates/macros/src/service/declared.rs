//! What the author declared, read and checked.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::ext::IdentExt as _;
use syn::parse::Parser as _;
use syn::{
    Attribute, Error, Expr, ExprLit, FnArg, GenericArgument, Ident, ImplItem, ImplItemFn, ItemImpl,
    Lit, LitStr, Meta, PathArguments, Result, ReturnType, Type, TypeParamBound, parse_quote,
};

use super::arguments::{Input, Member, arguments, check_context, take_member_attributes};
use super::options::{self, Options, said, set};
use super::spelling;
use crate::errors::Errors;

const VERBS: &[&str] = &["get", "post", "put", "patch", "delete"];
pub(super) struct Service {
    pub ty: Type,
    /// The type's own name, without its path.
    pub ident: Ident,
    pub name: LitStr,
    pub version: LitStr,
    pub rename_all: Option<LitStr>,
    pub methods: Vec<Method>,
}

pub(super) struct Method {
    pub ident: Ident,
    /// Whether it is there at all.
    pub conditions: Vec<Attribute>,
    pub description: String,
    pub rest: Option<(Ident, LitStr)>,
    pub options: Options,
    /// The type of the argument that takes the context.
    pub context: Option<Type>,
    pub input: Input,
}

impl Service {
    /// Takes the attributes that are ours out of the item.
    pub(super) fn read(arguments: TokenStream, item: &mut ItemImpl) -> Result<Self> {
        let mut errors = Errors::default();
        let head = errors.keep(Head::read(arguments));
        let ident = errors.keep(type_of(item));
        let rename_all = head.as_ref().and_then(|head| head.rename_all.clone());
        let mut methods = Vec::new();
        let mut is_empty = true;
        for member in &mut item.items {
            let ImplItem::Fn(function) = member else {
                continue;
            };
            match Method::read(function, rename_all.is_some()) {
                Ok(None) => {}
                Ok(Some(method)) => {
                    is_empty = false;
                    methods.push(method);
                }
                Err(error) => {
                    is_empty = false;
                    errors.push(error);
                }
            }
        }
        if is_empty {
            errors.push(Error::new_spanned(
                &item.self_ty,
                "a service has methods: say `#[rpc(auth)]` at one",
            ));
        }
        match (head, ident) {
            (Some(head), Some(ident)) => errors.finish(Self {
                ty: (*item.self_ty).clone(),
                ident,
                name: head.name,
                version: head.version,
                rename_all,
                methods,
            }),
            // What is missing is among the errors.
            _ => errors
                .finish(())
                .and_then(|()| Err(Error::new_spanned(item, "no service"))),
        }
    }
}

struct Head {
    name: LitStr,
    version: LitStr,
    rename_all: Option<LitStr>,
}

impl Head {
    fn read(arguments: TokenStream) -> Result<Self> {
        let (mut name, mut version, mut rename_all) = (None, None, None);
        let parser = syn::meta::parser(|meta| {
            let slot = match said(&meta).as_str() {
                "name" => &mut name,
                "version" => &mut version,
                "rename_all" => &mut rename_all,
                _ => {
                    let known = ["name", "version", "rename_all"];
                    return Err(options::unknown(&meta, &known));
                }
            };
            set(slot, meta.value()?.parse::<LitStr>()?, &meta)
        });
        parser.parse2(arguments)?;
        let (Some(name), Some(version)) = (name, version) else {
            return Err(Error::new(
                proc_macro2::Span::call_site(),
                "a service has a name and a version: `#[service(name = \"users\", version = \"1.0.0\")]`",
            ));
        };
        let mut errors = Errors::default();
        errors.keep(spelling::name(&name));
        errors.keep(spelling::version(&version));
        if let Some(case) = rename_all
            .as_ref()
            .filter(|case| case.value() != "camelCase")
        {
            errors.push(Error::new_spanned(
                case,
                "members of inputs are written as in Rust, or as `camelCase`",
            ));
        }
        errors.finish(Self {
            name,
            version,
            rename_all,
        })
    }
}

fn type_of(item: &ItemImpl) -> Result<Ident> {
    if let Some((path, _)) = &item.trait_ {
        return Err(Error::new_spanned(
            path,
            "a service is an `impl` of its own methods, not of a trait",
        ));
    }
    if !item.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &item.generics,
            "a service has no parameters: it is one type, made once",
        ));
    }
    match &*item.self_ty {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .map(|segment| segment.ident.clone()),
        _ => None,
    }
    .ok_or_else(|| Error::new_spanned(&item.self_ty, "a service is a struct of its parts"))
}

impl Method {
    /// `None`: a function that is no entry.
    fn read(function: &mut ImplItemFn, is_camel_case: bool) -> Result<Option<Self>> {
        let is_entry = |attribute: &&Attribute| {
            attribute.path().is_ident("rpc") || attribute.path().is_ident("route")
        };
        let ours = |attribute: &Attribute| is_entry(&attribute) || verb(attribute).is_some();
        let (own, kept): (Vec<_>, Vec<_>) = function.attrs.drain(..).partition(ours);
        function.attrs = kept;
        let Some(rpc) = own.iter().find(is_entry) else {
            return match own.first() {
                Some(path) => Err(Error::new_spanned(
                    path,
                    "a path belongs to a method that says who may call it: `#[rpc(auth)]`",
                )),
                None => Ok(None),
            };
        };
        let members = take_member_attributes(function);
        let mut errors = Errors::default();
        if let Some(second) = own.iter().filter(is_entry).nth(1) {
            errors.push(Error::new_spanned(second, "said twice"));
        }
        let options = errors.keep(Options::read(rpc));
        let is_route = rpc.path().is_ident("route");
        let is_whole = is_route
            || options
                .as_ref()
                .is_some_and(|options| options.input.is_some());
        let rest = errors.keep(rest(&own)).flatten();
        if is_route && rest.is_none() && !own.iter().any(|one| verb(one).is_some()) {
            errors.push(Error::new_spanned(
                rpc,
                "a route is at a path: say `#[post(\"/uploads/{name}\")]` beside it",
            ));
        }
        errors.keep(signature(function));
        if options.as_ref().is_some_and(|options| options.is_stream) {
            errors.keep(outlives_its_call(&function.sig.output));
        }
        let arguments = errors.keep(arguments(function, members, is_whole));
        let (Some(options), Some((context, members))) = (options, arguments) else {
            return errors.finish(None);
        };
        if let Some(context) = &context {
            errors.keep(check_context(context, &options.access));
        }
        if options.input.is_none() && !is_route {
            errors.keep(check_members(
                &options,
                rest.as_ref(),
                &members,
                is_camel_case,
            ));
        }
        let input = errors.keep(if is_route {
            Input::request(members, &function.sig.ident)
        } else {
            Input::of(members, options.input.as_ref())
        });
        let Some(input) = input else {
            return errors.finish(None);
        };
        let method = Self {
            ident: function.sig.ident.clone(),
            conditions: function
                .attrs
                .iter()
                .filter(|one| one.path().is_ident("cfg"))
                .cloned()
                .collect(),
            description: description(&function.attrs),
            rest,
            options,
            context,
            input,
        };
        function.attrs.push(parse_quote! {
            #[allow(clippy::unused_async, reason = "the methods of a service are async, also those that wait for nothing")]
        });
        errors.finish(Some(method))
    }
}

fn verb(attribute: &Attribute) -> Option<&Ident> {
    attribute
        .path()
        .get_ident()
        .filter(|ident| VERBS.iter().any(|verb| ident == verb))
}

/// `#[get("/users/{id}")]`.
fn rest(own: &[Attribute]) -> Result<Option<(Ident, LitStr)>> {
    let mut paths = own
        .iter()
        .filter_map(|attribute| Some((verb(attribute)?, attribute)));
    let Some((verb, attribute)) = paths.next() else {
        return Ok(None);
    };
    if let Some((_, second)) = paths.next() {
        return Err(Error::new_spanned(
            second,
            "a method has one path of its own",
        ));
    }
    let path: LitStr = attribute.parse_args()?;
    spelling::path(&path)?;
    Ok(Some((verb.clone(), path)))
}

fn signature(function: &ImplItemFn) -> Result<()> {
    let mut errors = Errors::default();
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        errors.push(Error::new_spanned(
            signature.fn_token,
            "a method is an `async fn`",
        ));
    }
    if !signature.generics.params.is_empty() {
        errors.push(Error::new_spanned(
            &signature.generics,
            "a method has no parameters: its input and output are one type each",
        ));
    }
    if matches!(signature.output, ReturnType::Default) {
        errors.push(Error::new_spanned(
            &signature.ident,
            "a method gives `Result<output, error>`, where the error is an `ApiError`",
        ));
    }
    if !spelling::is_name(&signature.ident.unraw().to_string()) {
        errors.push(Error::new_spanned(
            &signature.ident,
            "no name for a method: `a-z`, `0-9` and `_`, a letter first, at most 64 characters",
        ));
    }
    match signature.inputs.first() {
        Some(FnArg::Receiver(receiver)) if receiver.to_token_stream().to_string() == "& self" => {}
        first => {
            let at = first.map_or_else(
                || signature.ident.to_token_stream(),
                ToTokens::to_token_stream,
            );
            errors.push(Error::new_spanned(
                at,
                "a method takes `&self`: calls come at the same time",
            ));
        }
    }
    errors.finish(())
}

/// `impl Stream<..>` would borrow from the method's arguments, which end with the call; what comes of that is told far from here.
fn outlives_its_call(output: &ReturnType) -> Result<()> {
    let ReturnType::Type(_, ty) = output else {
        return Ok(());
    };
    let Type::Path(path) = &**ty else {
        return Ok(());
    };
    let arguments = path.path.segments.last().map(|last| &last.arguments);
    let Some(PathArguments::AngleBracketed(arguments)) = arguments else {
        return Ok(());
    };
    match arguments.args.first() {
        Some(GenericArgument::Type(Type::ImplTrait(stream)))
            if !stream
                .bounds
                .iter()
                .any(|bound| matches!(bound, TypeParamBound::PreciseCapture(_))) =>
        {
            Err(Error::new_spanned(
                stream,
                "a stream outlives its call and borrows nothing of it: `impl Stream<Item = Result<T, E>> + use<>`",
            ))
        }
        _ => Ok(()),
    }
}

/// Members that stand in a path or in a tag are arguments.
fn check_members(
    options: &Options,
    rest: Option<&(Ident, LitStr)>,
    members: &[Member],
    is_camel_case: bool,
) -> Result<()> {
    // Serde may have been told other names than these; then it is seen when the service is made.
    let is_renamed = |attribute: &Attribute| {
        let text = attribute.to_token_stream().to_string();
        text.contains("rename") || text.contains("flatten")
    };
    if members
        .iter()
        .flat_map(|member| &member.attributes)
        .any(is_renamed)
    {
        return Ok(());
    }
    let known: Vec<String> = members
        .iter()
        .map(|member| match member.ident.unraw().to_string() {
            name if is_camel_case => spelling::camel_case(&name),
            name => name,
        })
        .collect();
    let mut errors = Errors::default();
    let mut check = |text: &LitStr, named: Result<Vec<String>>| {
        for member in errors.keep(named).unwrap_or_default() {
            if !known.contains(&member) {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let reason = if known.is_empty() {
                    format!("`{member}` is no argument of this method; it has none")
                } else {
                    let instead = spelling::instead(&member, &known);
                    format!("`{member}` is no argument of this method; {instead}")
                };
                errors.push(Error::new_spanned(text, reason));
            }
        }
    };
    if let Some((_, path)) = rest {
        check(path, spelling::path(path));
    }
    let kept = options.cache.iter().flat_map(|kept| &kept.tags);
    for tag in kept.chain(&options.invalidates) {
        check(tag, spelling::tag(tag));
    }
    errors.finish(())
}

/// The doc comment, without the blank in front of each line.
fn description(attributes: &[Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(text),
                    ..
                }) => Some(text.value()),
                _ => None,
            },
            _ => None,
        });
    let lines: Vec<String> = lines
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned())
        .collect();
    lines.join("\n").trim().to_owned()
}
