// SPDX-License-Identifier: LGPL-2.1-or-later
//! The store in files and in memory.

use super::*;
use crate::error::ErrorCode;
use crate::store::RecordedDevice::{Absent, Other, Own};
use crate::store::calls::watched;
use crate::store::files::{LOCK_TIMEOUT, lock_store};
use rustix::io::Errno;

fn record_of(n: u128, name: Option<&str>, group: Option<u32>) -> DeviceRecord {
    DeviceRecord { uuid: Uuid::from_u128(n), name: name.map(str::to_owned), group, ..DeviceRecord::default() }
}

fn both() -> (tempfile::TempDir, [Runtime; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let stores = [Runtime::files(dir.path().to_str().unwrap()), Runtime::memory([])];
    (dir, stores)
}

#[test]
fn name_of_an_existing_device_is_refused() {
    let (_dir, stores) = both();
    for store in stores {
        let mut first = store.reserve(vec![record_of(1, Some("a"), None)], &[], &|_| Absent).unwrap();
        let taken = store.reserve(vec![record_of(2, Some("a"), None)], &[], &|_| Absent).unwrap_err();
        assert_eq!(taken.code, ErrorCode::Exists);
        first.confirm(&|_| Some(7)).unwrap();
        let first = Uuid::from_u128(1);
        let found = |record: &DeviceRecord| if record.uuid == first { Own(7) } else { Absent };
        assert!(store.reserve(vec![record_of(2, Some("a"), None)], &[], &found).is_err());
        assert!(store.reserve(vec![record_of(1, None, Some(1))], &[], &found).is_err());
        // The device does not exist, or another device has its UUID: the name is free.
        let reused = |record: &DeviceRecord| if record.uuid == first { Other } else { Absent };
        store.reserve(vec![record_of(2, Some("a"), None)], &[], &reused).unwrap();
        assert!(store.all().unwrap().is_empty());
    }
}

#[test]
fn new_group_is_the_lowest_unused_number() {
    let (_dir, stores) = both();
    for store in stores {
        let made = std::cell::Cell::new(0);
        let found = |record: &DeviceRecord| if record.uuid.as_u128() <= made.get() { Own(1) } else { Absent };
        for (n, expected) in [(1, 1), (2, 2), (3, 3)] {
            let mut new = store.reserve(vec![record_of(n, None, None)], &[Uuid::from_u128(n)], &found).unwrap();
            assert_eq!(new.records()[0].group, Some(expected));
            new.confirm(&|_| Some(1)).unwrap();
            made.set(n);
        }
        store.forget(&Uuid::from_u128(2), None);
        let pair = vec![record_of(4, None, None), record_of(5, None, None)];
        let members = [Uuid::from_u128(4), Uuid::from_u128(5)];
        let pair = store.reserve(pair, &members, &found).unwrap();
        assert_eq!(pair.records().iter().map(|f| f.group).collect::<Vec<_>>(), [Some(2), Some(2)]);
    }
}

#[test]
fn record_of_a_killed_creator_is_not_about_a_later_device() {
    let (dir, [store, _]) = both();
    let devices = dir.path().join("libmdev/devices");
    std::fs::create_dir_all(&devices).unwrap();
    let killed = record_of(1, Some("a"), None);
    std::fs::write(devices.join(killed.uuid.to_string()), serde_json::to_vec(&killed).unwrap()).unwrap();
    let read = store.get(&killed.uuid).unwrap().unwrap();
    let written = read.abandoned.unwrap();
    assert!(read.may_have_created(written) && read.may_still_appear());
    assert!(!read.may_have_created(written + 600_000_000_000));
    // While its creator works, and afterwards, the record is about the existing device.
    let mut made = store.reserve(vec![record_of(2, Some("b"), None)], &[], &|_| Absent).unwrap();
    let abandoned = || store.get(&Uuid::from_u128(2)).unwrap().unwrap().abandoned;
    assert_eq!(abandoned(), None);
    made.confirm(&|_| Some(7)).unwrap();
    drop(made);
    assert_eq!(abandoned(), None);
}

#[test]
fn record_of_a_device_that_appears_while_it_is_looked_for_is_kept() {
    let (dir, [store, _]) = both();
    let devices = dir.path().join("libmdev/devices");
    std::fs::create_dir_all(&devices).unwrap();
    let killed = record_of(1, Some("a"), None);
    std::fs::write(devices.join(killed.uuid.to_string()), serde_json::to_vec(&killed).unwrap()).unwrap();
    // The creator makes the device after the first look, and is killed.
    let is_made = std::cell::Cell::new(false);
    let found = |record: &DeviceRecord| match record.uuid == killed.uuid && is_made.replace(true) {
        true => Own(7),
        false => Absent,
    };
    drop(store.reserve(vec![record_of(2, Some("b"), None)], &[], &found).unwrap());
    assert_eq!(store.get(&killed.uuid).unwrap().and_then(|record| record.name).as_deref(), Some("a"));
}

#[test]
fn unconfirmed_reservation_is_released() {
    let (_dir, stores) = both();
    for store in stores {
        drop(store.reserve(vec![record_of(1, Some("a"), None)], &[], &|_| Absent).unwrap());
        assert_eq!(store.get(&Uuid::from_u128(1)).unwrap(), None);
    }
}

/// A destroyer removes the record after the device, when the UUID may be in use again.
#[test]
fn late_forget_keeps_the_record_of_the_next_device() {
    let (_dir, stores) = both();
    for store in stores {
        let uuid = Uuid::from_u128(1);
        let mut next = store.reserve(vec![record_of(1, Some("next"), None)], &[], &|_| Absent).unwrap();
        store.forget(&uuid, None);
        assert_eq!(store.get(&uuid).unwrap().and_then(|record| record.name).as_deref(), Some("next"));
        // A creator of the same UUID without a record does not remove it either.
        drop(store.reserve(vec![record_of(1, None, None)], &[], &|_| Absent).unwrap());
        assert!(store.get(&uuid).unwrap().is_some());
        next.confirm(&|_| Some(7)).unwrap();
        drop(next);
        store.forget(&uuid, None);
        assert_eq!(store.get(&uuid).unwrap(), None);
    }
}

#[test]
fn creator_keeps_the_files_of_other_creators() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().to_str().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u128 {
            scope.spawn(move || {
                let store = Runtime::files(run);
                for n in 0..100 {
                    let own = record_of(1000 * thread + n + 1, None, Some(1));
                    let uuid = own.uuid;
                    let made = std::cell::Cell::new(false);
                    // All devices exist, except the one that is being made.
                    let found = |asked: &DeviceRecord| if asked.uuid != uuid || made.get() { Own(7) } else { Absent };
                    let mut reserved = store.reserve(vec![own], &[], &found).unwrap();
                    made.set(true);
                    reserved.confirm(&|_| Some(7)).unwrap();
                }
            });
        }
    });
    assert_eq!(Runtime::files(run).all().unwrap().len(), 400);
}

