// SPDX-License-Identifier: LGPL-2.1-or-later
//! Reads the types of a parent. In every layout of the mdev bus a type is a folder of small text files.

use super::layouts::detect;
use super::strategy::{DEVICE_API, Strategy};
use crate::backend::group::{REQUIRES_GROUP, is_group_required};
use crate::backend::{Layout, TYPES};
use crate::error::ErrorCode;
use crate::finding::{Finding, or_report, report};
use crate::model::{TextsBuilder, Type, compare_ids, parse_count};
use crate::sysfs::{Dir, EntryKind, Errno, IoResult, if_readable, read_text_in};

/// Returns the layout of an open parent and its types. Reports and leaves out a type that cannot be read. Fails if the
/// folder of types cannot be read, and if this process has run out of descriptors or memory.
pub fn read_types(parent: &dyn Dir) -> IoResult<(&'static Layout, Vec<Type>)> {
    let dir = parent.open(TYPES)?;
    let mut types = Vec::new();
    let mut reading = Reading::default();
    dir.list(&mut |id, entry_kind| {
        if entry_kind == EntryKind::Dir {
            types.extend(read_type(&*dir, id, &mut reading));
        }
    })?;
    reading.exhausted.map_or(Ok(()), Err)?;
    types.sort_unstable_by(|a, b| compare_ids(a.id(), b.id()));
    let strategy = detect(parent, |file| Ok(types.iter().any(|ty| ty.attribute(file).is_some())))?;
    for ty in &mut types {
        if strategy.type_file == DEVICE_API && ty.device_api().is_none_or(str::is_empty) {
            let file = format!("{}/{}/{DEVICE_API}", dir.path(), ty.id());
            report(Finding::new(
                ErrorCode::BadData,
                file,
                "missing or empty, so it is unknown how QEMU attaches devices of this type",
            ));
        }
        ty.available_instances = available_instances(ty, strategy.instances, dir.path());
    }
    Ok((&strategy.layout, types))
}

/// State that all types of a parent share: buffers, and the first lack of descriptors or memory.
#[derive(Default)]
struct Reading {
    bytes: Vec<u8>,
    texts: TextsBuilder,
    /// This process ran out of descriptors or memory, so the list of types is not complete.
    exhausted: Option<Errno>,
}

impl Reading {
    /// Reports that the object at a path is left out.
    fn leave_out(&mut self, path: std::fmt::Arguments<'_>, errno: Errno) {
        let reported = or_report(Err::<(), _>(errno), |errno| Finding::io(path.to_string(), "left out", errno));
        self.exhausted = self.exhausted.or(reported.err());
    }
}

fn read_type(types: &dyn Dir, id: &str, reading: &mut Reading) -> Option<Type> {
    let dir = match types.open(id) {
        Ok(dir) => dir,
        Err(errno) => {
            reading.leave_out(format_args!("{}/{id}", types.path()), errno);
            return None;
        }
    };
    let mut ty = Type::default();
    reading.texts.begin(id);
    let listed = dir.list(&mut |name, entry| {
        if entry == EntryKind::File {
            read_attribute(&*dir, name, &mut ty, reading);
        }
    });
    if let Err(errno) = listed {
        reading.leave_out(format_args!("{}", dir.path()), errno);
        return None;
    }
    ty.texts = reading.texts.finish();
    Some(ty)
}

/// Reads the file `name` of a type into `ty`.
fn read_attribute(dir: &dyn Dir, name: &str, ty: &mut Type, reading: &mut Reading) {
    match name {
        // Write-only.
        "create" => return,
        "params" => {
            ty.has_params = true;
            return;
        }
        _ => {}
    }
    let text = match read_text_in(dir, name, &mut reading.bytes) {
        Ok(text) => text,
        // Write-only, or removed since the folder was listed.
        Err(Errno::ACCESS | Errno::NOENT | Errno::NODEV) => return,
        Err(errno) => {
            reading.leave_out(format_args!("{}/{name}", dir.path()), errno);
            return;
        }
    };
    match name {
        "name" if text.is_empty() => return,
        REQUIRES_GROUP => ty.requires_group = is_group_required(&text),
        _ => {}
    }
    reading.texts.add(name, &text);
}

