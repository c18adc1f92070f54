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
use crate::model::name::{NAME_MAX, is_attribute, is_plain_component, parse_uuid};
use crate::model::{DeviceDef, NO_PARENT};

/// A device has a few lines. The longest known device, an AP matrix, needs some hundred attributes.
const LIMITS: Limits = Limits { bytes: 1024 * 1024, depth: 32 };

/// Each adapter, domain and control domain of the AP matrix is one attribute, and there may be 256 of each.
const MAX_ATTRS: usize = 1024;

/// sysfs accepts at most one page, minus the NUL that the kernel appends.
const MAX_VALUE: usize = 4095;

/// libvirt's placeholder for a device without a name.
const NO_NAME: &str = "new device";

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
        if name.is_empty() || name == NO_NAME {
            return Ok(());
        }
        if !is_plain_component(&name) {
            let sentence = format!(
                "<name> gives {}, which is not a device name: 1 to 255 bytes, no '/', no control characters, not '.' or '..'",
                shown(&name)
            );
            return Err(self.reader.wrong(tag.at, sentence));
        }
        self.def.name = Some(name);
        Ok(())
    }

    fn parent(&mut self, tag: &Tag<'a>) -> Result<()> {
        let mut parent = self.trimmed(tag)?;
        if parent.ends_with('/') {
            parent.pop();
        }
        let good = match parent.strip_prefix("/sys/") {
            Some(below) => parent.len() <= MAX_VALUE && below.split('/').all(is_plain_component),
            None => is_plain_component(&parent),
        };
        if !good {
            let sentence = format!(
                "<parent> is {}; expected a node name (pci_0000_86_00_0), an address (0000:86:00.0) or an absolute path below /sys",
                shown(&parent)
            );
            return Err(self.reader.wrong(tag.at, sentence));
        }
        self.def.parent = Some(parent);
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
        // The name of a type may contain '/'. An id is one path component; the search for the type checks that.
        if id.len() > NAME_MAX || !id.split('/').all(is_plain_component) {
            let sentence = format!(
                "<type> gives {}, which is not the id or the name of a type: 1 to 255 bytes, no control characters; no part \
                 between slashes may be empty, '.' or '..'",
                shown(&id)
            );
            return Err(self.reader.wrong(tag.at, sentence));
        }
        self.def.type_id = id;
        Ok(())
    }

    fn uuid(&mut self, tag: &Tag<'a>) -> Result<()> {
        let text = self.trimmed(tag)?;
        self.def.uuid = parse_uuid(&text);
        if self.def.uuid.is_some() {
            return Ok(());
        }
        Err(self.reader.wrong(tag.at, format!("<uuid> is {}, {}", shown(&text), not_a_uuid(&text))))
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
        let params = without_quotes(&text);
        if params.contains('\n') {
            return Err(self.reader.wrong(tag.at, "<params> contains a newline; write the parameters on one line"));
        }
        if params.len() > MAX_VALUE {
            return Err(self.reader.wrong(tag.at, too_long("<params>", params)));
        }
        self.def.params = Some(params.to_owned()).filter(|p| !p.is_empty());
        Ok(())
    }

    fn attr(&mut self, tag: &Tag<'a>) -> Result<()> {
        self.only(tag, &["name", "value"])?;
        let (name, value) = (self.required(tag, "name")?, self.required(tag, "value")?);
        self.nothing(tag)?;
        if !is_attribute(&name) || name.chars().any(char::is_control) {
            let sentence = format!(
                "<attr> gives {}, which is not the name of an attribute: a file of the device, or several components joined by \
                 '/', each of 1 to 255 bytes, no control characters, not '.' or '..'",
                shown(&name)
            );
            return Err(self.reader.wrong(tag.at, sentence));
        }
        if value.is_empty() {
            let sentence = format!("<attr> {} has an empty value, which cannot be written to a device", shown(&name));
            return Err(self.reader.wrong(tag.at, sentence));
        }
        if value.len() > MAX_VALUE {
            return Err(self.reader.wrong(tag.at, too_long(&format!("<attr> {}", shown(&name)), &value)));
        }
        if self.def.attributes.len() == MAX_ATTRS {
            let sentence = format!("more than {MAX_ATTRS} <attr> elements");
            return Err(self.reader.fail(ErrorCode::XmlLimit, tag.at, sentence));
        }
        self.def.attributes.push((name, value));
        Ok(())
    }
}

/// Why a text is not a UUID: its length, or its first wrong character.
fn not_a_uuid(text: &str) -> String {
    let length = text.chars().count();
    let is_dash = |i: usize| length == 36 && matches!(i, 8 | 13 | 18 | 23);
    let is_wrong = |(i, c): &(usize, char)| if is_dash(*i) { *c != '-' } else { !c.is_ascii_hexdigit() };
    match text.chars().enumerate().find(is_wrong) {
        Some((i, c)) if matches!(length, 32 | 36) => {
            let expected = if is_dash(i) { "'-'" } else { "a hexadecimal digit" };
            format!(
                "which is not a UUID: character {} is {}; expected {expected}",
                i + 1,
                shown(c.encode_utf8(&mut [0; 4]))
            )
        }
        _ => format!("{length} characters long; a UUID has 36 with its dashes, or 32 hexadecimal digits"),
    }
}

fn too_long(what: &str, value: &str) -> String {
    format!("{what} is {} bytes long; sysfs accepts at most {MAX_VALUE}", value.len())
}

/// The text inside one matched pair of enclosing quotes, or the text itself.
pub(super) fn without_quotes(text: &str) -> &str {
    ['\'', '"'].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(text)
}
