// SPDX-License-Identifier: LGPL-2.1-or-later
//! The commands: each module carries out a group of them.

mod attr;
mod create;
mod definitions;
mod destroy;
mod doctor;
pub mod event;
mod info;
mod list;
pub mod logging;
mod status;
mod types;
mod wait;

use crate::cli::Command;
use crate::errors::{Failure, Outcome};
use crate::session::Session;
use crate::{complete, man, output, usage};

/// Returns the names of the columns of a list.
pub fn columns() -> impl Iterator<Item = &'static str> {
    list::COLUMNS.iter().map(|column| column.name)
}

/// Carries out a command.
pub fn run(session: &mut Session, command: Command) -> Outcome {
    match command {
        Command::List(args) => list::run(session, &args),
        Command::Types(args) => types::run(session, &args),
        Command::Doctor(args) => doctor::run(session, &args),
        Command::Status(args) => status::run(session, &args),
        Command::Info(args) => info::info(session, &args),
        Command::Dumpxml(args) => info::dumpxml(session, &args),
        Command::Dumphost(args) => info::dumphost(session, &args),
        Command::Create(args) => create::create(session, &args),
        Command::Define(args) => create::define(session, &args),
        Command::Destroy(args) => destroy::run(session, &args),
        Command::Undefine(args) => definitions::undefine(session, &args),
        Command::Start(args) => definitions::start(session, &args),
        Command::SetAutostart(args) => definitions::set_autostart(session, &args),
        Command::Reset(args) => attr::reset(session, &args.device),
        Command::Online(args) => attr::set_online(session, &args.device, true),
        Command::Offline(args) => attr::set_online(session, &args.device, false),
        Command::Attr(args) => attr::run(session, &args),
        Command::Wait(args) => wait::run(session, &args),
        Command::Event(args) => event::run(session, &args),
        Command::Simfs(args) => crate::simfs::run(session, &args),
        Command::Completion(args) => complete::print_script(args.shell),
        Command::Man => man::print(),
        Command::Help(args) => usage::print_help(args.command.as_deref()),
        Command::Version => {
            output::line(&format!("nodedev (libmdev) {}", mdev::version()));
            Ok(())
        }
        Command::Quit => {
            session.quit = true;
            Ok(())
        }
        Command::Autostart { .. } => Err(Failure::Usage(
            "'autostart' is now 'start --autostart [PARENT]'; to change whether a device starts with its parent: 'set-autostart DEVICE'"
                .to_owned(),
        )),
    }
}
