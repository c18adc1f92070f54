// SPDX-License-Identifier: LGPL-2.1-or-later
//! Events by callback, as programs know them from libvirt: the caller's loop polls the connection and dispatches.

use std::ffi::{c_int, c_uint, c_void};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::conn::{mdev_conn, no_flags};
use super::guard;
use super::handle::{Kind, Object, hold};
use super::monitor::{Body, Happened, mdev_event};
use super::unwind::Depth;
use crate::driver::Conn;
use crate::error::{Error, Result};

/// Events handed over by one call, so that it returns however much happens: the descriptor stays readable.
const DISPATCH_MAX: c_int = 256;

/// A function that wants to know of events; see mdev_conn_event_register(). The event is a loan.
///
/// Since: 0.1.
pub type mdev_event_callback =
    Option<unsafe extern "C" fn(conn: *mut mdev_conn, ev: *mut mdev_event, data: *mut c_void)>;

/// A function that gets back what a callback was registered with, when that is over.
///
/// Since: 0.1.
pub type mdev_free_callback = Option<unsafe extern "C" fn(data: *mut c_void)>;

/// A function of the caller's that wants to know.
struct Callback {
    id: c_int,
    function: mdev_event_callback,
    data: *mut c_void,
    free: mdev_free_callback,
    /// It was taken away, and is not called any more even by a dispatch that is under way.
    over: AtomicBool,
}

// SAFETY: the data is the caller's, who lets any thread dispatch only when it can be used there: the header says so.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            let _outside = Depth::set(0);
            // SAFETY: a function of the caller's with the data that came with it, once; nobody uses the data any more.
            unsafe { free(self.data) };
        }
    }
}

/// What a connection knows of callbacks.
#[derive(Default)]
pub(super) struct Subscriptions {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Made when it is first needed; the descriptor stays the same from then on.
    monitor: Option<Arc<Body>>,
    callbacks: Vec<Arc<Callback>>,
    last: c_int,
}

impl Subscriptions {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn monitor(&self, conn: &Conn) -> Result<Arc<Body>> {
        if let Some(monitor) = &self.lock().monitor {
            return Ok(Arc::clone(monitor));
        }
        // Outside of the lock, since it reads the whole host; of two that are made at once one is kept.
        let made = Arc::new(Body::new(conn.monitor()?));
        Ok(Arc::clone(self.lock().monitor.get_or_insert(made)))
    }

    fn register(
        &self,
        conn: &Conn,
        function: mdev_event_callback,
        data: *mut c_void,
        free: mdev_free_callback,
    ) -> Result<c_int> {
        let monitor = self.monitor(conn)?;
        let mut state = self.lock();
        if state.callbacks.is_empty() {
            // What happened before nobody wanted to know. Under the lock, so that of two who come at the same time the
            // second does not take from the first what has happened since.
            monitor.lock().start_over()?;
        }
        let Some(id) = state.last.checked_add(1) else {
            return Err(Error::invalid("this connection has had too many callbacks; open another"));
        };
        state.last = id;
        state.callbacks.push(Arc::new(Callback { id, function, data, free, over: AtomicBool::new(false) }));
        Ok(id)
    }

    fn deregister(&self, id: c_int) -> Result<()> {
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

    fn dispatch(&self, conn: &Arc<Object<mdev_conn>>) -> Result<c_int> {
        let Some(monitor) = self.lock().monitor.clone() else { return Ok(0) };
        let mut delivered = 0;
        while delivered < DISPATCH_MAX {
            let event = monitor.lock().receive()?;
            let Some(event) = event else { break };
            let event = Arc::new(Object::<mdev_event>::new(Happened::new(event)));
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
