// SPDX-License-Identifier: LGPL-2.1-or-later
//! Types that a PF does not show while none of them can be made: they are remembered from when it did.

use std::collections::HashMap;

use super::vfs::{FOLDER, bare_type, describe};
use crate::backend::SeenTypes;
use crate::finding::{Finding, or_report, report_unless_exhausted};
use crate::model::{Type, compare_ids};
use crate::store::Records;
use crate::sysfs::{Dir, IoResult, basename, if_present};

/// Another value when the VFs of an open PF are made anew, or by another driver: they may have other types then. `None` if
/// there are no VFs, or this cannot be read, which is reported.
pub(super) fn version(pf: &dyn Dir) -> IoResult<Option<u64>> {
    let left_out = |errno| Finding::io(pf.path(), "the types that it does not show now are left out", errno);
    let meta = or_report(if_present(pf.meta(&format!("virtfn0/{FOLDER}"))), left_out)?;
    Ok(meta.flatten().map(|meta| meta.ino))
}

/// Adds to the types of an open PF those that it showed before. Returns all of them; `None` if they cannot be read.
pub(super) fn complete(
    records: &Records<'_>,
    pf: &dyn Dir,
    version: u64,
    types: &mut Vec<Type>,
) -> IoResult<Option<SeenTypes>> {
    let sysname = basename(pf.path());
    let mut known = match records.types_of(sysname, version) {
        Ok(known) => known,
        Err(e) => return report_unless_exhausted(e).map(|()| None).map_err(|e| e.errno()),
    };
    let names: HashMap<&str, &str> = known.iter().map(|(id, name)| (id.as_str(), name.as_str())).collect();
    let named = types.iter().filter_map(|ty| Some((ty.id(), ty.name()?)));
    let news: HashMap<String, String> = named
        .filter(|(id, name)| names.get(id) != Some(name))
        .map(|(id, name)| (id.to_owned(), name.to_owned()))
        .collect();
    let places: HashMap<String, usize> =
        types.iter().enumerate().map(|(place, ty)| (ty.id().to_owned(), place)).collect();
    for (id, name) in &known {
        match places.get(id).and_then(|place| types.get_mut(*place)) {
            Some(ty) if ty.name().is_none() => ty.texts.set("name", name),
            Some(_) => {}
            None => types.push(hidden_type(id, name)),
        }
    }
    types.sort_unstable_by(|a, b| compare_ids(a.id(), b.id()));
    let is_new = !news.is_empty();
    if is_new {
        known.retain(|(id, _)| !news.contains_key(id));
        known.extend(news);
        known.sort_unstable_by(|(a, _), (b, _)| compare_ids(a, b));
    }
    Ok(Some(SeenTypes { version, types: known, is_new }))
}

/// A type that was seen before, with its name, and cannot be created now.
fn hidden_type(id: &str, name: &str) -> Type {
    let mut ty = bare_type(id);
    ty.texts.set("name", name);
    describe(&mut ty);
    ty
}