#[test]
fn facts_are_equal_after_write_and_read() {
    let (dir, [store, _]) = both();
    let full = DeviceRecord {
        parent: "0000:86:00.0".into(),
        type_id: "11".into(),
        params: Some("a=\"b\"".into()),
        owner: Some("me".into()),
        attributes: vec![("x".into(), "1".into()), ("x".into(), "2".into())],
        ..record_of(9, Some("ü"), Some(4))
    };
    let mut reserved = store.reserve(vec![full.clone()], &[], &|_| Absent).unwrap();
    reserved.confirm(&|_| Some(5)).unwrap();
    assert_eq!(store.get(&full.uuid).unwrap(), Some(DeviceRecord { identity: Some(5), ..full.clone() }));
    // Every user may read the records; only the owner may open the lock. This holds under a strict umask, too.
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(dir.path().join("libmdev").join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(
        [mode(""), mode("devices"), mode(&format!("devices/{}", full.uuid)), mode("lock")],
        [0o755, 0o755, 0o644, 0o600]
    );
    // A broken record hides no other, and a look-up of that record reports it.
    std::fs::write(dir.path().join(format!("libmdev/devices/{}", Uuid::from_u128(3))), "{").unwrap();
    assert_eq!(store.all().unwrap().len(), 1);
    assert_eq!(store.get(&Uuid::from_u128(3)).unwrap_err().code, ErrorCode::Store);
}

fn fifo(path: &std::path::Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::from(0o600), 0).unwrap();
}

/// Each of these calls would wait for a writer of the FIFO without end.
#[test]
fn fifo_in_place_of_a_file_blocks_no_call() {
    let (dir, [store, _]) = both();
    let base = dir.path().join("libmdev");
    for folder in ["devices", "types", "locks"] {
        std::fs::create_dir_all(base.join(folder)).unwrap();
    }
    let uuid = Uuid::from_u128(1);
    let file = base.join(format!("devices/{uuid}"));
    fifo(&file);
    fifo(&base.join("types/0000:41:00.0"));
    fifo(&base.join("locks/parent-0000:41:00.0"));
    assert_eq!(store.all().unwrap().len(), 0);
    assert_eq!(store.get(&uuid).unwrap_err().code, ErrorCode::Store);
    assert!(store.remembered_types("0000:41:00.0", 1).unwrap().is_empty());
    assert_eq!(store.lock("parent-0000:41:00.0").unwrap_err().code, ErrorCode::Store);
    // Another creator removes it, as a destroyer does.
    drop(store.reserve(vec![record_of(2, Some("a"), None)], &[], &|_| Absent).unwrap());
    assert!(!file.exists());
    fifo(&file);
    store.forget(&uuid, None);
    assert!(!file.exists());
    fifo(&file);
    drop(store.reserve(vec![record_of(1, Some("a"), None)], &[], &|_| Absent).unwrap());
    assert!(!file.exists());
}

