// SPDX-License-Identifier: LGPL-2.1-or-later
//! `struct mdev_user`: a process that has a mediated device open; and waits for the state of a device.

use std::ffi::{CString, c_char, c_int};
use std::ptr;

use super::conn::mdev_conn;
use super::device::mdev_device;
use super::guard;
use super::handle::{self, Counted, Kind, Tag, borrow, count, export, free_list, hold};
use super::strings::{out, terminated, text, to_c_list};
use mdev::{DeviceWait, Error, User};

/// A process that has a mediated device open, usually QEMU with a virtual machine.
///
/// Since: 0.1.
pub struct mdev_user {
    _opaque: [u8; 0],
}

impl Kind for mdev_user {
    type Body = Body;
    const TAG: Tag = handle::USER;
}

impl Counted for mdev_user {}

/// A process with its texts as C strings.
pub(super) struct Body {
    pid: u32,
    program: CString,
    guest: Option<CString>,
}

impl From<User> for Body {
    fn from(user: User) -> Self {
        Body { pid: user.pid, program: terminated(&user.program), guest: user.guest.as_deref().map(terminated) }
    }
}

/// Lists the processes that have a mediated device open now. Searches the open files of all processes, for at most 5 s. If
/// not all processes can be examined, for example as an ordinary user, the list may be incomplete, and the log handler
/// receives a warning.
///
/// @param dev a node device
/// @param ret receives the NULL-terminated array; the caller frees it with mdev_user_list_free()
/// @return the number of processes, 0 if the device is not in use; -ENODATA: dev is a parent; -ENODEV: the device is not
/// running or no longer exists; -EINVAL: an argument is invalid; other errnos of the kernel.
///
/// Thread-safe. Since: 0.1. Follows: fuser /dev/vfio/GROUP.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_device_list_users(dev: *mut mdev_device, ret: *mut *mut *mut mdev_user) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for dev and ret.
        let (dev, ret) = unsafe { (hold(dev)?, out(ret)?) };
        let users = dev.body.node.users()?;
        let n = count(users.len())?;
        ret.set(to_c_list(users.into_iter().map(|user| export::<mdev_user>(user.into())))?);
        Ok(n)
    })
}

/// Returns the process id of a user.
///
/// @param user a user
/// @return a positive number; -EINVAL: user is NULL or not a user.
///
/// Thread-safe. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_user_get_pid(user: *const mdev_user) -> c_int {
    // SAFETY: the C contract for user.
    guard::getter(|| unsafe { borrow(user) }.and_then(|user| count(user.body.pid as usize)))
}

/// Returns the program of a user, as in /proc/PID/comm.
///
/// @param user a user
/// @return a string, perhaps empty, valid as long as the user; NULL: user is NULL or not a user.
///
/// Thread-safe; does not change the last error. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_user_get_program(user: *const mdev_user) -> *const c_char {
    guard::infallible(ptr::null(), || {
        // SAFETY: the C contract for user.
        unsafe { borrow(user) }.map_or(ptr::null(), |user| user.body.program.as_ptr())
    })
}

/// Returns the name of the virtual machine of a user, from the argument -name of QEMU.
///
/// @param user a user
/// @return a string, valid as long as the user; NULL: the program has no such argument, or user is NULL or not a user.
///
/// Thread-safe; does not change the last error. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_user_get_guest(user: *const mdev_user) -> *const c_char {
    guard::infallible(ptr::null(), || {
        // SAFETY: the C contract for user.
        let guest = unsafe { borrow(user) }.ok().and_then(|user| user.body.guest.as_deref());
        guest.map_or(ptr::null(), |guest| guest.as_ptr())
    })
}

/// Frees an array of users and the users in it.
///
/// @param list an array from mdev_device_list_users(), or NULL
///
/// Thread-safe; does not change the last error. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_user_list_free(list: *mut *mut mdev_user) {
    // SAFETY: the C contract for an array of this library, which is not used after this call.
    guard::infallible((), || unsafe { free_list(list) });
}

/// Waits until a mediated device is created, deleted, or not in use. Sleeps until the kernel sends an event, and checks the
/// state once a second where it sends none: for the layout vendor-vfio, and for MDEV_DEVICE_FREE. The state can change
/// again after the return.
///
/// @param conn a connection
/// @param uuid the UUID of the device
/// @param state a value of enum mdev_device_wait
/// @param timeout_ms the longest wait in milliseconds; 0: check once; negative: no limit
/// @return 0; -ETIMEDOUT: the device does not have the state (the message says why); -ENODEV: state is
/// MDEV_DEVICE_FREE, and there is no such device; -EINVAL: an argument is invalid; other errnos of the kernel.
///
/// Thread-safe. Since: 0.1. Follows: udevadm wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_wait_device(
    conn: *mut mdev_conn,
    uuid: *const c_char,
    state: c_int,
    timeout_ms: c_int,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn and uuid.
        let (conn, uuid) = unsafe { (hold(conn)?, text(uuid, "the UUID")?) };
        let known = [DeviceWait::Created, DeviceWait::Deleted, DeviceWait::Free];
        let state = known
            .into_iter()
            .find(|known| *known as c_int == state)
            .ok_or_else(|| Error::invalid(format!("{state} is not a state; use a value of enum mdev_device_wait")))?;
        conn.body.wait_device(uuid, state, timeout_ms)?;
        Ok(0)
    })
}
