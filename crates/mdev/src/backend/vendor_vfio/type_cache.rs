// SPDX-License-Identifier: LGPL-2.1-or-later
//! Types that a PF does not show now, because no device of them can be created. They are stored when the PF shows them.

use std::collections::HashMap;

use super::vfs::{FOLDER, bare_type, describe};
use crate::backend::SeenTypes;
use crate::finding::{Finding, or_report, report_unless_exhausted};
use crate::model::{Type, compare_ids};
use crate::store::Records;
use crate::sysfs::{Dir, IoResult, basename, if_present};

/// The version of the types of an open PF. It changes when the VFs are enabled again or bound to another driver,
/// because they may have other types then. `None` if there are no VFs, or if it cannot be read; reports the latter.
pub(super) fn version(pf: &dyn Dir) -> IoResult<Option<u64>> {
    let left_out = |errno| Finding::io(pf.path(), "the types that it does not show now are left out", errno);
    let meta = or_report(if_present(pf.meta(&format!("virtfn0/{FOLDER}"))), left_out)?;
    Ok(meta.flatten().map(|meta| meta.ino))
}

/// Adds to `types`, the types that an open PF shows now, those that it showed before. Returns the ids and names to
/// store; `None` if the stored types cannot be read.
pub(super) fn complete(
    records: &Records<'_>,
    pf: &dyn Dir,
    version: u64,
    types: &mut Vec<Type>,
) -> IoResult<Option<SeenTypes>> {
    let sysname = basename(pf.path());
    let mut stored = match records.types_of(sysname, version) {
        Ok(stored) => stored,
        Err(e) => return report_unless_exhausted(e).map(|()| None).map_err(|e| e.errno()),
    };
    let names: HashMap<&str, &str> = stored.iter().map(|(id, name)| (id.as_str(), name.as_str())).collect();
    let named = types.iter().filter_map(|ty| Some((ty.id(), ty.name()?)));
    let added: HashMap<String, String> = named
        .filter(|(id, name)| names.get(id) != Some(name))
        .map(|(id, name)| (id.to_owned(), name.to_owned()))
        .collect();
    let indexes: HashMap<String, usize> =
        types.iter().enumerate().map(|(index, ty)| (ty.id().to_owned(), index)).collect();
    for (id, name) in &stored {
        match indexes.get(id).and_then(|index| types.get_mut(*index)) {
            Some(ty) if ty.name().is_none() => ty.texts.set("name", name),
            Some(_) => {}
            None => types.push(hidden_type(id, name)),
        }
    }
    types.sort_unstable_by(|a, b| compare_ids(a.id(), b.id()));
    let is_new = !added.is_empty();
    if is_new {
        stored.retain(|(id, _)| !added.contains_key(id));
        stored.extend(added);
        stored.sort_unstable_by(|(a, _), (b, _)| compare_ids(a, b));
    }
    Ok(Some(SeenTypes { version, types: stored, is_new }))
}

/// A type that was seen before, with its name, and cannot be created now.
fn hidden_type(id: &str, name: &str) -> Type {
    let mut ty = bare_type(id);
    ty.texts.set("name", name);
    describe(&mut ty);
    ty
}
