// SPDX-License-Identifier: LGPL-2.1-or-later
//! `status`.

use mdev::{Conn, ListFlags, Node};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::Value;

use super::types::capacity;
use crate::cli::Status;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::table::{Column, Table};
use crate::{json as objects, lookup, output};

const COLUMNS: [Column; 6] = [
    Column { name: "PARENT", rank: 0 },
    Column { name: "DEVICES", rank: 0 },
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

/// A parent with its devices.
struct Card {
    parent: Node,
    devices: usize,
}

fn cards(conn: &Conn, args: &Status) -> Outcome<Vec<Card>> {
    let parents = match &args.parent {
        Some(parent) => vec![lookup::node(conn, parent)?],
        None => {
            let mut parents = conn.list(ListFlags::PARENTS)?;
            parents.sort_by(|a, b| a.name().cmp(b.name()));
            parents
        }
    };
    let devices = conn.list(ListFlags::DEVICES | ListFlags::NO_TYPES)?;
    let count = |parent: &Node| devices.iter().filter(|device| device.parent_name() == parent.name()).count();
    Ok(parents.into_iter().map(|parent| Card { devices: count(&parent), parent }).collect())
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

fn cell(Card { parent, devices }: &Card, column: &str) -> Option<String> {
    match column {
        "PARENT" => Some(parent.name().to_owned()),
        "DEVICES" => Some(devices.to_string()),
        "FREE" => Some(free(parent)).filter(|free| !free.is_empty()),
        "DRIVER" => parent.driver().ok().map(str::to_owned),
        "PRODUCT" => product(parent),
        _ => parent.numa_node().ok().map(|numa| numa.to_string()),
    }
}

/// Returns how many devices of each type can be created now: `8 x 1438, 4 x 1440`.
fn free(parent: &Node) -> String {
    let types = parent.types().unwrap_or_default().iter();
    let counts = types.filter_map(|ty| Some((ty.capacity()?, ty))).filter(|((count, _), _)| *count > 0);
    let texts: Vec<String> = counts.filter_map(|(_, ty)| Some(format!("{} x {}", capacity(ty)?, ty.id()))).collect();
    texts.join(", ")
}

fn object(Card { parent, devices }: &Card) -> Value {
    let mut object = objects::node(parent, true);
    if let Ok((vendor, product)) = parent.product() {
        object.add("vendor", Some(vendor));
        object.add("product", Some(product));
    }
    object.add("devices", Some(*devices));
    object.value()
}
