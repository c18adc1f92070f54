// SPDX-License-Identifier: LGPL-2.1-or-later
//! Nodes and types as JSON. A value that a node does not have is no member.

use mdev::{Node, QemuFlags, Type};
use serde_json::{Map, Value, json};

/// An object under construction.
pub struct Object(Map<String, Value>);

impl Object {
    /// Returns an empty object.
    pub fn new() -> Self {
        Object(Map::new())
    }

    /// Adds a member, if there is a value.
    pub fn add<T: Into<Value>>(&mut self, name: &str, value: Option<T>) {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value.into());
        }
    }

    /// Returns the object as a value.
    pub fn value(self) -> Value {
        Value::Object(self.0)
    }
}

/// Returns the state of a node: `active` or `inactive`.
pub fn state(node: &Node) -> &'static str {
    if node.is_active() { "active" } else { "inactive" }
}

/// Returns the members of a node that a list prints, with the types of a parent if `types` is set.
pub fn node(node: &Node, types: bool) -> Object {
    let mut object = Object::new();
    object.add("name", Some(node.name()));
    object.add("kind", Some(if node.is_parent() { "parent" } else { "device" }));
    object.add("active", Some(node.is_active()));
    object.add("state", Some(state(node)));
    object.add("uuid", node.uuid().ok());
    object.add("parent", Some(node.parent_name()));
    object.add("type", node.type_id().ok());
    object.add("layout", Some(node.layout()));
    object.add("path", node.running_path().ok());
    object.add("address", node.address().ok());
    object.add("group", node.group().ok());
    object.add("iommuGroup", node.iommu_group().ok());
    object.add("numaNode", node.numa_node().ok());
    object.add("physicalFunction", node.physical_function().ok());
    object.add("owner", node.owner().ok());
    object.add("driver", node.driver().ok());
    if types && node.is_parent() {
        object.add("types", Some(all_types(node)));
    }
    object
}

/// Adds whether a device is persistent, and whether it starts with its parent.
pub fn add_definition(object: &mut Object, node: &Node) {
    if node.is_parent() {
        return;
    }
    let persistent = node.is_persistent().unwrap_or(false);
    object.add("persistent", Some(persistent));
    object.add("autostart", Some(node).filter(|_| persistent).and_then(|node| node.autostart().ok()));
}

/// Returns everything about a node. `id` is the id of the device in QEMU.
pub fn info(subject: &Node, id: Option<&str>) -> mdev::Result<Value> {
    let mut object = node(subject, true);
    if !subject.is_parent() {
        add_definition(&mut object, subject);
        let attrs = subject.definition_attrs().ok();
        let attrs = attrs
            .map(|attrs| attrs.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>());
        object.add("definitionAttributes", attrs);
        object.add("params", subject.params().ok());
        if subject.is_active() {
            object.add("qemuDevice", subject.qemu_device().ok());
            object.add("qemuArgs", subject.qemu_args(QemuFlags::empty()).ok());
            object.add("qmpDeviceAdd", qmp(subject, id)?.and_then(|text| serde_json::from_str::<Value>(&text).ok()));
            object.add("hostdevXML", subject.hostdev_xml().ok());
            object.add("vfioNode", subject.vfio_node(QemuFlags::empty()).ok());
            let user = |user: mdev::User| json!({ "pid": user.pid, "program": user.program, "guest": user.guest });
            object.add("usedBy", subject.users().ok().map(|users| users.into_iter().map(user).collect::<Vec<_>>()));
        }
    }
    Ok(object.value())
}

/// Returns the QMP command for a device. Without an id that the user chose, a device that QEMU cannot attach has none.
pub fn qmp(node: &Node, id: Option<&str>) -> mdev::Result<Option<String>> {
    match (node.qmp_device_add(id), id) {
        (Ok(text), _) => Ok(Some(text)),
        (Err(error), Some(_)) => Err(error),
        (Err(_), None) => Ok(None),
    }
}

/// Returns the types of a parent.
pub fn all_types(parent: &Node) -> Vec<Value> {
    parent.types().unwrap_or_default().iter().map(one_type).collect()
}

/// Returns a type.
pub fn one_type(ty: &Type) -> Value {
    let mut object = Object::new();
    object.add("id", Some(ty.id()));
    object.add("name", ty.name());
    object.add("deviceAPI", ty.device_api());
    object.add("availableInstances", ty.capacity().map(|(count, _)| count));
    object.add("availableInstancesIsUpperBound", ty.capacity().map(|(_, is_bound)| is_bound));
    object.add("requiresGroup", Some(ty.requires_group));
    object.add("description", ty.attribute("description"));
    let attributes: Map<String, Value> = ty
        .attributes()
        .filter(|(name, _)| *name != "name")
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    object.add("attributes", Some(Value::Object(attributes)));
    object.value()
}

/// Prints a value with indentation.
pub fn print(value: &Value) {
    crate::output::line(&serde_json::to_string_pretty(value).unwrap_or_default());
}
