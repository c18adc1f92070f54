// SPDX-License-Identifier: LGPL-2.1-or-later
//! Makes every call that reads a file or a folder of the stores fail, first once, then permanently. No request may then report that an
//! object does not exist or that a name is free, and no list may leave out an object without a finding.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use super::{Conn, CreateFlags, DefineFlags, DestroyFlags, EventKind, ListFlags, StartFlags};
use crate::error::{Error, ErrorCode};
use crate::finding::collect;
use crate::sim::{SimHost, default_host};
use crate::store::{Definitions, Runtime, watched};
use crate::sysfs::{Errno, unless_exhausted};
use crate::testing::absence::{CARD, DEFINED, M60, NEW, ON_BUS, ON_VF, OTHER, VERSION_5, VF, Verdict, verdict, xml};

/// The incomplete group.
const BATCH: &str = OTHER;

/// None of these means that a file does not exist.
const ERRNOS: [Errno; 4] = [Errno::IO, Errno::ACCESS, Errno::INTR, Errno::MFILE];

struct Lab {
    root: tempfile::TempDir,
    sim: SimHost,
    conn: Conn,
    /// The nodes of a complete list.
    whole: Vec<Listed>,
}

/// Name, UUID and owner.
type Listed = (String, Option<String>, Option<String>);

impl Lab {
    /// Creates a host with a device of an incomplete group on the mdev bus, a device on a VF, and a definition with autostart.
    fn new() -> Lab {
        let root = tempfile::tempdir().unwrap();
        ["etc", "run"].iter().for_each(|name| fs::create_dir(root.path().join(name)).unwrap());
        let path = root.path().to_str().unwrap();
        let (runtime, definitions) = (Runtime::files(&format!("{path}/run")), Definitions::files(path));
        let sim = default_host();
        let conn = Conn::of((Arc::new(sim.clone()), Arc::new(runtime), Arc::new(definitions)));
        conn.set_owner(Some("me")).unwrap();
        for request in [xml(M60, "12", ON_BUS, "bus"), xml(VF, "1441", ON_VF, "vf")] {
            conn.create_xml(request.as_bytes(), CreateFlags::empty()).unwrap();
        }
        conn.define_xml(xml(M60, "12", DEFINED, "defined").as_bytes(), DefineFlags::AUTOSTART).unwrap();
        let run = root.path().join("run/libmdev");
        fs::create_dir_all(run.join("groups")).unwrap();
        fs::write(run.join("groups").join(BATCH), "").unwrap();
        fs::write(run.join("locks").join(format!("group-{BATCH}")), "").unwrap();
        let record = run.join("devices").join(ON_BUS);
        let text = fs::read_to_string(&record).unwrap().replacen('{', &format!("{{\"batch\":\"{BATCH}\","), 1);
        fs::write(&record, text).unwrap();
        conn.list(ListFlags::PARENTS).unwrap();
        let whole = nodes(&conn).unwrap();
        let lab = Lab { root, sim, conn, whole };
        // A type that the card does not show now; the types that it shows are to be remembered.
        let mut types = lab.types();
        types["types"] = serde_json::json!([["999", "hidden"]]);
        fs::write(lab.types_file(), types.to_string()).unwrap();
        lab
    }

    fn types_file(&self) -> PathBuf {
        self.root.path().join("run/libmdev/types").join(CARD)
    }

    fn types(&self) -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(self.types_file()).unwrap()).unwrap()
    }
}

/// Returns the verdict on a request that must fail, or succeed with a finding about a record that was left out.
fn refused<T>(request: impl FnOnce() -> Result<T, Error>) -> Verdict {
    match collect(request) {
        (Ok(_), found) if found.is_empty() => Err("it succeeded".to_owned()),
        (result, _) => verdict(result),
    }
}

fn nodes(conn: &Conn) -> Result<Vec<Listed>, Error> {
    let nodes = conn.list(ListFlags::DEVICES | ListFlags::ACTIVE | ListFlags::INACTIVE)?;
    let one = |node: &super::Node| (node.name().to_owned(), node.uuid().ok(), node.owner().ok().map(str::to_owned));
    Ok(nodes.iter().map(one).collect())
}

/// A list goes on without what it cannot read, and reports it.
fn list(lab: &Lab) -> Verdict {
    let (listed, found) = collect(|| nodes(&lab.conn));
    match listed {
        Err(e) => unless_exhausted(e).map_or(Ok(()), |e| Err(e.to_string())),
        Ok(nodes) if nodes.len() < 2 => Err(format!("{nodes:?}")),
        Ok(nodes) if nodes != lab.whole && found.is_empty() => Err(format!("{nodes:?}, no finding")),
        Ok(_) => Ok(()),
    }
}

