// SPDX-License-Identifier: LGPL-2.1-or-later
//! The `<device>` of a create request. One parser accepts the union of both dialects, with elements in any order.
//!
//! No part of a request is ignored silently: an unknown or repeated element is an error. [`Unknown::Ignore`] skips unknown elements
//! and XML attributes instead, as libvirt's parser does. Elements that only report data are skipped, so that every dump of a device,
//! by this library or by libvirt, is a request for the same device: `<path>`, `<devnode>` and `<driver>` beside the capability,
//! `<iommuGroup>` and `<owner>` inside it (a new device gets the owner of the connection). `<parent_addr>` is used only if
//! `<parent>` is `computer`: libvirt's dump of a definition whose parent is absent contains no other name of that parent.
//!
//! | element | accepted |
//! |---|---|
//! | `name` | at most 255 bytes, no `/`, no control characters, not `.` or `..`; empty and libvirt's `new device` mean no name |
//! | `parent` | a node name or an address (a name without `/`), or an absolute path below `/sys` without `.` and `..` |
//! | `type` | `id` is required and obeys the rules of `name`; it may be the name of the type |
//! | `uuid` | 36 characters with dashes, or 32 hexadecimal digits |
//! | `group` | a decimal number from 1 to 4294967295 |
//! | `numa` | `node` is a decimal number: the preferred NUMA node of the parent, if there is no `parent` |
//! | `params` | one line of at most 4095 bytes, unchanged except that one pair of enclosing quotes is removed; empty means none, because parameters are cleared before every create anyway |
//! | `start` | `type` is `auto` or `manual`: whether a definition starts when its parent appears; no effect on create |
//! | `attr` | `name` is a file of the device, or of a folder in it (`nvidia/vgpu_params`; each component by the rules of `name`), `value` has 1 to 4095 bytes: the kernel does not pass an empty write to a driver |
//!
//! White space around `name`, `parent`, `uuid` and `group` is ignored.

use super::chars::{is_space, shown};
use super::reader::{Limits, Reader, Tag};
use crate::error::{ErrorCode, Result};
use crate::model::name::is_plain_component;
use crate::model::values::{self, ATTRIBUTES_MAX};
use crate::model::{DeviceDef, NO_PARENT};

/// A device has a few lines. The longest known device, an AP matrix, needs some hundred attributes.
const LIMITS: Limits = Limits { bytes: 1024 * 1024, depth: 32 };

/// How to treat elements and XML attributes that this version does not support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// They are errors.
    Refuse,
    /// They are skipped, with everything inside them.
    Ignore,
}

impl Unknown {
    /// `Ignore` if the request has the flag for it.
    pub fn ignored(ignored: bool) -> Self {
        if ignored { Unknown::Ignore } else { Unknown::Refuse }
    }
}

/// Reads a device definition in either dialect.
pub fn parse_device(text: &[u8], unknown: Unknown) -> Result<DeviceDef> {
    let mut reader = Reader::new(text, LIMITS)?;
    let root = reader.root("device")?;
    let mut parser = Parser { reader, unknown, def: DeviceDef::default(), parent_addr: None };
    parser.only(&root, &[])?;
    parser.device(&root)?;
    parser.reader.finish()?;
    if parser.def.parent.as_deref() == Some(NO_PARENT) && parser.parent_addr.is_some() {
        parser.def.parent = parser.parent_addr;
    }
    Ok(parser.def)
}

struct Parser<'a> {
    reader: Reader<'a>,
    unknown: Unknown,
    def: DeviceDef,
    /// `parent_addr`, if it is the name of one device.
    parent_addr: Option<String>,
}

