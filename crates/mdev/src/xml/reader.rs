// SPDX-License-Identifier: LGPL-2.1-or-later
//! A strict pull reader: quick-xml's events, reduced to elements and text, with limits, and with a position in every error.
//!
//! Lines and columns start at 1. A column counts characters (Unicode scalar values); a byte order mark does not count.

use std::borrow::Cow;

use quick_xml::errors::{Error as Fault, IllFormedError, SyntaxError};
use quick_xml::events::{BytesDecl, Event};
use rustix::io::Errno;

use super::chars::{is_name, is_space, is_xml_char, normalize_line_ends, plain, resolve, shown};
use crate::error::{Error, ErrorCode, Result};

/// The most attributes of one element. No supported element has more than four.
const MAX_ATTRIBUTES: usize = 16;

/// Limits of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of the whole text.
    pub(super) bytes: usize,
    /// Depth of nested elements.
    pub(super) depth: usize,
}

/// A start tag.
#[derive(Debug)]
pub(super) struct Tag<'a> {
    /// Name, with its prefix if it has one.
    pub(super) name: &'a str,
    /// Names and values, references resolved.
    pub(super) attributes: Vec<(&'a str, Cow<'a, str>)>,
    /// The start of the tag: a byte offset for [`Reader::fail`].
    pub(super) at: usize,
}

