// SPDX-License-Identifier: LGPL-2.1-or-later
//! `struct mdev_type`: a kind of mediated device that a parent can create.
//!
//! A host may have more than a thousand types with five attributes each, of which a program looks at a few. So the objects
//! of a parent's types are made when the program first asks for one of them. C reads the texts where the model has them.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;

use super::guard;
use super::handle::{self, Kind, Object, Tag, borrow, count};
use super::strings::{out, text};
use mdev::Type;
use mdev::{Error, ErrorCode};

/// A type of a parent: a snapshot that lives as long as the parent's handle.
///
/// Since: 0.1.
pub struct mdev_type {
    _opaque: [u8; 0],
}

impl Kind for mdev_type {
    type Body = TypeText;
    const TAG: Tag = handle::TYPE;
}

/// A type.
pub(super) struct TypeText {
    /// Inside the node of the same handle.
    model: NonNull<Type>,
    /// Pointers to the names of the attributes, and a NULL: what C gets.
    names: OnceLock<Box<[*const c_char]>>,
}

// SAFETY: the type that is pointed to is immutable and lives in the same handle, which is Send and Sync itself; the names are
// pointers into its texts.
unsafe impl Send for TypeText {}
// SAFETY: as above.
unsafe impl Sync for TypeText {}

impl TypeText {
    fn model(&self) -> &Type {
        // SAFETY: `TypeList::new` made this from a reference; its caller promised that the type does not change or move.
        unsafe { self.model.as_ref() }
    }

    fn names(&self) -> &[*const c_char] {
        let names = || self.model().names_as_c().map(CStr::as_ptr).chain([ptr::null()]).collect();
        self.names.get_or_init(names)
    }
}

/// The types of one parent.
pub(super) struct TypeList {
    /// Not a Box, which may not be moved while pointers into it are about.
    pub(super) objects: Arc<[Object<mdev_type>]>,
    /// Pointers to them, and a NULL: what C gets.
    pub(super) array: Box<[*const mdev_type]>,
}

// SAFETY: the array points to the objects beside it, which are Send and Sync; nothing changes after this is made.
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

/// The body of every getter of a text.
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

/// The id of a type: what a create request gives as type.
///
/// @param type a type
/// @return a string that lives as long as the parent's handle; NULL when type is not a type.
///
/// Thread-safe; touches no error. Since: 0.1. Follows: a folder's name below mdev_supported_types.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_type_get_id(r#type: *const mdev_type) -> *const c_char {
    // SAFETY: the C contract for type.
    unsafe { get_text(r#type, |model| Some(model.id_as_c())) }
}

/// The name that the vendor gives to a type.
///
/// @param type a type
/// @return a string that lives as long as the parent's handle; NULL where the kernel gives none, or type is not a type.
///
/// Thread-safe; touches no error. Since: 0.1. Follows: the type's name file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_type_get_name(r#type: *const mdev_type) -> *const c_char {
    // SAFETY: the C contract for type.
    unsafe { get_text(r#type, |model| model.attribute_as_c("name")) }
}

/// The interface that devices of a type speak: "vfio-pci", "vfio-ccw", "vfio-ap".
///
/// @param type a type
/// @return a string that lives as long as the parent's handle; NULL where the kernel gives none, or type is not a type.
///
/// Thread-safe; touches no error. Since: 0.1. Follows: the type's device_api file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_type_get_device_api(r#type: *const mdev_type) -> *const c_char {
    // SAFETY: the C contract for type.
    unsafe { get_text(r#type, |model| model.attribute_as_c("device_api")) }
}

/// What the vendor says about a type; may have several lines.
///
/// @param type a type
/// @return a string that lives as long as the parent's handle; NULL where the kernel gives none, or type is not a type.
///
/// Thread-safe; touches no error. Since: 0.1. Follows: the type's description file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_type_get_description(r#type: *const mdev_type) -> *const c_char {
    // SAFETY: the C contract for type.
    unsafe { get_text(r#type, |model| model.attribute_as_c("description")) }
}

/// An attribute of a type, by the name of its file: "fb_length", "heads", "max_instances", ...
///
/// @param type a type
/// @param name of the file
/// @return a string that lives as long as the parent's handle; NULL when the type has no such attribute, or an argument is
/// bad.
///
/// Thread-safe; touches no error. Since: 0.1. Follows: the files of a type's folder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_type_get_attr(r#type: *const mdev_type, name: *const c_char) -> *const c_char {
    // SAFETY: the C contract for name.
    let name = || unsafe { text(name, "the attribute's name") };
    // SAFETY: the C contract for type.
    unsafe { get_text(r#type, |model| model.attribute_as_c(name().ok()?)) }
}

/// The names of a type's attributes: every one that mdev_type_get_attr() has a value for.
///
/// @param type a type
/// @param ret where the NULL-terminated array goes; it and the names live as long as the parent's handle, nothing is to be
/// freed
/// @return the number of names; -EINVAL: an argument is bad.
///
/// Thread-safe. Since: 0.1. Follows: the files of a type's folder.
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

/// How many devices of a type could still be created when the snapshot was made. Types may share the same resources, so
/// that creating one device takes instances from several types. mdev_type_get_capacity() returns how exact the number is.
///
/// @param type a type
/// @param ret where the number goes
/// @return 0; -ENODATA: the kernel does not tell; -EINVAL: an argument is bad.
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

/// How many devices of a type could still be created when the snapshot was made, and how exact that number is. If the devices
/// are VFs of a card, each free VF that offers the type counts, but the VFs share the card: 8 VFs may offer a type of which
/// only 1 fits. The number is then an upper bound, and a create may fail with -ENOSPC earlier.
///
/// @param type a type
/// @param ret where the number goes, the same as of mdev_type_get_available_instances()
/// @param is_upper_bound where 1 goes if fewer may fit, 0 if the driver gave the number itself
/// @return 0; -ENODATA: the number is not known; -EINVAL: an argument is bad. Nothing is written on failure.
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
    let what = format!("type {}: the number of available instances is not known", model.id());
    Error::new(ErrorCode::NoData, Errno::NODATA, what)
}

/// Whether devices of a type have to be created in one group when one guest gets several of them.
///
/// @param type a type
/// @return 1: they have; 0: not; -EINVAL: type is NULL or not a type.
///
/// Thread-safe. Since: 0.1. Follows: the founding proposal's requires_group.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_type_requires_group(r#type: *const mdev_type) -> c_int {
    // SAFETY: the C contract for type.
    guard::getter(|| unsafe { borrow(r#type) }.map(|kind| c_int::from(kind.body.model().requires_group)))
}
