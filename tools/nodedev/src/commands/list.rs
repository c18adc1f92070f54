// SPDX-License-Identifier: LGPL-2.1-or-later
//! `list`.

use std::collections::BTreeMap;

use mdev::{ErrorCode, Finding, ListFilter, ListFlags, Node, Type, collect};
use serde_json::{Value, json};

use super::types::capacity;
use crate::cli::{List, State};
use crate::errors::{Failure, Outcome};
use crate::json::{self as objects, Object};
use crate::lookup::{is_pci_address, pci_name};
use crate::output;
use crate::session::Session;
use crate::table::{Column, Table};

/// The columns, in the order in which they are printed. The columns after the optional columns are printed only with `-o`.
pub const COLUMNS: [Column; 16] = [
    Column { name: "NAME", rank: 0 },
    Column { name: "KIND", rank: 0 },
    Column { name: "STATE", rank: 0 },
    Column { name: "PARENT", rank: 0 },
    Column { name: "TYPE", rank: 0 },
    Column { name: "AUTOSTART", rank: 1 },
    Column { name: "PERSISTENT", rank: 2 },
    Column { name: "ADDRESS", rank: 3 },
    Column { name: "OWNER", rank: 4 },
    Column { name: "UUID", rank: 5 },
    Column { name: "LAYOUT", rank: CHOSEN },
    Column { name: "GROUP", rank: CHOSEN },
    Column { name: "IOMMU", rank: CHOSEN },
    Column { name: "NUMA", rank: CHOSEN },
    Column { name: "PATH", rank: CHOSEN },
    Column { name: "USED-BY", rank: CHOSEN },
];

/// The rank of a column that is printed only if `-o` names it.
const CHOSEN: u8 = 9;

/// A row of a list: a node, or a definition that cannot be used.
enum Row {
    Node(Box<Node>),
    Broken(Finding),
}

impl Row {
    fn is_parent(&self) -> bool {
        matches!(self, Row::Node(node) if node.is_parent())
    }

    fn name(&self) -> &str {
        match self {
            Row::Node(node) => node.name(),
            Row::Broken(finding) => finding.object.rsplit('/').next().unwrap_or_default(),
        }
    }
}

/// Carries out `list`.
pub fn run(session: &mut Session, args: &List) -> Outcome {
    let columns = chosen_columns(&args.output)?;
    let conn = session.conn()?;
    let flags = flags(args);
    let filter = ListFilter {
        parent: args.parent.as_deref(),
        ty: args.ty.as_deref(),
        owner: args.owner.as_deref(),
        layout: args.layout.as_deref(),
    };
    let (nodes, left_out) = collect(|| conn.list_filtered(&filter, flags));
    let (broken, other): (Vec<Finding>, Vec<Finding>) = left_out.into_iter().partition(is_definition);
    let nodes = match nodes {
        // The parent does not exist, but has definitions that cannot be used.
        Err(error) if error.code == ErrorCode::NoParent && broken.iter().any(|it| is_below(it, args)) => Vec::new(),
        nodes => nodes?,
    };
    let is_empty_host =
        nodes.is_empty() && filter == ListFilter::default() && flags.contains(ListFlags::PARENTS | ListFlags::ACTIVE);
    let shows_broken = args.all || args.inactive || args.state == Some(State::Broken);
    let mut rows: Vec<Row> = nodes.into_iter().map(|node| Row::Node(Box::new(node))).collect();
    let unseen = other.len() + if shows_broken { 0 } else { broken.len() };
    if shows_broken {
        rows.extend(broken.into_iter().map(Row::Broken));
    }
    rows.retain(|row| is_selected(row, args));
    rows.sort_by(|a, b| (b.is_parent(), a.name()).cmp(&(a.is_parent(), b.name())).then_with(|| a.name().cmp(b.name())));
    if session.globals.json {
        objects::print(&rows.iter().map(|row| object(row, args.types)).collect());
    } else if args.names {
        rows.iter().for_each(|row| output::line(&output::safe(row.name())));
    } else if args.tree {
        print_tree(&rows, args.types);
    } else if !rows.is_empty() {
        print_table(session, &rows, args, &columns);
    }
    if unseen > 0 {
        let verb = if unseen == 1 { "was" } else { "were" };
        output::note(&format!("{} {verb} left out; 'nodedev doctor' shows why", output::counted(unseen, "object")));
    }
    // An empty list of devices is not a fault, so nothing is printed.
    if is_empty_host && !session.globals.quiet {
        output::note("no parent devices; 'nodedev doctor' shows why");
    }
    Ok(())
}