/// A part of a document. Comments and processing instructions are left out.
#[derive(Debug)]
pub(super) enum Token<'a> {
    /// A start tag. An empty element is a start tag followed by [`Token::Close`].
    Open(Tag<'a>),
    /// The end tag of the innermost element.
    Close,
    /// A piece of character data inside the root element.
    Text(Cow<'a, str>),
    /// The end of the document.
    End,
}

/// The reader.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    events: quick_xml::Reader<&'a [u8]>,
    open: Vec<&'a str>,
    depth: usize,
    root_seen: bool,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Checks the text as a whole. Checks the size first, so that a huge text costs no time.
    pub(super) fn new(bytes: &'a [u8], limits: Limits) -> Result<Self> {
        if bytes.len() > limits.bytes {
            let text = format!("the text is {} bytes long; at most {} are accepted", bytes.len(), limits.bytes);
            return Err(fail_at("", 0, ErrorCode::XmlLimit, text));
        }
        let text = as_text(bytes)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.chars().all(is_space) {
            return Err(fail_at(text, 0, ErrorCode::XmlSyntax, "the text is empty; write an XML element".into()));
        }
        let start = text.trim_start_matches(is_space);
        if start.starts_with(['{', '[']) {
            let what = "the text looks like JSON; write XML with a <device> element".to_owned();
            return Err(fail_at(text, text.len() - start.len(), ErrorCode::XmlSyntax, what));
        }
        if let Some((at, c)) = text.char_indices().find(|(_, c)| !is_xml_char(*c)) {
            let what = if c == '\0' { "a NUL byte".to_owned() } else { format!("the character U+{:04X}", c as u32) };
            return Err(fail_at(text, at, ErrorCode::XmlSyntax, format!("{what} cannot be part of XML")));
        }
        // quick-xml would remove this one, too, and its positions would be wrong.
        if text.starts_with('\u{feff}') {
            return Err(fail_at(text, 0, ErrorCode::XmlSyntax, "a second byte order mark".into()));
        }
        let mut events = quick_xml::Reader::from_reader(text.as_bytes());
        let config = events.config_mut();
        config.expand_empty_elements = true;
        config.enable_all_checks(true);
        Ok(Reader { text, events, open: Vec::new(), depth: limits.depth, root_seen: false, at: 0 })
    }

    /// An error at a byte offset.
    pub(super) fn fail(&self, code: ErrorCode, at: usize, sentence: impl Into<String>) -> Error {
        fail_at(self.text, at, code, sentence.into())
    }

    /// An [`ErrorCode::XmlContent`] at a byte offset.
    pub(super) fn wrong(&self, at: usize, sentence: impl Into<String>) -> Error {
        self.fail(ErrorCode::XmlContent, at, sentence)
    }

    fn syntax<T>(&self, at: usize, sentence: impl Into<String>) -> Result<T> {
        Err(self.fail(ErrorCode::XmlSyntax, at, sentence))
    }

    /// The start tag of the root element, which must be `<name>`. Any other element is [`ErrorCode::XmlSyntax`], as in libvirt.
    pub(super) fn root(&mut self, name: &str) -> Result<Tag<'a>> {
        loop {
            match self.next()? {
                Token::Open(tag) if tag.name == name => return Ok(tag),
                Token::Open(tag) => {
                    let sentence = format!("the root element is <{}>; expected <{name}>", plain(tag.name));
                    return self.syntax(tag.at, sentence);
                }
                Token::Text(_) => {}
                Token::Close | Token::End => return self.syntax(self.at, format!("no <{name}> element was found")),
            }
        }
    }

    /// The next element inside the open element; `None` at its end. Text between the elements must be white space.
    pub(super) fn child(&mut self) -> Result<Option<Tag<'a>>> {
        loop {
            match self.next()? {
                Token::Open(tag) => return Ok(Some(tag)),
                Token::Close | Token::End => return Ok(None),
                Token::Text(text) if text.chars().all(is_space) => {}
                Token::Text(text) => {
                    let inside = self.open.last().map_or_else(String::new, |name| plain(name));
                    return Err(self.wrong(self.at, format!("text {} directly inside <{inside}>", shown(text.trim()))));
                }
            }
        }
    }

    /// The text of an element that may not have elements inside.
    pub(super) fn content(&mut self, tag: &Tag<'a>) -> Result<String> {
        let mut content = String::new();
        loop {
            match self.next()? {
                Token::Text(text) => content.push_str(&text),
                Token::Open(inner) => {
                    let sentence =
                        format!("element <{}> inside <{}>, which holds text only", plain(inner.name), tag.name);
                    return Err(self.wrong(inner.at, sentence));
                }
                Token::Close | Token::End => return Ok(content),
            }
        }
    }

    /// Reads to the end of an element that must be empty.
    pub(super) fn nothing(&mut self, tag: &Tag<'a>) -> Result<()> {
        match self.child()? {
            None => Ok(()),
            Some(inner) => {
                let sentence = format!("element <{}> inside <{}>, which must be empty", plain(inner.name), tag.name);
                Err(self.wrong(inner.at, sentence))
            }
        }
    }

    /// Reads to the end of an element and ignores its content.
    pub(super) fn skip(&mut self) -> Result<()> {
        let outside = self.open.len();
        while self.open.len() >= outside {
            self.next()?;
        }
        Ok(())
    }

    /// After the end tag of the root element: only comments and white space may follow.
    pub(super) fn finish(&mut self) -> Result<()> {
        while !matches!(self.next()?, Token::End) {}
        Ok(())
    }

    /// Refuses attributes whose names are not in `known`.
    pub(super) fn only(&self, tag: &Tag<'a>, known: &[&str]) -> Result<()> {
        match tag.attributes.iter().find(|(name, _)| !known.contains(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let expected = match known {
                    [] => "it has no attributes".to_owned(),
                    known => format!("expected one of {}", known.join(", ")),
                };
                let name = plain(name);
                Err(self.wrong(tag.at, format!("<{}> has an unknown attribute '{name}'; {expected}", tag.name)))
            }
        }
    }

    /// The next token.
    pub(super) fn next(&mut self) -> Result<Token<'a>> {
        loop {
            let start = self.events.buffer_position() as usize;
            let event = self.events.read_event();
            let end = self.events.buffer_position() as usize;
            self.at = start;
            match event {
                Err(fault) => return Err(self.fault(&fault)),
                Ok(Event::Start(_) | Event::Empty(_)) => return self.opened(start, end),
                Ok(Event::End(_)) => {
                    self.open.pop();
                    return Ok(Token::Close);
                }
                Ok(Event::Text(_)) => {
                    if let Some(token) = self.character_data(start, end)? {
                        return Ok(token);
                    }
                }
                Ok(Event::CData(_)) => {
                    self.inside_root(start)?;
                    return Ok(Token::Text(normalize_line_ends(
                        &self.text[start + "<![CDATA[".len()..end - "]]>".len()],
                    )));
                }
                Ok(Event::GeneralRef(_)) => {
                    self.inside_root(start)?;
                    let c = self.reference(&self.text[start + 1..end - 1], start)?;
                    return Ok(Token::Text(Cow::Owned(c.to_string())));
                }
                Ok(Event::Decl(declaration)) => self.declaration(&declaration, start)?,
                Ok(Event::DocType(_)) => return Err(self.doctype(start)),
                Ok(Event::Comment(_) | Event::PI(_)) => {}
                Ok(Event::Eof) => return self.ended(end),
            }
        }
    }

    fn opened(&mut self, start: usize, end: usize) -> Result<Token<'a>> {
        let text = self.text;
        let inside = &text[start + 1..end - 1];
        let inside = inside.strip_suffix('/').unwrap_or(inside);
        let (name, rest) = inside.split_at(inside.find(is_space).unwrap_or(inside.len()));
        if !is_name(name) {
            return self.syntax(start, format!("{} is not the name of an element", shown(name)));
        }
        if self.open.is_empty() && self.root_seen {
            return self.syntax(start, format!("a second root element <{}>; only one is accepted", plain(name)));
        }
        if self.open.len() >= self.depth {
            let sentence = format!("elements are nested more than {} deep", self.depth);
            return Err(self.fail(ErrorCode::XmlLimit, start, sentence));
        }
        let attributes = self.attributes(rest, start + 1 + name.len())?;
        self.root_seen = true;
        self.open.push(name);
        Ok(Token::Open(Tag { name, attributes, at: start }))
    }

    /// The attributes of a start tag, from the text after the name, which begins at `at`.
    fn attributes(&self, text: &'a str, at: usize) -> Result<Vec<(&'a str, Cow<'a, str>)>> {
        let mut found: Vec<(&'a str, Cow<'a, str>)> = Vec::new();
        let mut rest = text;
        loop {
            let trimmed = rest.trim_start_matches(is_space);
            let here = at + text.len() - trimmed.len();
            if trimmed.is_empty() {
                return Ok(found);
            }
            if trimmed.len() == rest.len() {
                return self.syntax(here, "white space is missing between two attributes");
            }
            if found.len() == MAX_ATTRIBUTES {
                let sentence = format!("an element with more than {MAX_ATTRIBUTES} attributes");
                return Err(self.fail(ErrorCode::XmlLimit, here, sentence));
            }
            let (name, raw, after) = match split_attribute(trimmed) {
                Ok(parts) => parts,
                Err(sentence) => return self.syntax(here, sentence),
            };
            if found.iter().any(|(known, _)| *known == name) {
                return self.syntax(here, format!("attribute '{}' is given twice", plain(name)));
            }
            let value_at = here + trimmed.len() - after.len() - 1 - raw.len();
            found.push((name, self.value(raw, value_at)?));
            rest = after;
        }
    }

    /// The value of an attribute. Resolves references, and changes white space into spaces as XML requires.
    fn value(&self, raw: &'a str, at: usize) -> Result<Cow<'a, str>> {
        if !raw.contains(['&', '<', '\t', '\n', '\r']) {
            return Ok(Cow::Borrowed(raw));
        }
        let mut value = String::with_capacity(raw.len());
        let mut chars = raw.char_indices().peekable();
        while let Some((i, c)) = chars.next() {
            match c {
                '<' => return self.syntax(at + i, "'<' in the value of an attribute; write &lt;"),
                '&' => {
                    let Some(length) = raw[i + 1..].find(';') else {
                        return self.syntax(at + i, "'&' without a ';' after it; write &amp;");
                    };
                    value.push(self.reference(&raw[i + 1..i + 1 + length], at + i)?);
                    while chars.next_if(|(next, _)| *next <= i + 1 + length).is_some() {}
                }
                '\r' if raw[i..].starts_with("\r\n") => {}
                '\t' | '\n' | '\r' => value.push(' '),
                c => value.push(c),
            }
        }
        Ok(Cow::Owned(value))
    }

    fn reference(&self, name: &str, at: usize) -> Result<char> {
        match resolve(name) {
            Some(c) => Ok(c),
            None if name.starts_with('#') => {
                self.syntax(at, format!("{} is not the number of a character", shown(name)))
            }
            None => {
                let sentence = format!("unknown entity {}; only lt, gt, amp, apos and quot are accepted", shown(name));
                self.syntax(at, sentence)
            }
        }
    }

    fn character_data(&self, start: usize, end: usize) -> Result<Option<Token<'a>>> {
        let text = &self.text[start..end];
        if self.open.is_empty() {
            return match text.find(|c| !is_space(c)) {
                Some(offset) => self.syntax(start + offset, self.outside()),
                None => Ok(None),
            };
        }
        if let Some(offset) = text.find("]]>") {
            return self.syntax(start + offset, "']]>' outside a CDATA section; write ]]&gt;");
        }
        Ok(if text.is_empty() { None } else { Some(Token::Text(normalize_line_ends(text))) })
    }

    fn inside_root(&self, at: usize) -> Result<()> {
        if self.open.is_empty() { self.syntax(at, self.outside()) } else { Ok(()) }
    }

    fn outside(&self) -> &'static str {
        if self.root_seen { "text after the end of the root element" } else { "text before the root element" }
    }

    fn declaration(&self, declaration: &BytesDecl<'_>, at: usize) -> Result<()> {
        if at != 0 {
            return self.syntax(at, "the XML declaration must be at the start of the text");
        }
        match declaration.version() {
            Ok(version) if *version == *b"1.0" => {}
            _ => return self.syntax(at, "the XML declaration does not begin with version='1.0'"),
        }
        match declaration.encoding() {
            None => Ok(()),
            Some(Ok(name)) if name.eq_ignore_ascii_case(b"UTF-8") => Ok(()),
            Some(Ok(name)) => {
                let name = shown(&String::from_utf8_lossy(&name));
                self.syntax(at, format!("the declared encoding is {name}; only UTF-8 is accepted"))
            }
            Some(Err(_)) => self.syntax(at, "the XML declaration is malformed"),
        }
    }

    fn doctype(&self, at: usize) -> Error {
        self.fail(ErrorCode::XmlSyntax, at, "a DOCTYPE and its entities are not accepted; remove it")
    }

    fn ended(&self, end: usize) -> Result<Token<'a>> {
        match self.open.last() {
            Some(name) => self.syntax(end, format!("the text ends inside <{}>", plain(name))),
            None if self.root_seen => Ok(Token::End),
            None => self.syntax(end, "the text contains no element"),
        }
    }

    /// The error for a fault that quick-xml reports.
    fn fault(&self, fault: &Fault) -> Error {
        let at = match fault {
            // The position of this fault in quick-xml is not always right.
            Fault::IllFormed(IllFormedError::DoubleHyphenInComment) => self.at,
            _ => self.events.error_position() as usize,
        };
        let sentence = match fault {
            Fault::Syntax(SyntaxError::UnclosedDoctype) | Fault::IllFormed(IllFormedError::MissingDoctypeName) => {
                return self.doctype(at);
            }
            Fault::IllFormed(IllFormedError::MismatchedEndTag { expected, found }) => {
                format!("expected </{}>, got </{}>", plain(expected), plain(found))
            }
            Fault::IllFormed(IllFormedError::UnmatchedEndTag(name)) => {
                format!("</{}> without a start tag", plain(name))
            }
            Fault::IllFormed(IllFormedError::UnclosedReference) => "'&' without a ';' after it; write &amp;".to_owned(),
            Fault::IllFormed(IllFormedError::DoubleHyphenInComment) => "'--' inside a comment".to_owned(),
            Fault::Syntax(fault) => fault.to_string(),
            other => other.to_string(),
        };
        self.fail(ErrorCode::XmlSyntax, at, sentence)
    }
}

