// SPDX-License-Identifier: LGPL-2.1-or-later
//! `info`, `dumpxml` and `dumphost`.

use mdev::{Node, QemuFlags, XmlFlags};

use super::types::capacity;
use crate::cli::{Dumphost, Dumpxml, Info};
use crate::errors::{Failure, Outcome, file_failure};
use crate::session::Session;
use crate::{json as objects, lookup, output};

/// The column in which values begin.
const VALUES: usize = 20;

/// Carries out `info`.
pub fn info(session: &mut Session, args: &Info) -> Outcome {
    let node = lookup::node(&session.conn()?, &args.node)?;
    print(session, &node, args.id.as_deref())
}

/// Prints everything about a node.
pub fn print(session: &Session, node: &Node, id: Option<&str>) -> Outcome {
    // An invalid id is an error, and nothing is printed.
    let qmp = if node.is_parent() || !node.is_active() { None } else { objects::qmp(node, id)? };
    if session.globals.json {
        objects::print(&objects::info(node, id)?);
        return Ok(());
    }
    print_fields(node);
    if node.is_parent() {
        print_types(node);
    } else if node.is_active() {
        print_attach(node, qmp.as_deref());
    }
    Ok(())
}

fn field(indent: &str, label: &str, value: Option<impl AsRef<str>>) {
    let Some(value) = value else { return };
    let label = format!("{indent}{}:", output::safe(label));
    let mut lines = value.as_ref().split('\n').filter(|line| !line.is_empty());
    output::line(format!("{label:VALUES$}{}", output::safe(lines.next().unwrap_or_default())).trim_end());
    lines.for_each(|line| output::line(&format!("{:VALUES$}{}", "", output::safe(line))));
}

fn print_fields(node: &Node) {
    let yes_no = |value: bool| if value { "yes" } else { "no" };
    field("", "Name", Some(node.name()));
    field("", "Kind", Some(if node.is_parent() { "parent" } else { "device" }));
    if !node.is_parent() {
        field("", "State", Some(objects::state(node)));
        let persistent = node.is_persistent().unwrap_or(false);
        field("", "Persistent", Some(yes_no(persistent)));
        field("", "Autostart", Some(node).filter(|_| persistent).and_then(|node| node.autostart().ok()).map(yes_no));
    }
    field("", "UUID", node.uuid().ok());
    field("", "Parent", Some(node.parent_name()));
    field("", "Type", node.type_id().ok());
    field("", "Address", node.address().ok());
    field("", "Group", node.group().ok().map(|group| group.to_string()));
    field("", "Parameters", node.params().ok());
    field("", "Owner", node.owner().ok());
    field("", "Layout", Some(node.layout()));
    field("", "Path", node.running_path().ok());
    field("", "IOMMU group", node.iommu_group().ok().map(|group| group.to_string()));
    field("", "NUMA node", node.numa_node().ok().map(|numa| numa.to_string()));
    field("", "Physical function", node.physical_function().ok());
    field("", "Driver", node.driver().ok());
    field("", "Product", super::status::product(node));
    if node.is_active() && !node.is_parent() {
        field("", "VFIO node", node.vfio_node(QemuFlags::empty()).ok());
        let users = node.users().unwrap_or_default();
        field(
            "",
            "Used by",
            Some(users.iter().map(user).collect::<Vec<_>>().join("\n")).filter(|users| !users.is_empty()),
        );
    }
}

/// Returns a process that has a device open: `process 1234 (qemu-system-x86), guest web`.
pub fn user(user: &mdev::User) -> String {
    let guest = user.guest.as_ref().map(|guest| format!(", guest {guest}")).unwrap_or_default();
    format!("process {} ({}){guest}", user.pid, user.program)
}

fn print_types(parent: &Node) {
    let types = parent.types().unwrap_or_default();
    for ty in types {
        output::line(&format!("\nType {}", output::safe(ty.id())));
        field("  ", "name", ty.name());
        field("  ", "available", capacity(ty));
        ty.attributes().filter(|(name, _)| *name != "name").for_each(|(name, value)| field("  ", name, Some(value)));
    }
    if types.is_empty() {
        // The error for a type that cannot exist contains the reason why there are no types.
        let reason = parent.find_type("any").err().map(|error| error.message).unwrap_or_default();
        if let Some((_, reason)) = reason.split_once("; ") {
            output::line(&format!("\nNext step\n  {}", output::safe(reason)));
        }
    }
}

fn print_attach(device: &Node, qmp: Option<&str>) {
    if let Ok(args) = device.qemu_args(QemuFlags::empty()) {
        output::line(&format!("\nQEMU arguments\n  {}", output::safe(&args)));
    }
    if let Some(qmp) = qmp {
        output::line(&format!("\nQMP command\n  {}", output::safe(qmp)));
    }
    if let Ok(hostdev) = device.hostdev_xml() {
        output::line("\nlibvirt domain XML");
        hostdev.lines().for_each(|line| output::line(&format!("  {line}")));
    }
}

/// Carries out `dumpxml`.
pub fn dumpxml(session: &mut Session, args: &Dumpxml) -> Outcome {
    let mut flags = XmlFlags::empty();
    flags.set(XmlFlags::LIBVIRT, args.libvirt);
    flags.set(XmlFlags::INACTIVE, args.inactive);
    let node = lookup::node(&session.conn()?, &args.node)?;
    if args.inactive && node.is_parent() {
        return Err(Failure::Usage(format!(
            "--inactive needs a device; {} is a parent, which has no definition",
            node.name()
        )));
    }
    let xml = node.xml(flags)?;
    if session.globals.json {
        objects::print(&serde_json::json!({ "name": node.name(), "xml": xml }));
    } else {
        output::line(xml.trim_end_matches('\n'));
    }
    Ok(())
}

/// Carries out `dumphost`.
pub fn dumphost(session: &mut Session, args: &Dumphost) -> Outcome {
    let xml = session.conn()?.dump_xml()?;
    let text = format!("{}\n", xml.trim_end_matches('\n'));
    match args.file.as_deref().filter(|file| *file != "-") {
        None => output::write(&text),
        Some(file) => {
            std::fs::write(file, text).map_err(|error| file_failure("write", file, &error))?;
            session.say(&format!("Host written to {file}"));
        }
    }
    Ok(())
}
