// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a monitor knows of a host: every node as it was last told. So that one that is gone can still be described, and
//! that nothing is told twice.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::backend::places::{self, Place};
use crate::backend::vendor_vfio::vfs::{current_file, present};
use crate::backend::{self, Layout};
use crate::driver::defined;
use crate::driver::devices::{self, KnownParents};
use crate::driver::spots::{self, LazyFacts, Spot};
use crate::driver::{Host, catalogue};
use crate::error::{Error, Result};
use crate::finding::{first_failed, observe, report_unless_exhausted};
use crate::model::name::device_name;
use crate::model::{Device, Function, LayoutKind, Parent};
use crate::store::Definition;
use crate::sysfs::{Dir, Errno, basename, dirname, if_present, is_absent, resolve};

/// When the numbers of available instances are looked at again after a device has come or gone: a driver gives back what a
/// device had when the last user is gone, which may be after the kernel's event, and says nothing then.
const LOOKS: [Duration; 4] =
    [Duration::from_millis(2), Duration::from_millis(10), Duration::from_millis(50), Duration::from_millis(250)];

/// A device that was told.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) device: Device,
    /// See [`Layout::mark`].
    pub(super) mark: Option<u64>,
    /// Its driver has let go of it since.
    pub(super) unbound: bool,
}

impl Known {
    fn new(device: Device, mark: Option<u64>) -> Self {
        Known { device, mark, unbound: false }
    }

    /// A driver that takes it brings nothing new.
    pub(super) fn is_bound(&self) -> bool {
        !self.unbound && self.device.driver.is_some() && self.device.iommu_group.is_some()
    }
}

/// A device of which the kernel has spoken, and that is not ready yet.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) since: Instant,
    /// Its driver has it: the kernel is done, but for links that it makes without a word.
    pub(super) bound: bool,
    /// It went before we saw it.
    pub(super) gone: bool,
    pub(super) next: Instant,
    pub(super) pause: Duration,
}

impl Coming {
    pub(super) fn new(now: Instant) -> Self {
        Coming { since: now, bound: false, gone: false, next: now, pause: Duration::from_millis(1) }
    }
}

/// A parent that was told.
#[derive(Debug)]
pub(super) struct KnownParent {
    pub(super) place: Place,
    pub(super) parent: Parent,
    /// Something has happened on it.
    pub(super) dirty: bool,
    pub(super) looks: VecDeque<Instant>,
}

/// A VF that is a device while it has a type.
#[derive(Debug, Clone)]
pub(super) struct Vf {
    pub(super) parent: String,
    pub(super) function: Function,
}

/// Everything by its path in sysfs.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) parents: HashMap<String, KnownParent>,
    pub(super) devices: HashMap<String, Known>,
    pub(super) coming: HashMap<String, Coming>,
    pub(super) vfs: HashMap<String, Vf>,
    /// By sysfs name of the parent and UUID.
    pub(super) definitions: BTreeMap<(String, Uuid), Definition>,
}

/// How the VFs of a parent have changed.
#[derive(Debug, Default)]
pub(super) struct Functions {
    pub(super) new: Vec<String>,
    pub(super) gone: Vec<String>,
}

/// What is to be seen of a device now.
pub(super) enum Look {
    Gone,
    /// It cannot be told: what is known stays.
    Unknown,
    /// It is there, but not all that belongs to it.
    NotReady(Box<Known>),
    Ready(Box<Known>),
}

impl Memory {
    /// The whole host, as a list has it.
    pub(super) fn read(host: &Host) -> Result<Memory> {
        let mut memory = Memory::default();
        let mut known = KnownParents::new(&*host.sysfs);
        for place in places::places(&*host.sysfs)? {
            if let Read::Parent(parent) = read_parent(host, &place)? {
                known.add(&parent);
                memory.add_parent(host, place, *parent)?;
            }
        }
        let defined = defined::all(host)?.into_iter();
        memory.definitions = defined.map(|def| ((def.parent.clone(), def.uuid), def)).collect();
        let facts = LazyFacts::new(host);
        for spot in spots::all(host, &known, &facts)? {
            if let Some(device) = devices::read_listed(&spot, facts.all()?.get(&spot.uuid), &mut known)? {
                let layout = backend::of_kind(device.layout);
                let mark = layout.mark(&*spot.dir, &spot.entry).ok();
                if !is_ready(layout, &device) {
                    memory.coming.insert(spot.syspath.clone(), Coming::new(Instant::now()));
                }
                memory.devices.insert(spot.syspath.clone(), Known::new(device, mark));
            }
        }
        Ok(memory)
    }

    /// With its VFs. What is still to be looked at on a parent that is known stays so.
    pub(super) fn add_parent(&mut self, host: &Host, place: Place, parent: Parent) -> Result<Functions> {
        let path = place.syspath.clone();
        let now = vfs_of(host, &parent)?;
        let new = now.keys().filter(|vf| !self.vfs.contains_key(*vf)).cloned().collect();
        let had = self.vfs.iter().filter(|(_, vf)| vf.parent == path).map(|(vf, _)| vf);
        let gone = had.filter(|vf| !now.contains_key(*vf)).cloned().collect();
        self.vfs.retain(|_, vf| vf.parent != path);
        self.vfs.extend(now);
        let (dirty, looks) = self.parents.remove(&path).map(|old| (old.dirty, old.looks)).unwrap_or_default();
        self.parents.insert(path, KnownParent { place, parent, dirty, looks });
        Ok(Functions { new, gone })
    }

