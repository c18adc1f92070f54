// SPDX-License-Identifier: LGPL-2.1-or-later
//! Defines devices that persist, starts them, and sets which of them start with their parent.

use rustix::io::Errno;
use uuid::Uuid;

use super::callouts::{self, CalloutMode};
use super::create::Request;
use super::definitions::{self, Parents, Scope};
use super::options::CreateOptions;
use super::plan::{known_type, lacks_type, search_own_type};
use super::{Conn, CreateFlags, DefineFlags, Host, Node, StartFlags, attrs, devices};
use crate::backend::parents::{self, read_types};
use crate::backend::{places, refuse_unsupported};
use crate::callout::Action;
use crate::error::{Error, ErrorCode, Result, if_readable, shown, unless_exhausted};
use crate::finding::search;
use crate::model::name::is_component;
use crate::model::{Device, DeviceDef};
use crate::store::{Broken, Definition, Previous, Start};
use crate::xml;

/// The maximum number of failures in an error message.
const FAILURES_NAMED: usize = 8;

impl Conn {
    /// Defines a device from XML, or changes its definition. A running device is not changed before its next start. Returns the
    /// device, running or not. Fails if the XML is invalid, the type is unknown, the name is in use, or a call-out refuses.
    pub fn define_xml(&self, xml: &[u8], flags: DefineFlags) -> Result<Node> {
        self.define_device(
            xml::parse_device(xml, xml::Unknown::ignored(flags.contains(DefineFlags::IGNORE_UNKNOWN)))?,
            flags,
        )
    }

    /// Defines a device as [`Conn::define_xml`] does, without XML.
    pub fn define(&self, options: &CreateOptions<'_>, flags: DefineFlags) -> Result<Node> {
        self.define_device(options.definition()?, flags)
    }

    /// Defines a device from a parsed request.
    fn define_device(&self, wanted: DeviceDef, flags: DefineFlags) -> Result<Node> {
        let autostart = requested_autostart(&wanted, flags)?;
        let (def, is_new) = definition(&self.host, wanted, autostart)?;
        let action = if is_new { Action::Define } else { Action::Modify };
        // Checked under the lock: another process may define a device at the same time.
        let check = || refuse_taken_name(&self.host, &def);
        // Without a request, the store keeps the autostart of the older definition. It does so under its lock, since
        // another process may be changing the autostart.
        let start = if autostart.is_some() { Start::Set } else { Start::Keep };
        let new = Definition { autostart: autostart.unwrap_or(false), ..def.clone() };
        let put = || self.host.definitions.put(&new, start, &check);
        let def = callouts::with_callouts(&self.host, ask(flags), action, &def, put)?;
        log::info!("{}: defined device {} of type {}", def.parent, def.uuid, def.type_id);
        // The definition is stored, and the caller may not know its UUID: so this must not fail.
        let device = definitions::active_or_inactive(&self.host, &def).unwrap_or_else(|e| {
            log::warn!("{}: cannot determine whether the device runs: {e}", def.uuid);
            definitions::device_on_parent(&def, None)
        });
        Ok(Node::device(self.clone(), device))
    }