fn problems(lab: &Lab) -> Verdict {
    match lab.conn.list_problems() {
        Ok(found) if found.is_empty() => Err("no finding".to_owned()),
        other => verdict(other),
    }
}

/// A destroy by UUID. Every error is right, except one that reports an object as missing.
fn destroyed(lab: &Lab, uuid: &str) -> Verdict {
    verdict(lab.conn.destroy_uuid(uuid, DestroyFlags::empty()))
}

/// A destroy of the incomplete group. It must destroy the device or fail.
fn destroy_incomplete(lab: &Lab) -> Verdict {
    match lab.conn.destroy_incomplete(None, DestroyFlags::empty()) {
        Ok(0) => Err("nothing was destroyed, and no error".to_owned()),
        other => verdict(other),
    }
}

fn autostart(lab: &Lab) -> Verdict {
    match lab.conn.autostart(Some(M60), StartFlags::empty()) {
        Ok(0) => Err("nothing was started, and no error".to_owned()),
        other => verdict(other),
    }
}

type Request = fn(&Lab) -> Verdict;

/// The requests. Those that change nothing are first.
const REQUESTS: [(&str, Request); 18] = [
    ("look up by UUID", |lab| verdict(lab.conn.lookup_by_uuid(ON_BUS))),
    ("look up by name", |lab| verdict(lab.conn.lookup_by_name("bus"))),
    ("look up a VF's device by UUID", |lab| verdict(lab.conn.lookup_by_uuid(ON_VF))),
    ("look up a VF's device by name", |lab| verdict(lab.conn.lookup_by_name("vf"))),
    ("look up a VF's device by address", |lab| match collect(|| lab.conn.lookup_by_name(VF)) {
        (Ok(node), found) if node.uuid().ok().as_deref() != Some(ON_VF) && found.is_empty() => {
            Err(format!("it is {:?}, no finding", node.uuid()))
        }
        (other, _) => verdict(other),
    }),
    ("look up a definition by UUID", |lab| verdict(lab.conn.lookup_by_uuid(DEFINED))),
    ("look up a definition by name", |lab| verdict(lab.conn.lookup_by_name("defined"))),
    ("look up a parent", |lab| verdict(lab.conn.lookup_by_name(CARD))),
    ("list", list),
    ("list problems", problems),
    ("remember types", |lab| {
        let listed = lab.conn.list(ListFlags::PARENTS);
        let types = lab.types().to_string();
        if types.contains("hidden") { verdict(listed) } else { Err(format!("it was forgotten: {types}")) }
    }),
    ("create a device whose name is taken", |lab| {
        refused(|| lab.conn.create_xml(xml(M60, "12", NEW, "vf").as_bytes(), CreateFlags::empty()))
    }),
    ("create a device whose name is defined", |lab| {
        refused(|| lab.conn.create_xml(xml(M60, "12", NEW, "defined").as_bytes(), CreateFlags::empty()))
    }),
    ("create a device that is defined with another type", |lab| {
        refused(|| lab.conn.create_xml(xml(M60, "11", DEFINED, "new").as_bytes(), CreateFlags::empty()))
    }),
    ("define a device whose name is taken", |lab| {
        refused(|| lab.conn.define_xml(xml(M60, "12", NEW, "vf").as_bytes(), DefineFlags::empty()))
    }),
    ("destroy a VF's device", |lab| destroyed(lab, ON_VF)),
    ("destroy the rest of a group", destroy_incomplete),
    ("autostart", autostart),
];

/// The number of requests that change nothing.
const READ_ONLY: usize = 10;

/// Runs the request with its n-th reading call failing, and later ones of the same path as well if `lasts`. `None` if it has
/// fewer calls.
fn with_failure(lab: &Lab, nth: usize, errno: Errno, lasts: bool, request: Request) -> Option<(Verdict, String)> {
    let (count, failed) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(None::<String>)));
    let (counter, at) = (Rc::clone(&count), Rc::clone(&failed));
    let hook = move |call: &str, path: &str| {
        if !["open", "openat", "list", "read"].contains(&call) {
            return Ok(());
        }
        let mut at = at.borrow_mut();
        if counter.replace(counter.get() + 1) == nth {
            *at = Some(path.to_owned());
            return Err(errno);
        }
        if lasts && at.as_deref() == Some(path) { Err(errno) } else { Ok(()) }
    };
    let verdict = watched(hook, || request(lab));
    failed.take().map(|path| (verdict, path.replace(lab.root.path().to_str().unwrap(), "")))
}

