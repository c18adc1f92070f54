// SPDX-License-Identifier: LGPL-2.1-or-later
//! Reads the types of a parent. Every layout with an mdev bus has one folder for each, full of small text files.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

use super::{LAYOUTS, Layout, LiveMarks, Marks, TYPES};
use crate::error::ErrorCode;
use crate::finding::{Finding, report};
use crate::model::{LayoutKind, Type};
use crate::sysfs::{Dir, EntryKind, Errno, IoResult, if_present, is_exhausted, read_text_in};

/// Files that take orders; reading them is refused, so the attempt is spared.
const WRITE_ONLY: [&str; 2] = ["create", "params"];

/// The proposal's own class attributes come first in a dump, in its order.
const RFC_ORDER: [&str; 5] = ["fb_length", "resolution", "heads", "max_instances", REQUIRES_GROUP];

/// A file of a type whose devices have to be created in a group.
pub(super) const REQUIRES_GROUP: &str = "requires_group";

/// Whether the content of that file requires a group. 0 means the same as a missing file.
pub(super) fn is_group_required(text: &str) -> bool {
    text.trim() != "0"
}

/// Files that every type of the merged kernel has or may have.
const MERGED_FILES: [&str; 4] = ["name", "device_api", "available_instances", "description"];

/// How thoroughly types are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every folder of a type is listed, and every readable file in it read.
    Whole,
    /// Where the layout is that of the merged kernel, one folder is listed, and the other types are taken to have files of
    /// the same names. The kernel gives all types of a driver the same files, and since 6.1 leaves drivers no choice; a
    /// listing would be a third of the time and of the system calls. A file that only some types have may be missed.
    Alike,
}

/// The types of an open parent and the layout that they and the parent show. A type that cannot be read is logged and
/// left out; a parent without the folder is an error.
pub fn read_types(parent: &dyn Dir, depth: Depth) -> IoResult<(&'static dyn Layout, Vec<Type>)> {
    let dir = parent.open(TYPES)?;
    let mut types = Vec::new();
    let mut files: Option<Vec<Cow<'static, str>>> = None;
    let mut room = Room::default();
    dir.list(&mut |id, kind| {
        if kind != EntryKind::Dir {
            return;
        }
        let alike = files.as_deref().and_then(|files| read_alike(&*dir, id, files, &mut room));
        types.extend(alike.or_else(|| read_type(&*dir, id, &mut room)));
        if depth == Depth::Alike && files.is_none() {
            files = types.first().and_then(|first| merged_files(parent, first));
        }
    })?;
    if let Some(errno) = room.exhausted {
        return Err(errno);
    }
    types.sort_unstable_by(|a, b| compare_ids(&a.id, &b.id));
    let layout = match files {
        Some(_) => super::of_kind(LayoutKind::Mdev),
        None => Seen::new(parent, &types).layout()?,
    };
    for kind in &mut types {
        if layout.kind() == LayoutKind::Mdev && kind.device_api.as_deref().is_none_or(str::is_empty) {
            let file = format!("{}/{}/device_api", dir.path(), kind.id);
            report(Finding::new(ErrorCode::BadData, file, "missing or empty; how QEMU attaches the type is unknown"));
        }
        kind.available_instances = available(kind, layout.kind().instances_attr(), dir.path());
    }
    Ok((layout, types))
}

/// The files to read of every other type, when the first one shows the merged kernel.
fn merged_files(parent: &dyn Dir, first: &Type) -> Option<Vec<Cow<'static, str>>> {
    let seen = Seen::new(parent, std::slice::from_ref(first));
    if first.device_api.is_none() || !seen.layout().is_ok_and(|layout| layout.kind() == LayoutKind::Mdev) {
        return None;
    }
    let others = first.attributes.iter().map(|(name, _)| name).filter(|name| !MERGED_FILES.contains(&name.as_ref()));
    Some(MERGED_FILES.into_iter().map(Cow::Borrowed).chain(others.cloned()).collect())
}

/// Room to work in, made once for all types of a parent.
#[derive(Default)]
struct Room {
    path: String,
    bytes: Vec<u8>,
    /// This process ran out of descriptors or memory: what was left out for it is not the host's fault.
    exhausted: Option<Errno>,
}

impl Room {
    /// Something is left out.
    fn leave_out(&mut self, what: std::fmt::Arguments<'_>, errno: Errno) {
        if is_exhausted(errno) {
            self.exhausted = Some(errno);
            return;
        }
        report(Finding::io(what.to_string(), "left out", errno));
    }
}

