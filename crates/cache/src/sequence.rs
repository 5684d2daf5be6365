//! Whether a listener has heard everything.

use std::collections::BTreeSet;

/// How many numbers are kept that came before their turn. Past it, the hole before them is not going to be filled.
const AHEAD: usize = 4_096;

/// The numbers of the messages heard. Each invalidation takes the next number of one counter in the store and is then
/// published under it, so two publishers may overtake each other; a number that stays missing is a lost message.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    /// All up to here were heard.
    whole: u64,
    ahead: BTreeSet<u64>,
}

impl Sequence {
    /// Everything up to `number` counts as heard.
    pub(crate) fn starting_at(number: u64) -> Self {
        Self {
            whole: number,
            ahead: BTreeSet::new(),
        }
    }

    pub(crate) fn heard(&mut self, number: u64) {
        if number <= self.whole || self.ahead.len() >= AHEAD {
            return;
        }
        self.ahead.insert(number);
        while self.ahead.first() == Some(&(self.whole + 1)) {
            self.ahead.pop_first();
            self.whole += 1;
        }
    }

    /// Whether everything up to `number` was heard.
    pub(crate) fn reaches(&self, number: u64) -> bool {
        number <= self.whole
    }

    /// Whether a number is missing before one that was heard.
    pub(crate) fn has_hole(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// The highest number heard.
    pub(crate) fn highest(&self) -> u64 {
        self.ahead.last().copied().unwrap_or(self.whole)
    }

    /// All up to `number` is settled by other means.
    pub(crate) fn skip_to(&mut self, number: u64) {
        let later = self.ahead.split_off(&(number + 1));
        *self = Self::starting_at(number.max(self.whole));
        for number in later {
            self.heard(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_overtakes_is_no_hole_once_the_other_has_come() {
        let mut sequence = Sequence::starting_at(4);
        sequence.heard(6);
        assert!(sequence.has_hole() && !sequence.reaches(5));
        sequence.heard(5);
        assert!(!sequence.has_hole() && sequence.reaches(6));
        sequence.heard(9);
        assert_eq!(sequence.highest(), 9);
        sequence.skip_to(8);
        assert!(sequence.reaches(9) && !sequence.has_hole());
    }

    proptest! {
        #[test]
        fn it_reaches_what_was_heard_without_a_hole_in_any_order(
            order in Just((1_u64..60).collect::<Vec<_>>()).prop_shuffle(),
            lost in proptest::collection::btree_set(1_u64..60, 0..4),
        ) {
            let mut sequence = Sequence::starting_at(0);
            for number in order.iter().filter(|number| !lost.contains(number)) {
                sequence.heard(*number);
            }
            let first_lost = lost.first().copied().unwrap_or(60);
            for number in 1..60 {
                prop_assert_eq!(sequence.reaches(number), number < first_lost);
            }
            sequence.skip_to(59);
            prop_assert!(sequence.reaches(59) && !sequence.has_hole());
        }
    }
}
