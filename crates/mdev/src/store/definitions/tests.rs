// SPDX-License-Identifier: LGPL-2.1-or-later
//! Definitions on failing disks: every system call fails, in several ways.

use std::cell::RefCell;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::*;
use crate::error::ErrorCode;
use crate::store::calls::watched;

const PARENT: &str = "0000:86:00.0";
const MAIN: &str = "etc/mdevctl.d/0000:86:00.0";
const BESIDE: &str = "etc/libmdev/definitions/0000:86:00.0";

/// A store in a temporary folder.
struct Disk {
    root: tempfile::TempDir,
    store: Definitions,
}

impl Disk {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::create_dir(root.path().join("run")).unwrap();
        let store = Definitions::files(root.path().to_str().unwrap());
        Disk { root, store }
    }

    fn with(definition: &Definition) -> Self {
        let disk = Disk::new();
        disk.put(definition).unwrap();
        disk.store.set_autostart(PARENT, &Uuid::nil(), definition.autostart).unwrap();
        disk
    }

    fn put(&self, definition: &Definition) -> Result<Definition> {
        self.store.put(definition, Start::Keep, &|| Ok(()))
    }

    fn now(&self) -> Option<Definition> {
        self.store.get(PARENT, &Uuid::nil()).unwrap()
    }

    fn path(&self, folder: &str) -> PathBuf {
        self.root.path().join(folder).join(Uuid::nil().to_string())
    }
}

fn definition(type_id: &str, name: Option<&str>) -> Definition {
    let (name, owner) = (name.map(str::to_owned), name.map(|_| "web".to_owned()));
    Definition { parent: PARENT.into(), type_id: type_id.into(), autostart: true, name, owner, ..Definition::default() }
}

/// Makes the call with this number fail. Also returns the name and the path of that call.
fn failing<T>(number: usize, errno: Errno, run: impl FnOnce() -> T) -> (T, Option<(String, String)>) {
    let hit = Rc::new(RefCell::new(None));
    let (tell, mut count) = (Rc::clone(&hit), 0);
    let hook = move |call: &str, path: &str| {
        count += 1;
        if count - 1 != number {
            return Ok(());
        }
        *tell.borrow_mut() = Some((call.to_owned(), path.to_owned()));
        Err(errno)
    };
    let result = watched(hook, run);
    let hit = hit.borrow_mut().take();
    (result, hit)
}

/// A change of a definition.
type Change = fn(&Disk) -> Result<bool>;

fn changes() -> Vec<(Definition, Change, Option<Definition>)> {
    let old = || definition("11", Some("old"));
    let bare = |type_id| definition(type_id, None);
    let owned = |name: Option<&str>| Definition { name: name.map(str::to_owned), ..old() };
    let manual = Definition { autostart: false, ..old() };
    vec![
        (old(), |disk| disk.put(&definition("12", Some("new"))).map(|_| true), Some(definition("12", Some("new")))),
        (old(), |disk| disk.put(&definition("11", Some("new"))).map(|_| true), Some(definition("11", Some("new")))),
        (old(), |disk| disk.put(&definition("11", None)).map(|_| true), Some(owned(None))),
        (owned(None), |disk| disk.put(&definition("12", None)).map(|_| true), {
            Some(Definition { type_id: "12".into(), ..owned(None) })
        }),
        (Definition { owner: None, ..old() }, |disk| disk.put(&definition("11", None)).map(|_| true), Some(bare("11"))),
        (Definition { owner: None, ..old() }, |disk| disk.put(&definition("12", None)).map(|_| true), Some(bare("12"))),
        (
            bare("11"),
            |disk| disk.put(&definition("12", Some("new"))).map(|_| true),
            Some(definition("12", Some("new"))),
        ),
        (old(), |disk| disk.store.set_autostart(PARENT, &Uuid::nil(), false), Some(manual)),
        (old(), |disk| disk.store.remove(PARENT, &Uuid::nil()), None),
    ]
}

