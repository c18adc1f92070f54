// SPDX-License-Identifier: LGPL-2.1-or-later
//! Reads the AP queues (s390) of a device. Other files than the written ones show them.
//!
//! `matrix` has a line for each queue: `AA.DDDD`, adapter and domain in hexadecimal digits. Without domains it has a
//! line `AA.` for each adapter, and without adapters a line `.DDDD` for each domain. `control_domains` has a line
//! `DDDD` for each control domain.

use std::collections::BTreeSet;

use crate::sysfs::{Dir, Errno, IoResult, read_text};

/// The write-only files. `matrix` and `control_domains` show their effect.
const COMMANDS: [&str; 7] = [
    "assign_adapter",
    "unassign_adapter",
    "assign_domain",
    "unassign_domain",
    "assign_control_domain",
    "unassign_control_domain",
    "ap_config",
];

/// The attributes with which a new device has the same queues and settings: the current queues, in decimal digits as
/// libvirt prints them, and the other attributes of `given`. Fails with EBADMSG if a file has another format.
pub fn current(device: &dyn Dir, given: &[(String, String)]) -> IoResult<Vec<(String, String)>> {
    let (adapters, domains) = queues(&read_text(device, "matrix")?)?;
    let control = read_text(device, "control_domains")?;
    let control = control.lines().map(number).collect::<IoResult<BTreeSet<u16>>>()?;
    let others = given.iter().filter(|(name, _)| !COMMANDS.contains(&name.as_str())).cloned();
    let assign = |name: &'static str, ids: BTreeSet<u16>| {
        ids.into_iter().map(move |id| (format!("assign_{name}"), id.to_string()))
    };
    let assigned =
        assign("adapter", adapters).chain(assign("domain", domains)).chain(assign("control_domain", control));
    Ok(assigned.chain(others).collect())
}

fn queues(matrix: &str) -> IoResult<(BTreeSet<u16>, BTreeSet<u16>)> {
    let (mut adapters, mut domains) = (BTreeSet::new(), BTreeSet::new());
    for line in matrix.lines() {
        let (adapter, domain) = line.trim().split_once('.').ok_or(Errno::BADMSG)?;
        for (ids, digits) in [(&mut adapters, adapter), (&mut domains, domain)] {
            if !digits.is_empty() {
                ids.insert(number(digits)?);
            }
        }
    }
    Ok((adapters, domains))
}

fn number(digits: &str) -> IoResult<u16> {
    u16::from_str_radix(digits.trim(), 16).map_err(|_| Errno::BADMSG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrix_is_parsed_to_adapters_and_domains() {
        let sets = |a: &[u16], d: &[u16]| Ok((a.iter().copied().collect(), d.iter().copied().collect()));
        assert_eq!(queues("05.0004\n05.00ab\n06.0004\n06.00ab"), sets(&[5, 6], &[4, 0xab]));
        assert_eq!(queues("05.\nff."), sets(&[5, 255], &[]));
        assert_eq!(queues(".0004"), sets(&[], &[4]));
        assert_eq!(queues(""), sets(&[], &[]));
        for bad in ["05", "05.xyz", "x.0004", "05.0004.1"] {
            assert_eq!(queues(bad), Err(Errno::BADMSG), "{bad}");
        }
    }
}