/// `name = 'value'` at the beginning of `text`: name, raw value, and the text after the closing quote.
fn split_attribute(text: &str) -> std::result::Result<(&str, &str, &str), String> {
    let (name, rest) = text.split_at(text.find(|c| is_space(c) || c == '=').unwrap_or(text.len()));
    if !is_name(name) {
        return Err(format!("{} is not the name of an attribute", shown(name)));
    }
    let value = rest.trim_start_matches(is_space).strip_prefix('=').map(|v| v.trim_start_matches(is_space));
    let value = value.ok_or_else(|| format!("attribute '{}' has no value", plain(name)))?;
    let quote = value.chars().next().filter(|c| *c == '\'' || *c == '"');
    let quote = quote.ok_or_else(|| format!("the value of attribute '{}' is not in quotes", plain(name)))?;
    let (raw, after) = value[1..]
        .split_once(quote)
        .ok_or_else(|| format!("the value of attribute '{}' has no closing quote", plain(name)))?;
    Ok((name, raw, after))
}

fn as_text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|fault| {
        let good = std::str::from_utf8(bytes.get(..fault.valid_up_to()).unwrap_or_default()).unwrap_or_default();
        let sentence = "a byte that is not UTF-8; only UTF-8 is accepted".to_owned();
        fail_at(good, good.len(), ErrorCode::XmlSyntax, sentence)
    })
}

