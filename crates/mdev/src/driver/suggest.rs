// SPDX-License-Identifier: LGPL-2.1-or-later
//! Finds the existing name that is most similar to an unknown name, for the error message.

use std::collections::BTreeSet;

use super::Host;
use crate::backend::places;

/// Longer names are not compared: the cost grows with the square of the length.
const LENGTH_MAX: usize = 128;

/// Returns the name of a parent that is most similar to `name`; `None` if no name is similar enough. Leaves out a parent that cannot
/// be read.
pub(super) fn nearest_parent(host: &Host, name: &str) -> Option<String> {
    nearest(name, parent_names(host))
}

/// Returns the most similar name of a parent, or of a device with a name from its creator.
pub(super) fn nearest_node(host: &Host, name: &str) -> Option<String> {
    let mut names = parent_names(host);
    names.extend(host.runtime.all().unwrap_or_default().into_values().filter_map(|record| record.name));
    names.extend(host.definitions.all().unwrap_or_default().into_iter().filter_map(|definition| definition.name));
    nearest(name, names)
}

fn parent_names(host: &Host) -> Vec<String> {
    let parents = places::all(&*host.sysfs).unwrap_or_default();
    parents.iter().flat_map(|place| [place.name(), place.sysname().to_owned()]).collect()
}

/// Returns the most similar name, if it differs by at most two characters and by less than a third of its characters. `None` if two
/// names are equally similar.
fn nearest(name: &str, candidates: Vec<String>) -> Option<String> {
    let fits = |candidate: &String| candidate.len() <= LENGTH_MAX && candidate.len().abs_diff(name.len()) <= 2;
    // A set, since an active device and its definition have the same name.
    let near: BTreeSet<(usize, String)> =
        candidates.into_iter().filter(fits).map(|candidate| (distance(name, &candidate), candidate)).collect();
    let mut near = near.into_iter();
    let (changes, candidate) = near.next()?;
    let is_unique = near.next().is_none_or(|(second, _)| second > changes);
    (is_unique && changes <= 2 && changes * 3 < name.len()).then_some(candidate)
}

/// Returns the Levenshtein distance of two texts: the number of characters to insert, remove or replace. Ignores case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (1..=b.len()).collect();
    let mut length = 0;
    for (i, ca) in a.chars().flat_map(char::to_lowercase).enumerate() {
        length = i + 1;
        let (mut above_left, mut left) = (i, length);
        for (cell, cb) in row.iter_mut().zip(&b) {
            let replaced = above_left + usize::from(ca != *cb);
            above_left = *cell;
            *cell = replaced.min(above_left + 1).min(left + 1);
            left = *cell;
        }
    }
    row.last().copied().unwrap_or(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_changes() {
        for (a, b, changes) in
            [("mtty", "mtty", 0), ("mty", "mtty", 1), ("MTTY", "mtty", 0), ("", "abc", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(a, b), changes, "{a} {b}");
        }
    }

    #[test]
    fn name_with_few_differences_is_suggested() {
        let names = || ["pci_0000_86_00_0", "pci_0000_41_00_0", "mtty"].map(str::to_owned).to_vec();
        assert_eq!(nearest("pci_0000_86_00_1", names()).as_deref(), Some("pci_0000_86_00_0"));
        assert_eq!(nearest("mty", names()), None, "a third of a short name is too much");
        assert_eq!(nearest("mttyy", names()).as_deref(), Some("mtty"));
        assert_eq!(nearest("web-gpu", names()), None);
        assert_eq!(nearest("pci_0000_99_00_0", names()), None, "two names are equally near");
        let twice = ["web-gpu", "web-gpu"].map(str::to_owned).to_vec();
        assert_eq!(nearest("web-gpus", twice).as_deref(), Some("web-gpu"));
        assert_eq!(nearest(&"x".repeat(100_000), names()), None);
    }
}
