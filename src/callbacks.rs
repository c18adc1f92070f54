// SPDX-License-Identifier: LGPL-2.1-or-later
//! The event callbacks of a connection, and their calls. Generic over the handle kind of the connection, which owns them.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::event::{EventBody, Source, mdev_event};
use super::handle::{Kind, Object};
use super::unwind::Depth;
use mdev::Conn;
use mdev::{Error, Result};

/// The most events that one call delivers, so that the call returns even if events keep coming. The descriptor stays readable.
const DISPATCH_MAX: c_int = 256;

/// `mdev_event_callback` of the header.
type EventFn<K> = Option<unsafe extern "C" fn(conn: *mut K, ev: *mut mdev_event, data: *mut c_void)>;
/// `mdev_free_callback` of the header.
type FreeFn = Option<unsafe extern "C" fn(data: *mut c_void)>;

/// An event callback of the caller.
struct Callback<K> {
    id: c_int,
    function: EventFn<K>,
    data: *mut c_void,
    free: FreeFn,
    /// Deregistered: also a running dispatch does not call it any more.
    over: AtomicBool,
}

// SAFETY: only the caller's callbacks use the data, and the header requires that they work in every thread that dispatches.
unsafe impl<K> Send for Callback<K> {}
// SAFETY: as above.
unsafe impl<K> Sync for Callback<K> {}

impl<K> Drop for Callback<K> {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            let _outside = Depth::set(0);
            // SAFETY: the caller registered this function with this data. It is called once, and nothing uses the data afterwards.
            unsafe { free(self.data) };
        }
    }
}

/// The callbacks of a connection, and its source of events.
pub(super) struct Subscriptions<K> {
    state: Mutex<State<K>>,
}

struct State<K> {
    /// Created on first use. The descriptor does not change afterwards.
    monitor: Option<Arc<Source>>,
    callbacks: Vec<Arc<Callback<K>>>,
    last: c_int,
}

impl<K: Kind> Subscriptions<K> {
    pub(super) fn new() -> Self {
        Subscriptions { state: Mutex::new(State { monitor: None, callbacks: Vec::new(), last: 0 }) }
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn monitor(&self, conn: &Conn) -> Result<Arc<Source>> {
        if let Some(monitor) = &self.lock().monitor {
            return Ok(Arc::clone(monitor));
        }
        // Outside of the lock, since it reads the whole host. If two threads do this at the same time, one monitor is kept.
        let made = Arc::new(Source::new(conn.monitor()?));
        Ok(Arc::clone(self.lock().monitor.get_or_insert(made)))
    }

    pub(super) fn register(&self, conn: &Conn, function: EventFn<K>, data: *mut c_void, free: FreeFn) -> Result<c_int> {
        let monitor = self.monitor(conn)?;
        let mut state = self.lock();
        if state.callbacks.is_empty() {
            // The first callback does not get earlier events. Under the lock: of two registrations at the same time, the
            // second must not drop events that the first has to get.
            monitor.lock().start_over()?;
        }
        let Some(id) = state.last.checked_add(1) else {
            return Err(Error::invalid("the connection has no callback ids left; open another connection"));
        };
        state.last = id;
        state.callbacks.push(Arc::new(Callback { id, function, data, free, over: AtomicBool::new(false) }));
        Ok(id)
    }

    pub(super) fn deregister(&self, id: c_int) -> Result<()> {
        let found = {
            let mut state = self.lock();
            let at = state.callbacks.iter().position(|callback| callback.id == id);
            at.map(|at| state.callbacks.remove(at))
        };
        let callback = found.ok_or_else(|| {
            Error::invalid(format!(
                "the connection has no callback with id {id}; pass the id that mdev_conn_event_register() returned"
            ))
        })?;
        callback.over.store(true, Ordering::Release);
        // The callback is dropped here, without the lock, or by the dispatch that is calling it.
        Ok(())
    }

    pub(super) fn dispatch(&self, conn: &Arc<Object<K>>) -> Result<c_int> {
        let Some(monitor) = self.lock().monitor.clone() else { return Ok(0) };
        let mut delivered = 0;
        while delivered < DISPATCH_MAX {
            let event = monitor.lock().receive()?;
            let Some(event) = event else { break };
            let event = Arc::new(Object::<mdev_event>::new(EventBody::new(event)));
            let callbacks = self.lock().callbacks.clone();
            for callback in callbacks.iter().filter(|callback| !callback.over.load(Ordering::Acquire)) {
                let _outside = Depth::set(0);
                // SAFETY: the caller registered this function with this data. This call holds the connection and the event, so
                // both live until the function returns. It must not unwind: the header forbids it to C++ programs.
                unsafe {
                    if let Some(function) = callback.function {
                        function(loan(conn), loan(&event), callback.data);
                    }
                }
            }
            delivered += 1;
        }
        Ok(delivered)
    }
}

/// A borrowed pointer for C: without a reference.
fn loan<K: Kind>(object: &Arc<Object<K>>) -> *mut K {
    Arc::as_ptr(object).cast_mut().cast()
}
