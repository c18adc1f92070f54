// SPDX-License-Identifier: LGPL-2.1-or-later
//! Conversion of texts and arrays between C and Rust.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::NonNull;
use std::sync::OnceLock;

use rustix::io::Errno;

use mdev::{Error, ErrorCode, Result};

/// The bytes of a string of C, without the NUL.
///
/// # Safety
/// The pointer is NULL or a string that ends with a NUL byte, as the header requires. The result must not outlive the call of C.
pub(super) unsafe fn bytes<'a>(ptr: *const c_char, what: &str) -> Result<&'a [u8]> {
    if ptr.is_null() {
        return Err(Error::invalid(format!("{what} is NULL")));
    }
    // SAFETY: not NULL, and a string by the contract above.
    Ok(unsafe { CStr::from_ptr(ptr) }.to_bytes())
}

/// A string of C as text.
///
/// # Safety
/// The pointer is NULL or a string that ends with a NUL byte, as the header requires. The result must not outlive the call of C.
pub(super) unsafe fn text<'a>(ptr: *const c_char, what: &str) -> Result<&'a str> {
    // SAFETY: the same contract.
    let bytes = unsafe { bytes(ptr, what) }?;
    std::str::from_utf8(bytes)
        .map_err(|e| Error::invalid(format!("{what} is not valid UTF-8 at byte offset {}", e.valid_up_to())))
}

/// A string of C that may be NULL.
///
/// # Safety
/// The pointer is NULL or a string that ends with a NUL byte, as the header requires. The result must not outlive the call of C.
pub(super) unsafe fn optional_text<'a>(ptr: *const c_char, what: &str) -> Result<Option<&'a str>> {
    if ptr.is_null() {
        return Ok(None);
    }
    // SAFETY: the same contract.
    unsafe { text(ptr, what) }.map(Some)
}

/// An out-parameter. It is checked before the operation starts, and written after the operation has succeeded.
pub(super) struct Out<T>(NonNull<T>);

/// # Safety
/// The pointer is NULL or an aligned variable of the caller, as the header requires. The result must not outlive the call of C.
pub(super) unsafe fn out<T>(ptr: *mut T) -> Result<Out<T>> {
    NonNull::new(ptr).map(Out).ok_or_else(|| Error::invalid("the pointer for the result (ret) is NULL"))
}

impl<T> Out<T> {
    pub(super) fn set(self, value: T) {
        // SAFETY: the contract of `out` allows one write before the call returns. The old value may be uninitialized, so it is
        // overwritten and not dropped.
        unsafe { self.0.as_ptr().write(value) }
    }
}

/// The part of a text that C sees: everything before the first NUL.
pub(super) fn until_nul(text: &str) -> &str {
    text.find('\0').map_or(text, |end| &text[..end])
}

/// A text with a NUL at its end.
pub(super) fn terminated(text: &str) -> CString {
    CString::new(until_nul(text)).unwrap_or_default()
}

/// Memory for `n` elements, to be freed with free().
fn malloc<T>(n: usize) -> Result<NonNull<T>> {
    let size = n.checked_mul(size_of::<T>()).filter(|size| *size > 0);
    // SAFETY: malloc has no precondition.
    let memory = size.map_or(std::ptr::null_mut(), |size| unsafe { libc::malloc(size) });
    NonNull::new(memory.cast()).ok_or_else(|| {
        Error::new(ErrorCode::Internal, Errno::NOMEM, format!("cannot allocate memory for a result of {n} elements"))
    })
}

/// A copy of a text that the caller frees with free().
pub(super) fn to_c_string(text: &str) -> Result<*mut c_char> {
    let text = until_nul(text);
    let memory = malloc::<u8>(text.len() + 1)?.as_ptr();
    // SAFETY: the new memory has room for the text and one byte more, and overlaps with nothing.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), memory, text.len());
        memory.add(text.len()).write(0);
    }
    Ok(memory.cast())
}

