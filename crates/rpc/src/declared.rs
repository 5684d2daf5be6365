//! What an error that holds other errors may answer with: its own problems and theirs, in one list that is made at compile
//! time.

use crate::problem::Declared;

/// How many there are.
pub const fn count(parts: &[&[Declared]]) -> usize {
    let (mut number, mut part) = (0, 0);
    while part < parts.len() {
        number += parts[part].len();
        part += 1;
    }
    number
}

/// All of them, of which no two have one code and different statuses.
pub const fn joined<const N: usize>(parts: &[&[Declared]]) -> [Declared; N] {
    let mut all = [Declared {
        status: 500,
        code: "",
    }; N];
    let (mut number, mut part) = (0, 0);
    while part < parts.len() {
        let mut at = 0;
        while at < parts[part].len() {
            let new = parts[part][at];
            let mut before = 0;
            while before < number {
                let old = all[before];
                assert!(
                    old.status == new.status || !is_same(old.code, new.code),
                    "two of these errors use one code with different statuses; a code has one status"
                );
                before += 1;
            }
            all[number] = new;
            number += 1;
            at += 1;
        }
        part += 1;
    }
    all
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn of(status: u16, code: &'static str) -> Declared {
        Declared { status, code }
    }

    #[test]
    fn s14_lists_are_joined_in_their_order() {
        const PARTS: &[&[Declared]] = &[&[of(404, "a")], &[], &[of(409, "ab"), of(404, "a")]];
        const ALL: [Declared; count(PARTS)] = joined(PARTS);
        assert_eq!(ALL, [of(404, "a"), of(409, "ab"), of(404, "a")]);
    }

    #[test]
    #[should_panic(expected = "a code has one status")]
    fn s14_a_code_with_two_statuses_is_refused() {
        joined::<2>(&[&[of(404, "gone")], &[of(410, "gone")]]);
    }
}