    /// Something has happened on the parent of this device: its numbers have changed, or when it is gone, they do so now or
    /// a little later.
    pub(super) fn touch_parent_of(&mut self, device: &str, is_gone: bool) {
        let parent = self.vfs.get(device).map_or_else(|| dirname(device).to_owned(), |vf| vf.parent.clone());
        if let Some(known) = self.parents.get_mut(&parent) {
            known.dirty = true;
            if is_gone {
                let now = Instant::now();
                known.looks = LOOKS.iter().map(|pause| now + *pause).collect();
            }
        }
    }

    /// The last of what happened before memory was read may show later.
    pub(super) fn touch_all_parents(&mut self) {
        let at = Instant::now() + LOOKS[LOOKS.len() - 1];
        self.parents.values_mut().for_each(|known| known.looks.push_back(at));
    }

    /// When something is to be looked at again though nothing happens.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let coming = self.coming.values().filter(|coming| !coming.gone).map(|coming| coming.next);
        let parents = self.parents.values().filter_map(|known| known.looks.front().copied());
        coming.chain(parents).min()
    }

    /// Looks at a device.
    pub(super) fn look(&self, host: &Host, path: &str) -> Result<Look> {
        match self.vfs.get(path) {
            Some(vf) => self.look_at_function(host, path, vf),
            None => self.look_on_bus(host, path),
        }
    }

    fn look_on_bus(&self, host: &Host, path: &str) -> Result<Look> {
        let Ok(uuid) = basename(path).parse::<Uuid>() else { return Ok(Look::Gone) };
        let Some(bus) = spots::open_devices(host)? else { return Ok(Look::Gone) };
        let found = match spots::on_bus(&bus, &uuid) {
            Ok(found) => found.filter(|spot| spot.syspath == path),
            Err(errno) => return unseen(path, errno),
        };
        let Some(spot) = found else { return Ok(Look::Gone) };
        let mark = Some(spot.mark());
        let mut known = self.known_parent(host, &spot.parent);
        look_of(devices::at(host, &spot, &mut known), mark)
    }

    fn look_at_function(&self, host: &Host, path: &str, vf: &Vf) -> Result<Look> {
        let dir: Rc<dyn Dir> = match host.sysfs.open(&vf.parent) {
            Ok(dir) => Rc::from(dir),
            Err(errno) => return unseen(&vf.parent, errno),
        };
        let facts = LazyFacts::new(host);
        let (found, left_out) = observe(|| spots::of_function(&dir, &vf.function, &facts));
        let spot = match found {
            // The record that cannot be read may be the record of the known device.
            Ok(Some(spot)) if first_failed(left_out).is_some() && self.has_other_uuid(path, &spot) => {
                return Ok(Look::Unknown);
            }
            Ok(Some(spot)) => spot,
            Ok(None) => return Ok(Look::Gone),
            Err(e) => return unknown(e),
        };
        let mark = Some(spot.mark());
        let mut known = self.known_parent(host, &spot.parent);
        look_of(devices::read(&spot, facts.all()?.get(&spot.uuid), &mut known), mark)
    }

    /// Whether the VF is unchanged and its known device has another UUID.
    fn has_other_uuid(&self, path: &str, spot: &Spot) -> bool {
        let known = self.devices.get(path).filter(|known| known.device.uuid != spot.uuid);
        known.zip(spot.seen.as_ref()).is_some_and(|(known, seen)| {
            known.mark == Some(seen.mark) && known.device.type_id.as_ref() == Some(&seen.type_id)
        })
    }

    /// So that the parent of a device need not be read once more.
    fn known_parent<'a>(&self, host: &'a Host, path: &str) -> KnownParents<'a> {
        let mut known = KnownParents::new(&*host.sysfs);
        if let Some(parent) = self.parents.get(path) {
            known.add(&parent.parent);
        }
        known
    }

    /// A device that came and went before anyone looked: what its path tells. `None` when its parent is not known either.
    pub(super) fn vanished(&self, path: &str) -> Option<Device> {
        let uuid: Uuid = basename(path).parse().ok()?;
        let parent = &self.parents.get(dirname(path))?.parent;
        Some(Device {
            name: device_name(&uuid, &parent.sysname),
            uuid,
            parent: parent.name.clone(),
            parent_sysname: parent.sysname.clone(),
            syspath: path.to_owned(),
            layout: parent.layout,
            type_id: None,
            device_api: None,
            iommu_group: None,
            numa_node: parent.numa_node,
            physical_function: parent.physical_function.clone(),
            driver: None,
            group: None,
            params: None,
            owner: None,
            attributes: Vec::new(),
            mark: None,
            active: false,
        })
    }
}