    /// Starts every device that is defined with autostart and does not run: on one parent, or on all existing parents. For a VF,
    /// also the devices defined on its PF. Returns the number of started devices. If a start fails, the other devices are still
    /// started, each failure is logged, and the error names the first failures.
    pub fn autostart(&self, parent: Option<&str>, flags: StartFlags) -> Result<u32> {
        let scope = parent.map(|parent| Scope::of(&self.host, parent)).transpose()?;
        let asked = |parent: &str| scope.as_ref().is_none_or(|scope| scope.has(parent));
        let (defs, broken) = self.host.definitions.all_and_broken()?;
        let (mut started, mut failed) = (0, Vec::new());
        for def in defs.iter().filter(|def| def.autostart && asked(&def.parent)) {
            match self.start_unless_running(def, flags) {
                Ok(true) => started += 1,
                Ok(false) => {}
                Err(e) => {
                    let why = e.to_string();
                    match self.error_to_report(def, e, scope.as_ref()) {
                        Some(e) => failed.push(failure(def.uuid.to_string(), &def.parent, e)),
                        None => log::info!("{} on {} is not started yet: {why}", def.uuid, def.parent),
                    }
                }
            }
        }
        // An unusable definition may have autostart, so it is a failure.
        let is_meant =
            |parent: &str| asked(parent) && (scope.is_some() || !definitions::is_parent_absent(&self.host, parent));
        for Broken { parent, uuid, error } in broken.iter().filter(|one| is_meant(&one.parent)) {
            let what = uuid.map_or("what is defined".to_owned(), |uuid| uuid.to_string());
            failed.push(failure(what, parent, error.clone()));
        }
        // EAGAIN only if no start failed for another reason.
        let lasting = failed.iter().find(|(_, e)| e.errno != Errno::AGAIN.raw_os_error());
        match lasting.or(failed.first()) {
            None => Ok(started),
            Some((_, first)) => Err(Error { message: not_started(&failed, started), ..first.clone() }),
        }
    }

    /// The error to report for a definition that autostart could not start. `None` if its hardware is not ready and a
    /// later autostart starts it.
    fn error_to_report(&self, def: &Definition, e: Error, scope: Option<&Scope>) -> Option<Error> {
        let is_pending = match e.code {
            ErrorCode::NoType => definitions::is_pending(&self.host, &def.parent),
            _ => Ok(false),
        };
        match (is_pending, scope) {
            (Err(unread), _) => Some(unread),
            (Ok(_), Some(scope)) if scope.waits(def, &e) => None,
            (Ok(_), None) if e.code == ErrorCode::NoParent => None,
            (Ok(true), None) => None,
            // No event announces the types of a parent, so the caller has to try again.
            (Ok(true), Some(_)) => Some(Error { errno: Errno::AGAIN.raw_os_error(), ..e }),
            (Ok(false), _) => Some(e),
        }
    }

    /// Starts the device. Returns false if it already runs, or if its definition no longer has autostart.
    fn start_unless_running(&self, def: &Definition, flags: StartFlags) -> Result<bool> {
        // If the lock cannot be taken, the start continues: only a concurrent autostart of the same device could then fail.
        let autostart_lock = self.host.runtime.lock(&format!("autostart-{}", def.parent));
        let _autostart_lock =
            autostart_lock.inspect_err(|e| log::debug!("{}: not waited for others who start it: {e}", def.uuid)).ok();
        // Read again: the starts before this one, with their call-outs, may have taken minutes.
        let Some(def) = self.host.definitions.get(&def.parent, &def.uuid)?.filter(|def| def.autostart) else {
            return Ok(false);
        };
        let Some(start) = Request::start(self, &def, create_flags(flags))? else { return Ok(false) };
        match start.create(request(&def)) {
            Ok(_) => Ok(true),
            // Another process started the device first, perhaps with the last instance.
            Err(e) if matches!(e.code, ErrorCode::Exists | ErrorCode::NoInstances) && self.is_running(&def)? => {
                Ok(false)
            }
            Err(e) => match (unless_exhausted(e)?, self.awaits_type(&def)?) {
                // The error may be of an unreadable VF. NoType makes the next autostart try again.
                (e, true) => Err(Error { code: ErrorCode::NoType, ..e }),
                (e, false) => Err(e),
            },
        }
    }

    /// Whether the parent exists, does not show the type now, and may show it later. False if that cannot be determined. Fails
    /// only if this process or host has run out of descriptors or memory.
    fn awaits_type(&self, def: &Definition) -> Result<bool> {
        let lacks = lacks_type(&self.host, &def.parent, &def.type_id);
        let awaits = lacks.and_then(|lacks| Ok(lacks && definitions::is_pending(&self.host, &def.parent)?));
        Ok(if_readable(awaits)?.unwrap_or(false))
    }

