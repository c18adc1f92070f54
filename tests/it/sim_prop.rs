// SPDX-License-Identifier: LGPL-2.1-or-later
//! Properties of the simulated kernel: after any writes, no capacity is lost, and nothing panics.

use std::collections::BTreeMap;

use mdev::test_hooks::sim::{SimEntry, SimHost, default_host};
use mdev::test_hooks::sysfs::{dirname, resolve};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::support::hosts::{exists, host, list, read, replay, samples, target, uuid, write};

/// Returns the available instances of each type, by the path of the counter.
fn counters(host: &SimHost) -> BTreeMap<String, u64> {
    let counter = |entry: &SimEntry| {
        let path = entry.path();
        let counts = path.ends_with("/available_instances") || path.ends_with("/max_instances");
        counts.then(|| (path.to_owned(), read(host, path).unwrap().parse().unwrap()))
    };
    host.entries().iter().filter_map(counter).collect()
}

/// Returns the paths with this ending.
fn paths(host: &SimHost, ending: &str) -> Vec<String> {
    host.entries().iter().map(SimEntry::path).filter(|path| path.ends_with(ending)).map(str::to_owned).collect()
}

fn destroy(host: &SimHost, uuid: &str) {
    let bus = "/sys/bus/mdev/devices";
    let dir = resolve(bus, &target(host, &format!("{bus}/{uuid}")).unwrap()).unwrap();
    let done = match [format!("{dir}/remove"), format!("{dir}/destroy")].iter().find(|file| exists(host, file)) {
        Some(file) => write(host, file, "1"),
        None => write(host, &format!("{}/mdev_destroy", dirname(&dir)), uuid),
    };
    done.unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Create(Index, u32),
    Destroy(Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (any::<Index>(), 0..40_u32).prop_map(|(ty, number)| Step::Create(ty, number)),
        2 => any::<Index>().prop_map(Step::Destroy),
    ]
}

/// Returns the counter of the type to which this `create` belongs.
fn counter_of(create: &str, counters: &BTreeMap<String, u64>) -> u64 {
    let dir = create.strip_suffix("create").unwrap();
    *counters.iter().find(|(path, _)| path.starts_with(dir)).unwrap().1
}

fn take(host: &SimHost, step: &Step) {
    match step {
        Step::Create(ty, number) => {
            let creates = paths(host, "/create");
            let create = ty.get(&creates);
            let left = counter_of(create, &counters(host));
            let taken = exists(host, &format!("/sys/bus/mdev/devices/{}", uuid(*number)));
            let result = write(host, create, uuid(*number));
            // A create succeeds exactly if the counter shows an instance and the UUID is free.
            assert_eq!(result.is_ok(), left > 0 && !taken, "{create} {result:?}");
            if result.is_ok() {
                assert!(counter_of(create, &counters(host)) < left);
            }
        }
        Step::Destroy(device) => {
            let living = list(host, "/sys/bus/mdev/devices").unwrap();
            if !living.is_empty() {
                destroy(host, device.get::<String>(&living));
            }
        }
    }
}

fn destroy_all(host: &SimHost) {
    for uuid in list(host, "/sys/bus/mdev/devices").unwrap() {
        destroy(host, &uuid);
    }
}

/// Any text that a program can write.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let uuids = (0..4_u32, "[:\n 0-9x]{0,6}").prop_map(|(number, tail)| format!("{}{tail}", uuid(number)).into_bytes());
    let words = select(vec!["0", "1", "1\n", "\n", "add", "on", "0x10,0,0", "99999999999999999999"]);
    prop_oneof![uuids, words.prop_map(|word| word.as_bytes().to_vec()), vec(any::<u8>(), 0..80)]
}

fn writable(host: &SimHost) -> Vec<String> {
    // One device of every layout, so that there are files to write to.
    for (number, create) in (0..).zip(paths(host, "/create")) {
        let _ = write(host, &create, uuid(number));
    }
    let is_writable = |entry: &SimEntry| matches!(entry, SimEntry::File { mode, .. } if mode & 0o200 != 0);
    let entries = host.entries();
    entries.iter().filter(|entry| is_writable(entry)).map(|entry| entry.path().to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn removal_of_all_devices_restores_capacity(steps in vec(step(), 0..40), samples_host in any::<bool>()) {
        let host = if samples_host { host(samples()) } else { default_host() };
        destroy_all(&host);
        let before = counters(&host);
        steps.iter().for_each(|step| take(&host, step));
        destroy_all(&host);
        prop_assert_eq!(counters(&host), before);
    }

    #[test]
    fn replay_continues_from_state_of_dump(steps in vec(step(), 0..20), more in vec(step(), 0..20)) {
        let host = default_host();
        steps.iter().for_each(|step| take(&host, step));
        let host = replay(&host);
        let before = counters(&host);
        let living = list(&host, "/sys/bus/mdev/devices").unwrap();
        let made: Vec<Step> = more.into_iter().filter(|step| matches!(step, Step::Create(..))).collect();
        made.iter().for_each(|step| take(&host, step));
        for uuid in list(&host, "/sys/bus/mdev/devices").unwrap().iter().filter(|uuid| !living.contains(uuid)) {
            destroy(&host, uuid);
        }
        prop_assert_eq!(counters(&host), before);
    }

    #[test]
    fn write_of_any_bytes_does_not_panic(writes in vec((any::<Index>(), bytes()), 0..60)) {
        let host = default_host();
        let files = writable(&host);
        for (file, value) in writes {
            // The file may have been removed with its device, or be new: every result is allowed.
            let _ = write(&host, file.get::<String>(&files), value);
        }
        replay(&host);
    }
}