#[test]
fn temporary_files_of_killed_writers_are_removed_by_the_next_writer() {
    let (dir, [store, _]) = both();
    let left = |folder: &str| {
        let folder = dir.path().join("libmdev").join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!(".{}.part", Uuid::from_u128(9))), "half").unwrap();
        folder
    };
    let names = |folder: &std::path::Path| {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
    };
    let (devices, types) = (left("devices"), left("types"));
    store.remember_types("0000:41:00.0", 1, &[("1".to_owned(), "A".to_owned())]);
    assert_eq!(names(&types), ["0000:41:00.0"]);
    drop(store.reserve(vec![record_of(1, Some("a"), None)], &[], &|_| Absent).unwrap());
    assert!(names(&devices).is_empty());
}

/// An ordinary user can lock every file that he can read: a record, and every folder.
#[test]
fn foreign_flock_delays_no_creator() {
    use rustix::fs::{FlockOperation, flock};
    let (dir, [store, _]) = both();
    let mut first = store.reserve(vec![record_of(1, Some("a"), Some(1))], &[], &|_| Absent).unwrap();
    first.confirm(&|_| Some(7)).unwrap();
    drop(first);
    drop(store.lock("type-mtty-1").unwrap());
    let base = dir.path().join("libmdev");
    let file = base.join(format!("devices/{}", Uuid::from_u128(1)));
    let locked = [base.clone(), base.join("devices"), base.join("locks"), file].map(|path| {
        let file = std::fs::File::open(path).unwrap();
        flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        file
    });
    // The device is gone, so its name and group are free again.
    let member = Uuid::from_u128(2);
    let next = store.reserve(vec![record_of(2, Some("a"), None)], &[member], &|_| Absent).unwrap();
    assert_eq!(next.records()[0].group, Some(1));
    drop(store.lock("type-mtty-1").unwrap());
    drop(locked);
    // The lock files belong to the owner alone, and no file of a device stays.
    let names = |folder: &str| {
        let entries = std::fs::read_dir(base.join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    drop(next);
    assert_eq!((names("locks"), names("devices")), (vec!["type-mtty-1".to_owned()], vec![]));
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(base.join("locks/type-mtty-1")).unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn types_are_remembered_without_waiting_for_the_lock() {
    let (dir, [store, _]) = both();
    let types = [("1".to_owned(), "a".to_owned())];
    store.remember_types("p", 1, &[]);
    let lock = dir.path().join("libmdev/lock");
    let held = crate::lock::Lock::acquire(lock.to_str().unwrap(), std::time::Duration::ZERO).unwrap();
    let start = std::time::Instant::now();
    store.remember_types("p", 1, &types);
    // A wait for the lock takes 30 s.
    assert!(start.elapsed() < std::time::Duration::from_secs(25) && store.remembered_types("p", 1).unwrap().is_empty());
    drop(held);
    store.remember_types("p", 1, &types);
    assert_eq!(store.remembered_types("p", 1).unwrap(), types);
}

/// A killed creator leaves its lock file and its record.
#[test]
fn record_of_a_killed_creator_is_forgotten_with_its_lock_file() {
    let (dir, [store, _]) = both();
    let uuid = Uuid::from_u128(1);
    let place = || std::mem::forget(store.reserve(vec![record_of(1, Some("a"), None)], &[], &|_| Absent).unwrap());
    // The folder as a killed process leaves it.
    let lock = dir.path().join(format!("libmdev/locks/device-{uuid}"));
    place();
    assert!(lock.exists());
    std::fs::remove_file(&lock).unwrap();
    std::fs::write(&lock, "").unwrap();
    drop(store.reserve(vec![record_of(2, Some("a"), None)], &[], &|_| Absent).unwrap());
    assert!(!lock.exists() && store.get(&uuid).unwrap().is_none());
}

/// The device may have the name and the group that the request wants.
#[test]
fn reserve_fails_when_no_descriptor_is_left_to_read_a_record() {
    let (_dir, [store, _]) = both();
    let mut first = store.reserve(vec![record_of(1, Some("a"), Some(1))], &[], &|_| Absent).unwrap();
    first.confirm(&|_| Some(7)).unwrap();
    drop(first);
    let record = format!("devices/{}", Uuid::from_u128(1));
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
        let record = record.clone();
        let hook = move |call: &str, path: &str| match call == "openat" && path.ends_with(&record) {
            true => Err(errno),
            false => Ok(()),
        };
        let e = watched(hook, || store.reserve(vec![record_of(2, Some("a"), None)], &[], &|_| Own(7))).unwrap_err();
        assert_eq!(e.errno, errno.raw_os_error(), "{e}");
    }
}

/// It may be the record of a VF: without it the device has no UUID, name and owner.
#[test]
fn record_that_cannot_be_read_is_kept_unless_its_text_is_invalid() {
    let (dir, [store, _]) = both();
    let uuid = Uuid::from_u128(1);
    let vf = DeviceRecord { vf: Some("0000:41:00.4".into()), ..record_of(1, Some("a"), None) };
    let mut first = store.reserve(vec![vf], &[], &|_| Absent).unwrap();
    first.confirm(&|_| Some(7)).unwrap();
    drop(first);
    let record = dir.path().join(format!("libmdev/devices/{uuid}"));
    let unread = |run: &dyn Fn()| {
        let path = record.to_string_lossy().into_owned();
        let hook = move |call: &str, opened: &str| match call == "openat" && opened == path {
            true => Err(Errno::IO),
            false => Ok(()),
        };
        watched(hook, run);
    };
    // A device is alive only if its VF is known.
    let found = |record: &DeviceRecord| if record.vf.is_some() { Own(7) } else { Absent };
    unread(&|| drop(store.reserve(vec![record_of(2, Some("b"), None)], &[], &found).unwrap()));
    assert!(record.exists());
    unread(&|| store.forget(&uuid, Some(8)));
    assert!(record.exists());
    assert_eq!(store.get(&uuid).unwrap().unwrap().name.as_deref(), Some("a"));
    std::fs::write(&record, "{").unwrap();
    drop(store.reserve(vec![record_of(2, Some("b"), None)], &[], &found).unwrap());
    assert!(!record.exists());
}

/// A record may have been written by hand; its values are listed, dumped and compared.
#[test]
fn record_with_an_invalid_text_is_refused() {
    let (dir, [store, _]) = both();
    let uuid = Uuid::from_u128(1);
    let mut first = store.reserve(vec![record_of(1, Some("a"), None)], &[], &|_| Absent).unwrap();
    first.confirm(&|_| Some(7)).unwrap();
    drop(first);
    let file = dir.path().join(format!("libmdev/devices/{uuid}"));
    let valid = std::fs::read_to_string(&file).unwrap();
    for bad in [
        valid.replace("\"a\"", &format!("\"{}\"", "n".repeat(200_000))),
        valid.replace("\"a\"", "\"../a\""),
        valid.replace("\"a\"", "\"a\\u001b[31m\""),
        valid.replacen('{', "{\"owner\":\"\\n\",", 1),
        valid.replacen('{', "{\"attributes\":[[\"../x\",\"1\"]],", 1),
    ] {
        assert_ne!(bad, valid);
        std::fs::write(&file, &bad).unwrap();
        assert_eq!(store.get(&uuid).unwrap_err().code, ErrorCode::Store, "{}", &bad[..bad.len().min(200)]);
        assert!(store.all().unwrap().is_empty());
    }
}

/// More than three times as many as are removed under one lock. A waiter gets the lock in one of the retries if it wakes up in time,
/// which may take several attempts on a busy machine.
#[test]
fn stale_records_are_removed_in_several_pieces() {
    let is_free_in_between = (0..20).any(|_| left_when_the_lock_was_free() > 900);
    assert!(is_free_in_between, "the lock was not free before the last records were removed, in 20 attempts");
}

/// Removes some thousand stale records. How many of them were left when another thread got the lock.
fn left_when_the_lock_was_free() -> usize {
    let (dir, [store, _]) = both();
    drop(store.reserve(vec![record_of(1, Some("a"), None)], &[], &|_| Absent).unwrap());
    let base = dir.path().join("libmdev");
    for n in 2..7000 {
        let stale =
            serde_json::to_vec(&DeviceRecord { identity: Some(7), ..record_of(n, Some("a"), Some(1)) }).unwrap();
        std::fs::write(base.join(format!("devices/{}", Uuid::from_u128(n))), stale).unwrap();
    }
    let member = Uuid::from_u128(1);
    let left_at_lock = std::cell::RefCell::new(None);
    let start = || {
        let base = base.clone();
        std::thread::spawn(move || {
            let _lock = lock_store(base.to_str().unwrap(), LOCK_TIMEOUT).unwrap();
            std::fs::read_dir(base.join("devices")).unwrap().count()
        })
    };
    let found = |_: &DeviceRecord| {
        left_at_lock.borrow_mut().get_or_insert_with(start);
        Absent
    };
    let new = store.reserve(vec![record_of(1, Some("a"), None)], &[member], &found).unwrap();
    assert_eq!((new.records()[0].group, store.all().unwrap().len()), (Some(1), 1));
    left_at_lock.into_inner().unwrap().join().unwrap()
}