    fn is_running(&self, def: &Definition) -> Result<bool> {
        Ok(definitions::running_device(&self.host, def)?.is_some())
    }
}

impl Node {
    /// Starts a defined device. Fails if it already runs or has no definition, and for the reasons of a create.
    pub fn start(&self, flags: StartFlags) -> Result<()> {
        let conn = self.conn();
        let def = self.definition("started")?;
        let Some(start) = Request::start(conn, &def, create_flags(flags))? else {
            let message = "it runs already; a changed definition counts from its next start on";
            return Err(Error::new(ErrorCode::WrongState, Errno::EXIST, message).of(self.name()));
        };
        start.create(request(&def)).map(drop)
    }

    /// Removes the definition. A running device runs until it is destroyed. Fails if the device has no definition, or a call-out
    /// refuses.
    pub fn undefine(&self, flags: DefineFlags) -> Result<()> {
        let host = &self.conn().host;
        if flags.intersects(DefineFlags::AUTOSTART | DefineFlags::IGNORE_UNKNOWN) {
            let message = "only MDEV_DEFINE_NO_CALLOUTS applies to undefine; drop the other flags";
            return Err(Error::new(ErrorCode::InvalidFlags, Errno::INVAL, message).of(self.name()));
        }
        let def = self.definition("undefined")?;
        // The call-outs get the real result: a definition that another process removed first is a failure.
        callouts::with_callouts(host, ask(flags), Action::Undefine, &def, || {
            match host.definitions.remove(&def.parent, &def.uuid)? {
                true => Ok(()),
                false => Err(self.transient("undefined")),
            }
        })
    }

    /// Sets whether the device is started when its parent appears. Fails for a parent, and for a device without a definition.
    pub fn set_autostart(&self, autostart: bool) -> Result<()> {
        let host = &self.conn().host;
        let def = self.definition("set to autostart")?;
        let new = Definition { autostart, ..def };
        callouts::with_callouts(host, CalloutMode::Run, Action::Modify, &new, || {
            match host.definitions.set_autostart(&new.parent, &new.uuid, autostart)? {
                true => Ok(()),
                false => Err(self.transient("set to autostart")),
            }
        })
    }

    /// Returns the autostart of the device, read now. True for a parent, which exists whenever its hardware exists. Fails for a
    /// device without a definition.
    pub fn autostart(&self) -> Result<bool> {
        if self.is_parent() {
            return Ok(true);
        }
        Ok(self.definition("set to autostart")?.autostart)
    }

    /// Returns whether the device has a definition, read now. True for a parent.
    pub fn is_persistent(&self) -> Result<bool> {
        match self.as_device() {
            None => Ok(true),
            Some(device) => Ok(definitions::definition_of(&self.conn().host, device)?.is_some()),
        }
    }

    /// Returns the attributes of the definition, in their order. A running device may have other values. Fails for a parent, and for
    /// a device without a definition.
    pub fn definition_attrs(&self) -> Result<Vec<(String, String)>> {
        Ok(self.own_definition()?.attributes)
    }

    /// Returns the device that the next start of the definition creates.
    pub(super) fn defined_device(&self) -> Result<Device> {
        Parents::new(&self.conn().host).device(&self.own_definition()?)
    }

    fn own_definition(&self) -> Result<Definition> {
        let Some(device) = self.as_device() else {
            let message = "a parent has no definition; only devices have";
            return Err(Error::new(ErrorCode::NotSupported, Errno::OPNOTSUPP, message).of(self.name()));
        };
        definitions::definition_of(&self.conn().host, device)?.ok_or_else(|| {
            let message = "it has no definition; define it first";
            Error::new(ErrorCode::WrongState, Errno::NOENT, message).of(self.name())
        })
    }