/// The look of a device that was read. A device that cannot be read does not count as removed.
fn look_of(read: Result<Option<Device>>, mark: Option<u64>) -> Result<Look> {
    match read {
        Ok(Some(device)) => Ok(seen(device, mark)),
        Ok(None) => Ok(Look::Gone),
        Err(e) => unknown(e),
    }
}

/// A look that failed says nothing about the node.
fn unknown(e: Error) -> Result<Look> {
    report_unless_exhausted(e).map(|()| Look::Unknown)
}

fn seen(device: Device, mark: Option<u64>) -> Look {
    let ready = is_ready(backend::of_kind(device.layout), &device);
    let known = Box::new(Known::new(device, mark));
    if ready { Look::Ready(known) } else { Look::NotReady(known) }
}

/// What the layout always has is there.
fn is_ready(layout: &dyn Layout, device: &Device) -> bool {
    let typed = device.type_id.is_some() || layout.kind() == LayoutKind::Rfc;
    typed && (device.iommu_group.is_some() || !layout.has_iommu_group())
}

/// A device that was not found is gone only if the errno means absence.
fn unseen(what: &str, errno: Errno) -> Result<Look> {
    if is_absent(errno) { Ok(Look::Gone) } else { unknown(Error::io("look at", what, errno)) }
}

/// The VFs of a parent by their paths: also one that is left out of lists, since it may become readable.
fn vfs_of(host: &Host, parent: &Parent) -> Result<HashMap<String, Vf>> {
    if parent.layout != LayoutKind::VendorVfio {
        return Ok(HashMap::new());
    }
    let failed = |errno| Error::io("read the VFs of", &parent.syspath, errno);
    // The kernel sends an event when the parent is removed.
    let Some(dir) = if_present(host.sysfs.open(&parent.syspath)).map_err(failed)? else { return Ok(HashMap::new()) };
    let mut vfs = HashMap::new();
    for function in present(&*dir).map_err(failed)? {
        let target = if_present(dir.link(&function.entry)).map_err(failed)?;
        if let Some(path) = target.and_then(|target| resolve(dir.path(), &target)) {
            vfs.insert(path, Vf { parent: parent.syspath.clone(), function });
        }
    }
    Ok(vfs)
}

/// The file to follow for a VF.
pub(super) fn followed(vf: &str) -> String {
    current_file(vf)
}

/// The VF that a followed file belongs to.
pub(super) fn vf_of(file: &str) -> &str {
    dirname(dirname(file))
}

/// What a look at a parent returned.
pub(super) enum Read {
    Gone,
    /// It exists and cannot be read: what is known stays.
    Unknown,
    Parent(Box<Parent>),
}

pub(super) fn read_parent(host: &Host, place: &Place) -> Result<Read> {
    match places::read_parent(&*host.sysfs, place, true) {
        Ok(mut parent) => {
            catalogue::complete(host, &mut parent)?;
            Ok(Read::Parent(Box::new(parent)))
        }
        Err(errno) if is_absent(errno) => Ok(Read::Gone),
        Err(errno) => report_unless_exhausted(Error::io("read", &place.syspath, errno)).map(|()| Read::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Conn, CreateFlags};
    use crate::store::{Runtime, watched};
    use crate::sysfs::sim::default_host;
    use std::sync::Arc;

    /// A driver gives back late what a device had, and says nothing then.
    #[test]
    fn a_parent_that_is_read_anew_is_still_to_be_looked_at() {
        let conn = Conn::on(Arc::new(default_host()), Arc::new(Runtime::memory([])));
        let mut memory = Memory::read(&conn.host).unwrap();
        let path = memory.parents.keys().next().unwrap().clone();
        memory.touch_parent_of(&format!("{path}/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"), true);
        let known = &memory.parents[&path];
        let (place, parent, looks) = (known.place.clone(), known.parent.clone(), known.looks.clone());
        memory.add_parent(&conn.host, place, parent).unwrap();
        let known = &memory.parents[&path];
        assert!(known.dirty && looks.len() == LOOKS.len() && known.looks == looks);
    }

    /// Without its record, the device of the VF would have another UUID.
    #[test]
    fn device_on_a_vf_stays_as_it_is_while_a_record_cannot_be_read() {
        let run = tempfile::tempdir().unwrap();
        let runtime = Runtime::files(run.path().to_str().unwrap());
        let conn = Conn::on(Arc::new(default_host()), Arc::new(runtime));
        let xml =
            b"<device><parent>0000:41:00.5</parent><capability type='mdev'><type id='1441'/></capability></device>";
        let device = conn.create_xml(xml, CreateFlags::empty()).unwrap();
        let memory = Memory::read(&conn.host).unwrap();
        let look = |suffix: String| {
            let hook = move |_: &str, path: &str| if path.ends_with(&suffix) { Err(Errno::IO) } else { Ok(()) };
            watched(hook, || memory.look(&conn.host, device.syspath()).unwrap())
        };
        let uuid = device.uuid().unwrap();
        assert!(matches!(look("no file".into()), Look::Ready(known) if known.device.uuid.to_string() == uuid));
        for unread in ["devices", &uuid] {
            assert!(matches!(look(unread.into()), Look::Unknown), "{unread}");
        }
    }
}
