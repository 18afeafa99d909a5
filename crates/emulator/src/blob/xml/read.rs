//! Reads the small XML documents that requests carry: elements, attributes (passed over) and text.
//!
//! Invariant: what it returns was well-formed as far as it goes; document types, processing instructions inside
//! the document and nesting deeper than [`DEPTH_MAX`] are refused, so nothing here can be made to blow up.

use crate::blob::errors::{Error, Result};

/// Levels of nesting; the deepest document of the service has five.
const DEPTH_MAX: usize = 16;

/// An element with its text and children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::blob) struct Element {
    pub(in crate::blob) name: String,
    /// The text in it, without that of its children.
    pub(in crate::blob) text: String,
    pub(in crate::blob) children: Vec<Element>,
}

impl Element {
    /// Reads a document whose root has this name.
    pub(in crate::blob) fn document(body: &[u8], root: &str) -> Result<Self> {
        let text = std::str::from_utf8(body).map_err(|_| Error::InvalidXml)?;
        let mut reader = Reader { rest: text.trim_start_matches('\u{FEFF}') };
        reader.skip_misc()?;
        let element = reader.element(0)?;
        reader.skip_misc()?;
        if element.name == root && reader.rest.is_empty() { Ok(element) } else { Err(Error::InvalidXml) }
    }

    /// The first child with this name.
    pub(in crate::blob) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The trimmed text of the first child with this name.
    pub(in crate::blob) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim())
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Passes over space, comments and the declaration.
    fn skip_misc(&mut self) -> Result<()> {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with("<?") {
                self.until("?>")?;
            } else if self.rest.starts_with("<!--") {
                self.until("-->")?;
            } else {
                return Ok(());
            }
        }
    }

    /// Takes all up to `end`, and `end` itself.
    fn until(&mut self, end: &str) -> Result<&'a str> {
        let (before, after) = self.rest.split_once(end).ok_or(Error::InvalidXml)?;
        self.rest = after;
        Ok(before)
    }

    fn element(&mut self, depth: usize) -> Result<Element> {
        let tag = self.rest.strip_prefix('<').filter(|_| depth < DEPTH_MAX).ok_or(Error::InvalidXml)?;
        let end = tag_end(tag).ok_or(Error::InvalidXml)?;
        let (head, after) = (&tag[..end], &tag[end + 1..]);
        self.rest = after;
        let (head, empty) = match head.strip_suffix('/') {
            Some(head) => (head, true),
            None => (head, false),
        };
        let name = head.split_ascii_whitespace().next().unwrap_or_default();
        if name.is_empty() || name.contains(['<', '!', '?', '&']) {
            return Err(Error::InvalidXml);
        }
        let mut element = Element { name: name.to_owned(), ..Element::default() };
        if !empty {
            self.inside(&mut element, depth)?;
        }
        Ok(element)
    }

    fn inside(&mut self, element: &mut Element, depth: usize) -> Result<()> {
        loop {
            let at = self.rest.find('<').ok_or(Error::InvalidXml)?;
            let (text, rest) = self.rest.split_at(at);
            unescape(text, &mut element.text)?;
            self.rest = rest;
            if let Some(after) = rest.strip_prefix("</") {
                self.rest = after;
                let name = self.until(">")?.trim_end();
                return if name == element.name { Ok(()) } else { Err(Error::InvalidXml) };
            }
            if rest.starts_with("<!--") {
                self.until("-->")?;
            } else if let Some(after) = rest.strip_prefix("<![CDATA[") {
                self.rest = after;
                element.text.push_str(self.until("]]>")?);
            } else {
                element.children.push(self.element(depth + 1)?);
            }
        }
    }
}

/// Where the tag's `>` is: the first that stands in no attribute's value.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in tag.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

fn unescape(text: &str, into: &mut String) -> Result<()> {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        into.push_str(before);
        let (entity, after) = after.split_once(';').ok_or(Error::InvalidXml)?;
        into.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            number => {
                let code = match (number.strip_prefix("#x"), number.strip_prefix('#')) {
                    (Some(hex), _) => u32::from_str_radix(hex, 16).ok(),
                    (None, Some(decimal)) => decimal.parse().ok(),
                    (None, None) => None,
                };
                code.and_then(char::from_u32).ok_or(Error::InvalidXml)?
            }
        });
        rest = after;
    }
    into.push_str(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Element> {
        Element::document(text.as_bytes(), "A")
    }

    #[test]
    fn elements_attributes_comments_and_entities_are_read() {
        let text = "\u{FEFF}<?xml version=\"1.0\"?>\n<!-- c --><A x=\"a>b\"> <B>1 &lt;&#65;&#x42;</B><C/>\
            <!-- d --><B><![CDATA[<&]]></B ></A>\n";
        let root = read(text).unwrap();
        assert_eq!(root.text_of("B"), Some("1 <AB"));
        assert_eq!(root.text_of("C"), Some(""));
        assert_eq!(root.children[2].text, "<&");
        assert_eq!(root.child("D"), None);
    }

    #[test]
    fn malformed_documents_are_refused() {
        let deep = format!("<A>{}", "<B>".repeat(100_000));
        for bad in [
            "",
            "<A>",
            "<B></B>",
            "<A></B>",
            "<A><B></A></B>",
            "<A>&nbsp;</A>",
            "<A/><A/>",
            "x<A/>",
            "<!DOCTYPE a><A/>",
        ] {
            assert_eq!(read(bad), Err(Error::InvalidXml), "{bad}");
        }
        assert_eq!(read(&deep), Err(Error::InvalidXml));
    }
}
