//! JSON: `serde_json` judges the syntax, then one walk over the text finds the places and doubled keys.

use std::collections::HashMap;

use serde_json::Value;

use super::marks::{Inside, Lines, Mark, Position};
use super::{Fault, MAX_DEPTH};

pub(super) fn parse(text: &str) -> Result<(Value, Mark), Fault> {
    let lines = Lines::of(text);
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let at = Position {
            line: error.line().max(1),
            column: error.column().max(1),
        };
        let message = error.to_string();
        // serde_json repeats the place at the end of its message.
        let message = message
            .split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned();
        Fault::new(at, message)
    })?;
    let mut walk = Walk {
        text: text.as_bytes(),
        offset: 0,
        lines,
    };
    let mark = walk.value(0)?;
    Ok((value, mark))
}

/// Walks over text that is known to be valid JSON, so it needs to look only at what opens, closes and separates.
struct Walk<'t> {
    text: &'t [u8],
    offset: usize,
    lines: Lines<'t>,
}

impl Walk<'_> {
    fn value(&mut self, depth: usize) -> Result<Mark, Fault> {
        self.skip_blanks();
        let at = self.here();
        if depth > MAX_DEPTH {
            return Err(Fault::too_deep(at));
        }
        let inside = match self.peek() {
            b'{' => self.members(depth)?,
            b'[' => self.elements(depth)?,
            b'"' => {
                self.string();
                Inside::Nothing
            }
            _ => {
                while !matches!(
                    self.peek(),
                    b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n' | 0
                ) {
                    self.offset += 1;
                }
                Inside::Nothing
            }
        };
        Ok(Mark::at(at, inside))
    }

    fn members(&mut self, depth: usize) -> Result<Inside, Fault> {
        let mut members = HashMap::new();
        self.offset += 1; // the opening brace
        while !self.closes(b'}') {
            let key_at = self.here();
            let key = self.string();
            self.skip_blanks();
            self.offset += 1; // the colon
            let mut mark = self.value(depth + 1)?;
            mark.key = key_at;
            if members.contains_key(&key) {
                return Err(Fault::new(
                    key_at,
                    format!("the key `{}` stands here twice", crate::found::clip(&key)),
                ));
            }
            members.insert(key, mark);
        }
        Ok(Inside::members(members))
    }

    fn elements(&mut self, depth: usize) -> Result<Inside, Fault> {
        let mut elements = Vec::new();
        self.offset += 1; // the opening bracket
        while !self.closes(b']') {
            elements.push(self.value(depth + 1)?);
        }
        Ok(Inside::elements(elements))
    }

    /// Steps over blanks, a comma, and the closing bracket; `true` for the last.
    fn closes(&mut self, bracket: u8) -> bool {
        self.skip_blanks();
        if self.peek() == b',' {
            self.offset += 1;
            self.skip_blanks();
        }
        let closes = self.peek() == bracket;
        self.offset += usize::from(closes);
        closes
    }

    fn string(&mut self) -> String {
        let start = self.offset;
        self.offset += 1;
        while !matches!(self.peek(), b'"' | 0) {
            self.offset += if self.peek() == b'\\' { 2 } else { 1 };
        }
        self.offset += 1;
        serde_json::from_slice(&self.text[start..self.offset]).expect("the text was parsed before")
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\r' | b'\n') {
            self.offset += 1;
        }
    }

    fn peek(&self) -> u8 {
        self.text.get(self.offset).copied().unwrap_or(0)
    }

    fn here(&self) -> Position {
        self.lines.position(self.offset)
    }
}