/// A type by the names of its files. `None`: not one of them is there, which asks for a closer look.
fn read_alike(types: &dyn Dir, id: &str, files: &[Cow<'static, str>], room: &mut Room) -> Option<Type> {
    let mut kind = Type { id: id.to_owned(), attributes: Vec::with_capacity(files.len()), ..Type::default() };
    for name in files {
        let mut path = std::mem::take(&mut room.path);
        path.clear();
        for part in [id, "/", name.as_ref()] {
            path.push_str(part);
        }
        take_attribute(types, &path, name.clone(), &mut kind, room);
        room.path = path;
    }
    if kind.name.is_none() && kind.attributes.is_empty() {
        return None;
    }
    sort_attributes(&mut kind);
    Some(kind)
}

/// Adds to types that were read as [`Depth::Alike`] what a whole reading would have found beyond; what is there stays.
pub fn complete(parent: &dyn Dir, types: &mut [Type]) {
    let Ok((_, whole)) = read_types(parent, Depth::Whole) else { return };
    for kind in types {
        let Some(now) = whole.iter().find(|now| now.id == kind.id) else { continue };
        let mut news = now.attributes.clone();
        let known: HashSet<&str> = kind.attributes.iter().map(|(name, _)| name.as_ref()).collect();
        news.retain(|(name, _)| !known.contains(name.as_ref()));
        kind.attributes.extend(news);
        sort_attributes(kind);
    }
}

/// One type of an open parent, under its layout's rules.
pub fn read_one(parent: &dyn Dir, layout: &dyn Layout, id: &str) -> IoResult<Option<Type>> {
    let dir = parent.open(TYPES)?;
    if if_present(dir.open(id))?.is_none() {
        return Ok(None);
    }
    let mut room = Room::default();
    let kind = read_type(&*dir, id, &mut room);
    match room.exhausted {
        Some(errno) => Err(errno),
        None => Ok(kind.map(|mut kind| {
            kind.available_instances = available(&kind, layout.kind().instances_attr(), dir.path());
            kind
        })),
    }
}

/// The marks of a parent whose types have been read already.
struct Seen<'a> {
    parent: LiveMarks<'a>,
    types: &'a [Type],
}

impl<'a> Seen<'a> {
    fn new(parent: &'a dyn Dir, types: &'a [Type]) -> Self {
        Seen { parent: LiveMarks::new(parent), types }
    }

    /// Fails if a file that decides the layout cannot be read, as [`super::layout_of`] does.
    fn layout(&self) -> IoResult<&'static dyn Layout> {
        let layout = super::detect(self);
        self.parent.failed.get().map_or(Ok(layout), Err)
    }
}

impl Marks for Seen<'_> {
    fn parent_has(&self, name: &str) -> bool {
        name == TYPES || self.parent.parent_has(name)
    }

    fn any_type_has(&self, name: &str) -> bool {
        self.types.iter().any(|kind| kind.attribute(name).is_some())
    }
}

fn read_type(types: &dyn Dir, id: &str, room: &mut Room) -> Option<Type> {
    let dir = match types.open(id) {
        Ok(dir) => dir,
        Err(errno) => {
            room.leave_out(format_args!("{}/{id}", types.path()), errno);
            return None;
        }
    };
    let mut kind = Type { id: id.to_owned(), ..Type::default() };
    let listed = dir.list(&mut |name, entry| {
        if entry == EntryKind::File {
            let known = MERGED_FILES.into_iter().find(|known| *known == name);
            let owned = known.map_or_else(|| Cow::Owned(name.to_owned()), Cow::Borrowed);
            take_attribute(&*dir, name, owned, &mut kind, room);
        }
    });
    if let Err(errno) = listed {
        room.leave_out(format_args!("{}", dir.path()), errno);
        return None;
    }
    sort_attributes(&mut kind);
    Some(kind)
}

fn sort_attributes(kind: &mut Type) {
    kind.attributes.sort_unstable_by(|(a, _), (b, _)| dump_rank(a).cmp(&dump_rank(b)).then_with(|| a.cmp(b)));
}

/// Reads the file `name`, which is at `path` below `dir`.
fn take_attribute(dir: &dyn Dir, path: &str, name: Cow<'static, str>, kind: &mut Type, room: &mut Room) {
    if name == "params" {
        kind.has_params = true;
    }
    if WRITE_ONLY.contains(&name.as_ref()) {
        return;
    }
    let text = match read_text_in(dir, path, &mut room.bytes) {
        Ok(text) => text,
        // Write-only, or gone since the listing.
        Err(Errno::ACCESS | Errno::NOENT | Errno::NODEV) => return,
        Err(errno) => {
            room.leave_out(format_args!("{}/{path}", dir.path()), errno);
            return;
        }
    };
    match name.as_ref() {
        "name" => {
            kind.name = Some(text).filter(|name| !name.is_empty());
            return;
        }
        "device_api" => kind.device_api = Some(text.clone()),
        "description" => kind.description = Some(text.clone()),
        REQUIRES_GROUP => kind.requires_group = is_group_required(&text),
        _ => {}
    }
    kind.attributes.push((name, text));
}

fn available(kind: &Type, attr: &str, types: &str) -> Option<u32> {
    let count = kind.attribute(attr).and_then(parse_count);
    if count.is_none() {
        let file = format!("{types}/{}/{attr}", kind.id);
        report(Finding::new(ErrorCode::BadData, file, "missing or not a number; the available instances are unknown"));
    }
    count
}