fn flags(args: &List) -> ListFlags {
    let mut flags = ListFlags::empty();
    flags.set(ListFlags::PARENTS, args.parents);
    flags.set(ListFlags::DEVICES, args.devices || args.ty.is_some() || args.owner.is_some() || args.autostart);
    if flags.is_empty() {
        flags = ListFlags::PARENTS | ListFlags::DEVICES;
    }
    let wants_inactive =
        args.all || args.inactive || args.autostart || matches!(args.state, Some(State::Inactive | State::Broken));
    flags.set(ListFlags::INACTIVE, wants_inactive);
    flags.set(ListFlags::ACTIVE, !args.inactive);
    flags.set(ListFlags::NO_TYPES, !args.types);
    flags
}

/// True for a finding about a definition, which is a file below the folder of definitions.
fn is_definition(finding: &Finding) -> bool {
    finding.object.contains("/etc/mdevctl.d/")
}

/// Returns the parent of a definition that cannot be used: the node name of a PCI device, otherwise the name of the folder.
fn parent_of(finding: &Finding) -> String {
    let folder = finding.object.rsplit('/').nth(1).unwrap_or_default();
    if is_pci_address(folder) { pci_name(folder) } else { folder.to_owned() }
}

/// True for a definition below the parent of `--parent`, and without this option.
fn is_below(finding: &Finding, args: &List) -> bool {
    args.parent.as_deref().is_none_or(|parent| {
        let parent = parent.rsplit('/').next().unwrap_or_default();
        let own = parent_of(finding);
        parent == own || pci_name(parent) == own
    })
}

fn is_selected(row: &Row, args: &List) -> bool {
    let node = match row {
        Row::Broken(finding) => {
            let other = args.ty.is_some() || args.owner.is_some() || args.layout.is_some() || args.autostart;
            return is_below(finding, args)
                && !other
                && args.state.is_none_or(|state| state == State::Broken)
                && !args.parents;
        }
        Row::Node(node) => node,
    };
    let state = match args.state {
        None => true,
        Some(State::Active) => node.is_active(),
        Some(State::Inactive) => !node.is_active(),
        Some(State::Broken) => false,
    };
    state && (!args.autostart || (!node.is_parent() && node.autostart().unwrap_or(false)))
}

/// Returns the columns that `-o` names.
fn chosen_columns(names: &[String]) -> Outcome<Vec<Column>> {
    let column = |name: &String| {
        let found = COLUMNS.iter().find(|column| column.name.eq_ignore_ascii_case(name.trim()));
        found.map(|column| Column { rank: 0, ..*column }).ok_or_else(|| {
            let known: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
            Failure::Usage(format!("unknown column '{name}'; the columns are {}", known.join(", ")))
        })
    };
    names.iter().map(column).collect()
}

fn print_table(session: &Session, rows: &[Row], args: &List, chosen: &[Column]) {
    let columns: Vec<Column> = match chosen {
        [] => COLUMNS.iter().filter(|column| column.rank != CHOSEN).copied().collect(),
        chosen => chosen.to_vec(),
    };
    let mut table = Table::new(&columns);
    for row in rows {
        table.row(columns.iter().map(|column| cell(row, column.name)).collect());
        let Row::Node(parent) = row else { continue };
        for ty in parent.types().unwrap_or_default().iter().filter(|_| args.types && parent.is_parent()) {
            table.row(columns.iter().map(|column| type_cell(parent, ty, column.name)).collect());
        }
    }
    table.print(!session.globals.quiet, !args.wide);
}