    fn definition(&self, what: &str) -> Result<Definition> {
        let Some(device) = self.as_device() else {
            let message = format!("a parent is not {what}; only devices are");
            return Err(Error::new(ErrorCode::NotSupported, Errno::OPNOTSUPP, message).of(self.name()));
        };
        definitions::definition_of(&self.conn().host, device)?.ok_or_else(|| self.transient(what))
    }

    fn transient(&self, what: &str) -> Error {
        let next = match what {
            "undefined" => "there is nothing to undefine; destroy it to remove it",
            _ => "define it first",
        };
        let message = format!("it has no definition, so it cannot be {what}; {next}");
        Error::new(ErrorCode::WrongState, Errno::NOENT, message).of(self.name())
    }
}

/// Logs a failed start at once, since the other starts may take minutes. Returns the failure for the error message.
fn failure(what: String, parent: &str, e: Error) -> (String, Error) {
    log::error!("{what} on {parent} could not be started: {e}");
    (what, e)
}

/// Returns the error message for failed starts. It names the first failures; the log names each.
fn not_started(failed: &[(String, Error)], started: u32) -> String {
    let named: Vec<String> = failed.iter().take(FAILURES_NAMED).map(|(what, e)| format!("{what}: {e}")).collect();
    let more = match failed.len().saturating_sub(FAILURES_NAMED) {
        0 => String::new(),
        more => format!("; and {more} more, which the log names"),
    };
    format!("{} of the devices could not be started, {started} were: {}{more}", failed.len(), named.join("; "))
}

fn ask(flags: DefineFlags) -> CalloutMode {
    CalloutMode::unless(flags.contains(DefineFlags::NO_CALLOUTS))
}

fn create_flags(flags: StartFlags) -> CreateFlags {
    if flags.contains(StartFlags::NO_CALLOUTS) { CreateFlags::NO_CALLOUTS } else { CreateFlags::empty() }
}

/// The autostart that the XML or the flags request; `None` if they request none.
fn requested_autostart(wanted: &DeviceDef, flags: DefineFlags) -> Result<Option<bool>> {
    match (wanted.autostart, flags.contains(DefineFlags::AUTOSTART)) {
        (Some(false), true) => {
            let message = "the XML has <start type='manual'/>, but the flags ask for autostart; drop one of the two";
            Err(Error::new(ErrorCode::InvalidFlags, Errno::INVAL, message))
        }
        (given, by_flag) => Ok(given.or(by_flag.then_some(true))),
    }
}

/// Returns the definition of a request, with the type and the parent resolved if possible. The second value is true if the device
/// has no definition yet.
fn definition(host: &Host, wanted: DeviceDef, autostart: Option<bool>) -> Result<(Definition, bool)> {
    let Some(parent) = &wanted.parent else {
        let message = "a persistent device needs a <parent>, on which it is started again; add one";
        return Err(Error::new(ErrorCode::XmlContent, Errno::INVAL, message));
    };
    let (parent, type_id) = match places::find_target(&*host.sysfs, parent) {
        Ok(target) => {
            let parent = parents::open(&*host.sysfs, &target.place.syspath)?;
            let sysname = definitions::sysname_of(&target);
            let type_id = match search_own_type(host, &parent, &target.place, &wanted.type_id)? {
                // The types are not known before the VFs are enabled, as on an absent parent.
                Err(_) if definitions::is_pending(host, &sysname)? => type_of_absent(host, &wanted)?,
                found => found?.id,
            };
            let types = read_types(&*parent.dir, &host.runtime.records());
            let types = types.map_err(|errno| Error::io("read", parent.dir.path(), errno))?.types;
            if let Some(kind) = types.iter().find(|kind| kind.id() == type_id) {
                let refused = refuse_unsupported(kind, wanted.group, wanted.params.as_deref());
                refused.map_err(|e| e.of(&target.place.name()))?;
            }
            (sysname, type_id)
        }
        Err(e) if e.code == ErrorCode::NoParent => {
            let absent = definitions::sysname_of_absent(parent);
            (absent.ok_or_else(|| unknown_parent(parent))?, type_of_absent(host, &wanted)?)
        }
        Err(e) => return Err(e),
    };
    attrs::check_all(&wanted.attributes)?;
    let uuid = wanted.uuid.unwrap_or_else(Uuid::new_v4);
    let name = wanted.name.filter(|name| devices::generated_uuid(name).is_none());
    let old = host.definitions.previous(&parent, &uuid)?;
    let is_new = old == Previous::Nothing;
    let def = Definition {
        autostart: autostart.unwrap_or(matches!(old, Previous::Definition(Definition { autostart: true, .. }))),
        owner: host.owner(),
        parent,
        uuid,
        type_id,
        attributes: wanted.attributes,
        name,
        group: wanted.group,
        params: wanted.params,
    };
    refuse_taken_name(host, &def)?;
    Ok((def, is_new))
}