fn fail_at(text: &str, at: usize, code: ErrorCode, sentence: String) -> Error {
    let before = text.get(..at).unwrap_or(text);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    Error::new(code, Errno::INVAL, format!("XML line {line}, column {column}: {sentence}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { bytes: 1000, depth: 4 };

    /// Every token in one line, or the error.
    fn read(text: &str) -> std::result::Result<String, String> {
        let mut reader = Reader::new(text.as_bytes(), LIMITS).map_err(|e| e.message)?;
        let mut out = String::new();
        loop {
            match reader.next().map_err(|e| e.message)? {
                Token::Open(tag) => {
                    out.push_str(&format!("<{}", tag.name));
                    tag.attributes.iter().for_each(|(name, value)| out.push_str(&format!(" {name}={value}")));
                    out.push('>');
                }
                Token::Close => out.push('/'),
                Token::Text(text) => out.push_str(&text),
                Token::End => return Ok(out),
            }
        }
    }

    #[test]
    fn reader_returns_the_tokens_of_the_text() {
        let text = "\u{feff}<?xml version='1.0' encoding='utf-8'?>\n<!-- c --><a x = \"1&lt;'\" y='\t2'>t&amp;\r\nu<![CDATA[<v>]]><b/></a >\n";
        assert_eq!(read(text).unwrap(), "<a x=1<' y= 2>t&\nu<v><b>//");
    }

    #[test]
    fn reader_error_has_line_and_column() {
        for (text, message) in [
            ("<a>\n  <é><b x='1' x='2'/></é></a>", "XML line 2, column 15: attribute 'x' is given twice"),
            (
                "<a>\n&foo;</a>",
                "XML line 2, column 1: unknown entity 'foo'; only lt, gt, amp, apos and quot are accepted",
            ),
            ("<a>x&#0;</a>", "XML line 1, column 5: '#0' is not the number of a character"),
            ("<a b='x&amp'/>", "XML line 1, column 8: '&' without a ';' after it; write &amp;"),
            ("<a b='x&y;'/>", "XML line 1, column 8: unknown entity 'y'; only lt, gt, amp, apos and quot are accepted"),
            ("<a>\n</b>", "XML line 2, column 1: expected </a>, got </b>"),
            ("<a></a></a>", "XML line 1, column 8: </a> without a start tag"),
            ("<a/><b/>", "XML line 1, column 5: a second root element <b>; only one is accepted"),
            ("<a/>\n x", "XML line 2, column 2: text after the end of the root element"),
            ("x<a/>", "XML line 1, column 1: text before the root element"),
            ("<a>x", "XML line 1, column 5: the text ends inside <a>"),
            ("<a><b><c><d><e/></d></c></b></a>", "XML line 1, column 13: elements are nested more than 4 deep"),
            ("<a>]]></a>", "XML line 1, column 4: ']]>' outside a CDATA section; write ]]&gt;"),
            ("<a b=1/>", "XML line 1, column 4: the value of attribute 'b' is not in quotes"),
            ("<a b/>", "XML line 1, column 4: attribute 'b' has no value"),
            ("<a b='1'c='2'/>", "XML line 1, column 9: white space is missing between two attributes"),
            ("<1/>", "XML line 1, column 1: '1' is not the name of an element"),
            ("<a/><?xml version='1.0'?>", "XML line 1, column 5: the XML declaration must be at the start of the text"),
            ("<a><!-- a--b --></a>", "XML line 1, column 4: '--' inside a comment"),
            ("<!-- nothing -->", "XML line 1, column 17: the text contains no element"),
        ] {
            assert_eq!(read(text).unwrap_err(), message, "{text}");
        }
    }
}
