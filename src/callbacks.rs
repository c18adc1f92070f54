// SPDX-License-Identifier: LGPL-2.1-or-later
//! The callbacks of a connection and their calls. Generic over the kind of the connection, which owns them.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::event::{EventBody, Source, mdev_event};
use super::handle::{Kind, Object};
use super::unwind::Depth;
use mdev::Conn;
use mdev::{Error, Result};

/// Events handed over by one call, so that it returns however much happens: the descriptor stays readable.
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
    /// It was taken away, and is not called any more even by a dispatch that is under way.
    over: AtomicBool,
}

// SAFETY: the data is the caller's, who lets any thread dispatch only when it can be used there: the header says so.
unsafe impl<K> Send for Callback<K> {}
// SAFETY: as above.
unsafe impl<K> Sync for Callback<K> {}

impl<K> Drop for Callback<K> {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            let _outside = Depth::set(0);
            // SAFETY: a function of the caller's with the data that came with it, once; nothing uses the data after it.
            unsafe { free(self.data) };
        }
    }
}

/// The callbacks of a connection, and its source of events.
pub(super) struct Subscriptions<K> {
    state: Mutex<State<K>>,
}

struct State<K> {
    /// Made when it is first needed; the descriptor stays the same from then on.
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
        // Outside of the lock, since it reads the whole host; of two that are made at once one is kept.
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
            return Err(Error::invalid("this connection has had too many callbacks; open another"));
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
        let callback =
            found.ok_or_else(|| Error::invalid(format!("this connection has no callback with the id {id}")))?;
        callback.over.store(true, Ordering::Release);
        // Dropped here, without the lock, or by the dispatch that is calling it.
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
                // SAFETY: a function of the caller's with the data that came with it. The connection and the event live
                // until it returns, as this call holds both. It must not unwind: the header tells C++ programs so.
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

/// A pointer for C that comes without a reference.
fn loan<K: Kind>(object: &Arc<Object<K>>) -> *mut K {
    Arc::as_ptr(object).cast_mut().cast()
}
