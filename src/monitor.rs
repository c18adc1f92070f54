// SPDX-License-Identifier: LGPL-2.1-or-later
//! `struct mdev_monitor`: how nodes come, change and go, on the caller's own loop.

use std::ffi::{c_int, c_uint};
use std::os::fd::AsRawFd;
use std::ptr;

use super::conn::{mdev_conn, no_flags};
use super::event::{EventBody, Source, mdev_event};
use super::guard;
use super::handle::{self, Counted, Kind, Tag, add_ref, borrow, drop_ref, export, hold};
use super::strings::out;

/// A source of events for a program that polls: one descriptor, no thread. It remembers the nodes of its host.
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

/// Starts to listen to a host. What happens from here on is told, so make the monitor first and list afterwards: then
/// nothing is missed, and what is told twice is told the same.
///
/// The kernel's own events tell of devices and parents, whoever makes them; where it sends none, as for virtual functions
/// that become vGPUs, writes to the files that do it are seen. In a network namespace that belongs to another user
/// namespace, as in a rootless container, the kernel delivers no events at all.
///
/// @param ret where the monitor goes, owned by the caller: mdev_monitor_unref()
/// @param conn a connection, which may be closed before the monitor
/// @param flags 0
/// @return 0; -EINVAL: an argument is bad; -EMFILE, -EPERM, -EAFNOSUPPORT and other errnos of the kernel.
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

/// Takes another reference.
///
/// @param mon a monitor, or NULL
/// @return mon; NULL when it is NULL or not a monitor.
///
/// Thread-safe; touches no error. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_monitor_ref(mon: *mut mdev_monitor) -> *mut mdev_monitor {
    // SAFETY: the C contract for mon.
    guard::infallible(ptr::null_mut(), || unsafe { add_ref(mon) })
}

/// Gives a reference up; the last one ends the monitor and closes its descriptor. Events that came from it stay usable.
///
/// @param mon a monitor, or NULL
/// @return NULL
///
/// Thread-safe; touches no error. Since: 0.1. Follows: sd_device_monitor_unref.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_monitor_unref(mon: *mut mdev_monitor) -> *mut mdev_monitor {
    // SAFETY: the C contract for mon, and the caller gives its reference up.
    guard::infallible((), || unsafe { drop_ref(mon) });
    ptr::null_mut()
}

/// The descriptor to poll for POLLIN, level-triggered: it is readable as long as mdev_monitor_receive() may have something
/// to tell or to do. Nothing else may be done with it; it belongs to the monitor, and stays the same while that lives.
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

/// The next event, in order, without waiting. Call it until it returns 0, or once each time that the descriptor is readable.
/// It returns 0 as well when there was something to do and nothing to tell.
///
/// After an error that is no fault of the caller, such as -EMFILE, the events of the meantime may be lost: the next call that
/// succeeds gives MDEV_EVENT_OVERRUN.
///
/// @param mon a monitor
/// @param ret where the event goes, owned by the caller: mdev_event_unref(); written only when there is one
/// @return 1: an event; 0: none now; -EINVAL: an argument is bad; errnos of the kernel.
///
/// Thread-safe; of several threads each gets other events. Since: 0.1. Follows: sd_device_monitor_receive.
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

/// How many bytes of the kernel's events may wait for this program; by default 16 MiB, of which only what waits takes
/// memory. Without CAP_NET_ADMIN the kernel grants no more than net.core.rmem_max. When it is not enough, events are lost and
/// MDEV_EVENT_OVERRUN tells so.
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
        // The kernel doubles it, in an int.
        mon.body.lock().set_buffer_size(bytes.min(c_int::MAX as usize / 4))?;
        Ok(0)
    })
}