/// The number of devices that can still be created, from the file `attr`. Reports a missing or invalid number. `types`
/// is the path of the folder of types.
fn available_instances(ty: &Type, attr: &str, types: &str) -> Option<u32> {
    let count = ty.attribute(attr).and_then(parse_count);
    if count.is_none() {
        let file = format!("{types}/{}/{attr}", ty.id());
        report(Finding::new(ErrorCode::BadData, file, "missing or not a number; the available instances are unknown"));
    }
    count
}

/// Returns the types `before` with the numbers of devices that can be created now. Reads one file of each type. Fails
/// if this process has run out of descriptors or memory, and with ENOENT if the folder of types no longer exists.
pub fn read_counts(
    parent: &dyn Dir,
    strategy: &'static Strategy,
    before: &[Type],
) -> IoResult<(&'static Layout, Vec<Type>)> {
    let (dir, mut types) = (parent.open(TYPES)?, before.to_vec());
    let instances = strategy.instances;
    let mut buffer = Vec::with_capacity(64);
    for ty in &mut types {
        let read = read_text_in(&*dir, &format!("{}/{instances}", ty.id()), &mut buffer);
        // A count that cannot be read stays as it was.
        let Some(text) = if_readable(read)? else { continue };
        ty.available_instances = parse_count(&text);
        if ty.attribute(instances).is_some_and(|old| old != text) {
            ty.texts.set(instances, &text);
        }
    }
    Ok((&strategy.layout, types))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LayoutKind;
    use crate::sysfs::Sysfs;
    use crate::sysfs::linux::LinuxSysfs;

    #[test]
    fn type_has_the_files_that_its_folder_has() {
        let files = ["name", "device_api", "available_instances", "description", "vendor_detail"];
        for (odd, missing) in ["1", "2", "3"].into_iter().flat_map(|odd| files.map(|missing| (odd, missing))) {
            let root = tempfile::tempdir().unwrap();
            for id in ["1", "2", "3", "4"] {
                let dir = root.path().join("sys/parent").join(TYPES).join(id);
                std::fs::create_dir_all(&dir).unwrap();
                // The folder of the type 4 is empty.
                for file in files.iter().filter(|file| id != "4" && (id != odd || **file != missing)) {
                    std::fs::write(dir.join(file), "7\n").unwrap();
                }
            }
            let sysfs = LinuxSysfs::new(root.path().to_str().unwrap()).unwrap();
            let (layout, types) = read_types(&*sysfs.open("/sys/parent").unwrap()).unwrap();
            assert_eq!((layout.kind, types.len()), (LayoutKind::MDEV, 4), "{odd} lacks {missing}");
            for ty in &types {
                let has = |file: &str| ty.attribute(file).is_some();
                for file in files {
                    let is_there = ty.id() != "4" && (ty.id() != odd || file != missing);
                    assert_eq!(has(file), is_there, "{file} of {}: {odd} lacks {missing}", ty.id());
                }
            }
        }
    }

    #[test]
    fn types_of_the_general_layout_have_different_files() {
        let root = tempfile::tempdir().unwrap();
        for (id, file) in [("1", "heads"), ("2", "queues")] {
            let dir = root.path().join("sys/parent").join(TYPES).join(id);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("available_instances"), "7\n").unwrap();
            std::fs::write(dir.join(file), "2\n").unwrap();
        }
        let sysfs = LinuxSysfs::new(root.path().to_str().unwrap()).unwrap();
        let (layout, types) = read_types(&*sysfs.open("/sys/parent").unwrap()).unwrap();
        assert_eq!(layout.kind, LayoutKind::GENERAL);
        assert_eq!((types[0].attribute("heads"), types[1].attribute("queues")), (Some("2"), Some("2")));
    }
}
