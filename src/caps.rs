// SPDX-License-Identifier: LGPL-2.1-or-later
//! Capabilities of a node device under libvirt's names, and the callbacks of the driver table without an exported function: only
//! callers that are built like libvirt need them.

use std::ffi::{c_char, c_int, c_uint};

use super::conn::{mdev_conn, no_flags};
use super::device::mdev_device;
use super::guard;
use super::handle::{borrow, count, hold};
use super::strings::{free, optional_text, to_c_string};
use mdev::{Conn, ListFlags, Node};
use mdev::{Error, Result};

/// libvirt's name of a bus, by the beginning of the node name.
const BUSES: [(&str, &str); 3] = [("pci_", "pci"), ("css_", "css"), ("ap_matrix", "ap_matrix")];

/// In libvirt's order: the capability of the bus, then the capability nested in it.
fn capabilities(node: &Node) -> impl Iterator<Item = &'static str> {
    let bus = BUSES.iter().find(|(prefix, _)| node.is_parent() && node.name().starts_with(prefix)).map(|(_, bus)| *bus);
    bus.into_iter().chain([if node.is_parent() { "mdev_types" } else { "mdev" }])
}

fn nodes(conn: &Conn, capability: Option<&str>) -> Result<Vec<Node>> {
    let mut nodes = conn.list(ListFlags::NO_TYPES)?;
    nodes.retain(|node| capability.is_none_or(|wanted| capabilities(node).any(|has| has == wanted)));
    Ok(nodes)
}

/// Writes copies of the first `max` names into the caller's array. On failure, writes none.
///
/// # Safety
/// NULL, or an array with room for `max` elements.
unsafe fn put<'a>(names: *mut *mut c_char, max: c_int, from: impl Iterator<Item = &'a str>) -> Result<c_int> {
    let max = usize::try_from(max)
        .map_err(|_| Error::invalid(format!("maxnames is negative: {max}; pass the length of the array")))?;
    if names.is_null() {
        return Err(Error::invalid("the array for the names is NULL"));
    }
    let mut made: Vec<*mut c_char> = Vec::new();
    for name in from.take(max) {
        match to_c_string(name) {
            Ok(copy) => made.push(copy),
            Err(error) => {
                // SAFETY: they come from malloc() above, and no other code has a pointer to them.
                made.into_iter().for_each(|copy| unsafe { free(copy) });
                return Err(error);
            }
        }
    }
    let n = count(made.len())?;
    // SAFETY: not NULL, room for `max` by the contract above, and no more than `max` were made.
    unsafe { std::ptr::copy_nonoverlapping(made.as_ptr(), names, made.len()) };
    Ok(n)
}

pub(super) unsafe extern "C" fn num_of_devices(conn: *mut mdev_conn, cap: *const c_char, flags: c_uint) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn and cap.
        let (conn, cap) = unsafe { (hold(conn)?, optional_text(cap, "the capability")?) };
        no_flags(flags, "num_of_devices")?;
        count(nodes(&conn.body, cap)?.len())
    })
}

pub(super) unsafe extern "C" fn list_devices(
    conn: *mut mdev_conn,
    cap: *const c_char,
    names: *mut *mut c_char,
    maxnames: c_int,
    flags: c_uint,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn and cap.
        let (conn, cap) = unsafe { (hold(conn)?, optional_text(cap, "the capability")?) };
        no_flags(flags, "list_devices")?;
        let nodes = nodes(&conn.body, cap)?;
        // SAFETY: the C contract for names with maxnames elements.
        unsafe { put(names, maxnames, nodes.iter().map(Node::name)) }
    })
}

pub(super) unsafe extern "C" fn num_of_caps(dev: *mut mdev_device) -> c_int {
    // SAFETY: the C contract for dev.
    guard::getter(|| count(capabilities(&unsafe { borrow(dev) }?.body.node).count()))
}

pub(super) unsafe extern "C" fn list_caps(dev: *mut mdev_device, names: *mut *mut c_char, maxnames: c_int) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for dev, and for names with maxnames elements.
        unsafe { put(names, maxnames, capabilities(&hold(dev)?.body.node)) }
    })
}
