// SPDX-License-Identifier: LGPL-2.1-or-later
//! `types`.

use mdev::{ListFlags, Node, Type};
use serde_json::{Value, json};

use crate::cli::Types;
use crate::errors::Outcome;
use crate::session::Session;
use crate::table::{Column, Table};
use crate::{json as objects, lookup, output};

const COLUMNS: [Column; 5] = [
    Column { name: "PARENT", rank: 0 },
    Column { name: "TYPE", rank: 0 },
    Column { name: "NAME", rank: 1 },
    Column { name: "AVAILABLE", rank: 0 },
    Column { name: "DEVICE API", rank: 2 },
];

/// Returns how many devices of a type can be created now: `16`, or `up to 8` if the number is an upper bound. `None` if it is
/// unknown.
pub fn capacity(ty: &Type) -> Option<String> {
    ty.capacity().map(|(count, is_bound)| if is_bound { format!("up to {count}") } else { count.to_string() })
}

/// Carries out `types`.
pub fn run(session: &mut Session, args: &Types) -> Outcome {
    let conn = session.conn()?;
    let parents = match &args.parent {
        Some(parent) => vec![lookup::parent(&conn, parent)?],
        None => {
            let mut parents = conn.list(ListFlags::PARENTS | ListFlags::ACTIVE)?;
            parents.sort_by(|a, b| a.name().cmp(b.name()));
            parents
        }
    };
    let mut chosen: Vec<(&Node, Vec<&Type>)> = Vec::with_capacity(parents.len());
    for parent in &parents {
        let mut types: Vec<&Type> = match &args.ty {
            Some(ty) => vec![parent.find_type(ty)?],
            None => parent.types()?.iter().collect(),
        };
        types.retain(|ty| !args.available || ty.capacity().is_none_or(|(count, _)| count > 0));
        chosen.push((parent, types));
    }
    if session.globals.json {
        print_json(&chosen, args.parent.is_some());
    } else {
        print_table(session, &chosen, args);
    }
    Ok(())
}

/// Prints the types of one parent as an array, and those of all parents as an array of objects with `parent` and `types`.
fn print_json(chosen: &[(&Node, Vec<&Type>)], is_one: bool) {
    let types = |types: &[&Type]| types.iter().map(|ty| objects::one_type(ty)).collect::<Vec<Value>>();
    match chosen {
        [(_, one)] if is_one => objects::print(&types(one).into()),
        all => {
            let all = all.iter().map(|(parent, own)| json!({ "parent": parent.name(), "types": types(own) }));
            objects::print(&all.collect());
        }
    }
}

fn print_table(session: &Session, chosen: &[(&Node, Vec<&Type>)], args: &Types) {
    if chosen.iter().all(|(_, types)| types.is_empty()) {
        if let [(parent, _)] = chosen {
            // The error for a type that cannot exist contains the reason why there are no types.
            let reason = parent.find_type("any").err().map(|error| error.message).unwrap_or_default();
            let reason = reason.split_once("; ").map_or("", |(_, reason)| reason);
            let what = if args.available { "no type is available" } else { "no types" };
            output::note(&format!("{}: {what}; {reason}", parent.name()));
        } else {
            output::note(if chosen.is_empty() {
                "no parent devices; 'nodedev doctor' shows why"
            } else {
                "no types; 'nodedev doctor' shows why"
            });
        }
        return;
    }
    let columns: Vec<Column> = COLUMNS.iter().skip(usize::from(args.parent.is_some())).copied().collect();
    let mut table = Table::new(&columns);
    for (parent, types) in chosen {
        for ty in types {
            table.row(columns.iter().map(|column| cell(parent, ty, column.name)).collect());
        }
    }
    table.print(!session.globals.quiet, !args.wide);
}

fn cell(parent: &Node, ty: &Type, column: &str) -> Option<String> {
    match column {
        "PARENT" => Some(parent.name().to_owned()),
        "TYPE" => Some(ty.id().to_owned()),
        "NAME" => ty.name().map(str::to_owned),
        "AVAILABLE" => capacity(ty),
        _ => ty.device_api().map(str::to_owned),
    }
}
