// SPDX-License-Identifier: LGPL-2.1-or-later
//! `struct mdev_event`: a change of a node device; and the source of events of a monitor and of a connection.

use std::ffi::c_int;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::device::{mdev_device, new_node};
use super::guard;
use super::handle::{self, Counted, Kind, Object, Tag, add_ref, borrow, drop_ref, give};
use super::strings::out;
use mdev::{Error, ErrorCode, Result};
use mdev::{Event, EventKind, Monitor};

/// An event: a change of a node device, with a snapshot of the node device at that time.
///
/// Since: 0.1.
pub struct mdev_event {
    _opaque: [u8; 0],
}

impl Kind for mdev_event {
    type Body = EventBody;
    const TAG: Tag = handle::EVENT;
}

impl Counted for mdev_event {}

/// A monitor with a lock, since a program may fetch events from any thread.
pub(super) struct Source(Mutex<Monitor>);

impl Source {
    pub(super) fn new(monitor: Monitor) -> Self {
        Source(Mutex::new(monitor))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Monitor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event, and its node device as a C object.
pub(super) struct EventBody {
    kind: EventKind,
    node: Option<Arc<Object<mdev_device>>>,
}

impl EventBody {
    pub(super) fn new(event: Event) -> Self {
        EventBody { kind: event.kind, node: event.node.map(new_node) }
    }
}

/// Takes a reference to an event. A callback does this to keep its event.
///
/// @param ev an event, or NULL
/// @return ev; NULL: ev is NULL or not an event.
///
/// Thread-safe; does not change the last error. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_event_ref(ev: *mut mdev_event) -> *mut mdev_event {
    // SAFETY: the C contract for ev.
    guard::infallible(ptr::null_mut(), || unsafe { add_ref(ev) })
}

/// Drops a reference to an event. Node devices that came from the event stay usable.
///
/// @param ev an event, or NULL
/// @return NULL
///
/// Thread-safe; does not change the last error. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_event_unref(ev: *mut mdev_event) -> *mut mdev_event {
    // SAFETY: the C contract for ev, and the caller gives its reference up.
    guard::infallible((), || unsafe { drop_ref(ev) });
    ptr::null_mut()
}

/// Returns the type of an event.
///
/// @param ev an event
/// @return a value of enum mdev_event_type; MDEV_EVENT_NONE: ev is NULL or not an event.
///
/// Thread-safe; does not change the last error. Since: 0.1. Follows: virConnectNodeDeviceEventLifecycleCallback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_event_get_type(ev: *const mdev_event) -> EventKind {
    // SAFETY: the C contract for ev.
    guard::infallible(EventKind::None, || unsafe { borrow(ev) }.map_or(EventKind::None, |event| event.body.kind))
}

/// Returns the node device of an event, as a snapshot of the time of the event. A device that was created and removed
/// before the library could read it has only the data of the kernel's event: name, UUID, parent and path.
///
/// @param ev an event
/// @param ret receives the node device; the caller releases it with mdev_device_unref()
/// @return 0; -ENODATA: the event has no node device (MDEV_EVENT_OVERRUN); -EINVAL: an argument is invalid.
///
/// Thread-safe. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mdev_event_get_device(ev: *const mdev_event, ret: *mut *mut mdev_device) -> c_int {
    guard::getter(|| {
        // SAFETY: the C contract for ev and ret.
        let (event, ret) = unsafe { (borrow(ev)?, out(ret)?) };
        ret.set(give(node_of(&event.body)?));
        Ok(0)
    })
}

fn node_of(event: &EventBody) -> Result<Arc<Object<mdev_device>>> {
    event.node.clone().ok_or_else(|| {
        let message = "the event has no node device; list the node devices again";
        Error::new(ErrorCode::NoData, Errno::NODATA, message)
    })
}
