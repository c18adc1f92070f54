// SPDX-License-Identifier: LGPL-2.1-or-later
//! The entries of a directory that changes while it is listed.

use std::collections::BTreeSet;

use super::{Dir, IoResult};
use crate::error::ErrorCode;
use crate::finding::{Finding, report};

/// Limit of listings for one call of [`names`]: programs may create and destroy devices without a pause.
const LISTINGS: usize = 16;

/// Adds the names of all entries to `found`, in alphabetical order. While kernfs returns the entries of a directory, a removal of the
/// entry that it returned last makes it skip the next entry. So the directory is listed again, until every entry of the
/// previous listing still exists: that listing skipped none. Includes entries that were removed in the meantime. Reports a directory
/// that loses entries during every listing. On a failure `found` has the names that were listed before it.
pub fn names(dir: &dyn Dir, found: &mut BTreeSet<String>) -> IoResult<()> {
    let mut previous = None;
    for _ in 0..LISTINGS {
        let mut listed = BTreeSet::new();
        let result = dir.list(&mut |name, _| {
            listed.insert(name.to_owned());
        });
        found.extend(listed.iter().cloned());
        result?;
        if previous.is_some_and(|previous: BTreeSet<String>| previous.is_subset(&listed)) {
            return Ok(());
        }
        previous = Some(listed);
    }
    let what = "entries are removed during every listing, so some of the others may be missing; list again";
    report(Finding::new(ErrorCode::NotReady, dir.path(), what));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::finding::collect;
    use crate::sim::{Op, SimEntry, SimHost};
    use crate::sysfs::{Errno, Sysfs};

    const BUS: &str = "/sys/bus/x";

    /// A bus with the devices `a`, `b`, ... and `n` in all.
    fn bus(n: u8) -> (SimHost, Vec<String>) {
        let devices: Vec<String> = (0..n).map(|i| char::from(b'a' + i).to_string()).collect();
        let entries = devices.iter().flat_map(|name| {
            let target = format!("../../devices/{name}");
            [
                SimEntry::Dir { path: format!("/sys/devices/{name}") },
                SimEntry::Link { path: format!("{BUS}/{name}"), target },
            ]
        });
        (SimHost::new(entries).unwrap(), devices)
    }

    fn listed(host: &SimHost) -> (IoResult<()>, Vec<String>, Vec<Finding>) {
        let mut found = BTreeSet::new();
        let (result, left_out) = collect(|| names(&*host.open(BUS).unwrap(), &mut found));
        (result, found.into_iter().collect(), left_out)
    }

    #[test]
    fn names_include_the_entry_that_a_listing_skips_after_a_removal() {
        let (host, devices) = bus(5);
        let remove = |host: &SimHost| ["a", "c"].map(|name| host.remove_while_listed(name));
        remove(&host);
        let mut first = Vec::new();
        host.open(BUS).unwrap().list(&mut |name, _| first.push(name.to_owned())).unwrap();
        assert_eq!(first, ["a", "c", "e"], "a single listing skips b and d");
        let (host, _) = bus(5);
        remove(&host);
        assert_eq!(listed(&host), (Ok(()), devices, vec![]));
    }

    #[test]
    fn names_of_directory_that_changes_in_every_listing_are_reported_as_partial() {
        let (host, devices) = bus(26);
        let (same, listing) = (host.clone(), AtomicUsize::new(0));
        host.set_hook(Some(Arc::new(move |op, _| {
            if op == Op::List {
                let n = listing.fetch_add(1, Ordering::Relaxed);
                same.remove_while_listed(&devices[n]);
            }
            None
        })));
        let (result, found, left_out) = listed(&host);
        assert_eq!((result, left_out.len()), (Ok(()), 1));
        assert!(
            left_out[0].message.starts_with("/sys/bus/x: entries are removed during every listing"),
            "{left_out:?}"
        );
        assert!(found.contains(&"z".to_owned()), "{found:?}");
    }

    #[test]
    fn names_before_a_failure_are_kept() {
        let (host, devices) = bus(3);
        host.fail_next(Op::List, BUS, Errno::IO, 2);
        assert_eq!(listed(&host), (Err(Errno::IO), devices, vec![]));
    }
}
