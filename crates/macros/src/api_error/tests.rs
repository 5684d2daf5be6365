//! What an author is told.

use super::expand;
use syn::{DeriveInput, parse_quote};

fn said_of(input: &DeriveInput) -> Vec<String> {
    match expand(input) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.to_string()).collect(),
    }
}

#[test]
fn what_can_be_meant_is_taken() {
    let said = said_of(&parse_quote! {
        enum UserError {
            /// There is no user {0}.
            ///
            /// Not told to callers.
            #[error(status = 404, code = "user_not_found")]
            NotFound(Uuid),
            /// Another user of {type} has the address {email:?}: {{}}.
            #[error(status = 409, code = "email_taken")]
            EmailTaken { email: String, r#type: u32 },
            /// Of one code there may be two.
            #[error(status = 409, code = "email_taken")]
            Taken,
            #[error(transparent)]
            Repo(#[from] RepoError),
            #[error(transparent)]
            Other(Problem),
        }
    });
    assert_eq!(said, [] as [&str; 0]);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let refused: [(DeriveInput, &str); 14] = [
        (
            parse_quote!(
                struct A;
            ),
            "is an enum",
        ),
        (
            parse_quote!(
                enum A {}
            ),
            "has variants",
        ),
        (
            parse_quote!(
                enum A<T> {
                    #[error(transparent)]
                    B(T),
                }
            ),
            "no parameters",
        ),
        (
            parse_quote!(
                enum A {
                    B,
                }
            ),
            "`B` says `#[error(status",
        ),
        (
            parse_quote!(
                enum A {
                    #[error]
                    B,
                }
            ),
            "a variant says",
        ),
        (
            parse_quote!(
                enum A {
                    #[error(status = 404)]
                    B,
                }
            ),
            "a variant says",
        ),
        (
            parse_quote!(
                enum A {
                    #[error(status = 404, code = "b", transparent)]
                    B,
                }
            ),
            "a variant says",
        ),
        (
            parse_quote!(
                enum A {
                    #[error(status = 200, code = "b")]
                    B,
                }
            ),
            "from 400 to 599",
        ),
        (
            parse_quote!(
                enum A {
                    #[error(status = 404, code = "Not-Found")]
                    B,
                }
            ),
            "written as `user_not_found`",
        ),
        (
            parse_quote!(
                enum A {
                    #[error(status = 404, code = "b")]
                    B,
                }
            ),
            "doc comment of `B`",
        ),
        (
            parse_quote!(
                enum A {
                    #[error(status = 404, kode = "b")]
                    B,
                }
            ),
            "not known here",
        ),
        (
            parse_quote!(
                enum A {
                    #[error(transparent)]
                    B,
                }
            ),
            "holds the error",
        ),
        (
            parse_quote!(
                enum A {
                    #[error(transparent)]
                    B {
                        #[from]
                        c: D,
                    },
                }
            ),
            "stands at the one field",
        ),
        (
            parse_quote! {
                enum A {
                    /// b
                    #[error(status = 404, code = "gone")]
                    B,
                    /// c
                    #[error(status = 410, code = "gone")]
                    C,
                }
            },
            "`gone` is a 404 already",
        ),
    ];
    for (input, expected) in refused {
        let said = said_of(&input);
        assert!(
            said.len() == 1 && said[0].contains(expected),
            "{expected}: {said:?}"
        );
    }
}

#[test]
fn a_message_names_fields_that_are_there() {
    let refused: [(DeriveInput, &str); 3] = [
        (
            parse_quote!(
                enum A {
                    /** no {id} */
                    #[error(status = 404, code = "b")]
                    B,
                }
            ),
            "names `id`, which is no field of `B`",
        ),
        (
            parse_quote!(
                enum A {
                    /** no {1} */
                    #[error(status = 404, code = "b")]
                    B(u32),
                }
            ),
            "names `1`",
        ),
        (
            parse_quote!(
                enum A {
                    /** no } */
                    #[error(status = 404, code = "b")]
                    B(u32),
                }
            ),
            "has no partner",
        ),
    ];
    for (input, expected) in refused {
        let said = said_of(&input);
        assert!(
            said.len() == 1 && said[0].contains(expected),
            "{expected}: {said:?}"
        );
    }
}