#[test]
fn unreadable_store_file_is_never_reported_as_absent() {
    let (mut wrong, mut injected) = (Vec::new(), 0);
    for (number, (name, request)) in REQUESTS.iter().enumerate() {
        let mut lab = Lab::new();
        for lasts in [false, true] {
            // The errnos in turn: each point sees two of the four.
            for (nth, errno) in ERRNOS.iter().cycle().skip(usize::from(lasts)).enumerate() {
                if number >= READ_ONLY {
                    lab = Lab::new();
                }
                let Some((verdict, path)) = with_failure(&lab, nth, *errno, lasts, *request) else { break };
                injected += 1;
                if let Err(why) = verdict {
                    wrong.push(format!("{name}: {errno} of {path}, lasts: {lasts}: {why}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {injected}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(injected > 400, "only {injected} errors were injected");
}

/// Runs the request with every call failing on a path that ends in one of these.
fn with_unreadable<T>(ends: &[&'static str], request: impl FnOnce() -> T) -> T {
    let ends = ends.to_vec();
    let hook =
        move |_: &str, path: &str| if ends.iter().any(|end| path.ends_with(end)) { Err(Errno::IO) } else { Ok(()) };
    watched(hook, request)
}

/// A VF has a device of another program, and the record of another device is unreadable.
#[test]
fn record_that_cannot_be_read_hides_no_other_device() {
    const FREE: &str = "0000:41:00.6";
    let lab = Lab::new();
    let mut monitor = lab.conn.monitor().unwrap();
    let current = format!("/sys/bus/pci/devices/{FREE}/nvidia/current_vgpu_type");
    lab.sim.echo(&current, "1441").unwrap();
    with_unreadable(&["c60cc60cc601", "c60cc60cc602"], || {
        let (node, found) = collect(|| lab.conn.lookup_by_name(FREE).unwrap());
        assert!(!found.is_empty());
        let derived = node.uuid().unwrap();
        let mut events = Vec::new();
        while let Some(event) = monitor.receive().unwrap() {
            events.push((event.kind, event.node.and_then(|node| node.uuid().ok())));
        }
        assert!(events.contains(&(EventKind::Created, Some(derived.clone()))), "{events:?}");
        assert!(!events.iter().any(|(kind, _)| *kind == EventKind::Deleted), "{events:?}");
        node.attrs().unwrap();
        lab.conn.lookup_by_uuid(&derived).unwrap();
        lab.conn.destroy_uuid(&derived, DestroyFlags::empty()).unwrap();
        // A UUID of version 5, which a VF could have.
        assert_eq!(lab.conn.lookup_by_uuid(VERSION_5).unwrap_err().code, ErrorCode::NoNode);
    });
    assert_eq!(lab.conn.lookup_by_uuid(ON_VF).unwrap().name(), "vf");
}

#[test]
fn create_succeeds_beside_unreadable_definitions_of_another_parent() {
    let lab = Lab::new();
    let folder = lab.root.path().join("etc/mdevctl.d/0000:ff:00.0");
    fs::create_dir_all(&folder).unwrap();
    let unnamed =
        |parent: &str, type_id: &str, uuid: &str| xml(parent, type_id, uuid, "x").replace("<name>x</name>", "");
    with_unreadable(&["mdevctl.d/0000:ff:00.0"], || {
        for (parent, type_id, uuid) in [(M60, "12", NEW), (CARD, "1441", VERSION_5)] {
            lab.conn.create_xml(unnamed(parent, type_id, uuid).as_bytes(), CreateFlags::empty()).unwrap();
        }
    });
    // The folders of the VFs of the parent, and of the parent.
    for (folder, parent, type_id) in [("mdevctl.d/0000:41:00.6", CARD, "1441"), ("mdevctl.d/0000:86:00.0", M60, "12")] {
        fs::create_dir_all(lab.root.path().join("etc").join(folder)).unwrap();
        let refused = with_unreadable(&[folder], || {
            lab.conn.create_xml(unnamed(parent, type_id, BATCH).as_bytes(), CreateFlags::empty())
        });
        assert_eq!(refused.unwrap_err().errno, Errno::IO.raw_os_error(), "{folder}");
    }
}
