// SPDX-License-Identifier: LGPL-2.1-or-later
//! `struct mdev_device`: the types of a parent.

use std::ffi::{c_char, c_int};
use std::ptr;

use rustix::io::Errno;

use super::device::{Device, mdev_device};
use super::guard;
use super::handle::{Object, count, hold};
use super::strings::{out, text};
use super::types::{TypeList, mdev_type};
use mdev::Type;
use mdev::{Error, ErrorCode, Result};

impl Device {
    /// The types as C objects, and the same types of the node. Call this only on a device inside a handle, where the node does
    /// not move.
    fn type_list(&self) -> Result<(&TypeList, &[Type])> {
        let types = self.node.types()?;
        // SAFETY: the handle owns the node and the list; the node never changes or moves while the handle lives.
        let new = || unsafe { TypeList::new(types) };
        Ok((self.types.get_or_init(new), types))
    }
}

/// Lists the types of a parent, with every attribute that the vendor exposes.
///
/// @param parent a parent
/// @param ret receives the NULL-terminated array. The array and the types are valid as long as parent; the caller must
/// not free them
/// @return the number of types; -ENODATA: parent is a mediated device, or was listed with MDEV_LIST_NO_TYPES; -EINVAL:
/// an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: mdev_supported_types of drivers/vfio/mdev/mdev_sysfs.c.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_list_types(parent: *mut mdev_device, ret: *mut *const *const mdev_type) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for parent and ret.
        let (parent, ret) = unsafe { (hold(parent)?, out(ret)?) };
        let (list, _) = parent.body.type_list()?;
        let n = count(list.objects.len())?;
        ret.set(list.array.as_ptr());
        Ok(n)
    })
}

/// Finds a type of a parent by its id, or by its name, in which "_" may replace a space. If neither matches, also
/// accepts these forms, in upper or lower case: the number of the id as "11", "0xb" or "nvidia-11", and the name
/// without the vendor's prefix ("M60-0B"). XML accepts the same forms.
///
/// @param parent a parent
/// @param id_or_name such as "11", "GRID M60-0B" or "GRID_M60-0B"
/// @param ret receives the type, which is valid as long as parent
/// @return 0; -ENODEV: the parent has no such type; -ENOTUNIQ: several types match this form; -ENODATA: parent is a
/// mediated device, or was listed with MDEV_LIST_NO_TYPES; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_find_type(
    parent: *mut mdev_device,
    id_or_name: *const c_char,
    ret: *mut *const mdev_type,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for parent, id_or_name and ret.
        let (parent, wanted, ret) =
            unsafe { (hold(parent)?, text(id_or_name, "the id or name of the type")?, out(ret)?) };
        let (list, types) = parent.body.type_list()?;
        let found = parent.body.node.find_type(wanted)?;
        let object = types.iter().position(|t| ptr::eq(t, found)).and_then(|index| list.objects.get(index));
        ret.set(object.map(Object::as_c).ok_or_else(|| {
            let message = format!("type {} is not in the list of its parent; please report this", found.id());
            Error::new(ErrorCode::Internal, Errno::IO, message)
        })?);
        Ok(0)
    })
}
