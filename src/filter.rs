// SPDX-License-Identifier: LGPL-2.1-or-later
//! Filtered lists, and the diagnosis of a host.

use std::ffi::{c_char, c_int, c_uint};

use super::conn::{flags, mdev_conn, no_flags};
use super::device::{export_list, mdev_device};
use super::finding::{export_findings, mdev_finding};
use super::guard;
use super::handle::hold;
use super::options::copy_sized;
use super::strings::{optional_text, out};
use mdev::{ListFilter, ListFlags};

/// Selects the node devices that mdev_conn_list_filtered() returns. A node device must match every member that is not NULL. Set
/// size, and zero all other members that are not needed.
///
/// Since: 0.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct mdev_list_filter {
    /// sizeof(struct mdev_list_filter).
    pub size: usize,
    /// This parent and its devices, named as for mdev_conn_lookup_by_name(). For a VF of a parent, the device on that VF.
    pub parent: *const c_char,
    /// The devices of this type, and the parents that offer it: id, name, or a short form of them.
    pub r#type: *const c_char,
    /// The devices of this owner, and no parents.
    pub owner: *const c_char,
    /// The node devices of this sysfs layout: see mdev_device_get_layout().
    pub layout: *const c_char,
}

/// Lists node devices as mdev_conn_list() does, with a filter.
///
/// @param conn a connection
/// @param filter selects the node devices; NULL: all
/// @param ret receives the NULL-terminated array; the caller frees it with mdev_device_list_free()
/// @param flags bits of enum mdev_list_flags
/// @return the number of node devices; -ENODEV: the parent of the filter does not exist and has no definitions; the errnos
/// of mdev_conn_list().
///
/// Thread-safe. Since: 0.1. Follows: virConnectListAllNodeDevices; mdevctl list --parent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_list_filtered(
    conn: *mut mdev_conn,
    filter: *const mdev_list_filter,
    ret: *mut *mut *mut mdev_device,
    flags: c_uint,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn and ret.
        let (conn, ret) = unsafe { (hold(conn)?, out(ret)?) };
        let flags: ListFlags = self::flags(flags, "mdev_conn_list_filtered")?;
        if filter.is_null() {
            return export_list(conn.body.list(flags)?, ret);
        }
        // SAFETY: not NULL, and the C contract for filter and its strings.
        let filter = unsafe {
            let given: mdev_list_filter = copy_sized(filter, "mdev_list_filter")?;
            ListFilter {
                parent: optional_text(given.parent, "the parent")?,
                ty: optional_text(given.r#type, "the type")?,
                owner: optional_text(given.owner, "the owner")?,
                layout: optional_text(given.layout, "the layout")?,
            }
        };
        export_list(conn.body.list_filtered(&filter, flags)?, ret)
    })
}

/// Checks why a host offers no mediated devices, or fewer than expected. For each GPU and each parent: the bound driver, the
/// VFs and the types. For the host: IOMMU, VFIO modules and nodes, privileges, definitions, records and autostart. Each
/// check is a finding: MDEV_SEVERITY_NOTE if all is well, MDEV_SEVERITY_WARNING for a problem that may be intended,
/// MDEV_SEVERITY_ERROR for a problem that prevents the use of mediated devices.
///
/// @param conn a connection
/// @param parent only the findings about this parent or PCI device: node name, address or sysfs path; NULL: all findings
/// @param ret receives the NULL-terminated array; the caller frees it with mdev_finding_list_free()
/// @param flags 0
/// @return the number of findings; -ENODEV: there is no such device; -EINVAL: an argument is invalid; -EMFILE, -ENFILE,
/// -ENOMEM and other errnos of the kernel: the host cannot be read.
///
/// Thread-safe. Since: 0.1. Follows: virt-host-validate.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_diagnose(
    conn: *mut mdev_conn,
    parent: *const c_char,
    ret: *mut *mut *mut mdev_finding,
    flags: c_uint,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn, parent and ret.
        let (conn, parent, ret) = unsafe { (hold(conn)?, optional_text(parent, "the parent")?, out(ret)?) };
        no_flags(flags, "mdev_conn_diagnose")?;
        export_findings(conn.body.diagnose(parent)?, ret)
    })
}
