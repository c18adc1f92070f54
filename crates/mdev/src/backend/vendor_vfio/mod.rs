// SPDX-License-Identifier: LGPL-2.1-or-later
//! `vendor-vfio`: no mdev bus. The driver of an SR-IOV card creates a virtual GPU (vGPU) on a VF when the id of a type
//! is written to the VF's file `current_vgpu_type`, and removes the vGPU when 0 is written. A VF is chosen, written and
//! cleared under the lock of the PF.

use self::devices::Search;
use self::vfs::{DRIVERS, FOLDER, SOFTWARE, VFS};
use crate::backend::{
    Attempt, Backend, CreateRequest, Created, Folders, Hint, Layout, Located, OpenParent, PCI, Place, Prepared, Remove,
    Slots, TYPES, Target, Types, Wanted, WantedParent,
};
use crate::error::{Error, Result, if_readable};
use crate::model::{LayoutKind, Parent, PciAddress, Vf};
use crate::store::{DeviceRecord, RecordedDevice, Records};
use crate::sysfs::{Dir, IoResult, Sysfs, if_present};

mod create;
mod devices;
mod identity;
mod pfs;
mod type_cache;
mod vfs;
mod vgpu_types;

static LAYOUT: Layout = Layout {
    type_folder: None,
    parents_depend: true,
    reserves_first: false,
    keeps_identity: false,
    removes_at_once: true,
    is_vf: true,
    refuses_open: true,
    attributes: Some(FOLDER),
    control_files: &[vfs::CURRENT],
    device_api: Some(vfs::DEVICE_API),
    host_folders: &[SOFTWARE],
    link_folders: &[DRIVERS[0], DRIVERS[1], DRIVERS[2], DRIVERS[3], PCI],
    device_folder: None,
    ..Layout::new(LayoutKind::VENDOR_VFIO)
};

static LAYOUTS: [&Layout; 1] = [&LAYOUT];

/// The backend.
#[derive(Debug)]
pub(super) struct VendorVfio;

impl VendorVfio {
    fn search<'a>(&self, folders: &'a Folders<'a>, records: &'a Records<'a>) -> Search<'a> {
        Search { backend: &VendorVfio, folders, records }
    }
}

impl Backend for VendorVfio {
    fn layouts(&self) -> &'static [&'static Layout] {
        &LAYOUTS
    }

    fn parents(&self, sysfs: &dyn Sysfs, _wanted: Option<&WantedParent<'_>>) -> Result<Vec<Place>> {
        pfs::physical_functions(sysfs)
    }

    fn parent_at(&self, folders: &Folders<'_>, syspath: &str, subsystem: &str) -> Result<Option<Target>> {
        if subsystem == "pci" { pfs::at(folders, syspath) } else { Ok(None) }
    }

    fn layout_of(&self, dir: &dyn Dir, _hint: Hint<'_>) -> IoResult<Option<&'static Layout>> {
        let is_pf = if_present(dir.meta(VFS))?.is_some() && if_present(dir.meta(TYPES))?.is_none();
        Ok(is_pf.then_some(&LAYOUT))
    }

    fn types(&self, dir: &dyn Dir, records: &Records<'_>, _before: Option<&Parent>) -> IoResult<Option<Types>> {
        let Some(layout) = self.layout_of(dir, Hint::None)? else { return Ok(None) };
        let candidates = vfs::candidates(dir)?;
        let mut types = vfs::union(&candidates);
        let why_none = if types.is_empty() { vfs::why_no_types(dir) } else { String::new() };
        let is_used = candidates.iter().any(|candidate| candidate.vf.type_id.is_some());
        // A driver lists only the types that it can create while the present vGPUs exist.
        let is_partial = is_used || candidates.iter().all(|candidate| candidate.creatable.is_empty());
        let vfs: Vec<Vf> = candidates.into_iter().map(|candidate| candidate.vf).collect();
        let version = if vfs.is_empty() { None } else { type_cache::version(dir)? };
        let seen = match version {
            Some(version) => type_cache::complete(records, dir, version, &mut types)?,
            None => None,
        };
        Ok(Some(Types { layout, types, vfs, seen, is_partial, why_none }))
    }

    fn slots(&self, parent: &dyn Dir) -> IoResult<Slots> {
        vfs::slots(parent)
    }

    fn devices(
        &self,
        sysfs: &dyn Sysfs,
        records: &Records<'_>,
        cached_vfs: &dyn Fn(&str) -> Option<Vec<Vf>>,
    ) -> Result<Vec<Located>> {
        self.search(&Folders::new(sysfs), records).all(cached_vfs)
    }

    fn locate(&self, folders: &Folders<'_>, records: &Records<'_>, wanted: &Wanted<'_>) -> Result<Option<Located>> {
        let search = self.search(folders, records);
        match wanted {
            Wanted::Uuid(uuid, may_be) => search.by_uuid(uuid, may_be),
            Wanted::Name(vf) if vf.parse::<PciAddress>().is_ok() => search.by_name(vf),
            Wanted::Name(_) => Ok(None),
            Wanted::Same(id) => search.same(id),
        }
    }

    fn locate_created(&self, sysfs: &dyn Sysfs, records: &Records<'_>, attempt: &Attempt<'_>) -> IoResult<Created> {
        self.search(&Folders::new(sysfs), records).locate_created(attempt)
    }

    fn identity(&self, dir: &dyn Dir, entry: &str) -> IoResult<Option<u64>> {
        Ok(if_present(identity::state(dir, entry))?.flatten().map(|state| state.identity))
    }

    fn device_of_record(&self, folders: &Folders<'_>, record: &DeviceRecord) -> IoResult<RecordedDevice> {
        identity::device_of_record(folders, record)
    }

    fn explain_missing(&self, folders: &Folders<'_>, records: &Records<'_>, record: &DeviceRecord) -> Option<Error> {
        identity::explain_missing(folders, records, record)
    }

    fn is_same(&self, device: &Located, records: Option<&Records<'_>>) -> Result<bool> {
        identity::is_same(device, records)
    }

    fn is_about(&self, _sysfs: &dyn Sysfs, _layout: &Layout, device: &Located, record: &DeviceRecord) -> Result<bool> {
        Ok(identity::is_of(record, device))
    }

    fn type_of(&self, _layout: &Layout, dir: &dyn Dir, entry: &str) -> IoResult<Option<String>> {
        Ok(if_readable(vfs::current(dir, entry))?.flatten())
    }

    fn lock(&self, _layout: &Layout, parent: &str, _created: Option<&str>) -> Option<String> {
        Some(format!("parent-{parent}"))
    }

    fn prepare<'a>(&self, parent: &OpenParent, request: &CreateRequest<'a>) -> Result<Prepared<'a>> {
        create::prepare(&*parent.dir, request)
    }

    fn remove(&self, parent: &OpenParent, device: &Located, how: &Remove<'_>) -> Result<()> {
        create::remove(&*parent.dir, device, how)
    }
}
