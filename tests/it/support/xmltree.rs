// SPDX-License-Identifier: LGPL-2.1-or-later
//! XML as a tree; a successful parse shows that a dump is well-formed.

use mdev::Error;
use mdev::test_hooks::model::DeviceDef;
use mdev::test_hooks::xml::{Unknown, parse_device};
use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};

/// An element, with its text trimmed and its attributes sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Element {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    pub fn parse(xml: &str) -> Result<Element, String> {
        let mut reader = Reader::from_str(xml);
        let mut open = vec![Element::default()];
        loop {
            match reader.read_event().map_err(|e| format!("{e} in\n{xml}"))? {
                Event::Start(start) => open.push(element(&start)?),
                Event::Empty(start) => {
                    let element = element(&start)?;
                    top(&mut open).children.push(element);
                }
                Event::End(_) => {
                    let mut done = open.pop().ok_or("too many ends")?;
                    done.text = done.text.trim().to_owned();
                    top(&mut open).children.push(done);
                }
                Event::Text(text) => {
                    let text = text.decode().map_err(|e| e.to_string())?;
                    top(&mut open).text.push_str(&text);
                }
                Event::GeneralRef(reference) => {
                    let name = reference.decode().map_err(|e| e.to_string())?;
                    let text =
                        quick_xml::escape::unescape(&format!("&{name};")).map_err(|e| e.to_string())?.into_owned();
                    top(&mut open).text.push_str(&text);
                }
                Event::Eof => break,
                _ => {}
            }
        }
        match open.pop() {
            Some(document) if open.is_empty() && document.children.len() == 1 => Ok(document.children[0].clone()),
            _ => Err(format!("not one element:\n{xml}")),
        }
    }
}

fn top(open: &mut [Element]) -> &mut Element {
    open.last_mut().expect("the document itself is never closed")
}

fn element(start: &BytesStart) -> Result<Element, String> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| e.to_string())?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| e.to_string())?.into_owned();
        attributes.push((String::from_utf8_lossy(attribute.key.as_ref()).into_owned(), value));
    }
    attributes.sort_unstable();
    let name = String::from_utf8_lossy(start.name().as_ref()).into_owned();
    Ok(Element { name, attributes, ..Element::default() })
}

/// Parses a device definition; unknown elements and XML attributes are errors.
pub fn parse_strict(text: &[u8]) -> Result<DeviceDef, Error> {
    parse_device(text, Unknown::Refuse)
}
