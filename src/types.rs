// SPDX-License-Identifier: LGPL-2.1-or-later
//! `struct mdev_type`: a type of mediated device that a parent can create.
//!
//! A host may have more than a thousand types with five attributes each, and a program reads only a few of them. So the objects of
//! a parent's types are created when the program first requests one of them. The C strings point into the model.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;

use super::guard;
use super::handle::{self, Kind, Object, Tag, borrow, count};
use super::strings::{out, text};
use mdev::Type;
use mdev::{Error, ErrorCode};

/// A type of a parent: a snapshot that is valid as long as the handle of the parent.
///
/// Since: 0.1.
pub struct mdev_type {
    _opaque: [u8; 0],
}

impl Kind for mdev_type {
    type Body = TypeText;
    const TAG: Tag = handle::TYPE;
}

/// A type, with the array of its attribute names for C.
pub(super) struct TypeText {
    /// Inside the node of the same handle.
    model: NonNull<Type>,
    /// Pointers to the names of the attributes, and a NULL: the array for C.
    names: OnceLock<Box<[*const c_char]>>,
}

// SAFETY: the pointer leads to an immutable type in the same handle, which is Send and Sync. The names are pointers into the texts
// of that type.
unsafe impl Send for TypeText {}
// SAFETY: as above.
unsafe impl Sync for TypeText {}

impl TypeText {
    fn model(&self) -> &Type {
        // SAFETY: `TypeList::new` creates this from a reference, and its contract says that the type does not change or move.
        unsafe { self.model.as_ref() }
    }

    fn names(&self) -> &[*const c_char] {
        let names = || self.model().names_as_c().map(CStr::as_ptr).chain([ptr::null()]).collect();
        self.names.get_or_init(names)
    }
}

/// The types of one parent.
pub(super) struct TypeList {
    /// Not a Box: moving a Box would invalidate the pointers into it.
    pub(super) objects: Arc<[Object<mdev_type>]>,
    /// Pointers to the objects, and a NULL: the array for C.
    pub(super) array: Box<[*const mdev_type]>,
}

// SAFETY: the array points to the objects in the same struct, which are Send and Sync. Nothing changes after the creation.
unsafe impl Send for TypeList {}
// SAFETY: as above.
unsafe impl Sync for TypeList {}

impl TypeList {
    /// # Safety
    /// The types must stay unchanged and in the same place for as long as the result lives.
    pub(super) unsafe fn new(types: &[Type]) -> TypeList {
        let objects: Arc<[_]> = types
            .iter()
            .map(|model| Object::new(TypeText { model: NonNull::from(model), names: OnceLock::new() }))
            .collect();
        let array = objects.iter().map(Object::as_c).chain([ptr::null()]).collect();
        TypeList { objects, array }
    }
}

/// The body of every getter that returns a text.
///
/// # Safety
/// The C contract for the type.
unsafe fn get_text(kind: *const mdev_type, find: impl FnOnce(&Type) -> Option<&CStr>) -> *const c_char {
    guard::infallible(ptr::null(), || {
        // SAFETY: the same contract; a type lives as long as its parent's handle, of which the caller has a reference.
        let object = unsafe { borrow(kind) };
        object.ok().and_then(|object| find(object.body.model())).map_or(ptr::null(), CStr::as_ptr)
    })
}

