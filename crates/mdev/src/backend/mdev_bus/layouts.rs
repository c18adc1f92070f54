// SPDX-License-Identifier: LGPL-2.1-or-later
//! The layouts of the mdev bus, and the detection of the layout of a parent.

use super::strategy::Strategy;
use super::{general, merged, rfc};
use crate::backend::Layout;
use crate::model::LayoutKind;
use crate::sysfs::{Dir, IoResult, if_present};

/// The strategy of a parent whose files match no other layout.
static FALLBACK: &Strategy = &merged::STRATEGY;

/// The layout of [`FALLBACK`].
pub(in crate::backend) static DEFAULT: &Layout = &FALLBACK.layout;

/// Every layout, the fallback first. A new one is a file and a line here.
static STRATEGIES: &[&Strategy] = &[FALLBACK, &general::STRATEGY, &rfc::STRATEGY];

// An index out of range does not compile.
#[allow(clippy::indexing_slicing)]
pub(super) static LAYOUTS: [&Layout; STRATEGIES.len()] = {
    let mut layouts = [&STRATEGIES[0].layout; STRATEGIES.len()];
    let mut i = 0;
    while i < layouts.len() {
        layouts[i] = &STRATEGIES[i].layout;
        i += 1;
    }
    layouts
};

/// The strategy of a layout.
pub(super) fn strategy(kind: LayoutKind) -> &'static Strategy {
    STRATEGIES.iter().find(|strategy| strategy.layout.kind == kind).unwrap_or(&FALLBACK)
}

/// The strategy of an open parent. `any_type_has` returns whether one of its types has a file of this name.
///
/// A layout with [`Layout::parent_file`] is detected by that file first. Then the types decide, because a driver may
/// have a parent without the file. One type with the file is enough: in the merged kernel every type has a
/// `device_api`, and one type that lacks it because of a fault must not change the layout of the parent.
pub(super) fn detect(parent: &dyn Dir, any_type_has: impl Fn(&str) -> IoResult<bool>) -> IoResult<&'static Strategy> {
    for strategy in STRATEGIES {
        if let Some(file) = strategy.layout.parent_file {
            if if_present(parent.meta(file))?.is_some() {
                return Ok(strategy);
            }
        }
    }
    for strategy in STRATEGIES {
        if any_type_has(strategy.type_file)? {
            return Ok(strategy);
        }
    }
    Ok(FALLBACK)
}