/// The type on a parent that does not show it now. It has to be an id: the definition keeps it unchanged, and mdevctl starts
/// devices by the id of their type.
fn type_of_absent(host: &Host, wanted: &DeviceDef) -> Result<String> {
    let (text, parent) = (shown(&wanted.type_id), wanted.parent.as_deref().map(shown).unwrap_or_default());
    let mut known = known_type(host, &wanted.type_id);
    if wanted.type_id.parse::<u32>().is_ok() {
        // The types of the existing parents are not needed for a number: it is the id of a type on a VF.
        known = Ok(if_readable(known)?.unwrap_or_else(|| Some(wanted.type_id.clone())));
    }
    let id = known?;
    let id = match id {
        Some(id) if id == wanted.type_id => return Ok(id),
        None if is_type_id(&wanted.type_id) => return Ok(wanted.type_id.clone()),
        Some(id) => format!("on the existing parents, it is the name of type '{id}'"),
        None => "the name of its folder in mdev_supported_types, or its number in creatable_vgpu_types".to_owned(),
    };
    let message =
        format!("{parent}: it shows no such type now, so '{text}' cannot be resolved; give the id of a type: {id}");
    Err(Error::new(ErrorCode::NoType, Errno::NODEV, message))
}

fn is_type_id(text: &str) -> bool {
    is_component(text) && !text.contains(char::is_whitespace)
}

fn unknown_parent(parent: &str) -> Error {
    let message = format!(
        "there is no parent '{}' here, and the name in sysfs cannot be derived from this name; list the parents, or give the address (0000:41:00.0)",
        shown(parent)
    );
    Error::new(ErrorCode::NoParent, Errno::NODEV, message)
}

fn refuse_taken_name(host: &Host, new: &Definition) -> Result<()> {
    let Some(name) = new.name.as_deref() else { return Ok(()) };
    super::plan::refuse_node_name(host, name)?;
    let other =
        |def: &Definition| def.name.as_deref() == Some(name) && (def.parent != new.parent || def.uuid != new.uuid);
    let defined = search(|| Ok(definitions::all(host)?.into_iter().find(other)))?.map(|def| def.uuid);
    let running = || {
        let device = search(|| devices::by_name(host, name))?;
        Ok(device.map(|device| device.uuid).filter(|other| *other != new.uuid))
    };
    match defined.map_or_else(running, |uuid| Ok(Some(uuid)))? {
        None => Ok(()),
        Some(other) => {
            let message = format!("the name '{name}' is taken by device {other}; choose another");
            Err(Error::new(ErrorCode::Exists, Errno::EXIST, message))
        }
    }
}

/// Returns the request that creates the device of a definition.
fn request(def: &Definition) -> DeviceDef {
    DeviceDef {
        name: def.name.clone(),
        parent: Some(def.parent.clone()),
        type_id: def.type_id.clone(),
        uuid: Some(def.uuid),
        group: def.group,
        params: def.params.clone(),
        numa_node: None,
        autostart: None,
        attributes: def.attributes.clone(),
    }
}
