// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds a node by what a user types.

use mdev::{Conn, ErrorCode, ListFlags, Node};

use crate::errors::{Failure, Outcome};

/// The shortest beginning of a UUID that names a device.
const PREFIX_MIN: usize = 4;

/// Returns the node: by UUID, name, PCI address with or without its domain, sysfs path, `/dev/vfio/N`, `iommu:N`, or the
/// beginning of a UUID that only one device has.
pub fn node(conn: &Conn, text: &str) -> Outcome<Node> {
    match exact(conn, text) {
        Err(Failure::Library(error)) if error.code == ErrorCode::NoNode => match by_prefix(conn, text)? {
            Some(node) => Ok(node),
            None => Err(error.into()),
        },
        found => found,
    }
}

/// Returns the device for an action, which may be named in each of these forms but the beginning of a UUID: the name of a
/// device that no longer exists could be the beginning of another device's UUID.
pub fn for_action(conn: &Conn, text: &str) -> Outcome<Node> {
    match exact(conn, text) {
        Err(Failure::Library(mut error)) if error.code == ErrorCode::NoNode => {
            if let Ok(Some(near)) = by_prefix(conn, text) {
                let uuid = near.uuid().unwrap_or_default();
                error.message = format!("there is no device '{text}'; to mean the device {uuid}, give its whole UUID");
            }
            Err(error.into())
        }
        found => found,
    }
}

/// Returns the node by each form but the beginning of a UUID.
fn exact(conn: &Conn, text: &str) -> Outcome<Node> {
    if let Some(group) = group_number(text) {
        return in_group(conn, text, group);
    }
    let is_uuid = matches!(text.len(), 32 | 36) && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if is_uuid {
        match conn.lookup_by_uuid(text) {
            Err(error) if matches!(error.code, ErrorCode::NoNode | ErrorCode::InvalidArgument) => {
                // A device may have a name that is a UUID.
                return conn.lookup_by_name(text).map_err(|_| error.into());
            }
            found => return Ok(found?),
        }
    }
    let full = format!("0000:{text}");
    let name = if is_pci_address(&full) { &full } else { text };
    Ok(conn.lookup_by_name(name)?)
}

/// Returns the parent. Fails if the node is a device.
pub fn parent(conn: &Conn, text: &str) -> Outcome<Node> {
    let found = node(conn, text)?;
    if found.is_parent() {
        return Ok(found);
    }
    Err(Failure::Library(mdev::Error {
        code: ErrorCode::NoParent,
        errno: 22,
        message: format!("'{text}' is a device, not a parent; its parent is {}", found.parent_name()),
        path: None,
    }))
}

/// Returns the node name of a PCI address: `pci_0000_41_00_5` for `0000:41:00.5` and `41:00.5`.
pub fn pci_name(text: &str) -> String {
    let full = format!("0000:{text}");
    let address = if is_pci_address(&full) { &full } else { text };
    format!("pci_{}", address.replace([':', '.'], "_"))
}

/// True if the text is the name, the UUID or the PCI address of a node.
pub fn is_named(node: &Node, text: &str) -> bool {
    let full = format!("0000:{text}");
    let address = if is_pci_address(&full) { &full } else { text };
    let is = |own: Option<String>, text: &str| own.is_some_and(|own| own.eq_ignore_ascii_case(text));
    node.name() == text || is(node.uuid().ok(), text) || is(node.address().ok(), address)
}

/// Returns the group number in `/dev/vfio/N` or `iommu:N`.
fn group_number(text: &str) -> Option<u32> {
    text.strip_prefix("/dev/vfio/").or_else(|| text.strip_prefix("iommu:"))?.parse().ok()
}

fn devices(conn: &Conn) -> Outcome<Vec<Node>> {
    Ok(conn.list(ListFlags::DEVICES | ListFlags::ACTIVE | ListFlags::INACTIVE)?)
}

fn in_group(conn: &Conn, text: &str, group: u32) -> Outcome<Node> {
    let mut found = devices(conn)?;
    found.retain(|node| node.iommu_group() == Ok(group));
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::Library(mdev::Error {
            code: ErrorCode::NoNode,
            errno: 19,
            message: format!(
                "no mediated device has the IOMMU group {group} ('{text}'); 'nodedev list -o NAME,IOMMU' shows the groups"
            ),
            path: None,
        })),
        _ => Err(ambiguous(text, &found)),
    }
}

fn by_prefix(conn: &Conn, text: &str) -> Outcome<Option<Node>> {
    let prefix = text.to_ascii_lowercase();
    let is_prefix = prefix.len() >= PREFIX_MIN && prefix.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if !is_prefix {
        return Ok(None);
    }
    let mut found = devices(conn)?;
    found.retain(|node| node.uuid().is_ok_and(|uuid| uuid.starts_with(&prefix)));
    match found.len() {
        0 => Ok(None),
        1 => Ok(Some(found.remove(0))),
        _ => Err(ambiguous(text, &found)),
    }
}

fn ambiguous(text: &str, found: &[Node]) -> Failure {
    let names: Vec<String> =
        found.iter().take(8).map(|node| node.uuid().unwrap_or_else(|_| node.name().to_owned())).collect();
    Failure::Library(mdev::Error {
        code: ErrorCode::Ambiguous,
        errno: 76,
        message: format!("'{text}' can be any of {}; give more of the UUID", names.join(", ")),
        path: None,
    })
}

/// True for a PCI address with its domain: `0000:41:00.5`.
pub fn is_pci_address(text: &str) -> bool {
    let is_hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let Some((domain, rest)) = text.split_once(':') else { return false };
    let Some((bus, slot)) = rest.split_once(':') else { return false };
    let Some((device, function)) = slot.split_once('.') else { return false };
    is_hex(domain, 4) && is_hex(bus, 2) && is_hex(device, 2) && matches!(function.as_bytes(), [b'0'..=b'7'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_have_domain_bus_device_and_function() {
        assert!(is_pci_address("0000:41:00.5"));
        for other in ["41:00.5", "0000:41:00.8", "0000:41:00", "x000:41:00.0", "0000:41:00.55", "mtty"] {
            assert!(!is_pci_address(other), "{other}");
        }
    }

    #[test]
    fn group_is_a_number_behind_its_prefix() {
        assert_eq!(group_number("/dev/vfio/12"), Some(12));
        assert_eq!(group_number("iommu:0"), Some(0));
        assert_eq!(group_number("/dev/vfio/vfio"), None);
        assert_eq!(group_number("12"), None);
    }
}