/// After a failure of any call, the old or the new definition exists; success means the new one; and the error is true.
#[test]
fn change_with_a_failure_at_any_call_is_complete_or_absent() {
    for errno in [Errno::MFILE, Errno::NOMEM, Errno::IO, Errno::ACCESS, Errno::NOSPC] {
        for (case, (old, change, new)) in changes().into_iter().enumerate() {
            for number in 0.. {
                let disk = Disk::with(&old);
                let (result, hit) = failing(number, errno, || change(&disk));
                let Some((call, path)) = hit else {
                    assert_eq!((result, disk.now()), (Ok(true), new));
                    assert!(number > 5, "{number} calls only");
                    break;
                };
                let (what, now) = (format!("case {case}: {errno:?} of {call} {path}: {result:?}"), disk.now());
                match result {
                    Ok(done) => assert_eq!((done, &now), (true, &new), "{what}"),
                    Err(e) => {
                        assert_eq!(e.errno, errno.raw_os_error(), "{what}");
                        assert!(!e.message.contains("fix or remove"), "{what}");
                        // The change is done if only the fsync failed.
                        let is_late = call == "fsync" && now == new;
                        assert!(now.as_ref() == Some(&old) || is_late, "{what}: {now:?}");
                        assert!(now.as_ref() == Some(&old) || !e.message.contains("is unchanged"), "{what}");
                    }
                }
                // The next change succeeds with the files that the failed change left.
                if now.is_some() {
                    assert!(disk.put(&definition("13", Some("next"))).is_ok(), "{what}");
                    assert_eq!(disk.now().map(|now| (now.type_id, now.name)), Some(("13".into(), Some("next".into()))));
                }
            }
        }
    }
}

/// Copies the files of a folder with their times.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let copy = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy_folder(&entry, &copy);
            continue;
        }
        fs::copy(&entry, &copy).unwrap();
        let modified = fs::metadata(&entry).unwrap().modified().unwrap();
        File::options().write(true).open(&copy).unwrap().set_modified(modified).unwrap();
    }
}

#[test]
fn writer_killed_at_any_call_leaves_the_old_or_the_new_definition() {
    for (case, (old, change, new)) in changes().into_iter().enumerate() {
        let disk = Disk::with(&old);
        let kills = tempfile::tempdir().unwrap();
        let (etc, copies, mut count) = (disk.root.path().join("etc"), kills.path().to_owned(), 0);
        let copy_at_call = move |_: &str, _: &str| {
            let root = copies.join(count.to_string());
            fs::create_dir_all(root.join("run")).unwrap();
            copy_folder(&etc, &root.join("etc"));
            count += 1;
            Ok(())
        };
        assert_eq!(watched(copy_at_call, || change(&disk)), Ok(true));
        let mut seen = Vec::new();
        for root in fs::read_dir(kills.path()).unwrap().map(|entry| entry.unwrap().path()) {
            let store = Definitions::files(root.to_str().unwrap());
            let now = store.get(PARENT, &Uuid::nil()).unwrap();
            assert!([Some(&old), new.as_ref()].contains(&now.as_ref()), "case {case}: {now:?}");
            // Two more changes, so that each of them needs the files that the killed writer left.
            for next in [definition("13", Some("next")), definition("14", Some("last"))] {
                store.put(&next, Start::Set, &|| Ok(())).unwrap();
                assert_eq!(store.get(PARENT, &Uuid::nil()), Ok(Some(next)), "case {case} after {now:?}");
            }
            for folder in [MAIN, BESIDE] {
                assert_eq!(fs::read_dir(root.join(folder)).unwrap().count(), 1, "case {case}: {folder}");
            }
            seen.push(now);
        }
        assert!(seen.contains(&Some(old)) && seen.contains(&new), "case {case}: {seen:?}");
    }
}

/// Without descriptors or memory, a list fails. If the disk fails for one definition, the list has all others.
#[test]
fn list_without_descriptors_leaves_no_definition_out() {
    let old = definition("11", Some("old"));
    let disk = Disk::with(&old);
    let other = Definition { parent: "0000:87:00.0".into(), ..definition("12", None) };
    disk.put(&other).unwrap();
    let is_room = |errno| matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOMEM);
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::IO] {
        let reads: [&dyn Fn() -> Result<Vec<Definition>>; 4] = [
            &|| disk.store.all(),
            &|| disk.store.of_parent_and_broken(PARENT).map(|(all, _)| all),
            &|| disk.store.of_uuid(&Uuid::nil()),
            &|| disk.store.get(PARENT, &Uuid::nil()).map(|one| one.into_iter().collect()),
        ];
        for (case, read) in reads.into_iter().enumerate() {
            for number in 0.. {
                let (result, hit) = failing(number, errno, read);
                let Some(hit) = hit else { break };
                let what = format!("case {case}: {errno:?} of {hit:?}");
                match result {
                    Ok(all) => assert!(!is_room(errno) && case < 3 && all.len() < 2, "{what}: {all:?}"),
                    Err(e) => {
                        assert_eq!(e.errno, errno.raw_os_error(), "{what}");
                        assert!(is_room(errno) || case >= 2, "{what}");
                        assert!(!e.message.contains("fix or remove"), "{what}: {e}");
                    }
                }
            }
        }
    }
    assert_eq!(disk.store.all(), Ok(vec![old, other]));
}

