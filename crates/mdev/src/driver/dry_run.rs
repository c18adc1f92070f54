// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a create would do, without doing it.

use super::options::CreateOptions;
use super::plan::{Plan, parse, plan, refuse_defined};
use super::{Conn, CreateFlags, Node, definitions, devices};
use crate::backend::{Folders, parents};
use crate::error::{Error, Result};
use crate::model::DeviceDef;
use crate::store::{Definition, uuid_in_use};

/// The steps of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatePlan {
    /// Node name of the parent.
    pub parent: String,
    /// Id of the type.
    pub type_id: String,
    /// The UUID from the request, or a random UUID: the create chooses another one.
    pub uuid: String,
    /// Address of the VF; `None` if the device is not a VF.
    pub vf: Option<String>,
    /// The writes to sysfs, in order: the path of the file, and the text.
    pub writes: Vec<(String, String)>,
    /// True if the device already exists, and CREATE_EXIST_OK accepts it: there are no writes then.
    pub exists: bool,
}

impl std::fmt::Display for CreatePlan {
    /// Prints a line for each value (`parent pci_0000_41_00_0`) and a line for each planned write to sysfs (`write PATH TEXT`).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let CreatePlan { parent, type_id, uuid, vf, writes, exists } = self;
        writeln!(f, "parent {parent}\ntype {type_id}\nuuid {uuid}")?;
        if let Some(vf) = vf {
            writeln!(f, "vf {vf}")?;
        }
        if *exists {
            writeln!(f, "exists")?;
        }
        writes.iter().try_for_each(|(path, text)| writeln!(f, "write {path} {text}"))
    }
}

impl Conn {
    /// Returns what [`Conn::create_xml`] would do with this request. Writes nothing, and runs no call-outs. Fails as the create would
    /// fail before its first write.
    pub fn plan_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<CreatePlan> {
        self.plan_device(parse(xml, flags)?, flags)
    }

    /// Returns what [`Conn::create`] would do: see [`Conn::plan_xml`].
    pub fn plan(&self, options: &CreateOptions<'_>, flags: CreateFlags) -> Result<CreatePlan> {
        self.plan_device(options.definition()?, flags)
    }

    fn plan_device(&self, def: DeviceDef, flags: CreateFlags) -> Result<CreatePlan> {
        let host = &self.host;
        let folders = Folders::new(&*host.sysfs);
        let plan = plan(host, &folders, def, flags | CreateFlags::DRY_RUN, &[])?;
        let found = devices::locate_in(&folders, host, &plan.uuid, plan.place.sysname())?;
        match found {
            Some(_) if flags.contains(CreateFlags::EXIST_OK) => {
                return Ok(CreatePlan { exists: true, ..values(&plan) });
            }
            Some(found) => return Err(uuid_in_use(&plan.uuid).at(found.syspath)),
            None => {}
        }
        refuse_defined(host, &plan)?;
        steps(&plan)
    }
}

fn values(plan: &Plan) -> CreatePlan {
    CreatePlan {
        parent: plan.place.name(),
        type_id: plan.type_id.clone(),
        uuid: plan.uuid.to_string(),
        vf: plan.vf.clone(),
        writes: Vec::new(),
        exists: false,
    }
}

/// Returns the steps of a plan.
fn steps(plan: &Plan) -> Result<CreatePlan> {
    let prepared = plan.parent.backend.prepare(&plan.parent, &plan.request(plan.def.group, &[]));
    let prepared = prepared.map_err(|e| e.of(&plan.place.name()))?;
    let vf = prepared.vf.map(|vf| vf.sysname);
    let entry = vf.clone().unwrap_or_else(|| plan.uuid.to_string());
    // A VF is beside its PF, a device of the mdev bus below its parent.
    let folder = match &vf {
        Some(_) => crate::sysfs::dirname(&plan.place.syspath).to_owned(),
        None => plan.place.syspath.clone(),
    };
    let attributes = plan.def.attributes.iter();
    let attributes = attributes.map(|(name, value)| (format!("{folder}/{entry}/{name}"), value.clone()));
    let writes = prepared.writes.planned().into_iter().chain(attributes).collect();
    Ok(CreatePlan { vf, writes, ..values(plan) })
}

/// Logs the steps of a plan, and returns the planned device as an inactive node.
pub(super) fn planned_node(conn: &Conn, plan: &Plan) -> Result<Node> {
    let steps = steps(plan)?;
    steps.to_string().lines().for_each(|line| log::info!("plan: {line}"));
    let definition = Definition {
        parent: plan.place.sysname().to_owned(),
        uuid: plan.uuid,
        type_id: plan.type_id.clone(),
        attributes: plan.def.attributes.clone(),
        name: plan.def.name.clone(),
        group: plan.def.group,
        params: plan.def.params.clone(),
        ..Definition::default()
    };
    let records = conn.host.runtime.records();
    let parent = parents::read(&*conn.host.sysfs, &records, &plan.place);
    let parent = parent.map_err(|errno| Error::io("read", &plan.place.syspath, errno).of(&plan.place.name()))?;
    Ok(Node::device(conn.clone(), definitions::device_on_parent(&definition, Some(&parent))))
}
