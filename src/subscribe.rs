// SPDX-License-Identifier: LGPL-2.1-or-later
//! Events by callback, as programs know them from libvirt: the caller's loop polls the connection and dispatches.

use std::ffi::{c_int, c_uint, c_void};
use std::os::fd::AsRawFd;

use super::conn::{mdev_conn, no_flags};
use super::event::mdev_event;
use super::guard;
use super::handle::hold;
use mdev::Error;

/// A function that wants to know of events; see mdev_conn_event_register(). The event is a loan.
///
/// Since: 0.1.
pub type mdev_event_callback =
    Option<unsafe extern "C" fn(conn: *mut mdev_conn, ev: *mut mdev_event, data: *mut c_void)>;

/// A function that gets back what a callback was registered with, when that is over.
///
/// Since: 0.1.
pub type mdev_free_callback = Option<unsafe extern "C" fn(data: *mut c_void)>;

/// Has a function called for every event of a host, from mdev_conn_dispatch() and nowhere else. The first one starts the
/// listening; what happened before is not told.
///
/// The function may call everything, also mdev_conn_event_deregister() for itself and mdev_conn_dispatch() (which hands later
/// events to the other functions before they get the one under way), and may give up the last reference of the connection.
/// It must not throw or longjmp. It gets the event as a loan: mdev_event_ref() keeps it.
///
/// @param conn a connection
/// @param callback the function; gets the connection, the event and data
/// @param data handed to the function as it is, in whichever thread dispatches
/// @param free_data called with data when the function will not be called any more: it was deregistered and is not running,
/// or the connection is gone; NULL: nothing is. It is not called when this call fails
/// @param flags 0
/// @return an id, 1 or more; -EINVAL: an argument is bad; errors as of mdev_monitor_new().
///
/// Thread-safe. Since: 0.1. Follows: virConnectNodeDeviceEventRegisterAny.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_event_register(
    conn: *mut mdev_conn,
    callback: mdev_event_callback,
    data: *mut c_void,
    free_data: mdev_free_callback,
    flags: c_uint,
) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn.
        let conn = unsafe { hold(conn) }?;
        if callback.is_none() {
            return Err(Error::invalid("the callback is NULL"));
        }
        no_flags(flags, "mdev_conn_event_register")?;
        conn.body.events.register(&conn.body, callback, data, free_data)
    })
}

/// Ends what mdev_conn_event_register() has begun. When this returns the function is not called any more by this thread. One
/// that dispatches meanwhile may be in it, or just about to call it: where several do, data must live until free_data is
/// called with it.
///
/// @param conn a connection
/// @param id what mdev_conn_event_register() returned
/// @return 0; -EINVAL: conn is not a connection, or has no such callback.
///
/// Thread-safe. Since: 0.1. Follows: virConnectNodeDeviceEventDeregisterAny.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_event_deregister(conn: *mut mdev_conn, id: c_int) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn.
        let conn = unsafe { hold(conn) }?;
        conn.body.events.deregister(id)?;
        Ok(0)
    })
}

/// The descriptor to poll for POLLIN before mdev_conn_dispatch(), level-triggered. It belongs to the connection and stays the
/// same while that lives. The first call starts the listening, as mdev_conn_event_register() does.
///
/// @param conn a connection
/// @return the descriptor; -EINVAL: conn is NULL or not a connection; errors as of mdev_monitor_new().
///
/// Thread-safe. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_get_fd(conn: *mut mdev_conn) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn.
        let conn = unsafe { hold(conn) }?;
        let monitor = conn.body.events.monitor(&conn.body)?;
        let fd = monitor.lock().fd().as_raw_fd();
        Ok(fd)
    })
}

/// Hands the events that have come to the registered functions, in order, without waiting. Not more than some hundred at
/// once: while there are more, the descriptor stays readable.
///
/// @param conn a connection
/// @return how many events there were; -EINVAL: conn is NULL or not a connection; errors as of mdev_monitor_receive().
///
/// Thread-safe; of several threads each gets other events. Since: 0.1. Follows: virEventRunDefaultImpl.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_dispatch(conn: *mut mdev_conn) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn.
        let conn = unsafe { hold(conn) }?;
        conn.body.events.dispatch(&conn)
    })
}