/// mdevctl empties its file and then writes it.
#[test]
fn half_written_definition_is_read_again() {
    let old = definition("11", Some("old"));
    let disk = Disk::with(&old);
    let (file, whole) = (disk.path(MAIN), fs::read(disk.path(MAIN)).unwrap());
    let rewrite = || {
        let (file, whole, mut looks) = (file.clone(), whole.clone(), 0);
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        move |call: &str, path: &str| {
            if call == "openat" && path.ends_with(&format!("{MAIN}/{}", Uuid::nil())) {
                looks += 1;
                if looks == 3 {
                    fs::write(&file, &whole).unwrap();
                }
            }
            Ok(())
        }
    };
    let previous = watched(rewrite(), || disk.store.previous(PARENT, &Uuid::nil()));
    assert_eq!(previous, Ok(Previous::Definition(old.clone())));
    let new = Definition { autostart: false, owner: None, ..definition("12", Some("new")) };
    let written = watched(rewrite(), || disk.put(&new));
    let expected = definition("12", Some("new"));
    assert_eq!((written, disk.now()), (Ok(expected.clone()), Some(expected)));
}

/// Unknown members of the replaced file are kept.
#[test]
fn replaced_definition_is_returned_and_its_unknown_members_are_kept() {
    let new = definition("12", None);
    for text in ["", "{", r#"{"x":1,"start":"auto"}"#] {
        let disk = Disk::with(&definition("11", Some("old")));
        fs::write(disk.path(MAIN), text).unwrap();
        assert_eq!(disk.store.previous(PARENT, &Uuid::nil()), Ok(Previous::Broken), "{text}");
        let manual = Definition { autostart: false, ..new.clone() };
        assert_eq!((disk.put(&manual), disk.now()), (Ok(manual.clone()), Some(manual)), "{text}");
        // An unknown member is kept.
        assert_eq!(fs::read_to_string(disk.path(MAIN)).unwrap().contains("\"x\": 1"), text.contains('x'));
    }
    let disk = Disk::with(&definition("11", Some("old")));
    for folder in [BESIDE, MAIN] {
        let path = disk.path(folder);
        let text = fs::read(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        for e in [disk.store.previous(PARENT, &Uuid::nil()).map(drop), disk.put(&new).map(drop)] {
            let e = e.unwrap_err();
            assert_eq!((e.code, e.path.as_deref()), (ErrorCode::Store, path.to_str()), "{e}");
        }
        assert_eq!(fs::read(&path).unwrap(), text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    assert_eq!(disk.now(), Some(definition("11", Some("old"))));
}

#[test]
fn owner_is_kept_until_another_is_set() {
    for disk in [Disk::new(), Disk { store: Definitions::memory([]), ..Disk::new() }] {
        let nobodys = Definition { owner: None, ..definition("11", Some("a")) };
        assert_eq!(disk.put(&nobodys), Ok(nobodys.clone()));
        for (owner, expected) in [(Some("web"), "web"), (None, "web"), (Some("batch"), "batch"), (None, "batch")] {
            let written = disk.put(&Definition { owner: owner.map(str::to_owned), ..nobodys.clone() }).unwrap();
            assert_eq!(written.owner.as_deref(), Some(expected));
            assert_eq!(disk.now(), Some(written));
        }
    }
}

/// The administrator has removed the definition and not its extras. A writer that is killed must not leave a new definition with them.
#[test]
fn extras_of_a_removed_definition_are_gone_before_the_next_has_its_name() {
    let disk = Disk::with(&definition("11", Some("old")));
    fs::remove_file(disk.path(MAIN)).unwrap();
    let (main, beside) = (disk.path(MAIN), disk.path(BESIDE));
    assert!(beside.exists());
    let folder = main.parent().unwrap().to_owned();
    let renamed = Rc::new(RefCell::new(None));
    let seen = Rc::clone(&renamed);
    let hook = move |call: &str, path: &str| {
        if call == "renameat" && Path::new(path).starts_with(&folder) {
            *seen.borrow_mut() = Some(beside.exists());
        }
        Ok(())
    };
    let new = definition("11", None);
    watched(hook, || disk.put(&new)).unwrap();
    assert_eq!(renamed.take(), Some(false), "the extras exist when the definition gets its name");
    assert_eq!(disk.now().and_then(|now| now.name), None);
}

/// Returns every call of a change that succeeds.
fn calls(run: impl FnOnce() -> Result<()>) -> Vec<(String, String)> {
    let log = Rc::new(RefCell::new(Vec::new()));
    let tell = Rc::clone(&log);
    let hook = move |call: &str, path: &str| {
        tell.borrow_mut().push((call.to_owned(), path.to_owned()));
        Ok(())
    };
    watched(hook, run).unwrap();
    log.take()
}

/// Without a sync, a loss of power can remove a new folder with its content, and restore a removed file.
#[test]
fn changed_folders_are_synced() {
    let disk = Disk::new();
    let log = calls(|| disk.put(&definition("11", Some("a"))).map(drop));
    let made = log
        .iter()
        .enumerate()
        .filter(|(_, (call, path))| call == "mkdirat" && !path.ends_with("/etc") && !path.contains("/run/"));
    let made: Vec<_> = made.map(|(at, (_, path))| (at, path.rsplit_once('/').unwrap().0)).collect();
    assert_eq!(made.len(), 5, "{log:?}");
    for (at, above) in made {
        assert!(log[at..].iter().any(|(call, path)| call == "fsync" && path == above), "{above}: {log:?}");
    }
    let log = calls(|| disk.store.remove(PARENT, &Uuid::nil()).map(drop));
    let synced: Vec<_> = log.iter().filter(|(call, _)| call == "fsync").map(|(_, path)| &**path).collect();
    assert_eq!(synced, [MAIN, BESIDE].map(|folder| disk.root.path().join(folder).to_str().unwrap().to_owned()));
}

/// A folder that cannot be read may contain the definition: a list continues without it, and a look-up fails.
#[test]
fn unreadable_folder_is_not_taken_for_empty() {
    let disk = Disk::with(&definition("11", None));
    for closed in ["etc/mdevctl.d", PARENT] {
        let ask = |errno| {
            let hook = move |call: &str, path: &str| {
                if call.starts_with("open") && path.ends_with(closed) { Err(errno) } else { Ok(()) }
            };
            watched(hook, || (disk.store.of_uuid(&Uuid::nil()), disk.store.all()))
        };
        let (one, all) = ask(Errno::ACCESS);
        let e = one.unwrap_err();
        assert_eq!((e.code, e.errno), (ErrorCode::AccessDenied, Errno::ACCESS.raw_os_error()), "{closed}: {e}");
        assert_eq!(all, Ok(Vec::new()), "{closed}");
        let (one, all) = ask(Errno::NOENT);
        assert_eq!((one, all), (Ok(Vec::new()), Ok(Vec::new())), "{closed}");
    }
}

/// Waits until a new file gets a later time than a file made before: file systems use the time of the last tick.
fn next_tick(folder: &Path) {
    let time = || {
        let probe = folder.join("probe");
        fs::write(&probe, "").unwrap();
        fs::metadata(&probe).unwrap().modified().unwrap()
    };
    let (first, started) = (time(), std::time::Instant::now());
    while time() == first {
        assert!(started.elapsed().as_secs() < 30, "the clock of the file system stands still");
    }
}

/// The extras of a failed define do not apply to the definition that mdevctl writes next for the same UUID and type.
#[test]
fn failed_define_leaves_no_extras() {
    let text = definition("11", None).pretty_json();
    for errno in [Errno::NOSPC, Errno::ROFS] {
        // With `stays`, the undo fails, too, as if the writer had been killed.
        for stays in [false, true] {
            let disk = Disk::new();
            let hook = move |call: &str, path: &str| {
                let names = ["linkat", "renameat"].contains(&call) && path.contains("mdevctl.d");
                let undoes = call == "unlinkat" && path.contains("libmdev/definitions");
                if names || (stays && undoes) { Err(errno) } else { Ok(()) }
            };
            let e = watched(hook, || disk.put(&definition("11", Some("mine")))).unwrap_err();
            assert_eq!(e.errno, errno.raw_os_error(), "{e}");
            let left = fs::read_dir(disk.root.path().join(BESIDE)).unwrap().count();
            assert_eq!((disk.now(), left), (None, usize::from(stays)));
            next_tick(disk.root.path());
            fs::write(disk.path(MAIN), &text).unwrap();
            let next = disk.now().unwrap();
            assert_eq!((next.name, next.owner), (None, None), "{errno:?}");
        }
    }
}

/// mdevctl modifies a file in place. A define after an undefine makes another file.
#[test]
fn extras_last_over_a_modify_of_mdevctl_and_end_with_its_undefine() {
    let disk = Disk::with(&definition("11", Some("mine")));
    let text = fs::read_to_string(disk.path(MAIN)).unwrap();
    fs::write(disk.path(MAIN), text.replace("auto", "manual")).unwrap();
    assert_eq!(disk.now().unwrap().name.as_deref(), Some("mine"));
    disk.store.set_autostart(PARENT, &Uuid::nil(), true).unwrap();
    assert_eq!(disk.now(), Some(definition("11", Some("mine"))));
    fs::remove_file(disk.path(MAIN)).unwrap();
    next_tick(disk.root.path());
    fs::write(disk.path(MAIN), text).unwrap();
    assert_eq!(disk.now().unwrap().name, None);
}