impl<'a> Parser<'a> {
    fn device(&mut self, root: &Tag<'a>) -> Result<()> {
        let mut seen = Vec::new();
        while let Some(tag) = self.reader.child()? {
            match tag.name {
                // Elements of a dump that have no effect on a create.
                "path" | "devnode" | "driver" => {
                    self.reader.skip()?;
                    continue;
                }
                "name" | "parent" | "capability" => self.once(&mut seen, &tag, root)?,
                _ => {
                    self.unknown(&tag, root, "name, parent, capability")?;
                    continue;
                }
            }
            match tag.name {
                "name" => self.name(&tag)?,
                "parent" => self.parent(&tag)?,
                _ => self.capability(&tag)?,
            }
        }
        if seen.contains(&"capability") {
            return Ok(());
        }
        Err(self.reader.wrong(root.at, "the device has no <capability type='mdev'>; add it, with the type to create"))
    }

    fn capability(&mut self, capability: &Tag<'a>) -> Result<()> {
        self.only(capability, &["type"])?;
        let kind = self.required(capability, "type")?;
        if kind != "mdev" {
            let sentence = format!("a capability of type {} cannot be created; expected 'mdev'", shown(&kind));
            return Err(self.reader.wrong(capability.at, sentence));
        }
        let mut seen = Vec::new();
        while let Some(tag) = self.reader.child()? {
            match tag.name {
                "iommuGroup" | "owner" => {
                    self.reader.skip()?;
                    continue;
                }
                "attr" => {
                    self.attr(&tag)?;
                    continue;
                }
                "type" | "uuid" | "parent_addr" | "start" | "group" | "params" | "numa" => {
                    self.once(&mut seen, &tag, capability)?;
                }
                _ => {
                    self.unknown(&tag, capability, "type, uuid, parent_addr, start, group, params, numa, attr")?;
                    continue;
                }
            }
            match tag.name {
                "type" => self.type_id(&tag)?,
                "uuid" => self.uuid(&tag)?,
                "parent_addr" => self.parent_addr(&tag)?,
                "start" => self.start(&tag)?,
                "group" => self.group(&tag)?,
                "numa" => self.numa(&tag)?,
                _ => self.params(&tag)?,
            }
        }
        if seen.contains(&"type") {
            return Ok(());
        }
        Err(self
            .reader
            .wrong(capability.at, "the capability has no <type id='...'/>; add it, with the id of the type to create"))
    }

    fn once(&self, seen: &mut Vec<&'a str>, tag: &Tag<'a>, parent: &Tag<'a>) -> Result<()> {
        if seen.contains(&tag.name) {
            let sentence = format!("a second <{}> inside <{}>; only one is accepted", tag.name, parent.name);
            return Err(self.reader.wrong(tag.at, sentence));
        }
        seen.push(tag.name);
        Ok(())
    }

    fn unknown(&mut self, tag: &Tag<'a>, parent: &Tag<'a>, known: &str) -> Result<()> {
        if self.unknown == Unknown::Ignore {
            return self.reader.skip();
        }
        let name = shown(tag.name);
        let sentence = format!("unknown element {name} inside <{}> of a device; expected one of {known}", parent.name);
        Err(self.reader.wrong(tag.at, sentence))
    }

    /// Refuses XML attributes that are not in `known`.
    fn only(&self, tag: &Tag<'a>, known: &[&str]) -> Result<()> {
        match self.unknown {
            Unknown::Refuse => self.reader.only(tag, known),
            Unknown::Ignore => Ok(()),
        }
    }

    /// Returns a valid value, or the error at its element.
    fn valid<T>(&self, tag: &Tag<'a>, value: std::result::Result<T, String>) -> Result<T> {
        value.map_err(|sentence| self.reader.wrong(tag.at, sentence))
    }

    /// Reads to the end of an element that has no content in this version.
    fn nothing(&mut self, tag: &Tag<'a>) -> Result<()> {
        match self.unknown {
            Unknown::Refuse => self.reader.nothing(tag),
            Unknown::Ignore => self.reader.skip(),
        }
    }

