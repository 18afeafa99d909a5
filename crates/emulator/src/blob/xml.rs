//! Writes the XML documents of the blob service, and reads those it is sent.
//!
//! Every text passes through the escaping here, so whatever a name or metadata value holds the document stays
//! well-formed and reads back as it was.

mod read;

pub(super) use read::Element;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a name marked `Encoded="true"` keeps as it is.
const ENCODED_NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// An XML document under construction.
#[derive(Debug)]
pub(super) struct Xml(String);

impl Xml {
    /// A document with its declaration.
    pub(super) fn new() -> Self {
        Self("<?xml version=\"1.0\" encoding=\"utf-8\"?>".to_owned())
    }

    /// The finished document.
    pub(super) fn finish(self) -> String {
        self.0
    }

    /// Opens an element.
    pub(super) fn open(&mut self, name: &str) -> &mut Self {
        self.0.push('<');
        self.0.push_str(name);
        self.0.push('>');
        self
    }

    /// Opens an element with attributes.
    pub(super) fn open_with(&mut self, name: &str, attributes: &[(&str, &str)]) -> &mut Self {
        self.0.push('<');
        self.0.push_str(name);
        for (key, value) in attributes {
            self.0.push(' ');
            self.0.push_str(key);
            self.0.push_str("=\"");
            self.text(value);
            self.0.push('"');
        }
        self.0.push('>');
        self
    }

    /// Closes an element.
    pub(super) fn close(&mut self, name: &str) -> &mut Self {
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
        self
    }

    /// Writes an element that holds only text; an empty text makes an empty element.
    pub(super) fn element(&mut self, name: &str, text: &str) -> &mut Self {
        if text.is_empty() {
            self.0.push('<');
            self.0.push_str(name);
            self.0.push_str(" />");
            return self;
        }
        self.open(name);
        self.text(text);
        self.close(name)
    }

    /// Writes an element if there is a text for it.
    pub(super) fn optional(&mut self, name: &str, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.element(name, text),
            None => self,
        }
    }

    /// Writes a `Name`. One with characters that XML cannot carry is percent-encoded and says so, as the service
    /// does from version 2021-02-12 on.
    pub(super) fn blob_name(&mut self, name: &str) -> &mut Self {
        if name.chars().all(allowed) {
            return self.element("Name", name);
        }
        self.open_with("Name", &[("Encoded", "true")]);
        self.0.extend(utf8_percent_encode(name, ENCODED_NAME));
        self.close("Name")
    }

    fn text(&mut self, text: &str) {
        // Most texts stand as they are, and a page has a hundred thousand of them.
        let plain = text.bytes().position(|b| !matches!(b, b' '..=b'~') || matches!(b, b'&' | b'<' | b'>' | b'"'));
        let (plain, rest) = text.split_at(plain.unwrap_or(text.len()));
        self.0.push_str(plain);
        for c in rest.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                // A parser would turn it into a line feed.
                '\r' => self.0.push_str("&#13;"),
                c if allowed(c) => self.0.push(c),
                _ => self.0.push('\u{FFFD}'),
            }
        }
    }
}

/// Whether XML 1.0 (section 2.2) has the character.
fn allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(name: &str) -> String {
        let mut xml = Xml(String::new());
        xml.blob_name(name);
        xml.finish()
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(name("a<b>&\"c\r"), "<Name>a&lt;b&gt;&amp;&quot;c&#13;</Name>");
    }

    #[test]
    fn a_name_that_xml_cannot_carry_is_percent_encoded() {
        assert_eq!(name("a/\u{1}%\u{FFFE}é"), "<Name Encoded=\"true\">a/%01%25%EF%BF%BE%C3%A9</Name>");
    }

    #[test]
    fn an_empty_text_makes_an_empty_element() {
        let mut xml = Xml(String::new());
        xml.element("NextMarker", "").optional("Absent", None);
        assert_eq!(xml.finish(), "<NextMarker />");
    }

    /// Texts with what XML has a meaning for, and what it has none for.
    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![any::<String>(), "[<>&\"'\\r\\n\\t ;#x\\]\\[!?/%a-f0-9~-]{0,24}"]
    }

    proptest! {
        /// The listings that a mirror is read by are such documents.
        #[test]
        fn names_and_values_are_read_as_they_were_written(texts in prop::collection::vec(any_text(), 1..8)) {
            let mut xml = Xml::new();
            xml.open_with("EnumerationResults", &[("ServiceEndpoint", &texts[0])]);
            for text in &texts {
                xml.open("Blob").blob_name(text).element("Value", text).close("Blob");
            }
            xml.close("EnumerationResults");
            let document = xml.finish();
            let root = Element::document(document.as_bytes(), "EnumerationResults").unwrap();
            prop_assert_eq!(root.children.len(), texts.len());
            for (blob, text) in root.children.iter().zip(&texts) {
                let shown: String = text.chars().map(|c| if allowed(c) { c } else { '\u{FFFD}' }).collect();
                prop_assert_eq!(&blob.child("Value").unwrap().text, &shown);
                let name = &blob.child("Name").unwrap().text;
                // Percent signs mean something only where the name says that it is encoded.
                let is_plain = text.chars().all(allowed);
                let decoded = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
                prop_assert!(if is_plain { name == text } else { *decoded == **text }, "{}", name);
            }
        }

        #[test]
        fn no_bytes_are_too_much_for_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200), text in any_text()) {
            let _ = Element::document(&bytes, "A");
            let _ = Element::document(format!("<A>{text}</A>").as_bytes(), "A");
        }
    }
}
