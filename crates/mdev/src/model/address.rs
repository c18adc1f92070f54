// SPDX-License-Identifier: LGPL-2.1-or-later
//! PCI addresses in the forms that users and the kernel write.

use std::fmt;
use std::str::FromStr;

/// `DDDD:BB:SS.F`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    /// PCI domain; it exceeds 16 bits on hosts with VMD.
    pub domain: u32,
    /// Bus.
    pub bus: u8,
    /// Slot, 0 to 31.
    pub slot: u8,
    /// Function, 0 to 7.
    pub function: u8,
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.slot, self.function)
    }
}

/// The error for a text that is not a PCI address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnAddress;

impl FromStr for PciAddress {
    type Err = NotAnAddress;

    /// Parses the kernel's form, in upper or lower case: `0000:86:00.0`. The domain has four or more digits; the
    /// other parts have exactly two, two and one.
    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let mut fields = text.split(':');
        let (domain, bus, rest) = (fields.next(), fields.next(), fields.next());
        if fields.next().is_some() {
            return Err(NotAnAddress);
        }
        let (slot, function) = rest.and_then(|r| r.split_once('.')).ok_or(NotAnAddress)?;
        let domain = domain.filter(|d| (4..=8).contains(&d.len())).ok_or(NotAnAddress)?;
        let address = PciAddress {
            domain: hex(domain)?,
            bus: hex(bus.filter(|b| b.len() == 2).ok_or(NotAnAddress)?)? as u8,
            slot: hex(Some(slot).filter(|s| s.len() == 2).ok_or(NotAnAddress)?)? as u8,
            function: hex(Some(function).filter(|f| f.len() == 1).ok_or(NotAnAddress)?)? as u8,
        };
        if address.slot > 31 || address.function > 7 { Err(NotAnAddress) } else { Ok(address) }
    }
}

/// Parses hexadecimal digits. `from_str_radix` alone would accept a leading plus sign.
fn hex(text: &str) -> Result<u32, NotAnAddress> {
    if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(NotAnAddress);
    }
    u32::from_str_radix(text, 16).map_err(|_| NotAnAddress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_address_in_form_of_kernel_is_parsed() {
        let a: PciAddress = "0000:AF:1f.7".parse().unwrap();
        assert_eq!(a.to_string(), "0000:af:1f.7");
        assert_eq!("10000:01:00.0".parse::<PciAddress>().unwrap().to_string(), "10000:01:00.0");
    }

    #[test]
    fn text_that_is_no_pci_address_is_refused() {
        for bad in [
            "",
            "86:00.0",
            "0000:86:00",
            "0000:86:20.0",
            "0000:86:00.8",
            "0000:86:0.0",
            "+000:86:00.0",
            "0000:86:00.0:1",
        ] {
            assert!(bad.parse::<PciAddress>().is_err(), "{bad}");
        }
    }
}
