// SPDX-License-Identifier: LGPL-2.1-or-later
//! Indented elements with every text escaped. Two spaces a level and single quotes, as libvirt prints.

use std::fmt::Display;

use super::chars::{push_text, push_value};
use crate::model::{Parent, PciAddress};

/// A document that grows.
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

    /// `<name ...>` and a deeper level.
    pub(super) fn open(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.start(name, attributes);
        self.out.push_str(">\n");
        self.open.push(name);
    }

    /// The end tag of the level.
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

    /// A leaf whose content is escaped already.
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

    /// A leaf with text, or an empty element where there is none.
    pub(super) fn leaf_or_empty(&mut self, name: &str, attributes: Attributes<'_>, text: Option<&str>) {
        match text {
            Some(text) => self.leaf(name, attributes, text),
            None => self.empty(name, attributes),
        }
    }

    /// The whole text; open levels are closed.
    pub(super) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.out
    }

    /// libvirt's `<address>`, which has hexadecimal numbers.
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

    /// The address of a PCI capability, in decimal in both dialects.
    pub(super) fn pci_place(&mut self, a: &PciAddress) {
        self.leaf("domain", &[], a.domain);
        self.leaf("bus", &[], a.bus);
        self.leaf("slot", &[], a.slot);
        self.leaf("function", &[], a.function);
    }

    /// `cssid`, `ssid` and `devno` of a subchannel.
    pub(super) fn subchannel(&mut self, s: &Subchannel) {
        self.leaf("cssid", &[], format_args!("0x{:x}", s.cssid));
        self.leaf("ssid", &[], format_args!("0x{:x}", s.ssid));
        self.leaf("devno", &[], format_args!("0x{:04x}", s.devno));
    }
}

/// Where a subchannel is: `0.0.0052` in sysfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subchannel {
    cssid: u8,
    ssid: u8,
    devno: u16,
}

impl Subchannel {
    fn parse(sysname: &str) -> Option<Self> {
        let mut fields = sysname.split('.').map(|f| {
            let hex = !f.is_empty() && f.bytes().all(|b| b.is_ascii_hexdigit());
            hex.then(|| u32::from_str_radix(f, 16).ok()).flatten()
        });
        let (cssid, ssid, devno) = (fields.next()??, fields.next()??, fields.next()??);
        if fields.next().is_some() {
            return None;
        }
        Some(Subchannel { cssid: cssid.try_into().ok()?, ssid: ssid.try_into().ok()?, devno: devno.try_into().ok()? })
    }
}

/// The kinds of parents that a dump tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParentKind {
    Pci(crate::model::PciFacts),
    Css(Subchannel),
    ApMatrix,
    /// mtty, mdpy, mbochs and whatever comes.
    Other,
}

impl ParentKind {
    pub(super) fn of(p: &Parent) -> Self {
        match (p.pci, p.subsystem.as_str()) {
            (Some(facts), _) => ParentKind::Pci(facts),
            (None, "css") => Subchannel::parse(&p.sysname).map_or(ParentKind::Other, ParentKind::Css),
            (None, _) if p.name == "ap_matrix" => ParentKind::ApMatrix,
            _ => ParentKind::Other,
        }
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
    fn subchannels() {
        assert_eq!(Subchannel::parse("0.0.0052"), Some(Subchannel { cssid: 0, ssid: 0, devno: 0x52 }));
        assert_eq!(Subchannel::parse("fe.3.ffff"), Some(Subchannel { cssid: 0xfe, ssid: 3, devno: 0xffff }));
        for bad in ["", "0.0", "0.0.0052.1", "0.0.10000", "100.0.0052", "0..0052", "+0.0.0052"] {
            assert_eq!(Subchannel::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn levels_close_by_themselves() {
        let mut w = Writer::default();
        w.open("a", &[("x", &"it's")]);
        w.leaf("b", &[], "1 < 2");
        w.open("c", &[]);
        w.empty("d", &[]);
        assert_eq!(w.finish(), "<a x='it&apos;s'>\n  <b>1 &lt; 2</b>\n  <c>\n    <d/>\n  </c>\n</a>\n");
    }
}