/// Returns the id of a type. XML names the type by this id.
///
/// @param type a type
/// @return a string, valid as long as the parent's handle; NULL: type is NULL or not a type.
///
/// Thread-safe; does not change the last error. Since: 0.1. Follows: the names of the directories below mdev_supported_types.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_type_get_id(r#type: *const mdev_type) -> *const c_char {
    // SAFETY: the C contract for type.
    unsafe { get_text(r#type, |model| Some(model.id_as_c())) }
}

/// Returns the name that the vendor gives to a type.
///
/// @param type a type
/// @return a string, valid as long as the parent's handle; NULL: the kernel reports none, or type is NULL or not a
/// type.
///
/// Thread-safe; does not change the last error. Since: 0.1. Follows: the type's name file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_type_get_name(r#type: *const mdev_type) -> *const c_char {
    // SAFETY: the C contract for type.
    unsafe { get_text(r#type, |model| model.attribute_as_c("name")) }
}

/// Returns the device API of a type: "vfio-pci", "vfio-ccw" or "vfio-ap".
///
/// @param type a type
/// @return a string, valid as long as the parent's handle; NULL: the kernel reports none, or type is NULL or not a
/// type.
///
/// Thread-safe; does not change the last error. Since: 0.1. Follows: the type's device_api file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_type_get_device_api(r#type: *const mdev_type) -> *const c_char {
    // SAFETY: the C contract for type.
    unsafe { get_text(r#type, |model| model.attribute_as_c("device_api")) }
}

/// Returns the vendor's description of a type, which may have several lines.
///
/// @param type a type
/// @return a string, valid as long as the parent's handle; NULL: the kernel reports none, or type is NULL or not a
/// type.
///
/// Thread-safe; does not change the last error. Since: 0.1. Follows: the type's description file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_type_get_description(r#type: *const mdev_type) -> *const c_char {
    // SAFETY: the C contract for type.
    unsafe { get_text(r#type, |model| model.attribute_as_c("description")) }
}

/// Returns an attribute of a type.
///
/// @param type a type
/// @param name the name of the attribute's file: "fb_length", "heads", "max_instances", ...
/// @return a string, valid as long as the parent's handle; NULL: the type has no such attribute, or an argument is
/// invalid.
///
/// Thread-safe; does not change the last error. Since: 0.1. Follows: the files of a type's directory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_type_get_attr(r#type: *const mdev_type, name: *const c_char) -> *const c_char {
    // SAFETY: the C contract for name.
    let name = || unsafe { text(name, "the attribute's name") };
    // SAFETY: the C contract for type.
    unsafe { get_text(r#type, |model| model.attribute_as_c(name().ok()?)) }
}

/// Lists the names of a type's attributes: every name for which mdev_type_get_attr() returns a value.
///
/// @param type a type
/// @param ret receives the NULL-terminated array. The array and the names are valid as long as the parent's handle; the
/// caller must not free them
/// @return the number of names; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: the files of a type's directory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_type_list_attrs(r#type: *const mdev_type, ret: *mut *const *const c_char) -> c_int {
    guard::getter(|| {
        // SAFETY: the C contract for type and ret.
        let (kind, ret) = unsafe { (borrow(r#type)?, out(ret)?) };
        let array = kind.body.names();
        let n = count(array.len() - 1)?;
        ret.set(array.as_ptr());
        Ok(n)
    })
}

/// Returns how many devices of a type could still be created at the time of the snapshot. Types may share resources, so
/// creating one device can reduce the number of several types. mdev_type_get_capacity() also returns whether the number
/// is exact.
///
/// @param type a type
/// @param ret receives the number
/// @return 0; -ENODATA: the kernel does not report the number; -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1. Follows: the type's available_instances file; the founding proposal's max_instances.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_type_get_available_instances(r#type: *const mdev_type, ret: *mut c_uint) -> c_int {
    guard::getter(|| {
        // SAFETY: the C contract for type and ret.
        let (kind, ret) = unsafe { (borrow(r#type)?, out(ret)?) };
        let model = kind.body.model();
        ret.set(model.available_instances.ok_or_else(|| unknown_count(model))?);
        Ok(0)
    })
}

/// Returns how many devices of a type could still be created at the time of the snapshot, and whether this is an upper
/// bound. If the devices are VFs of a card, each free VF that offers the type counts, but the VFs share the card: 8 VFs
/// may offer a type of which only 1 fits. The number is then an upper bound, and a create may fail with -ENOSPC
/// earlier.
///
/// @param type a type
/// @param ret receives the number, the same as from mdev_type_get_available_instances()
/// @param is_upper_bound receives 1 if fewer devices may fit, 0 if the driver reported the number
/// @return 0; -ENODATA: the number is unknown; -EINVAL: an argument is invalid. Writes nothing on failure.
///
/// Thread-safe. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_type_get_capacity(
    r#type: *const mdev_type,
    ret: *mut c_uint,
    is_upper_bound: *mut c_int,
) -> c_int {
    guard::getter(|| {
        // SAFETY: the C contract for type, ret and is_upper_bound.
        let (kind, ret, bound) = unsafe { (borrow(r#type)?, out(ret)?, out(is_upper_bound)?) };
        let model = kind.body.model();
        let (count, is_bound) = model.capacity().ok_or_else(|| unknown_count(model))?;
        ret.set(count);
        bound.set(c_int::from(is_bound));
        Ok(0)
    })
}

fn unknown_count(model: &Type) -> Error {
    let what = format!("type {}: the number of available instances is unknown", model.id());
    Error::new(ErrorCode::NoData, Errno::NODATA, what)
}

/// Returns whether devices of a type must be created in one group if one guest gets several of them.
///
/// @param type a type
/// @return 1: in one group; 0: not; -EINVAL: type is NULL or not a type.
///
/// Thread-safe. Since: 0.1. Follows: the founding proposal's requires_group.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_type_requires_group(r#type: *const mdev_type) -> c_int {
    // SAFETY: the C contract for type.
    guard::getter(|| unsafe { borrow(r#type) }.map(|kind| c_int::from(kind.body.model().requires_group)))
}
