// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a user can do: discover, dump, create, destroy, attach, wait. The only room that knows all the others.

use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;

use crate::backend::places;
use crate::callout::Callouts;
use crate::error::{Error, ErrorCode, Result, shown};
use crate::finding::{Finding, first_failed, observe, report};
use crate::model::Parent;
use crate::model::name::parse_uuid;
use crate::store::{Definitions, HostLock, Runtime};
use crate::sysfs::linux::LinuxSysfs;
use crate::sysfs::sim;
use crate::sysfs::{IoResult, Sysfs, is_exhausted};
use crate::xml::Unknown;

mod asked;
mod attrs;
mod catalogue;
mod create;
mod define;
mod defined;
mod destroy;
mod devices;
mod dump;
mod flags;
mod identity;
mod incomplete;
mod made;
mod node;
mod plan;
mod problems;
mod qemu;
mod spare;
mod spots;
#[cfg(test)]
mod store_faults;
mod suggest;
mod uri;
mod vfio;
mod wait_device;
mod wait_parent;
mod watch;

use spare::Spare;

pub use create::GROUP_MAX;
pub use flags::{AttrAccess, CreateFlags, DefineFlags, DestroyFlags, ListFlags, QemuFlags, StartFlags, XmlFlags};
pub use node::Node;
pub use watch::{Event, EventKind, Monitor};

/// The longest owner that is recorded.
const OWNER_MAX: usize = 255;

/// An open host. Clones are the same connection.
#[derive(Debug, Clone)]
pub struct Conn {
    host: Arc<Host>,
}

/// A kernel and what is remembered beside it.
#[derive(Debug)]
struct Host {
    sysfs: Arc<dyn Sysfs>,
    runtime: Arc<Runtime>,
    definitions: Arc<Definitions>,
    callouts: Callouts,
    owner: Mutex<Option<String>>,
    spare: Spare,
}

/// The folders below a root in which the library makes files. It opens them by path, so a link there could lead out.
const STORES: [&str; 6] = [
    "run/libmdev/devices",
    "run/libmdev/groups",
    "run/libmdev/locks",
    "run/libmdev/types",
    "etc/libmdev/definitions",
    "etc/mdevctl.d",
];

fn refuse_linked_stores(sysfs: &LinuxSysfs, root: &str) -> Result<()> {
    for folder in STORES {
        let link = sysfs.link_on_the_way(folder).map_err(|errno| Error::io("open", folder, errno))?;
        if let Some(link) = link {
            let path = format!("{}/{link}", root.trim_end_matches('/'));
            let message = format!("{path} is a symbolic link, which may lead out of the root; make it a folder");
            return Err(Error::new(ErrorCode::Store, Errno::LOOP, message).at(path));
        }
    }
    Ok(())
}

/// A kernel, and what is remembered and defined beside it.
type Parts = (Arc<dyn Sysfs>, Arc<Runtime>, Arc<Definitions>);

/// `test:///default`: one for the whole process, like a real host, with the number of that process. A child of a fork gets
/// its own: the parent's is a copy there, which some other thread may have locked for ever.
static DEFAULT_HOST: Mutex<Option<(u32, Parts)>> = Mutex::new(None);

impl Conn {
    /// Opens the host that `uri` names; none is this one.
    pub fn open(uri: Option<&str>) -> Result<Conn> {
        let parts = match uri::parse(uri)? {
            uri::Target::System { root } => {
                let sysfs =
                    LinuxSysfs::new(&root).map_err(|errno| uri::missing(uri, Error::io("open", &root, errno)))?;
                refuse_linked_stores(&sysfs, &root)?;
                let run = format!("{}/run", root.trim_end_matches('/'));
                let sysfs: Arc<dyn Sysfs> = Arc::new(sysfs);
                let parts = (sysfs, Arc::new(Runtime::files(&run)), Arc::new(Definitions::files(&root)));
                return Ok(Conn::with(parts, Callouts::below(&root)));
            }
            uri::Target::Default => default_parts(),
            uri::Target::Dump { path } => dump::replay(&path).map_err(|e| uri::missing(uri, e))?,
        };
        Ok(Conn::of(parts))
    }

