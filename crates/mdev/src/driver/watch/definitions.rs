// SPDX-License-Identifier: LGPL-2.1-or-later
//! Events of definitions.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{EventKind, Monitor};
use crate::driver::Node;
use crate::driver::definitions;
use crate::error::Result;
use crate::finding::{Finding, report, report_unless_exhausted};
use crate::model::Device;
use crate::model::name::parse_uuid;
use crate::store;

impl Monitor {
    /// Reads a definition again after its file may have changed. A definition that cannot be read keeps its state.
    pub(super) fn check_definition(&mut self, parent: &str, file: &str) -> Result<()> {
        // The names of temporary files are not UUIDs.
        let Some(uuid) = parse_uuid(file).filter(|uuid| uuid.to_string() == file) else { return Ok(()) };
        let host = &self.conn.host;
        let now = match host.definitions.get(parent, &uuid) {
            Ok(now) => now,
            Err(e) => {
                let is_unreadable = store::is_unreadable(&e);
                report_unless_exhausted(e)?;
                if is_unreadable {
                    return Ok(());
                }
                // Not a valid definition: a list leaves it out as well.
                None
            }
        };
        self.definition_changed((parent.to_owned(), uuid), now);
        Ok(())
    }

    /// Reads all definitions again, or those of one parent.
    pub(super) fn check_definitions(&mut self, parent: Option<&str>) -> Result<()> {
        let host = &self.conn.host;
        let read = match parent {
            Some(parent) => host.definitions.of_parent_and_broken(parent),
            None => host.definitions.all_and_broken(),
        };
        let (now, broken) = match read {
            Ok(read) => read,
            Err(e) => return report_unless_exhausted(e),
        };
        broken.iter().for_each(|one| report(Finding::from(&one.error)));
        let is_unreadable = |(parent, uuid): &(String, Uuid)| {
            let unread = broken.iter().filter(|one| store::is_unreadable(&one.error));
            unread.filter(|one| one.parent == *parent).any(|one| one.uuid.is_none_or(|broken| broken == *uuid))
        };
        let known = self.state.definitions.keys().filter(|(of, _)| parent.is_none_or(|parent| parent == of)).cloned();
        let keys = now.iter().map(|def| (def.parent.clone(), def.uuid)).chain(known).collect::<BTreeSet<_>>();
        for key in keys {
            let def = now.iter().find(|def| (&def.parent, &def.uuid) == (&key.0, &key.1)).cloned();
            if def.is_some() || !is_unreadable(&key) {
                self.definition_changed(key, def);
            }
        }
        Ok(())
    }

    /// Reports the difference between the known definition and the one that exists now.
    fn definition_changed(&mut self, key: (String, Uuid), now: Option<store::Definition>) {
        let before = self.state.definitions.get(&key);
        let (kind, def) = match (before, now) {
            (None, Some(now)) => (EventKind::Defined, now),
            (Some(before), Some(now)) if *before != now => (EventKind::Updated, now),
            (Some(before), None) => (EventKind::Undefined, before.clone()),
            _ => return,
        };
        let node = Node::device(self.conn.clone(), self.device_of(&def));
        self.emit(kind, Some(node));
        match kind {
            EventKind::Undefined => self.state.definitions.remove(&key),
            _ => self.state.definitions.insert(key, def),
        };
    }

    /// Returns the device of a definition, running or not.
    fn device_of(&self, def: &store::Definition) -> Device {
        let state = &self.state;
        if let Some(known) = state.devices.values().find(|known| definitions::is_definition_of(def, &known.device)) {
            return known.device.clone();
        }
        let slot = || state.slots.values().find(|slot| slot.sysname() == def.parent);
        let parent = state.parents.values().find(|known| known.parent.sysname == def.parent);
        let parent = parent.or_else(|| state.parents.get(&slot()?.parent));
        definitions::device_on_parent(def, parent.map(|known| &known.parent))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::rc::Rc;
    use std::sync::Arc;

    use rustix::io::Errno;

    use super::*;
    use crate::driver::{Conn, DefineFlags};
    use crate::sim::default_host;
    use crate::store::{Runtime, watched};

    const UUID: &str = "11111111-2222-4333-8444-555555555555";
    const IGD: &str = "0000:00:02.0";

    /// Every call that reads definitions fails in turn, after the file and after the folder was replaced.
    #[test]
    fn unreadable_definition_stays_defined() {
        let root = tempfile::tempdir().unwrap();
        ["etc", "run"].iter().for_each(|name| fs::create_dir(root.path().join(name)).unwrap());
        let definitions = store::Definitions::files(root.path().to_str().unwrap());
        let conn = Conn::of((Arc::new(default_host()), Arc::new(Runtime::memory([])), Arc::new(definitions)));
        let xml = format!(
            "<device><parent>{IGD}</parent><capability type='mdev'><type id='i915-GVTg_V5_4'/><uuid>{UUID}</uuid>\
             </capability></device>"
        );
        conn.define_xml(xml.as_bytes(), DefineFlags::empty()).unwrap();
        let base = root.path().join("etc/mdevctl.d");
        let aside = root.path().join("etc/aside");
        let changes: [&dyn Fn(); 3] = [
            &|| fs::write(base.join(IGD).join(UUID), r#"{"mdev_type":"i915-GVTg_V5_8","start":"manual"}"#).unwrap(),
            &|| {
                [(base.join(IGD), &aside), (aside.clone(), &base.join(IGD))]
                    .iter()
                    .for_each(|(a, b)| fs::rename(a, b).unwrap())
            },
            &|| [(base.clone(), &aside), (aside.clone(), &base)].iter().for_each(|(a, b)| fs::rename(a, b).unwrap()),
        ];
        let mut injected = 0;
        for (case, change) in changes.iter().enumerate() {
            for (errno, nth) in
                [Errno::IO, Errno::ACCESS].into_iter().flat_map(|errno| (0..40).map(move |n| (errno, n)))
            {
                let mut monitor = conn.monitor().unwrap();
                change();
                let (count, hit) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
                let (counter, struck) = (Rc::clone(&count), Rc::clone(&hit));
                let hook = move |_: &str, _: &str| {
                    counter.set(counter.get() + 1);
                    let fails = counter.get() > nth;
                    struck.set(struck.get() || fails);
                    if fails { Err(errno) } else { Ok(()) }
                };
                let kinds = watched(hook, || {
                    let received = std::iter::from_fn(|| monitor.receive().unwrap());
                    received.map(|event| event.kind).collect::<Vec<_>>()
                });
                assert!(!kinds.contains(&EventKind::Undefined), "case {case}: {errno} from call {nth} on: {kinds:?}");
                injected += u32::from(hit.get());
            }
        }
        assert!(injected > 10, "only {injected} failures");
    }
}
