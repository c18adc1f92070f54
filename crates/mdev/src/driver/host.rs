// SPDX-License-Identifier: LGPL-2.1-or-later
//! An open host: its sysfs, its records, its definitions and its call-outs.

use std::sync::{Arc, Mutex, PoisonError};

use super::spare::Spare;
use crate::callout::Callouts;
use crate::error::{Error, Result, shown};
use crate::model::name::parse_uuid;
use crate::store::{Definitions, HostLock, Runtime};
use crate::sysfs::Sysfs;

/// The maximum length of an owner in bytes.
const OWNER_MAX: usize = 255;

/// A connection to a host. A clone is the same connection.
#[derive(Debug, Clone)]
pub struct Conn {
    pub(super) host: Arc<Host>,
}

/// A kernel, with the records, the definitions and the call-outs of the host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) sysfs: Arc<dyn Sysfs>,
    pub(super) runtime: Arc<Runtime>,
    pub(super) definitions: Arc<Definitions>,
    pub(super) callouts: Callouts,
    pub(super) owner: Mutex<Option<String>>,
    pub(super) spare: Spare,
}

/// A kernel, the records and the definitions of a host.
pub type Parts = (Arc<dyn Sysfs>, Arc<Runtime>, Arc<Definitions>);

impl Conn {
    /// Returns a connection to a host of a test.
    pub fn on(sysfs: Arc<dyn Sysfs>, runtime: Arc<Runtime>) -> Conn {
        Conn::of((sysfs, runtime, Arc::new(Definitions::memory([]))))
    }

    /// Returns a connection to a host of a test, with definitions.
    pub fn of(parts: Parts) -> Conn {
        Conn::with(parts, Callouts::none())
    }

    /// Returns a connection to a host of a test, with definitions and call-outs.
    pub fn with((sysfs, runtime, definitions): Parts, callouts: Callouts) -> Conn {
        Conn {
            host: Arc::new(Host {
                sysfs,
                runtime,
                definitions,
                callouts,
                owner: Mutex::new(None),
                spare: Spare::default(),
            }),
        }
    }

    pub(super) fn uuid(&self, text: &str) -> Result<uuid::Uuid> {
        parse_uuid(text).ok_or_else(|| {
            let message = format!("'{}' is not a UUID; write 8-4-4-4-12 hexadecimal digits", shown(text));
            Error::invalid(message)
        })
    }

    /// Sets the owner, which is recorded on every device that this connection creates from now on. `None`: no owner. Fails with EINVAL
    /// for a name that is empty, longer than 255 bytes, or has control characters.
    pub fn set_owner(&self, owner: Option<&str>) -> Result<()> {
        check_owner_name(owner)?;
        *self.host.owner.lock().unwrap_or_else(PoisonError::into_inner) = owner.map(str::to_owned);
        Ok(())
    }
}

impl Host {
    /// Takes the lock of this name; `None` if there is no name.
    pub(super) fn lock(&self, name: Option<String>) -> Result<Option<HostLock<'_>>> {
        name.map(|name| self.runtime.lock(&name)).transpose()
    }

    pub(super) fn owner(&self) -> Option<String> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(super) fn check_owner_name(owner: Option<&str>) -> Result<()> {
    match owner {
        Some(owner) if owner.is_empty() || owner.len() > OWNER_MAX || owner.chars().any(char::is_control) => {
            Err(Error::invalid(format!("an owner has 1 to {OWNER_MAX} bytes and no control characters")))
        }
        _ => Ok(()),
    }
}
