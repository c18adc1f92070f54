// SPDX-License-Identifier: LGPL-2.1-or-later
//! Names of PCI vendors and products in pci.ids.

use std::collections::HashMap;
use std::fs::{metadata, read};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

/// The name of a vendor and that of its product, each where it is known.
pub type PciNames = (Option<String>, Option<String>);

/// Where distributions put the file.
const FILES: [&str; 2] = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"];

/// Inode number, size and time of the last change: a file that was replaced or written to has others.
type Version = (u64, u64, i64, i64);

/// The file of this host. It has more than a megabyte, so names that were looked up are kept until the file changes.
#[derive(Debug, Default)]
pub struct PciIds(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    version: Option<Version>,
    names: HashMap<(u16, u16), PciNames>,
}

impl PciIds {
    /// The names of a vendor and a product.
    pub fn names(&self, vendor: u16, product: u16) -> PciNames {
        FILES.iter().find_map(|path| self.names_in(path, vendor, product)).unwrap_or_default()
    }

    /// The same in this file. `None` if it cannot be read.
    fn names_in(&self, path: &str, vendor: u16, product: u16) -> Option<PciNames> {
        let meta = metadata(path).ok()?;
        let version = (meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec());
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.version != Some(version) {
            *kept = Kept { version: Some(version), names: HashMap::new() };
        }
        if let Some(names) = kept.names.get(&(vendor, product)) {
            return Some(names.clone());
        }
        let names = find(&read(path).ok()?, vendor, product);
        kept.names.insert((vendor, product), names.clone());
        Some(names)
    }
}

/// Vendor and product in the text of the file, whose lines are `vvvv  Name` and, below, `<tab>dddd  Name`.
pub fn find(text: &[u8], vendor: u16, product: u16) -> PciNames {
    let text = String::from_utf8_lossy(text);
    let vendor = format!("{vendor:04x}  ");
    let product = format!("\t{product:04x}  ");
    let mut lines = text.lines();
    let Some(vendor_name) = lines.find_map(|line| line.strip_prefix(&vendor)) else { return (None, None) };
    let own = lines.take_while(|line| line.starts_with('\t') || line.starts_with('#') || line.is_empty());
    let product_name = own.filter_map(|line| line.strip_prefix(&product)).next();
    (Some(vendor_name.trim().to_owned()), product_name.map(|name| name.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::write;

    #[test]
    fn names_are_read_anew_when_the_file_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pci.ids");
        let path = path.to_str().unwrap();
        let (ids, name) = (PciIds::default(), |name: &str| Some((Some(name.to_owned()), None)));
        assert_eq!(ids.names_in(path, 0x8086, 0x1237), None);
        write(path, "8086  One\n").unwrap();
        assert_eq!(ids.names_in(path, 0x8086, 0x1237), name("One"));
        // The file is not read again while it is the same.
        ids.0.lock().unwrap().names.insert((0x8086, 0x1237), name("Kept").unwrap());
        assert_eq!(ids.names_in(path, 0x8086, 0x1237), name("Kept"));
        write(path, "8086  Another\n").unwrap();
        assert_eq!(ids.names_in(path, 0x8086, 0x1237), name("Another"));
    }
}
