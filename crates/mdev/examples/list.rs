// SPDX-License-Identifier: LGPL-2.1-or-later
//! Lists the parents of a host with their types, and its devices: `cargo run -p mdev --example list [URI]`.

use mdev::{Conn, ListFlags};

fn main() -> mdev::Result<()> {
    let uri = std::env::args().nth(1);
    let conn = Conn::open(uri.as_deref())?;
    // An object that cannot be read does not end the list: it is a finding.
    let (nodes, left_out) = mdev::collect(|| conn.list(ListFlags::empty()));
    for node in nodes? {
        if !node.is_parent() {
            println!("{} {} of type {}", node.name(), node.uuid()?, node.type_id()?);
            continue;
        }
        println!("{}", node.name());
        for ty in node.types()? {
            println!("    {} {}", ty.id(), ty.name().unwrap_or("-"));
        }
    }
    for finding in left_out {
        eprintln!("left out: {}", finding.message);
    }
    Ok(())
}