    fn required(&self, tag: &Tag<'a>, name: &str) -> Result<String> {
        let value = tag.attributes.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone().into_owned());
        value.ok_or_else(|| self.reader.wrong(tag.at, format!("<{}> has no attribute '{name}'", tag.name)))
    }

    /// The text of a simple element, without the white space around it.
    fn trimmed(&mut self, tag: &Tag<'a>) -> Result<String> {
        self.only(tag, &[])?;
        Ok(self.reader.content(tag)?.trim_matches(is_space).to_owned())
    }

    fn name(&mut self, tag: &Tag<'a>) -> Result<()> {
        let name = self.trimmed(tag)?;
        self.def.name = self.valid(tag, values::name("<name>", &name))?;
        Ok(())
    }

    fn parent(&mut self, tag: &Tag<'a>) -> Result<()> {
        let parent = self.trimmed(tag)?;
        self.def.parent = Some(self.valid(tag, values::parent("<parent>", &parent))?);
        Ok(())
    }

    fn parent_addr(&mut self, tag: &Tag<'a>) -> Result<()> {
        let address = self.trimmed(tag)?;
        self.parent_addr = Some(address).filter(|address| is_plain_component(address));
        Ok(())
    }

    fn start(&mut self, tag: &Tag<'a>) -> Result<()> {
        self.only(tag, &["type"])?;
        let start = self.required(tag, "type")?;
        self.nothing(tag)?;
        self.def.autostart = match start.as_str() {
            "auto" => Some(true),
            "manual" => Some(false),
            other => {
                let sentence = format!("<start> has type {}; expected 'auto' or 'manual'", shown(other));
                return Err(self.reader.wrong(tag.at, sentence));
            }
        };
        Ok(())
    }

    fn type_id(&mut self, tag: &Tag<'a>) -> Result<()> {
        self.only(tag, &["id"])?;
        let id = self.required(tag, "id")?;
        self.nothing(tag)?;
        self.def.type_id = self.valid(tag, values::type_id("<type>", &id))?;
        Ok(())
    }

    fn uuid(&mut self, tag: &Tag<'a>) -> Result<()> {
        let text = self.trimmed(tag)?;
        self.def.uuid = Some(self.valid(tag, values::uuid("<uuid>", &text))?);
        Ok(())
    }

    fn group(&mut self, tag: &Tag<'a>) -> Result<()> {
        let text = self.trimmed(tag)?;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u32>() {
            Ok(0) => {
                Err(self.reader.wrong(tag.at, "<group> is 0; group numbers begin at 1, omit the element for no group"))
            }
            Ok(number) if digits => {
                self.def.group = Some(number);
                Ok(())
            }
            _ => {
                let sentence = format!("<group> is {}; expected a decimal number from 1 to {}", shown(&text), u32::MAX);
                Err(self.reader.wrong(tag.at, sentence))
            }
        }
    }

    fn numa(&mut self, tag: &Tag<'a>) -> Result<()> {
        self.only(tag, &["node"])?;
        let text = self.required(tag, "node")?;
        self.nothing(tag)?;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<i32>() {
            Ok(node) if digits => {
                self.def.numa_node = Some(node);
                Ok(())
            }
            _ => Err(self.reader.wrong(tag.at, format!("<numa> has node {}; expected a decimal number", shown(&text)))),
        }
    }

    fn params(&mut self, tag: &Tag<'a>) -> Result<()> {
        self.only(tag, &[])?;
        let text = self.reader.content(tag)?;
        self.def.params = self.valid(tag, values::params("<params>", without_quotes(&text)))?;
        Ok(())
    }

    fn attr(&mut self, tag: &Tag<'a>) -> Result<()> {
        self.only(tag, &["name", "value"])?;
        let (name, value) = (self.required(tag, "name")?, self.required(tag, "value")?);
        self.nothing(tag)?;
        let attribute = self.valid(tag, values::attribute("<attr>", &name, &value))?;
        if self.def.attributes.len() == ATTRIBUTES_MAX {
            let sentence = format!("more than {ATTRIBUTES_MAX} <attr> elements");
            return Err(self.reader.fail(ErrorCode::XmlLimit, tag.at, sentence));
        }
        self.def.attributes.push(attribute);
        Ok(())
    }
}

/// The text inside one matched pair of enclosing quotes, or the text itself.
pub(super) fn without_quotes(text: &str) -> &str {
    ['\'', '"'].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(text)
}