fn cell(row: &Row, column: &str) -> Option<String> {
    let node = match (row, column) {
        (Row::Broken(_), "NAME") => return Some(row.name().to_owned()),
        (Row::Broken(_), "KIND") => return Some("device".to_owned()),
        (Row::Broken(_), "STATE") => return Some("broken".to_owned()),
        (Row::Broken(finding), "PARENT") => return Some(parent_of(finding)),
        (Row::Broken(_), _) => return None,
        (Row::Node(node), _) => node,
    };
    let yes_no = |value: bool| Some(if value { "yes" } else { "no" }.to_owned());
    match column {
        "NAME" => Some(node.name().to_owned()),
        "KIND" => Some(if node.is_parent() { "parent" } else { "device" }.to_owned()),
        "STATE" => Some(objects::state(node).to_owned()),
        "PARENT" => Some(node.parent_name().to_owned()).filter(|_| !node.is_parent()),
        "TYPE" => node.type_id().ok().map(str::to_owned),
        "AUTOSTART" if !node.is_parent() => node.autostart().ok().and_then(yes_no),
        "PERSISTENT" if !node.is_parent() => node.is_persistent().ok().and_then(yes_no),
        "ADDRESS" => node.address().ok(),
        "OWNER" => node.owner().ok().map(str::to_owned),
        "UUID" => node.uuid().ok(),
        "LAYOUT" => Some(node.layout().to_owned()),
        "GROUP" => node.group().ok().map(|group| group.to_string()),
        "IOMMU" => node.iommu_group().ok().map(|group| group.to_string()),
        "NUMA" => node.numa_node().ok().map(|numa| numa.to_string()),
        "PATH" => node.running_path().ok().map(str::to_owned),
        "USED-BY" => node.users().ok().map(|users| users.iter().map(super::info::user).collect::<Vec<_>>().join(", ")),
        _ => None,
    }
}

fn type_cell(parent: &Node, ty: &Type, column: &str) -> Option<String> {
    match column {
        "NAME" => Some(ty.name().unwrap_or(ty.id()).to_owned()),
        "KIND" => Some("type".to_owned()),
        "STATE" => capacity(ty).map(|count| format!("{count} left")),
        "PARENT" => Some(parent.name().to_owned()),
        "TYPE" => Some(ty.id().to_owned()),
        "LAYOUT" => Some(parent.layout().to_owned()),
        _ => None,
    }
}

fn object(row: &Row, types: bool) -> Value {
    match row {
        Row::Node(node) => {
            let mut object = objects::node(node, types);
            objects::add_definition(&mut object, node);
            object.value()
        }
        Row::Broken(finding) => {
            let mut object = Object::new();
            object.add("name", Some(row.name()));
            object.add("kind", Some("device"));
            object.add("active", Some(false));
            object.add("state", Some("broken"));
            object.add("parent", Some(parent_of(finding)));
            object.add("path", Some(finding.object.as_str()));
            object.add("problem", Some(json!({ "message": finding.message, "nextStep": finding.next_step })));
            object.value()
        }
    }
}

/// Prints the parents with their types and devices. A device whose parent is not in the list has a root with the parent's name.
fn print_tree(rows: &[Row], types: bool) {
    let mut roots: BTreeMap<String, (Option<&Node>, Vec<&Row>)> = BTreeMap::new();
    for row in rows {
        match row {
            Row::Node(node) if node.is_parent() => roots.entry(node.name().to_owned()).or_default().0 = Some(node),
            Row::Node(node) => roots.entry(node.parent_name().to_owned()).or_default().1.push(row),
            Row::Broken(finding) => {
                roots.entry(parent_of(finding)).or_default().1.push(row);
            }
        }
    }
    for (name, (parent, below)) in roots {
        output::line(&output::safe(&name));
        let all = parent.filter(|_| types).and_then(|parent| parent.types().ok()).unwrap_or_default();
        let mut branches: Vec<String> = all.iter().map(type_branch).collect();
        branches.extend(below.iter().map(|row| device_branch(row)));
        for (i, branch) in branches.iter().enumerate() {
            let corner = if i + 1 == branches.len() { "└─" } else { "├─" };
            output::line(&format!("{corner} {}", output::safe(branch)));
        }
    }
}

fn type_branch(ty: &Type) -> String {
    let name = ty.name().map(|name| format!("  {name}")).unwrap_or_default();
    let left = capacity(ty).map(|count| format!(", {count} left")).unwrap_or_default();
    format!("type {}{name}{left}", ty.id())
}

fn device_branch(row: &Row) -> String {
    let (ty, state) = match row {
        Row::Node(node) => (node.type_id().ok(), if node.is_active() { "" } else { ", inactive" }),
        Row::Broken(_) => (None, ", broken"),
    };
    let ty = ty.map(|ty| format!("  type {ty}")).unwrap_or_default();
    format!("{}{ty}{state}", row.name())
}
