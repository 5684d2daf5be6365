//! Where the crates are that generated code names.
//!
//! An author has the one crate `bastide`, or the single crates below it, perhaps under names of their own. A macro cannot see
//! what a path leads to, so it asks the manifest of the package that is being compiled. Within one of these crates itself the
//! path is that of its library, which is right in its documentation, examples and tests, where `crate` is another one; the
//! library says `extern crate self as ..` if it uses its own macros.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};

/// The facade, which has the others as its modules.
const FACADE: &str = "bastide";

/// The path of a crate, from the root: `::bastide::rpc` or `::bastide_rpc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CratePath(Vec<String>);

impl CratePath {
    pub(crate) fn repo() -> Self {
        Self::of("repo", found)
    }

    pub(crate) fn rpc() -> Self {
        Self::of("rpc", found)
    }

    /// The facade itself.
    pub(crate) fn facade() -> Self {
        Self(vec![found(FACADE).unwrap_or_else(|| FACADE.to_owned())])
    }

    /// `found` gives the name under which a package is known.
    fn of(module: &str, found: impl Fn(&str) -> Option<String>) -> Self {
        // The facade comes first: whoever has both may have the single crate for tests alone.
        let single = || found(&format!("{FACADE}-{module}")).map(|name| vec![name]);
        let facade = |name: String| vec![name, module.to_owned()];
        let path = found(FACADE).map(facade).or_else(single);
        // With neither, the compiler says that there is no crate `bastide`, which is the one to add.
        Self(path.unwrap_or_else(|| facade(FACADE.to_owned())))
    }

    /// A path below it as a text, which is how attributes of other derives take one.
    pub(crate) fn text(&self, item: &str) -> String {
        format!("::{}::{item}", self.0.join("::"))
    }
}

fn found(package: &str) -> Option<String> {
    match crate_name(package).ok()? {
        FoundCrate::Name(name) => Some(name),
        FoundCrate::Itself => Some(package.replace('-', "_")),
    }
}

impl ToTokens for CratePath {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let segments = self.0.iter().map(|segment| format_ident!("{segment}"));
        tokens.extend(quote!(#(::#segments)*));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(known: &[(&str, &str)]) -> String {
        let found = |package: &str| {
            let known = known.iter().find(|(name, _)| *name == package);
            known.map(|(_, name)| (*name).to_owned())
        };
        let path = CratePath::of("repo", found);
        assert_eq!(
            path.text("x").replace("::", ""),
            quote!(#path::x)
                .to_string()
                .replace(" :: ", "")
                .replace(":: ", "")
        );
        path.text("Entity")
    }

    #[test]
    fn the_facade_the_single_crate_or_another_name_is_found() {
        assert_eq!(path(&[("bastide", "bastide")]), "::bastide::repo::Entity");
        assert_eq!(
            path(&[("bastide", "framework")]),
            "::framework::repo::Entity"
        );
        assert_eq!(
            path(&[("bastide-repo", "bastide_repo")]),
            "::bastide_repo::Entity"
        );
        assert_eq!(path(&[("bastide-repo", "tables")]), "::tables::Entity");
        let both = [("bastide-repo", "bastide_repo"), ("bastide", "bastide")];
        assert_eq!(path(&both), "::bastide::repo::Entity");
        assert_eq!(path(&[]), "::bastide::repo::Entity");
    }
}