/// Reads again how many can be created of types that are known, and nothing else: one file of each. Fails when this process
/// has run out of something, and with ENOENT when the folder of types is gone.
pub fn read_counts(parent: &dyn Dir, layout: LayoutKind, types: &mut [Type]) -> IoResult<()> {
    let dir = parent.open(TYPES)?;
    let attr = layout.instances_attr();
    let mut room = Vec::with_capacity(64);
    for kind in types {
        let text = match read_text_in(&*dir, &format!("{}/{attr}", kind.id), &mut room) {
            Ok(text) => text,
            Err(errno) if is_exhausted(errno) => return Err(errno),
            // As before, until it can be read.
            Err(_) => continue,
        };
        kind.available_instances = parse_count(&text);
        if let Some((_, value)) = kind.attributes.iter_mut().find(|(name, _)| name == attr) {
            *value = text;
        }
    }
    Ok(())
}

/// A count as drivers print it; `u32::MAX` for every larger count. `None` for -1 and fractions, which some drivers print in a
/// faulty state.
pub fn parse_count(text: &str) -> Option<u32> {
    let digits = text.trim();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Digits alone fail to parse only if the number is too large.
    Some(digits.parse().unwrap_or(u32::MAX))
}

fn dump_rank(name: &str) -> usize {
    RFC_ORDER.iter().position(|own| *own == name).unwrap_or(RFC_ORDER.len())
}

/// Numbers by value, before everything else by text.
pub fn compare_ids(a: &str, b: &str) -> Ordering {
    match (parse_count(a), parse_count(b)) {
        (Some(x), Some(y)) => x.cmp(&y).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// True when some layout counts instances under this name.
pub fn is_instances_attr(name: &str) -> bool {
    LAYOUTS.iter().any(|layout| layout.kind().instances_attr() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sysfs::Sysfs;
    use crate::sysfs::linux::LinuxSysfs;

    #[test]
    fn numbers_sort_by_value() {
        let mut ids = ["i915-GVTg_V5_4", "12", "11", "9", "100", "i915-GVTg_V5_1"];
        ids.sort_unstable_by(|a, b| compare_ids(a, b));
        assert_eq!(ids, ["9", "11", "12", "100", "i915-GVTg_V5_1", "i915-GVTg_V5_4"]);
    }

    #[test]
    fn a_count_is_digits_only() {
        assert_eq!(parse_count("16\n"), Some(16));
        for large in ["4294967296", "99999999999999999999999"] {
            assert_eq!(parse_count(large), Some(u32::MAX), "{large}");
        }
        for bad in ["", "-1", "+1", "1.5", "0x10", "16 of 32"] {
            assert_eq!(parse_count(bad), None, "{bad}");
        }
    }

    /// Which type comes first in a listing is chance, so each is given the fault in turn.
    #[test]
    fn reading_alike_sees_what_whole_reading_sees() {
        let files = ["name", "device_api", "available_instances", "description", "vendor_detail"];
        for faulty in ["1", "2", "3"] {
            for missing in &files[..4] {
                let root = tempfile::tempdir().unwrap();
                for id in ["1", "2", "3", "4"] {
                    let dir = root.path().join("sys/parent").join(TYPES).join(id);
                    std::fs::create_dir_all(&dir).unwrap();
                    // The fourth is an empty folder.
                    for file in files.iter().filter(|file| id != "4" && (id != faulty || *file != missing)) {
                        std::fs::write(dir.join(file), "7\n").unwrap();
                    }
                }
                let sysfs = LinuxSysfs::new(root.path().to_str().unwrap()).unwrap();
                let parent = sysfs.open("/sys/parent").unwrap();
                let (layout, whole) = read_types(&*parent, Depth::Whole).unwrap();
                let (alike_layout, alike) = read_types(&*parent, Depth::Alike).unwrap();
                assert_eq!((alike_layout.kind(), &alike), (layout.kind(), &whole), "{faulty} lacks {missing}");
                assert_eq!(whole.len(), 4);
            }
        }
    }

    /// The proposals give classes of devices attributes of their own: nothing is taken for granted there.
    #[test]
    fn only_the_merged_kernels_types_are_alike() {
        let root = tempfile::tempdir().unwrap();
        for (id, file) in [("1", "heads"), ("2", "queues")] {
            let dir = root.path().join("sys/parent").join(TYPES).join(id);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("available_instances"), "7\n").unwrap();
            std::fs::write(dir.join(file), "2\n").unwrap();
        }
        let sysfs = LinuxSysfs::new(root.path().to_str().unwrap()).unwrap();
        let (layout, types) = read_types(&*sysfs.open("/sys/parent").unwrap(), Depth::Alike).unwrap();
        assert_eq!(layout.kind(), LayoutKind::General);
        assert_eq!((types[0].attribute("heads"), types[1].attribute("queues")), (Some("2"), Some("2")));
    }
}
