// SPDX-License-Identifier: LGPL-2.1-or-later
//! Names of PCI vendors and products in pci.ids.

use std::collections::HashMap;
use std::fs::{metadata, read};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

/// The names of a vendor and of its product; `None` for a name that pci.ids does not contain.
pub type PciNames = (Option<String>, Option<String>);

/// The paths of the file in distributions.
const FILES: [&str; 2] = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"];

/// Inode number, size and ctime: they differ after the file was replaced or written.
type Version = (u64, u64, i64, i64);

/// The pci.ids of this host. The file is larger than a megabyte, so names that were found are cached until the file changes.
#[derive(Debug, Default)]
pub struct PciIds(Mutex<Cache>);

#[derive(Debug, Default)]
struct Cache {
    version: Option<Version>,
    names: HashMap<(u16, u16), PciNames>,
}

impl PciIds {
    /// Returns the names of a vendor and a product.
    pub fn names(&self, vendor: u16, product: u16) -> PciNames {
        FILES.iter().find_map(|path| self.names_in(path, vendor, product)).unwrap_or_default()
    }

    /// Returns the names in the file at `path`. `None` if the file cannot be read.
    fn names_in(&self, path: &str, vendor: u16, product: u16) -> Option<PciNames> {
        let meta = metadata(path).ok()?;
        let version = (meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec());
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.version != Some(version) {
            *cache = Cache { version: Some(version), names: HashMap::new() };
        }
        if let Some(names) = cache.names.get(&(vendor, product)) {
            return Some(names.clone());
        }
        let names = find(&read(path).ok()?, vendor, product);
        cache.names.insert((vendor, product), names.clone());
        Some(names)
    }
}

/// Finds the names of a vendor and a product in the text of pci.ids. A line `vvvv  Name` is a vendor; the lines
/// `<tab>dddd  Name` after it are its products.
pub fn find(text: &[u8], vendor: u16, product: u16) -> PciNames {
    let text = String::from_utf8_lossy(text);
    let vendor = format!("{vendor:04x}  ");
    let product = format!("\t{product:04x}  ");
    let mut lines = text.lines();
    let Some(vendor_name) = lines.find_map(|line| line.strip_prefix(&vendor)) else { return (None, None) };
    let of_vendor = lines.take_while(|line| line.starts_with('\t') || line.starts_with('#') || line.is_empty());
    let product_name = of_vendor.filter_map(|line| line.strip_prefix(&product)).next();
    (Some(vendor_name.trim().to_owned()), product_name.map(|name| name.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::write;

    #[test]
    fn names_after_a_change_of_the_file_are_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pci.ids");
        let path = path.to_str().unwrap();
        let (ids, name) = (PciIds::default(), |name: &str| Some((Some(name.to_owned()), None)));
        assert_eq!(ids.names_in(path, 0x8086, 0x1237), None);
        write(path, "8086  One\n").unwrap();
        assert_eq!(ids.names_in(path, 0x8086, 0x1237), name("One"));
        // An unchanged file is not read again.
        ids.0.lock().unwrap().names.insert((0x8086, 0x1237), name("Cached").unwrap());
        assert_eq!(ids.names_in(path, 0x8086, 0x1237), name("Cached"));
        write(path, "8086  Another\n").unwrap();
        assert_eq!(ids.names_in(path, 0x8086, 0x1237), name("Another"));
    }
}
