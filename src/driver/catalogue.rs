// SPDX-License-Identifier: LGPL-2.1-or-later
//! Types that a parent does not show while none of them can be made: they are remembered from when it did.

use std::collections::HashMap;

use super::Host;
use crate::backend::mdev_bus::types::compare_ids;
use crate::backend::places::{self, Place};
use crate::backend::{self, Layout, layout_of, open_parent, remembered_type};
use crate::error::{Error, Result};
use crate::finding::{Finding, report, report_unless_exhausted};
use crate::model::{Parent, Type};
use crate::store::Runtime;
use crate::sysfs::{Dir, IoResult, Sysfs, is_exhausted};

/// Ids and names.
pub(super) type Types = Vec<(String, String)>;

/// What is remembered of the types of the parent at this place.
pub(super) fn remembered(host: &Host, place: &Place) -> IoResult<Option<Types>> {
    let dir = host.sysfs.open(&place.syspath)?;
    let Some(stamp) = layout_of(&*dir)?.types_stamp(&*dir)? else { return Ok(None) };
    let types = host.runtime.catalogue(place.sysname(), stamp);
    let types = types.map_err(|e| e.errno())?;
    Ok((!types.is_empty()).then_some(types))
}

/// Remembers what was remembered on the host that a replay is of.
pub(super) fn restore(sysfs: &dyn Sysfs, runtime: &Runtime, catalogues: &[(String, Types)]) -> Result<()> {
    if catalogues.is_empty() {
        return Ok(());
    }
    for place in places::physical_functions(sysfs)? {
        let Some((_, types)) = catalogues.iter().find(|(sysname, _)| sysname == place.sysname()) else { continue };
        let Ok((layout, dir)) = open_parent(sysfs, &place.syspath) else { continue };
        if let Ok(Some(stamp)) = layout.types_stamp(&*dir) {
            runtime.remember_catalogue(place.sysname(), stamp, types);
        }
    }
    Ok(())
}

/// Adds to the types of a parent those that it showed before.
pub(super) fn complete(host: &Host, parent: &mut Parent) -> Result<()> {
    let layout = backend::of_kind(parent.layout);
    if !layout.hides_full_types() || parent.functions.is_empty() {
        return Ok(());
    }
    match host.sysfs.open(&parent.syspath) {
        Ok(dir) => complete_types(host, layout, &*dir, &mut parent.types),
        Err(errno) if is_exhausted(errno) => Err(Error::io("open", &parent.syspath, errno)),
        // A parent that was removed has no types any more.
        Err(_) => Ok(()),
    }
}

/// The parent at a place with its types, and with those that it showed before.
pub(super) fn whole_parent(host: &Host, place: &Place) -> Result<Parent> {
    let mut parent = places::read_parent(&*host.sysfs, place, true)
        .map_err(|errno| Error::io("read", &place.syspath, errno).of(&place.name()))?;
    complete(host, &mut parent)?;
    Ok(parent)
}

/// The same for the types alone.
pub(super) fn complete_types(host: &Host, layout: &dyn Layout, parent: &dyn Dir, types: &mut Vec<Type>) -> Result<()> {
    if !layout.hides_full_types() {
        return Ok(());
    }
    // VFs that are made anew, or by another driver, may have other types.
    let stamp = match layout.types_stamp(parent) {
        Ok(Some(stamp)) => stamp,
        Ok(None) => return Ok(()),
        Err(errno) if is_exhausted(errno) => return Err(Error::io("read the types of", parent.path(), errno)),
        Err(errno) => {
            report(Finding::io(parent.path(), "the types that it does not show now are left out", errno));
            return Ok(());
        }
    };
    let sysname = crate::sysfs::basename(parent.path());
    let mut known = match host.runtime.catalogue(sysname, stamp) {
        Ok(known) => known,
        Err(e) => return report_unless_exhausted(e),
    };
    let names: HashMap<&str, &str> = known.iter().map(|(id, name)| (id.as_str(), name.as_str())).collect();
    let named = types.iter().filter_map(|kind| Some((kind.id.as_str(), kind.name.as_deref()?)));
    let news: HashMap<String, String> = named
        .filter(|(id, name)| names.get(id) != Some(name))
        .map(|(id, name)| (id.to_owned(), name.to_owned()))
        .collect();
    let places: HashMap<String, usize> =
        types.iter().enumerate().map(|(place, kind)| (kind.id.clone(), place)).collect();
    for (id, name) in &known {
        match places.get(id) {
            Some(place) => {
                types[*place].name.get_or_insert_with(|| name.clone());
            }
            None => types.push(remembered_type(id, name)),
        }
    }
    types.sort_unstable_by(|a, b| compare_ids(&a.id, &b.id));
    if !news.is_empty() {
        known.retain(|(id, _)| !news.contains_key(id));
        known.extend(news);
        known.sort_unstable_by(|(a, _), (b, _)| compare_ids(a, b));
        host.runtime.remember_catalogue(sysname, stamp, &known);
    }
    Ok(())
}
