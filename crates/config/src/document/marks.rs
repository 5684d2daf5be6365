//! Places in a text, and the shadow tree that holds one for every value.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;

use crate::path::Step;

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

impl Position {
    /// The beginning of a text.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Turns byte offsets of a text into positions.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
    /// The last answer. Offsets come mostly in order, and a document may be one long line.
    last: Cell<(usize, Position)>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0)
            .chain(after_breaks.map(|(offset, _)| offset + 1))
            .collect();
        Self {
            text,
            starts,
            last: Cell::new((0, Position::START)),
        }
    }

    pub(super) fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= offset);
        let (known, last) = self.last.get();
        let (from, column) = if last.line == line && known <= offset {
            (known, last.column)
        } else {
            (self.starts[line - 1], 1)
        };
        let position = Position {
            line,
            column: column + self.text[from..offset].chars().count(),
        };
        self.last.set((offset, position));
        position
    }
}

/// Where one value stands, and everything in it.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) key: Position,
    pub(super) value: Position,
    pub(super) inside: Inside,
}

#[derive(Clone, Debug)]
pub(super) enum Inside {
    Nothing,
    /// In no order: it is searched for places of mistakes only, and has to be small until then.
    Members(Box<[(Box<str>, Mark)]>),
    Elements(Box<[Mark]>),
}

impl Inside {
    pub(super) fn members(marks: HashMap<String, Mark>) -> Self {
        let named = marks.into_iter().map(|(key, mark)| (key.into(), mark));
        Self::Members(named.collect())
    }

    pub(super) fn elements(marks: Vec<Mark>) -> Self {
        Self::Elements(marks.into())
    }
}

impl Mark {
    /// A value without a key of its own.
    pub(super) fn at(value: Position, inside: Inside) -> Self {
        Self {
            key: value,
            value,
            inside,
        }
    }

    /// The mark at the end of `steps` and `true`, or the deepest one on the way there and `false`.
    pub(super) fn find(&self, steps: &[Step]) -> (&Self, bool) {
        let mut mark = self;
        for step in steps {
            let next = match (step, &mark.inside) {
                (Step::Key(key), Inside::Members(members)) => members
                    .iter()
                    .find(|(name, _)| **name == *key.as_ref())
                    .map(|(_, mark)| mark),
                (Step::Index(index), Inside::Elements(elements)) => elements.get(*index),
                _ => None,
            };
            match next {
                Some(next) => mark = next,
                None => return (mark, false),
            }
        }
        (mark, true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Also when the offsets come in any order, and inside of characters.
        #[test]
        fn a_position_is_what_counting_from_the_start_says(
            text in "[aé\n]{0,40}",
            offsets in prop::collection::vec(0_usize..80, 0..20),
        ) {
            let lines = Lines::of(&text);
            for offset in offsets {
                let end = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
                let before = &text[..end.unwrap_or(0)];
                let line = before.rsplit('\n').next().unwrap_or_default();
                let counted = Position {
                    line: before.matches('\n').count() + 1,
                    column: line.chars().count() + 1,
                };
                prop_assert_eq!(lines.position(offset), counted);
            }
        }
    }
}
