// SPDX-License-Identifier: LGPL-2.1-or-later
//! The smallest possible backend: a parent below `/sys/toys` has one device, and the UUID of the device is in its file
//! `slot`.

use std::rc::Rc;

use super::*;
use crate::sysfs::{Writer, read_text, write_line, write_line_to};

pub(super) struct Toy;
const NAME: LayoutKind = LayoutKind::new("toy");
static TOY: &[&Layout] = &[&Layout { has_iommu_group: false, control_files: &["slot"], ..Layout::new(NAME) }];

fn uuid_in(dir: &dyn Dir) -> IoResult<Option<Uuid>> {
    Ok(parse_uuid(&read_text(dir, "slot")?).filter(|uuid| !uuid.is_nil()))
}

fn device(sysfs: &dyn Sysfs, parent: &str) -> IoResult<Option<Located>> {
    let dir: Rc<dyn Dir> = Rc::from(sysfs.open(parent)?);
    let (backend, entry, parent, uuid) = (&Toy, ".".to_owned(), parent.to_owned(), uuid_in(&*dir)?);
    let (syspath, identity) = (parent.clone(), uuid.unwrap_or_default().as_u64_pair().1);
    Ok(uuid.map(|uuid| Located { backend, uuid, parent, syspath, dir, entry, identity, type_id: None }))
}

impl CreateWrites for (Box<dyn Writer>, Uuid) {
    fn planned(&self) -> Vec<(String, String)> {
        vec![("slot".to_owned(), self.1.to_string())]
    }
    fn set_up(&mut self) -> Result<()> {
        Ok(())
    }
    fn commit(mut self: Box<Self>) -> Result<()> {
        write_line_to(&mut *self.0, &self.1.to_string()).map_err(|errno| Error::io("write", "slot", errno))
    }
}

impl Backend for Toy {
    fn layouts(&self) -> &'static [&'static Layout] {
        TOY
    }
    fn parents(&self, sysfs: &dyn Sysfs, _: Option<&WantedParent<'_>>) -> Result<Vec<Place>> {
        let (mut places, toys) = (Vec::new(), "/sys/toys");
        let mut add =
            |name: &str, _| places.push(Place { syspath: format!("{toys}/{name}"), subsystem: "toy".to_owned() });
        let listed = if_present(sysfs.open(toys).and_then(|dir| dir.list(&mut add)));
        listed.map_err(|errno| Error::io("list", toys, errno)).map(|_| places)
    }
    fn parent_at(&self, _: &Folders<'_>, path: &str, subsystem: &str) -> Result<Option<Target>> {
        Ok((subsystem == "toy").then(|| Place { syspath: path.to_owned(), subsystem: subsystem.to_owned() }.into()))
    }
    fn layout_of(&self, dir: &dyn Dir, _: Hint<'_>) -> IoResult<Option<&'static Layout>> {
        Ok(if_present(dir.meta("slot"))?.map(|_| TOY[0]))
    }
    fn types(&self, dir: &dyn Dir, _: &Records<'_>, _: Option<&Parent>) -> IoResult<Option<Types>> {
        let texts = crate::model::TypeTexts::new("only", []);
        let types = vec![Type { texts, available_instances: Some(1), ..Type::default() }];
        let of = |layout| Types { layout, types, vfs: vec![], seen: None, is_partial: false, why_none: String::new() };
        Ok(self.layout_of(dir, Hint::None)?.map(of))
    }
    fn slots(&self, dir: &dyn Dir) -> IoResult<Slots> {
        let (syspath, parent, file) = (dir.path().to_owned(), dir.path().to_owned(), format!("{}/slot", dir.path()));
        Ok(Slots { present: vec![Slot { syspath, parent, file }], may_grow: false })
    }
    fn devices(&self, sysfs: &dyn Sysfs, _: &Records<'_>, _: &dyn Fn(&str) -> Option<Vec<Vf>>) -> Result<Vec<Located>> {
        Ok(self.parents(sysfs, None)?.iter().filter_map(|place| device(sysfs, &place.syspath).ok()?).collect())
    }
    fn locate(&self, folders: &Folders<'_>, records: &Records<'_>, wanted: &Wanted<'_>) -> Result<Option<Located>> {
        let is_named = |device: &Located| matches!(wanted, Wanted::Name(name) if *name == device.sysname());
        let mut all = self.devices(folders.sysfs(), records, &|_| None)?.into_iter();
        Ok(all.find(|device| wanted.uuid() == Some(device.uuid) || is_named(device)))
    }
    fn locate_created(&self, sysfs: &dyn Sysfs, _: &Records<'_>, attempt: &Attempt<'_>) -> IoResult<Created> {
        Ok(device(sysfs, attempt.parent)?.map_or(Created::Absent, Created::Own))
    }
    fn identity(&self, dir: &dyn Dir, _: &str) -> IoResult<Option<u64>> {
        Ok(uuid_in(dir)?.map(|uuid| uuid.as_u64_pair().1))
    }
    fn device_of_record(&self, folders: &Folders<'_>, record: &DeviceRecord) -> IoResult<RecordedDevice> {
        let device = if_present(device(folders.sysfs(), &format!("/sys/toys/{}", record.parent)))?.flatten();
        let device = device.filter(|device| device.uuid == record.uuid);
        Ok(device.map_or(RecordedDevice::Absent, |device| RecordedDevice::Own(device.identity)))
    }
    fn explain_missing(&self, _: &Folders<'_>, _: &Records<'_>, _: &DeviceRecord) -> Option<Error> {
        None
    }
    fn is_same(&self, device: &Located, _: Option<&Records<'_>>) -> Result<bool> {
        Ok(self.identity(&*device.dir, "") == Ok(Some(device.identity)))
    }
    fn is_about(&self, _: &dyn Sysfs, _: &Layout, device: &Located, record: &DeviceRecord) -> Result<bool> {
        Ok(record.uuid == device.uuid)
    }
    fn type_of(&self, _: &Layout, _: &dyn Dir, _: &str) -> IoResult<Option<String>> {
        Ok(Some("only".to_owned()))
    }
    fn lock(&self, _: &Layout, _: &str, _: Option<&str>) -> Option<String> {
        None
    }
    fn prepare<'a>(&self, parent: &OpenParent, request: &CreateRequest<'a>) -> Result<Prepared<'a>> {
        let file = parent.dir.writer("slot").map_err(|errno| write_error(&*parent.dir, "slot", errno))?;
        Ok(Prepared { vf: None, writes: Box::new((file, request.uuid)) })
    }
    fn remove(&self, parent: &OpenParent, _: &Located, _: &Remove<'_>) -> Result<()> {
        write_line(&*parent.dir, "slot", &Uuid::nil().to_string()).map_err(|e| write_error(&*parent.dir, "slot", e))
    }
}
