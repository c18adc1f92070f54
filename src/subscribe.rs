// SPDX-License-Identifier: LGPL-2.1-or-later
//! Events by callback, as in libvirt: the caller's event loop polls the connection and dispatches.

use std::ffi::{c_int, c_uint, c_void};
use std::os::fd::AsRawFd;

use super::conn::{mdev_conn, no_flags};
use super::event::mdev_event;
use super::guard;
use super::handle::hold;
use mdev::Error;

/// A callback for events: see mdev_conn_event_register(). The event is borrowed; take a reference to keep it.
///
/// Since: 0.1.
pub type mdev_event_callback =
    Option<unsafe extern "C" fn(conn: *mut mdev_conn, ev: *mut mdev_event, data: *mut c_void)>;

/// A callback that frees the data of an event callback: see mdev_conn_event_register().
///
/// Since: 0.1.
pub type mdev_free_callback = Option<unsafe extern "C" fn(data: *mut c_void)>;

/// Registers a callback for every event of a host. Only mdev_conn_dispatch() calls it. The first callback of a
/// connection starts the monitoring; the callback gets no earlier events.
///
/// The callback may call every function of the library. It may deregister itself, drop the last reference to the
/// connection, and call mdev_conn_dispatch(); that inner call delivers later events to the other callbacks before they
/// get the current event. The callback must not throw or longjmp. The event is borrowed: mdev_event_ref() keeps it.
///
/// @param conn a connection
/// @param callback the callback; it gets the connection, the event and data
/// @param data passed to the callback unchanged, in the thread that calls mdev_conn_dispatch()
/// @param free_data called with data once the callback will not be called any more: it is deregistered and not running,
/// or the connection is closed. Not called if this call fails. NULL: nothing is called
/// @param flags 0
/// @return an id, 1 or more; -EINVAL: an argument is invalid; the errnos of mdev_monitor_new().
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
            return Err(Error::invalid("the event callback is NULL"));
        }
        no_flags(flags, "mdev_conn_event_register")?;
        conn.body.events.register(&conn.body, callback, data, free_data)
    })
}

/// Deregisters a callback of mdev_conn_event_register(). After the return, this thread does not call the callback any
/// more. Another thread inside mdev_conn_dispatch() may still be in the callback or about to call it: if several
/// threads dispatch, data must stay valid until free_data is called.
///
/// @param conn a connection
/// @param id the return value of mdev_conn_event_register()
/// @return 0; -EINVAL: conn is NULL or not a connection, or has no callback with this id.
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

/// Returns the descriptor of a connection, to poll for POLLIN (level-triggered) before mdev_conn_dispatch(). The
/// descriptor belongs to the connection and never changes. The first call starts the monitoring, as
/// mdev_conn_event_register() does.
///
/// @param conn a connection
/// @return the descriptor; -EINVAL: conn is NULL or not a connection; the errnos of mdev_monitor_new().
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

/// Delivers pending events to the registered callbacks, in order, without waiting. Delivers at most 256 events; if more
/// are pending, the descriptor stays readable.
///
/// @param conn a connection
/// @return the number of events; -EINVAL: conn is NULL or not a connection; the errnos of mdev_monitor_receive().
///
/// Thread-safe; each event is delivered by one thread only. Since: 0.1. Follows: virEventRunDefaultImpl.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_conn_dispatch(conn: *mut mdev_conn) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for conn.
        let conn = unsafe { hold(conn) }?;
        conn.body.events.dispatch(&conn)
    })
}
