// SPDX-License-Identifier: LGPL-2.1-or-later
//! The kinds of parents that the dumps distinguish.

use super::writer::Writer;
use crate::model::{Parent, PciFacts};

/// The address of a subchannel: `0.0.0052` in sysfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subchannel {
    cssid: u8,
    ssid: u8,
    devno: u16,
}

impl Subchannel {
    /// Parses the name in sysfs.
    pub(super) fn parse(sysname: &str) -> Option<Self> {
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

    /// Writes `cssid`, `ssid` and `devno`.
    pub(super) fn write(&self, w: &mut Writer) {
        w.leaf("cssid", &[], format_args!("0x{:x}", self.cssid));
        w.leaf("ssid", &[], format_args!("0x{:x}", self.ssid));
        w.leaf("devno", &[], format_args!("0x{:04x}", self.devno));
    }
}

/// The kind of a parent, with the data that only this kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParentKind {
    Pci(PciFacts),
    Css(Subchannel),
    ApMatrix,
    /// Every other parent, such as mtty, mdpy and mbochs.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subchannel_address_is_parsed() {
        assert_eq!(Subchannel::parse("0.0.0052"), Some(Subchannel { cssid: 0, ssid: 0, devno: 0x52 }));
        assert_eq!(Subchannel::parse("fe.3.ffff"), Some(Subchannel { cssid: 0xfe, ssid: 3, devno: 0xffff }));
        for bad in ["", "0.0", "0.0.0052.1", "0.0.10000", "100.0.0052", "0..0052", "+0.0.0052"] {
            assert_eq!(Subchannel::parse(bad), None, "{bad}");
        }
    }
}