    /// A connection to a host that the caller has made: for tests, which hold on to its kernel.
    pub fn on(sysfs: Arc<dyn Sysfs>, runtime: Arc<Runtime>) -> Conn {
        Conn::of((sysfs, runtime, Arc::new(Definitions::memory([]))))
    }

    /// The same with definitions.
    pub fn of(parts: Parts) -> Conn {
        Conn::with(parts, Callouts::none())
    }

    /// The same with call-outs.
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

    /// The nodes of this host, parents first. What cannot be read is left out: [`Conn::list_problems`].
    pub fn list(&self, flags: ListFlags) -> Result<Vec<Node>> {
        let both = ListFlags::PARENTS | ListFlags::DEVICES;
        let kinds = if flags.intersects(both) { flags & both } else { both };
        let states = flags & (ListFlags::ACTIVE | ListFlags::INACTIVE);
        let active = states != ListFlags::INACTIVE;
        let mut nodes = Vec::new();
        let mut known = devices::KnownParents::new(&*self.host.sysfs);
        // Parents exist in the kernel or not at all.
        if kinds.contains(ListFlags::PARENTS) && active {
            for place in places::places(&*self.host.sysfs)? {
                match self.listed_parent(&place, flags) {
                    Ok(parent) => {
                        if kinds.contains(ListFlags::DEVICES) && !flags.contains(ListFlags::NO_TYPES) {
                            known.add(&parent);
                        }
                        nodes.push(Node::listed_parent(self.clone(), parent, flags));
                    }
                    Err(errno) if is_exhausted(errno) => return Err(Error::io("read", &place.syspath, errno)),
                    Err(errno) => {
                        report(Finding::io(&place.syspath, "left out, it cannot be read", errno));
                    }
                }
            }
        }
        if kinds.contains(ListFlags::DEVICES) {
            let running = devices::all(&self.host, &mut known)?;
            let idle = match states.contains(ListFlags::INACTIVE) {
                true => defined::inactive(&self.host, &running)?,
                false => Vec::new(),
            };
            let running = running.into_iter().filter(|_| active);
            nodes.extend(running.chain(idle).map(|device| Node::device(self.clone(), device)));
        }
        Ok(nodes)
    }

    fn listed_parent(&self, place: &places::Place, flags: ListFlags) -> IoResult<Parent> {
        if flags.contains(ListFlags::NO_TYPES) {
            return places::read_bare_parent(&*self.host.sysfs, place);
        }
        let mut parent = places::read_parent(&*self.host.sysfs, place, true)?;
        catalogue::complete(&self.host, &mut parent).map_err(|e| e.errno())?;
        Ok(parent)
    }

    /// Finds a device by its name, its path in sysfs or the address of its VF; a parent by its node name, its path or its address
    /// (in upper or lower case, with or without domain 0).
    pub fn lookup_by_name(&self, name: &str) -> Result<Node> {
        let (device, left_out) = observe(|| devices::by_name(&self.host, name));
        let device = match device {
            // An unreadable object may be a device of this UUID. It is not this device if a definition of this name is
            // on another parent.
            Err(e) if devices::generated_uuid(name).is_some() => match defined::by_name(&self.host, name) {
                Ok(Some(device)) => Some(device),
                _ => return Err(e),
            },
            found => found?,
        };
        if let Some(device) = device {
            return Ok(Node::device(self.clone(), device));
        }
        match places::find_target(&*self.host.sysfs, name) {
            Ok(places::Target { place, function: Some(vf) }) => match devices::on_vf(&self.host, &place, &vf)? {
                Some(device) => Ok(Node::device(self.clone(), device)),
                None => Err(places::no_vgpu(&place, &vf)),
            },
            Ok(places::Target { place, function: None }) => self.parent_at(&place),
            Err(e) if e.code == ErrorCode::NoParent && e.path.is_none() => {
                if let Some(device) = defined::by_name(&self.host, name)? {
                    return Ok(Node::device(self.clone(), device));
                }
                // A device whose record cannot be read may have the name.
                if let Some(e) = first_failed(left_out) {
                    return Err(e);
                }
                let next = match suggest::nearest_node(&self.host, name) {
                    _ if parse_uuid(name).is_some() => {
                        "this is a UUID: look the device up with mdev_conn_lookup_by_uuid()".to_owned()
                    }
                    Some(near) => format!("did you mean '{}'?", shown(&near)),
                    None => "list the nodes to see which there are".to_owned(),
                };
                let message = format!("there is no node device '{}'; {next}", shown(name));
                Err(Error::new(ErrorCode::NoNode, Errno::NODEV, message))
            }
            Err(e) => Err(e),
        }
    }

