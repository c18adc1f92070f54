// SPDX-License-Identifier: LGPL-2.1-or-later
//! Every operation of a request fails in turn with an errno that says nothing about the object. No request may then return
//! "there is no such node, parent or device", and no list may be short without a finding.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mdev::driver::{Conn, CreateFlags, DefineFlags, DestroyFlags, ListFlags, StartFlags};
use mdev::error::{Error, ErrorCode};
use mdev::finding::collect;
use mdev::store::{Definitions, Runtime};
use mdev::sysfs::Errno;
use mdev::sysfs::sim::{Op, SimHost, default_host};

const ON_BUS: &str = "c60cc60c-c60c-c60c-c60c-c60cc60cc601";
const ON_VF: &str = "c60cc60c-c60c-c60c-c60c-c60cc60cc602";
const DEFINED: &str = "c60cc60c-c60c-c60c-c60c-c60cc60cc603";
const NEW: &str = "c60cc60c-c60c-c60c-c60c-c60cc60cc604";
const M60: &str = "0000:86:00.0";
const CARD: &str = "0000:41:00.0";

/// None of these means that an object does not exist.
const ERRNOS: [Errno; 2] = [Errno::IO, Errno::NOMEM];

struct Lab {
    sim: SimHost,
    conn: Conn,
}

fn xml(parent: &str, type_id: &str, uuid: &str, name: &str) -> String {
    format!(
        "<device><name>{name}</name><parent>{parent}</parent><capability type='mdev'><type id='{type_id}'/>\
         <uuid>{uuid}</uuid></capability></device>"
    )
}

impl Lab {
    /// A host with a device on the mdev bus, one on a VF, and a definition that is started with its parent.
    fn new() -> Lab {
        let sim = default_host();
        let parts: (Arc<dyn mdev::sysfs::Sysfs>, _, _) =
            (Arc::new(sim.clone()), Arc::new(Runtime::memory([])), Arc::new(Definitions::memory([])));
        let conn = Conn::of(parts);
        for request in [xml(M60, "12", ON_BUS, "bus"), xml(CARD, "1441", ON_VF, "vf")] {
            conn.create_xml(request.as_bytes(), CreateFlags::empty()).unwrap();
        }
        conn.define_xml(xml(M60, "12", DEFINED, "defined").as_bytes(), DefineFlags::AUTOSTART).unwrap();
        Lab { sim, conn }
    }
}

/// Requests that change the host, so that each needs a new one.
const CHANGES: [&str; 5] = ["create", "create on a VF", "destroy", "destroy a VF's device", "autostart"];

/// The verdict on a request to a host on which every object exists: `Err` with the reason if its result is wrong.
type Verdict = Result<(), String>;

/// Any error is right, except one that reports an object as missing.
fn verdict(result: Result<(), Error>) -> Verdict {
    match result {
        Err(e) if matches!(e.code, ErrorCode::NoNode | ErrorCode::NoParent | ErrorCode::NoType) => Err(e.to_string()),
        Err(e) if [Errno::NODEV, Errno::NOENT].iter().any(|errno| e.errno == errno.raw_os_error()) => {
            Err(e.to_string())
        }
        _ => Ok(()),
    }
}

/// `whole`: how many nodes the host has.
fn list(conn: &Conn, flags: ListFlags, whole: usize) -> Verdict {
    let (listed, found) = collect(|| conn.list(flags));
    match listed {
        Ok(nodes) if nodes.len() < whole && found.is_empty() => Err(format!("{} of {whole} nodes", nodes.len())),
        other => verdict(other.map(drop)),
    }
}

fn started(conn: &Conn) -> Verdict {
    match conn.autostart(Some(M60), StartFlags::empty()) {
        Ok(0) => Err("nothing was started, and no error".to_owned()),
        other => verdict(other.map(drop)),
    }
}

type Request = fn(&Conn) -> Verdict;

const REQUESTS: [(&str, Request); 16] = [
    ("look up a parent", |conn| verdict(conn.lookup_by_name("pci_0000_86_00_0").map(drop))),
    ("look up a PF", |conn| verdict(conn.lookup_by_name(CARD).map(drop))),
    ("look up a parent by path", |conn| verdict(conn.lookup_by_name("/sys/bus/pci/devices/0000:86:00.0").map(drop))),
    ("look up by name", |conn| verdict(conn.lookup_by_name("bus").map(drop))),
    ("look up a VF's device by name", |conn| verdict(conn.lookup_by_name("vf").map(drop))),
    ("look up a definition by name", |conn| verdict(conn.lookup_by_name("defined").map(drop))),
    ("look up by UUID", |conn| verdict(conn.lookup_by_uuid(ON_BUS).map(drop))),
    ("look up a VF's device by UUID", |conn| verdict(conn.lookup_by_uuid(ON_VF).map(drop))),
    ("look up a definition by UUID", |conn| verdict(conn.lookup_by_uuid(DEFINED).map(drop))),
    ("list", |conn| list(conn, ListFlags::empty(), 10)),
    ("list devices", |conn| list(conn, ListFlags::DEVICES | ListFlags::ACTIVE | ListFlags::INACTIVE, 4)),
    ("create", |conn| verdict(conn.create_xml(xml(M60, "12", NEW, "new").as_bytes(), CreateFlags::empty()).map(drop))),
    ("create on a VF", |conn| {
        verdict(conn.create_xml(xml(CARD, "1441", NEW, "new").as_bytes(), CreateFlags::empty()).map(drop))
    }),
    ("destroy", |conn| verdict(conn.destroy_uuid(ON_BUS, DestroyFlags::empty()))),
    ("destroy a VF's device", |conn| verdict(conn.destroy_uuid(ON_VF, DestroyFlags::empty()))),
    ("autostart", started),
];

/// Runs the request with a failure of its n-th operation; `None` if it has fewer operations. Returns the verdict and the failed
/// operation.
fn with_failure(lab: &Lab, request: Request, nth: usize, errno: Errno) -> Option<(Verdict, String)> {
    let (count, failed) = (AtomicUsize::new(0), Arc::new(Mutex::new(None)));
    let at = Arc::clone(&failed);
    lab.sim.set_hook(Some(Arc::new(move |op: Op, path: &str| {
        let now = count.fetch_add(1, Ordering::Relaxed) == nth;
        now.then(|| *at.lock().unwrap() = Some(format!("{op:?} {path}"))).map(|()| errno)
    })));
    let verdict = request(&lab.conn);
    lab.sim.set_hook(None);
    let step = failed.lock().unwrap().take();
    step.map(|step| (verdict, step))
}

#[test]
fn no_other_errno_is_reported_as_absence() {
    let (mut wrong, mut injected) = (Vec::new(), 0);
    for (name, request) in REQUESTS {
        let mut lab = Lab::new();
        for errno in ERRNOS {
            for nth in 0.. {
                if CHANGES.contains(&name) {
                    lab = Lab::new();
                }
                let Some((verdict, step)) = with_failure(&lab, request, nth, errno) else { break };
                injected += 1;
                if let Err(why) = verdict {
                    wrong.push(format!("{name}: {errno} at {step}: {why}"));
                }
            }
        }
    }
    assert!(injected > 1000, "only {injected} errors were injected");
    assert!(wrong.is_empty(), "{} of {injected}:\n{}", wrong.len(), wrong.join("\n"));
}
