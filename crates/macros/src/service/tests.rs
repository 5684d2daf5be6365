//! What an author is told.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{ItemImpl, parse_quote};

use super::declared::Service;
use super::spelling;

/// What the macro says of it, all of it.
fn said_of(arguments: TokenStream, mut item: ItemImpl) -> Vec<String> {
    match Service::read(arguments, &mut item) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.to_string()).collect(),
    }
}

fn users() -> TokenStream {
    quote!(name = "users", version = "1.0.0")
}

/// Of one method of the service `users`.
fn said_of_method(method: &TokenStream) -> Vec<String> {
    said_of(users(), parse_quote!(impl Users { #method }))
}

/// Of `async fn find(&self, cx: &Cx, id: Uuid)` with these options.
fn said_of_options(options: &TokenStream) -> Vec<String> {
    said_of_method(&quote! {
        #[rpc(#options)]
        async fn find(&self, cx: &Cx, id: Uuid) -> Result<User, UserError> {}
    })
}

fn one(said: &[String], expected: &str) {
    assert!(
        said.len() == 1 && said[0].contains(expected),
        "{expected}: {said:?}"
    );
}

#[test]
fn what_can_be_meant_is_taken() {
    let said = said_of(
        quote!(
            name = "users",
            version = "1.0.0-beta.1",
            rename_all = "camelCase"
        ),
        parse_quote! {
            impl crate::Users {
                /// One user.
                #[rpc(auth, timeout = "1m30s", limit("100/min", pro = "1000/min",), cache(ttl = "60s", tags("user:{userId}"), for_each_caller))]
                #[get("/users/{userId}")]
                async fn find(&self, cx: &Cx, user_id: Uuid, #[serde(default)] mut tags: Vec<String>) -> Result<User, E> {}
                #[rpc(auth(role = ["admin", "owner"], scope = "users:write", service, tenant = false))]
                async fn r#move(&self, cx: &context::Cx<Known>) -> Result<(), E> {}
                #[rpc(public = "anybody may", input, invalidates("all", "user:{whatever}"))]
                #[post("/users/{id}")]
                async fn add(&self, _: &Cx<Public>, NewUser { name }: NewUser) -> Result<(), E> {}
                #[rpc(public = "anybody may", limit = "1/s")]
                #[get("/files/{*rest}")]
                async fn file(&self, rest: String) -> Result<(), E> {}
                #[rpc(auth)]
                async fn known_by_another_name(&self, cx: &Context) -> Result<(), E> {}
                fn plain(self) {}
                const X: u8 = 1;
            }
        },
    );
    assert_eq!(said, [] as [&str; 0]);
}

#[test]
fn s10_a_method_without_policy_is_refused() {
    for attribute in [
        quote!(#[rpc]),
        quote!(#[rpc()]),
        quote!(#[rpc(limit = "1/s")]),
    ] {
        let method = quote!(#attribute async fn find(&self) -> Result<(), E> {});
        one(&said_of_method(&method), "says who may call it");
    }
    one(&said_of_options(&quote!(auth, public = "why")), "not both");
    one(
        &said_of_method(&quote!(
            #[get("/x")]
            async fn find(&self) -> Result<(), E> {}
        )),
        "belongs to a method that says who",
    );
}

#[test]
fn unknown_options_are_named_with_what_was_meant() {
    for (options, expected) in [
        (quote!(auth, limits = "1/s"), "did you mean `limit`"),
        (quote!(auth(roles = "admin")), "did you mean `role`"),
        (quote!(auth, cache(tll = "1s")), "did you mean `ttl`"),
        (
            quote!(auth, xyz),
            "`xyz` is not known here; there are `auth`, ",
        ),
        (quote!(auth, auth), "said twice"),
    ] {
        one(&said_of_options(&options), expected);
    }
    one(
        &said_of(
            quote!(nam = "users", version = "1.0.0"),
            parse_quote!(impl Users { #[rpc(auth)] async fn a(&self) -> R {} }),
        ),
        "did you mean `name`",
    );
}

#[test]
fn texts_are_read_when_they_are_compiled() {
    for (options, expected) in [
        (quote!(auth, limit = "100 per minute"), "no limit"),
        (quote!(auth, limit = "0/s"), "a limit counts"),
        (quote!(auth, limit("1/s", pro = "x/s")), "no limit"),
        (
            quote!(auth, limit("1/s", pro = "1/s", pro = "2/s")),
            "has a limit already",
        ),
        (quote!(auth, limit("1/s" pro = "1/s")), "expected `tier"),
        (quote!(auth, timeout = "5"), "no time: write it"),
        (quote!(auth, timeout = "0s"), "no time at all"),
        (quote!(auth, timeout = ""), "no time: write it"),
        (
            quote!(auth, timeout = "99999999999999999999d"),
            "no time: write it",
        ),
        (quote!(auth, cache), "says how long"),
        (quote!(auth, cache(ttl = "1x")), "no time"),
        (quote!(auth, invalidates()), "names at least one tag"),
        (
            quote!(auth, invalidates("user:{ID}")),
            "`ID` is no argument of this method; there are `id`",
        ),
        (quote!(auth, invalidates("user:{idd}")), "did you mean `id`"),
        (
            quote!(auth, invalidates("user:{id")),
            "braces hold a member",
        ),
        (quote!(auth, invalidates("")), "the tag is empty"),
        (
            quote!(auth, cache(ttl = "1s", tags("{who}"))),
            "`who` is no argument",
        ),
        (quote!(auth(role = [])), "names at least one"),
        (quote!(auth(scope = " ")), "the scope is empty"),
    ] {
        one(&said_of_options(&options), expected);
    }
    for (arguments, expected) in [
        (
            quote!(name = "Users", version = "1.0.0"),
            "no name for a service",
        ),
        (
            quote!(name = "users", version = "1.0"),
            "no semantic version",
        ),
        (quote!(name = "users"), "has a name and a version"),
        (
            quote!(name = "users", version = "1.0.0", rename_all = "kebab-case"),
            "or as `camelCase`",
        ),
    ] {
        let item = parse_quote!(impl Users { #[rpc(auth)] async fn a(&self) -> R {} });
        one(&said_of(arguments, item), expected);
    }
}

#[test]
fn paths_are_read_when_they_are_compiled() {
    for (path, expected) in [
        ("users/{id}", "begins with `/`"),
        ("/users/{id}?x", "no query"),
        ("/users/{id}/{id}", "stands twice"),
        ("/{*id}/x", "stands at its end"),
        ("/users/{}", "braces hold"),
        ("/users/id}", "braces hold"),
        ("/users/{idd}", "did you mean `id`"),
    ] {
        let method = quote! {
            #[rpc(auth)]
            #[get(#path)]
            async fn find(&self, id: Uuid) -> Result<(), E> {}
        };
        one(&said_of_method(&method), expected);
    }
    let twice = quote!(
        #[rpc(auth)]
        #[get("/a")]
        #[put("/a")]
        async fn find(&self) -> Result<(), E> {}
    );
    one(&said_of_method(&twice), "one path of its own");
    let none = quote!(
        #[rpc(auth)]
        #[get("/{id}")]
        async fn find(&self) -> Result<(), E> {}
    );
    one(&said_of_method(&none), "it has none");
}

#[test]
fn s10_a_context_is_what_the_policy_gives() {
    for (policy, context, expected) in [
        (
            quote!(public = "why"),
            quote!(&Cx),
            "take `&Cx<Public>` here, not `&Cx<Tenant>`",
        ),
        (
            quote!(public = "why"),
            quote!(&Cx<Known>),
            "take `&Cx<Public>` here",
        ),
        (
            quote!(auth(tenant = false)),
            quote!(&bastide::Cx),
            "take `&Cx<Known>` here, not `&Cx<Tenant>`",
        ),
        (
            quote!(auth),
            quote!(&Cx<scope::Known>),
            "take `&Cx<Tenant>` here, not `&Cx<Known>`",
        ),
        (quote!(auth), quote!(&Cx<System>), "take `&Cx<Tenant>` here"),
    ] {
        let method = quote!(#[rpc(#policy)] async fn find(&self, cx: #context) -> Result<(), E> {});
        one(&said_of_method(&method), expected);
    }
    let kept = quote!(
        #[rpc(auth(tenant = false), cache(ttl = "1s"))]
        async fn find(&self) -> R {}
    );
    one(&said_of_method(&kept), "kept apart by tenant");
}

#[test]
fn signatures_that_no_call_has_are_refused() {
    for (method, expected) in [
        (
            quote!(
                fn find(&self) -> R {}
            ),
            "is an `async fn`",
        ),
        (
            quote!(
                async fn find() -> R {}
            ),
            "takes `&self`",
        ),
        (
            quote!(
                async fn find(&mut self) -> R {}
            ),
            "takes `&self`",
        ),
        (
            quote!(
                async fn find(self) -> R {}
            ),
            "takes `&self`",
        ),
        (
            quote!(
                async fn find<T>(&self) -> R {}
            ),
            "no parameters",
        ),
        (
            quote!(
                async fn find(&self) {}
            ),
            "gives `Result",
        ),
        (
            quote!(
                async fn _find(&self) -> R {}
            ),
            "no name for a method",
        ),
        (
            quote!(
                async fn find(&self, cx: &Cx, id: &str) -> R {}
            ),
            "taken by value",
        ),
        (
            quote!(
                async fn find(&self, id: impl Into<String>) -> R {}
            ),
            "one type",
        ),
        (
            quote!(
                async fn find(&self, (a, b): (u32, u32)) -> R {}
            ),
            "has a name here",
        ),
    ] {
        one(&said_of_method(&quote!(#[rpc(auth)] #method)), expected);
    }
    for method in [quote!(), quote!(a: u32, b: u32)] {
        let method = quote!(#[rpc(auth, input)] async fn find(&self, #method) -> R {});
        one(&said_of_method(&method), "there is one argument");
    }
    for (item, expected) in [
        (quote!(impl Users {}), "a service has methods"),
        (
            quote!(impl Find for Users { #[rpc(auth)] async fn a(&self) -> R {} }),
            "not of a trait",
        ),
        (
            quote!(
                impl<T> Users<T> {
                    #[rpc(auth)]
                    async fn a(&self) -> R {}
                }
            ),
            "no parameters",
        ),
    ] {
        let item: ItemImpl = syn::parse2(item).unwrap();
        one(&said_of(users(), item), expected);
    }
}

#[test]
fn a_stream_is_one_of_many_outputs_and_borrows_nothing() {
    let stream = quote!(Result<impl Stream<Item = Result<u32, E>> + use<>, E>);
    for (options, output) in [
        (quote!(auth, stream), stream.clone()),
        (
            quote!(stream, auth, limit = "1/s", timeout = "1s"),
            stream.clone(),
        ),
        (
            quote!(auth, stream),
            quote!(Result<BoxStream<'static, R>, E>),
        ),
        (quote!(auth, stream), quote!(Answer)),
    ] {
        let method = quote!(#[rpc(#options)] async fn follow(&self, cx: &Cx) -> #output {});
        assert_eq!(said_of_method(&method), [] as [&str; 0]);
    }
    for (options, name) in [
        (quote!(auth, stream, cache(ttl = "1s")), "`cache`"),
        (quote!(auth, cache(ttl = "1s"), stream), "`cache`"),
        (quote!(auth, invalidates("all"), stream), "`invalidates`"),
    ] {
        let method = quote!(#[rpc(#options)] async fn follow(&self, cx: &Cx) -> #stream {});
        let expected = format!("{name} is of one output");
        one(&said_of_method(&method), &expected);
    }
    let borrowing = quote! {
        #[rpc(auth, stream)]
        async fn follow(&self, cx: &Cx) -> Result<impl Stream<Item = R>, E> {}
    };
    one(&said_of_method(&borrowing), "+ use<>");
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let said = said_of(
        quote!(name = "Users", version = "1"),
        parse_quote! {
            impl Users {
                #[rpc(limit = "1/s")]
                fn one(&self) -> R {}
                #[rpc(auth, limit = "x")]
                #[get("users")]
                async fn two(&self) -> R {}
            }
        },
    );
    assert_eq!(said.len(), 6, "{said:?}");
}

#[test]
fn the_methods_stay_when_something_is_wrong() {
    let item: ItemImpl = parse_quote!(impl Users { #[rpc] #[get("/x")] async fn find(&self, #[serde(default)] a: u8) -> R {} });
    let written = super::expand(users(), item).to_string();
    assert!(
        written.starts_with("impl Users { async fn find (& self , a : u8) -> R { } }"),
        "{written}"
    );
    assert!(written.contains("compile_error"), "{written}");
}

#[test]
fn members_are_written_as_serde_writes_them() {
    for (name, camel) in [
        ("id", "id"),
        ("user_id", "userId"),
        ("a_b_c", "aBC"),
        ("x1_y2", "x1Y2"),
    ] {
        assert_eq!(spelling::camel_case(name), camel);
    }
}

#[test]
fn a_route_has_a_path_and_takes_its_request() {
    let said = said_of_method(&quote! {
        #[route(auth(role = "admin"), limit = "10/min", timeout = "5m", max_body = 1_000_000)]
        #[post("/uploads/{name}")]
        async fn upload(&self, cx: &Cx, request: RawRequest) -> Result<RawResponse, E> {}
    });
    assert_eq!(said, [] as [&str; 0]);
    let post = quote!(#[post("/uploads/{name}")]);
    let takes = quote!(
        async fn upload(&self, request: RawRequest) -> R {}
    );
    for (method, expected) in [
        (quote!(#[route] #post #takes), "`#[route(auth)]`"),
        (
            quote!(#[route(limit = "1/s")] #post #takes),
            "`#[route(auth)]`",
        ),
        (quote!(#[route(auth)] #takes), "a route is at a path"),
        (
            quote!(#[route(auth, stream)] #post #takes),
            "`stream` is not known here",
        ),
        (
            quote!(#[route(auth, cache(ttl = "1s"))] #post #takes),
            "`cache` is not known here",
        ),
        (
            quote!(#[rpc(auth, max_body = 1)] #takes),
            "`max_body` is not known here",
        ),
        (
            quote!(#[route(auth)] #[rpc(auth)] #post #takes),
            "said twice",
        ),
        (
            quote!(#[route(auth)] #post async fn upload(&self, cx: &Cx) -> R {}),
            "a route takes one argument",
        ),
        (
            quote!(#[route(auth)] #post async fn upload(&self, name: String, r: RawRequest) -> R {}),
            "a route takes one argument",
        ),
    ] {
        one(&said_of_method(&method), expected);
    }
}
