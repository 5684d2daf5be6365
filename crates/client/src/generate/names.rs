//! Names in the languages that are written, from names in a document.

use std::collections::BTreeSet;

/// Names of one scope: none is given twice.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// A scope in which these are taken.
    pub(super) fn without(taken: &[&str]) -> Self {
        Self(taken.iter().map(|name| (*name).to_owned()).collect())
    }

    /// This name, or where it is taken the first free one of it with a number from 2 on.
    pub(super) fn take(&mut self, wanted: impl Into<String>) -> String {
        let wanted = wanted.into();
        let mut name = wanted.clone();
        let mut number = 2;
        while !self.0.insert(name.clone()) {
            name = format!("{wanted}{number}");
            number += 1;
        }
        name
    }
}

/// `page_of-Order` as `PageOfOrder`.
pub(super) fn pascal(text: &str) -> String {
    let name: String = words(text).map(|word| capital(&word)).collect();
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        name
    } else {
        format!("N{name}")
    }
}

/// `page_of-Order` as `pageOfOrder`.
pub(super) fn camel(text: &str) -> String {
    let name = pascal(text);
    let (first, rest) = name.split_at(1);
    first.to_ascii_lowercase() + rest
}

/// `pageOf-Order` as `page_of_order`.
pub(super) fn snake(text: &str) -> String {
    let mut name = String::new();
    for word in words(text) {
        if !name.is_empty() {
            name.push('_');
        }
        let mut after_small = false;
        for letter in word.chars() {
            if letter.is_ascii_uppercase() && after_small {
                name.push('_');
            }
            after_small = letter.is_ascii_lowercase() || letter.is_ascii_digit();
            name.push(letter.to_ascii_lowercase());
        }
    }
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        name
    } else {
        format!("n{name}")
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_owned)
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_ascii_uppercase() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_whatever_there_is() {
        for (text, as_pascal, as_camel, as_snake) in [
            (
                "page_of-Order",
                "PageOfOrder",
                "pageOfOrder",
                "page_of_order",
            ),
            ("madeAt", "MadeAt", "madeAt", "made_at"),
            ("2nd", "N2nd", "n2nd", "n2nd"),
            ("", "N", "n", "n"),
            ("größe", "GrE", "grE", "gr_e"),
            ("HTTP", "HTTP", "hTTP", "http"),
        ] {
            assert_eq!(pascal(text), as_pascal);
            assert_eq!(camel(text), as_camel);
            assert_eq!(snake(text), as_snake);
        }
    }

    #[test]
    fn no_name_is_given_twice() {
        let mut names = Names::without(&["Array"]);
        let given = ["Array", "Order", "Order", "Order2", "Order"].map(|name| names.take(name));
        assert_eq!(given, ["Array2", "Order", "Order2", "Order22", "Order3"]);
    }
}
