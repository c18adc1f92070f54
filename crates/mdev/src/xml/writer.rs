// SPDX-License-Identifier: LGPL-2.1-or-later
//! Writes indented elements with escaped texts: two spaces per level and single quotes, as in libvirt.

use std::fmt::Display;

use super::chars::{push_text, push_value};
use crate::model::PciAddress;

/// A document under construction.
#[derive(Debug, Default)]
pub(super) struct Writer {
    out: String,
    open: Vec<&'static str>,
}

/// Names and values of attributes.
pub(super) type Attributes<'a> = &'a [(&'a str, &'a dyn Display)];

impl Writer {
    fn start(&mut self, name: &str, attributes: Attributes<'_>) {
        for _ in &self.open {
            self.out.push_str("  ");
        }
        self.out.push('<');
        self.out.push_str(name);
        for (name, value) in attributes {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("='");
            push_value(&mut self.out, &value.to_string());
            self.out.push('\'');
        }
    }

    /// Writes `<name ...>` and starts a deeper level.
    pub(super) fn open(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.start(name, attributes);
        self.out.push_str(">\n");
        self.open.push(name);
    }

    /// Writes the end tag of the level.
    pub(super) fn close(&mut self) {
        let Some(name) = self.open.pop() else { return };
        for _ in &self.open {
            self.out.push_str("  ");
        }
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push_str(">\n");
    }

    /// `<name .../>`
    pub(super) fn empty(&mut self, name: &str, attributes: Attributes<'_>) {
        self.start(name, attributes);
        self.out.push_str("/>\n");
    }

    /// `<name ...>text</name>`
    pub(super) fn leaf(&mut self, name: &str, attributes: Attributes<'_>, text: impl Display) {
        self.start(name, attributes);
        self.out.push('>');
        push_text(&mut self.out, &text.to_string());
        self.end_of_leaf(name);
    }

    /// A leaf whose content is already escaped.
    pub(super) fn raw_leaf(&mut self, name: &str, attributes: Attributes<'_>, escaped: &str) {
        self.start(name, attributes);
        self.out.push('>');
        self.out.push_str(escaped);
        self.end_of_leaf(name);
    }

    fn end_of_leaf(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push_str(">\n");
    }

    /// A leaf with text, or an empty element if there is no text.
    pub(super) fn leaf_or_empty(&mut self, name: &str, attributes: Attributes<'_>, text: Option<&str>) {
        match text {
            Some(text) => self.leaf(name, attributes, text),
            None => self.empty(name, attributes),
        }
    }

    /// Closes all open levels and returns the text.
    pub(super) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.out
    }

    /// Writes libvirt's `<address>`, with hexadecimal numbers.
    pub(super) fn address(&mut self, a: &PciAddress) {
        self.empty(
            "address",
            &[
                ("domain", &format_args!("0x{:04x}", a.domain)),
                ("bus", &format_args!("0x{:02x}", a.bus)),
                ("slot", &format_args!("0x{:02x}", a.slot)),
                ("function", &format_args!("0x{:x}", a.function)),
            ],
        );
    }

    /// Writes the address of a PCI capability, with decimal numbers in both dialects.
    pub(super) fn pci_place(&mut self, a: &PciAddress) {
        self.leaf("domain", &[], a.domain);
        self.leaf("bus", &[], a.bus);
        self.leaf("slot", &[], a.slot);
        self.leaf("function", &[], a.function);
    }
}

/// `0x10de`
pub(super) fn id16(id: u16) -> String {
    format!("0x{id:04x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writer_closes_open_elements() {
        let mut w = Writer::default();
        w.open("a", &[("x", &"it's")]);
        w.leaf("b", &[], "1 < 2");
        w.open("c", &[]);
        w.empty("d", &[]);
        assert_eq!(w.finish(), "<a x='it&apos;s'>\n  <b>1 &lt; 2</b>\n  <c>\n    <d/>\n  </c>\n</a>\n");
    }
}