    fn parent_at(&self, place: &places::Place) -> Result<Node> {
        Ok(Node::parent(self.clone(), self.whole_parent(place)?))
    }

    fn whole_parent(&self, place: &places::Place) -> Result<Parent> {
        let mut parent = places::read_parent(&*self.host.sysfs, place, true)
            .map_err(|errno| Error::io("read", &place.syspath, errno).of(&place.name()))?;
        catalogue::complete(&self.host, &mut parent)?;
        Ok(parent)
    }

    /// A device by its UUID.
    pub fn lookup_by_uuid(&self, uuid: &str) -> Result<Node> {
        let uuid = self.uuid(uuid)?;
        let device = match devices::by_uuid(&self.host, &uuid) {
            Ok(Some(device)) => Some(device),
            Ok(None) => defined::by_uuid(&self.host, &uuid)?,
            // An unreadable object may be this device. It is not if no object on the parent of the definition is
            // unreadable.
            Err(e) => match defined::by_uuid(&self.host, &uuid) {
                Ok(Some(idle)) if matches!(devices::by_uuid_for(&self.host, &uuid, &idle.parent_sysname), Ok(None)) => {
                    Some(idle)
                }
                _ => return Err(e),
            },
        };
        device.map(|device| Node::device(self.clone(), device)).ok_or_else(|| identity::lost(&self.host, &uuid))
    }

    fn uuid(&self, text: &str) -> Result<uuid::Uuid> {
        parse_uuid(text).ok_or_else(|| {
            let message = format!("'{}' is not a UUID; write 8-4-4-4-12 hexadecimal digits", shown(text));
            Error::invalid(message)
        })
    }

    /// Who this connection creates for; recorded on every device that it makes from now on.
    pub fn set_owner(&self, owner: Option<&str>) -> Result<()> {
        check_owner_name(owner)?;
        *self.host.owner.lock().unwrap_or_else(PoisonError::into_inner) = owner.map(str::to_owned);
        Ok(())
    }

    /// Destroys the device of this UUID.
    pub fn destroy_uuid(&self, uuid: &str, flags: DestroyFlags) -> Result<()> {
        let uuid = self.uuid(uuid)?;
        let spot = spots::find(&self.host, &uuid)?.ok_or_else(|| identity::lost(&self.host, &uuid))?;
        asked::destroy(&self.host, &spot, flags)
    }
}

impl Host {
    /// Takes the lock of this name; `None` if there is no name.
    fn lock(&self, name: Option<String>) -> Result<Option<HostLock<'_>>> {
        name.map(|name| self.runtime.lock(&name)).transpose()
    }

    fn owner(&self) -> Option<String> {
        self.owner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn check_owner_name(owner: Option<&str>) -> Result<()> {
    match owner {
        Some(owner) if owner.is_empty() || owner.len() > OWNER_MAX || owner.chars().any(char::is_control) => {
            Err(Error::invalid(format!("an owner has 1 to {OWNER_MAX} bytes and no control characters")))
        }
        _ => Ok(()),
    }
}

/// How XML is read with and without the flag to ignore what is unknown.
fn unknown(ignore: bool) -> Unknown {
    if ignore { Unknown::Ignore } else { Unknown::Refuse }
}

fn default_parts() -> Parts {
    let lock = || DEFAULT_HOST.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    let ours = |made: &Option<(u32, Parts)>| made.clone().filter(|(of, _)| *of == process).map(|(_, parts)| parts);
    // Made outside of the lock, which is held for so short that a fork does not find it taken.
    let known = ours(&lock());
    known.unwrap_or_else(|| {
        let new: Parts =
            (Arc::new(sim::default_host()), Arc::new(Runtime::memory([])), Arc::new(Definitions::memory([])));
        let mut made = lock();
        ours(&made).unwrap_or_else(|| made.insert((process, new)).1.clone())
    })
}

/// The version of this library.
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
