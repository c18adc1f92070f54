// SPDX-License-Identifier: LGPL-2.1-or-later
//! Types that a parent does not show while none of them can be made: they are remembered from when it did.

use super::Host;
use crate::layout::types::compare_ids;
use crate::layout::{self, Layout, remembered_type};
use crate::model::{Parent, Type};
use crate::sysfs::Dir;

/// Adds to the types of a parent those that it showed before.
pub(super) fn complete(host: &Host, parent: &mut Parent) {
    let layout = layout::of_kind(parent.layout);
    if !layout.hides_full_types() || parent.functions.is_empty() {
        return;
    }
    if let Ok(dir) = host.sysfs.open(&parent.syspath) {
        complete_types(host, layout, &*dir, &mut parent.types);
    }
}

/// The same for the types alone.
pub(super) fn complete_types(host: &Host, layout: &dyn Layout, parent: &dyn Dir, types: &mut Vec<Type>) {
    if !layout.hides_full_types() {
        return;
    }
    // VFs that are made anew, or by another driver, may have other types.
    let Some(stamp) = layout.types_stamp(parent) else { return };
    let sysname = crate::sysfs::basename(parent.path());
    let mut known = host.runtime.catalogue(sysname, stamp);
    let named = types.iter().filter_map(|kind| Some((kind.id.clone(), kind.name.clone()?)));
    let news: Vec<(String, String)> = named.filter(|one| !known.contains(one)).collect();
    for (id, name) in &known {
        match types.iter_mut().find(|kind| kind.id == *id) {
            Some(kind) => {
                kind.name.get_or_insert_with(|| name.clone());
            }
            None => types.push(remembered_type(id, name)),
        }
    }
    types.sort_unstable_by(|a, b| compare_ids(&a.id, &b.id));
    if !news.is_empty() {
        known.retain(|(id, _)| news.iter().all(|(new, _)| new != id));
        known.extend(news);
        host.runtime.remember_catalogue(sysname, stamp, &known);
    }
}