/// An array of pointers with a NULL at its end that the caller frees with free(). The memory is allocated before the first element
/// is created, so that no element leaks if the allocation fails.
pub(super) fn to_c_list<T>(elements: impl ExactSizeIterator<Item = *mut T>) -> Result<*mut *mut T> {
    let n = elements.len();
    let memory = malloc::<*mut T>(n + 1)?.as_ptr();
    // SAFETY: the new memory has n + 1 places; `take` limits an iterator with a wrong length to n.
    unsafe {
        std::slice::from_raw_parts_mut(memory.cast::<std::mem::MaybeUninit<*mut T>>(), n + 1)
            .fill(std::mem::MaybeUninit::new(std::ptr::null_mut()));
        for (i, element) in elements.take(n).enumerate() {
            memory.add(i).write(element);
        }
    }
    Ok(memory)
}

/// Copies of texts and an array of pointers to them with a NULL at its end, in one piece of memory that the caller frees
/// with free().
pub(super) fn to_c_names(names: &[String]) -> Result<*mut *mut c_char> {
    let array = size_of::<*mut c_char>() * (names.len() + 1);
    let size = names.iter().fold(array, |size, name| size + until_nul(name).len() + 1);
    let memory = malloc::<u8>(size)?;
    let list = memory.cast::<*mut c_char>().as_ptr();
    // SAFETY: the memory, which malloc aligns for pointers, has room for the array and behind it for every text with its
    // NUL, as counted above.
    unsafe {
        let mut place = memory.as_ptr().add(array);
        for (i, name) in names.iter().map(|name| until_nul(name)).enumerate() {
            std::ptr::copy_nonoverlapping(name.as_ptr(), place, name.len());
            place.add(name.len()).write(0);
            list.add(i).write(place.cast());
            place = place.add(name.len() + 1);
        }
        list.add(names.len()).write(std::ptr::null_mut());
    }
    Ok(list)
}

/// Frees the result of [`to_c_string`] or [`to_c_list`].
///
/// # Safety
/// NULL, or memory from malloc() that is not used any more.
pub(super) unsafe fn free<T>(memory: *mut T) {
    // SAFETY: the same contract.
    unsafe { libc::free(memory.cast::<c_void>()) }
}

/// Names and their values as C arrays: two arrays of the same length, each with a NULL at its end.
pub(super) struct Pairs {
    /// The texts to which the arrays point.
    _texts: Vec<CString>,
    names: Box<[*const c_char]>,
    values: Box<[*const c_char]>,
}

// SAFETY: the pointers point to the texts in the same struct, which do not change or move after their creation.
unsafe impl Send for Pairs {}
// SAFETY: as above.
unsafe impl Sync for Pairs {}

impl Pairs {
    pub(super) fn new(pairs: &[(String, String)]) -> Self {
        let texts: Vec<CString> =
            pairs.iter().flat_map(|(name, value)| [terminated(name), terminated(value)]).collect();
        let array = |skip: usize| {
            let chosen = texts.iter().skip(skip).step_by(2).map(|text| text.as_ptr());
            chosen.chain([std::ptr::null()]).collect()
        };
        let (names, values) = (array(0), array(1));
        Pairs { _texts: texts, names, values }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len() - 1
    }

    pub(super) fn names(&self) -> *const *const c_char {
        self.names.as_ptr()
    }

    pub(super) fn values(&self) -> *const *const c_char {
        self.values.as_ptr()
    }
}

/// A `const char *` that belongs to a handle and is created on first use.
#[derive(Default)]
pub(super) struct Lazy(OnceLock<CString>);

impl Lazy {
    pub(super) const fn new() -> Self {
        Lazy(OnceLock::new())
    }

    pub(super) fn get(&self, text: &str) -> *const c_char {
        self.0.get_or_init(|| terminated(text)).as_ptr()
    }
}
