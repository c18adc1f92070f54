// SPDX-License-Identifier: LGPL-2.1-or-later
//! `status`.

use std::collections::BTreeMap;

use mdev::{Conn, ListFlags, Node, Type};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};

use crate::cli::Status;
use crate::errors::{Failure, Outcome};
use crate::json::{self as objects, Object};
use crate::session::Session;
use crate::table::{Column, Table};
use crate::{lookup, output};

const COLUMNS: [Column; 7] = [
    Column { name: "PARENT", rank: 0 },
    Column { name: "DEVICES", rank: 0 },
    Column { name: "VFS", rank: 0 },
    Column { name: "FREE", rank: 0 },
    Column { name: "DRIVER", rank: 1 },
    Column { name: "PRODUCT", rank: 3 },
    Column { name: "NUMA", rank: 2 },
];

/// Carries out `status`.
pub fn run(session: &mut Session, args: &Status) -> Outcome {
    let conn = session.conn()?;
    if !args.watch {
        return print(session, &conn, args);
    }
    let mut monitor = conn.monitor()?;
    loop {
        print(session, &conn, args)?;
        output::line("");
        output::flush();
        while monitor.receive()?.is_none() {
            let fd = monitor.fd();
            match poll(&mut [PollFd::new(&fd, PollFlags::IN)], None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(Failure::Tool(format!("cannot wait for events: {errno}"))),
            }
        }
        // One status for the events of one change.
        while monitor.receive()?.is_some() {}
    }
}

/// A physical device with everything that it offers: one parent, or the VFs of one PF that are parents.
struct Card {
    name: String,
    parents: Vec<Node>,
    devices: usize,
    /// The number of VFs that are or have devices, and of all VFs that can be or have devices.
    vfs: Option<(usize, usize)>,
}

fn cards(conn: &Conn, args: &Status) -> Outcome<Vec<Card>> {
    let devices = conn.list(ListFlags::DEVICES | ListFlags::ACTIVE | ListFlags::NO_TYPES)?;
    let count = |parent: &Node| devices.iter().filter(|device| device.parent_name() == parent.name()).count();
    let mut cards: BTreeMap<String, Vec<Node>> = BTreeMap::new();
    for parent in parents(conn, args)? {
        cards.entry(parent.physical_function().unwrap_or(parent.name()).to_owned()).or_default().push(parent);
    }
    let card = |(name, parents): (String, Vec<Node>)| {
        let counts: Vec<usize> = parents.iter().map(count).collect();
        let used = counts.iter().filter(|count| **count > 0).count();
        let vfs = match parents.as_slice() {
            [one] if one.name() == name => one.vf_counts().ok(),
            vfs => Some((used, vfs.len())),
        };
        Card { name, parents, devices: counts.iter().sum(), vfs }
    };
    Ok(cards.into_iter().map(card).collect())
}

/// Returns all parents, or those of one physical device.
fn parents(conn: &Conn, args: &Status) -> Outcome<Vec<Node>> {
    let mut parents = conn.list(ListFlags::PARENTS)?;
    let Some(wanted) = &args.parent else { return Ok(parents) };
    let name = lookup::pci_name(wanted);
    parents.retain(|parent| parent.physical_function().is_ok_and(|pf| pf == wanted || pf == name));
    match parents.is_empty() {
        true => Ok(vec![lookup::parent(conn, wanted)?]),
        false => Ok(parents),
    }
}

fn print(session: &Session, conn: &Conn, args: &Status) -> Outcome {
    let cards = cards(conn, args)?;
    if session.globals.json {
        objects::print(&cards.iter().map(object).collect());
        return Ok(());
    }
    if cards.is_empty() {
        output::note("no parent devices; 'nodedev doctor' shows why");
        return Ok(());
    }
    let mut table = Table::new(&COLUMNS);
    for card in &cards {
        table.row(COLUMNS.iter().map(|column| cell(card, column.name)).collect());
    }
    table.print(!session.globals.quiet, !args.wide);
    Ok(())
}

/// Returns the product of a parent: `NVIDIA Corporation GH100 [H200]`.
pub fn product(parent: &Node) -> Option<String> {
    let (vendor, product) = parent.product().ok()?;
    Some(format!("{vendor} {product}"))
}

fn cell(card: &Card, column: &str) -> Option<String> {
    match column {
        "PARENT" => Some(card.name.clone()),
        "DEVICES" => Some(card.devices.to_string()),
        "VFS" => card.vfs.map(|(used, total)| format!("{used}/{total}")),
        "FREE" => Some(free(card)).filter(|free| !free.is_empty()),
        "DRIVER" => card.first(|parent| parent.driver().ok().map(str::to_owned)),
        "PRODUCT" => card.first(product),
        _ => card.first(|parent| parent.numa_node().ok().map(|numa| numa.to_string())),
    }
}

impl Card {
    /// Returns the value of the first parent that has one.
    fn first<T>(&self, value: impl Fn(&Node) -> Option<T>) -> Option<T> {
        self.parents.iter().find_map(value)
    }

    /// Returns the types that can be created now, each with the number of devices, and whether this number is an upper bound.
    fn capacities(&self) -> Vec<(&Type, u32, bool)> {
        let mut found: Vec<(&Type, u32, bool)> = Vec::new();
        for ty in self.parents.iter().flat_map(|parent| parent.types().unwrap_or_default()) {
            let Some((count, is_bound)) = ty.capacity().filter(|(count, _)| *count > 0) else { continue };
            match found.iter_mut().find(|(known, ..)| known.id() == ty.id()) {
                // The VFs of a card share its memory.
                Some((_, sum, is_bound)) => (*sum, *is_bound) = (sum.saturating_add(count), true),
                None => found.push((ty, count, is_bound)),
            }
        }
        found
    }
}

/// Returns how many devices of each type can be created now: `8 x 1438, up to 4 x 1440`.
fn free(card: &Card) -> String {
    let texts = card.capacities().into_iter().map(|(ty, count, is_bound)| {
        let bound = if is_bound { "up to " } else { "" };
        format!("{bound}{count} x {}", ty.id())
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn object(card: &Card) -> Value {
    let mut object = Object::new();
    object.add("name", Some(card.name.as_str()));
    object.add("parents", Some(card.parents.iter().map(Node::name).collect::<Vec<_>>()));
    object.add("driver", card.first(|parent| parent.driver().ok().map(str::to_owned)));
    let product = card.first(|parent| parent.product().ok());
    if let Some((vendor, product)) = product {
        object.add("vendor", Some(vendor));
        object.add("product", Some(product));
    }
    object.add("numaNode", card.first(|parent| parent.numa_node().ok()));
    object.add("devices", Some(card.devices));
    if let Some((used, total)) = card.vfs {
        object.add("vfs", Some(json!({ "used": used, "total": total })));
    }
    let free = card.capacities().into_iter().map(|(ty, count, is_bound)| {
        json!({
            "id": ty.id(),
            "name": ty.name(),
            "availableInstances": count,
            "availableInstancesIsUpperBound": is_bound,
        })
    });
    object.add("free", Some(free.collect::<Vec<_>>()));
    object.value()
}
