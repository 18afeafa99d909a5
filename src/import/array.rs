//! The elements of a JSON array one by one, in bounded memory.
//!
//! An element's text is found by its brackets and quotes alone; whether it is JSON is for its reader to say. What is between elements must be
//! commas and white space, or nothing behind it can be trusted.

use std::io::BufRead;

use super::LINE_BYTES_MAX;
use super::plain::{Element, Fault};

/// A reader of elements.
pub(super) struct Array<R> {
    from: R,
    /// The line of the next byte, from 1.
    line: u64,
    begun: bool,
    ended: bool,
}

impl<R: BufRead> Array<R> {
    /// Before the opening bracket.
    pub(super) fn new(from: R) -> Self {
        Self { from, line: 1, begun: false, ended: false }
    }

    /// The next element; none behind the closing bracket.
    pub(super) fn next(&mut self) -> Result<Option<Element>, Fault> {
        if self.ended {
            return Ok(None);
        }
        let first = !std::mem::replace(&mut self.begun, true);
        if first {
            self.take(b'[', "it does not begin with a bracket")?;
        }
        match self.behind_space()? {
            Some(b']') => return self.end().map(|()| None),
            Some(b',') if !first => {
                self.bump()?;
                // A value must follow; another comma or the end is found as an element that is no JSON.
                self.behind_space()?;
            }
            Some(_) if first => {}
            Some(_) => return Err(self.broken("a comma is missing between two elements")),
            None => return Err(self.broken("the array is cut off")),
        }
        self.element().map(Some)
    }

    fn end(&mut self) -> Result<(), Fault> {
        self.bump()?;
        self.ended = true;
        match self.behind_space()? {
            None => Ok(()),
            Some(_) => Err(self.broken("something stands behind the array")),
        }
    }

    fn take(&mut self, byte: u8, otherwise: &'static str) -> Result<(), Fault> {
        if self.behind_space()? != Some(byte) {
            return Err(self.broken(otherwise));
        }
        self.bump()
    }

    fn element(&mut self) -> Result<Element, Fault> {
        let (line, mut bytes) = (self.line, Vec::new());
        let (mut depth, mut in_string, mut escaped, mut too_long) = (0_u64, false, false, false);
        loop {
            let Some(byte) = self.peek()? else { return Err(self.broken("the array is cut off")) };
            if !in_string && depth == 0 && matches!(byte, b',' | b']') {
                break;
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                b'{' | b'[' if !in_string => depth += 1,
                b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.bump()?;
            too_long |= bytes.len() as u64 >= LINE_BYTES_MAX;
            if !too_long {
                bytes.push(byte);
            }
        }
        Ok(Element { line, bytes, too_long })
    }

    /// The next byte that is no white space.
    fn behind_space(&mut self) -> Result<Option<u8>, Fault> {
        loop {
            match self.peek()? {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.bump()?,
                next => return Ok(next),
            }
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, Fault> {
        Ok(self.from.fill_buf()?.first().copied())
    }

    fn bump(&mut self) -> Result<(), Fault> {
        if self.peek()? == Some(b'\n') {
            self.line += 1;
        }
        self.from.consume(1);
        Ok(())
    }

    fn broken(&self, why: &'static str) -> Fault {
        Fault::Broken { line: self.line, why }
    }
}
