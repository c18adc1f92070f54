// SPDX-License-Identifier: LGPL-2.1-or-later
//! `struct mdev_monitor`: events of node devices, for the caller's own event loop.

use std::ffi::{c_int, c_uint};
use std::os::fd::AsRawFd;
use std::ptr;

use super::conn::{mdev_conn, no_flags};
use super::event::{EventBody, Source, mdev_event};
use super::guard;
use super::handle::{self, Counted, Kind, Tag, add_ref, borrow, drop_ref, export, hold};
use super::strings::out;

/// A source of events for a program that polls: one file descriptor, no thread. It keeps the state of the node devices
/// of its host.
///
/// Since: 0.1.
pub struct mdev_monitor {
    _opaque: [u8; 0],
}

impl Kind for mdev_monitor {
    type Body = Source;
    const TAG: Tag = handle::MONITOR;
}

impl Counted for mdev_monitor {}

/// Starts to monitor a host. The monitor reports every event from this call on. Create the monitor first and list the
/// node devices afterwards: then no change is missed, and a change that occurs in both is the same in both.
///
/// The kernel sends events for devices and parents, also for those that other programs create. The kernel sends no
/// events for VFs that become vGPUs; there, the monitor detects writes to the sysfs files that create and remove them.
/// In a network namespace that belongs to another user namespace, as in a rootless container, the kernel delivers no
/// events at all.
///
/// @param ret receives the monitor; the caller releases it with mdev_monitor_unref()
/// @param conn a connection, which may be closed before the monitor
/// @param flags 0
/// @return 0; -EINVAL: an argument is invalid; -EMFILE, -EPERM, -EAFNOSUPPORT and other errnos of the kernel.
///
/// Thread-safe. Since: 0.1. Follows: sd_device_monitor_new, udev_monitor_new_from_netlink.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_monitor_new(ret: *mut *mut mdev_monitor, conn: *mut mdev_conn, flags: c_uint) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for ret and conn.
        let (ret, conn) = unsafe { (out(ret)?, hold(conn)?) };
        no_flags(flags, "mdev_monitor_new")?;
        ret.set(export(Source::new(conn.body.monitor()?)));
        Ok(0)
    })
}

/// Takes a reference to a monitor.
///
/// @param mon a monitor, or NULL
/// @return mon; NULL: mon is NULL or not a monitor.
///
/// Thread-safe; does not change the last error. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_monitor_ref(mon: *mut mdev_monitor) -> *mut mdev_monitor {
    // SAFETY: the C contract for mon.
    guard::infallible(ptr::null_mut(), || unsafe { add_ref(mon) })
}

/// Drops a reference to a monitor. The last reference ends the monitor and closes its descriptor. Events that came from
/// it stay usable.
///
/// @param mon a monitor, or NULL
/// @return NULL
///
/// Thread-safe; does not change the last error. Since: 0.1. Follows: sd_device_monitor_unref.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_monitor_unref(mon: *mut mdev_monitor) -> *mut mdev_monitor {
    // SAFETY: the C contract for mon, and the caller gives its reference up.
    guard::infallible((), || unsafe { drop_ref(mon) });
    ptr::null_mut()
}

/// Returns the descriptor of a monitor, to poll for POLLIN (level-triggered). It is readable as long as a call of
/// mdev_monitor_receive() may return an event or has internal work to do. The descriptor belongs to the monitor and
/// never changes: do not read, write or close it.
///
/// @param mon a monitor
/// @return the descriptor; -EINVAL: mon is NULL or not a monitor.
///
/// Thread-safe. Since: 0.1. Follows: sd_device_monitor_get_fd.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_monitor_get_fd(mon: *mut mdev_monitor) -> c_int {
    // SAFETY: the C contract for mon.
    guard::getter(|| Ok(unsafe { borrow(mon) }?.body.lock().fd().as_raw_fd()))
}

/// Returns the next event, in order, without waiting. Call it until it returns 0, or once each time the descriptor is
/// readable. It also returns 0 if it did internal work that produced no event.
///
/// After an error that the caller did not cause, such as -EMFILE, events may be lost: the next successful call returns
/// MDEV_EVENT_OVERRUN.
///
/// @param mon a monitor
/// @param ret receives the event, if there is one; the caller releases it with mdev_event_unref()
/// @return 1: an event; 0: no event now; -EINVAL: an argument is invalid; errnos of the kernel.
///
/// Thread-safe; each event is returned to one thread only. Since: 0.1. Follows: sd_device_monitor_receive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_monitor_receive(mon: *mut mdev_monitor, ret: *mut *mut mdev_event) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for mon and ret.
        let (mon, ret) = unsafe { (hold(mon)?, out(ret)?) };
        let event = mon.body.lock().receive()?;
        let Some(event) = event else { return Ok(0) };
        ret.set(export(EventBody::new(event)));
        Ok(1)
    })
}

/// Sets the number of bytes that the kernel may queue for this monitor. The default is 16 MiB; only queued events use
/// memory. Without CAP_NET_ADMIN the kernel grants at most net.core.rmem_max. If the buffer is too small, events are
/// lost and the monitor returns MDEV_EVENT_OVERRUN.
///
/// @param mon a monitor
/// @param bytes the size
/// @return 0; -EINVAL: mon is NULL or not a monitor; errnos of the kernel.
///
/// Thread-safe. Since: 0.1. Follows: sd_device_monitor_set_receive_buffer_size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_monitor_set_buffer_size(mon: *mut mdev_monitor, bytes: usize) -> c_int {
    guard::call(|| {
        // SAFETY: the C contract for mon.
        let mon = unsafe { hold(mon) }?;
        // The kernel stores twice the size in an int.
        mon.body.lock().set_buffer_size(bytes.min(c_int::MAX as usize / 4))?;
        Ok(0)
    })
}
