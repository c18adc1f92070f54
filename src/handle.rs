// SPDX-License-Identifier: LGPL-2.1-or-later
//! Handles: the objects to which `struct mdev_conn *` and the other handle pointers point.
//!
//! Each object begins with a kind word. It is checked before any other byte of the object is read, so a handle of the wrong kind,
//! or memory that is no handle, is refused. The types that C sees are empty markers: Rust code that uses the wrong marker does not
//! compile.
//!
//! Guaranteed: NULL, a valid handle of another kind, and any other memory of eight readable bytes are refused with -EINVAL.
//! Not guaranteed: a handle after its last unref. Its kind word is overwritten before the memory is freed, so such a handle is
//! usually refused, too; but the memory may already be in use for something else, as after free().

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

use mdev::{Error, ErrorCode, Result};

/// The kind word of an object, and the name of the kind in messages.
#[derive(Clone, Copy)]
pub(super) struct Tag {
    word: u64,
    name: &'static str,
}

pub(super) const CONN: Tag = tag(b"mdevCONN", "a connection");
pub(super) const DEVICE: Tag = tag(b"mdevNODE", "a node device");
pub(super) const TYPE: Tag = tag(b"mdevTYPE", "a type");
pub(super) const MONITOR: Tag = tag(b"mdevMONI", "a monitor");
pub(super) const EVENT: Tag = tag(b"mdevEVNT", "an event");
pub(super) const FINDING: Tag = tag(b"mdevFIND", "a finding");
pub(super) const USER: Tag = tag(b"mdevUSER", "a user");
pub(super) const ERROR: Tag = tag(b"mdevERRO", "an error");
const DEAD: Tag = tag(b"mdevDEAD", "a handle without references");

const TAGS: [Tag; 9] = [CONN, DEVICE, TYPE, MONITOR, EVENT, FINDING, USER, ERROR, DEAD];

const fn tag(word: &[u8; 8], name: &'static str) -> Tag {
    Tag { word: u64::from_le_bytes(*word), name }
}

/// An opaque type of the header. The file of its object implements this.
pub(super) trait Kind {
    type Body: Send + Sync;
    const TAG: Tag;
}

/// The kinds whose handles are counted. Objects of other kinds belong to a counted object or to a thread.
pub(super) trait Counted: Kind {}

/// An object. `repr(C)` puts the kind word first for every body.
#[repr(C)]
pub(super) struct Object<K: Kind> {
    magic: AtomicU64,
    pub(super) body: K::Body,
}

impl<K: Kind> Object<K> {
    pub(super) fn new(body: K::Body) -> Self {
        Object { magic: AtomicU64::new(K::TAG.word), body }
    }

    /// The pointer for C to an object that is not counted.
    pub(super) fn as_c(&self) -> *const K {
        std::ptr::from_ref(self).cast()
    }
}

impl<K: Kind> Drop for Object<K> {
    fn drop(&mut self) {
        self.magic.store(DEAD.word, Ordering::Relaxed);
        // Without this, the compiler may remove the store, since no code reads the memory afterwards.
        std::hint::black_box(&self.magic);
    }
}

/// Returns a new object to C, which owns its only reference.
pub(super) fn export<K: Counted>(body: K::Body) -> *mut K {
    give(Arc::new(Object::<K>::new(body)))
}

/// Passes a reference to C.
pub(super) fn give<K: Counted>(object: Arc<Object<K>>) -> *mut K {
    Arc::into_raw(object).cast_mut().cast()
}

/// Checks the kind word, and reads nothing else.
///
/// # Safety
/// `ptr` is NULL or a handle that the caller may use, as the header requires.
unsafe fn check<K: Kind>(ptr: *const K) -> Result<*const Object<K>> {
    let refuse = |what: String| Err(Error::new(ErrorCode::InvalidHandle, Errno::INVAL, what));
    if ptr.is_null() {
        return refuse(format!("expected {}, got NULL", K::TAG.name));
    }
    let word = ptr.cast::<AtomicU64>();
    if !word.is_aligned() {
        return refuse(format!("expected {}, got a pointer that is not a handle of this library", K::TAG.name));
    }
    // SAFETY: not NULL, aligned, and by the C contract eight bytes there can be read.
    let found = unsafe { (*word).load(Ordering::Relaxed) };
    if found != K::TAG.word {
        return refuse(format!("expected {}, got {}", K::TAG.name, name_of(found)));
    }
    Ok(ptr.cast())
}

fn name_of(word: u64) -> &'static str {
    TAGS.iter().find(|tag| tag.word == word).map_or("a pointer that is not a handle of this library", |tag| tag.name)
}

/// Returns the object for a getter, without taking a reference.
///
/// # Safety
/// `ptr` is NULL or a handle that the caller may use, as the header requires. The result must not outlive the call of C.
pub(super) unsafe fn borrow<'a, K: Kind>(ptr: *const K) -> Result<&'a Object<K>> {
    // SAFETY: the same contract. A kind word of this library means an object of this library, which the caller's reference keeps alive.
    unsafe { check(ptr).map(|object| &*object) }
}

/// Returns an own reference for the time of a call, so that the object stays valid even if a log handler or a callback drops the
/// caller's reference.
///
/// # Safety
/// `ptr` is NULL or a handle that the caller may use, as the header requires.
pub(super) unsafe fn hold<K: Counted>(ptr: *const K) -> Result<Arc<Object<K>>> {
    // SAFETY: the same contract; only `give` passes objects of counted kinds to C, so the pointer came from Arc::into_raw.
    unsafe {
        let object = check(ptr)?;
        Arc::increment_strong_count(object);
        Ok(Arc::from_raw(object))
    }
}

/// Takes a reference. Returns NULL if the pointer is not a handle of this kind.
///
/// # Safety
/// `ptr` is NULL or a handle that the caller may use, as the header requires.
pub(super) unsafe fn add_ref<K: Counted>(ptr: *mut K) -> *mut K {
    // SAFETY: the same contract.
    match unsafe { hold(ptr) } {
        Ok(object) => {
            let _kept_by_c = Arc::into_raw(object);
            ptr
        }
        Err(_) => std::ptr::null_mut(),
    }
}

/// Drops a reference. Does nothing if the pointer is not a handle of this kind.
///
/// # Safety
/// `ptr` is NULL or a handle that the caller may use, as the header requires. The caller gives one reference up.
pub(super) unsafe fn drop_ref<K: Counted>(ptr: *mut K) {
    // SAFETY: the same contract; the caller's reference came from `give` or `add_ref`.
    unsafe {
        if let Ok(object) = check(ptr) {
            drop(Arc::from_raw(object));
        }
    }
}

/// Drops one reference to each object of an array, and frees the array. Does nothing for NULL.
///
/// # Safety
/// NULL, or an array of [`super::strings::to_c_list`] with handles that end with a NULL, which is not used after this call.
pub(super) unsafe fn free_list<K: Counted>(list: *mut *mut K) {
    if list.is_null() {
        return;
    }
    let mut place = list;
    // SAFETY: the same contract; the array ends at its NULL, and each element is a handle whose reference is given up.
    unsafe {
        while !place.read().is_null() {
            drop_ref(place.read());
            place = place.add(1);
        }
        super::strings::free(list);
    }
}

/// Converts a count to an int of C.
pub(super) fn count(n: usize) -> Result<c_int> {
    c_int::try_from(n)
        .map_err(|_| Error::new(ErrorCode::Internal, Errno::OVERFLOW, format!("{n} results do not fit into an int")))
}
