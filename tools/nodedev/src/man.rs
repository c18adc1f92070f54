// SPDX-License-Identifier: LGPL-2.1-or-later
//! The manual page, generated from the declaration of the commands.

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::Line;
use crate::errors::{Failure, Outcome};
use crate::output;

/// Prints the manual page: the program, each command with its options, and the sections that clap does not have.
pub fn print() -> Outcome {
    let mut page = Vec::new();
    write(&mut page).map_err(|error| Failure::Tool(format!("cannot write the manual page: {error}")))?;
    output::write(&String::from_utf8_lossy(&page));
    Ok(())
}

fn write(page: &mut Vec<u8>) -> std::io::Result<()> {
    let mut program = Line::command().no_binary_name(false);
    program.build();
    let man = Man::new(program.clone()).manual("libmdev").source(format!("libmdev {}", mdev::version()));
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    section(page, "DESCRIPTION", DESCRIPTION)?;
    man.render_options_section(page)?;
    heading(page, "COMMANDS")?;
    for command in program.get_subcommands().filter(|command| !command.is_hide_set()) {
        write_command(page, command)?;
    }
    pairs(
        page,
        "OWNER",
        &[(
            "nodedev --owner NAME COMMAND",
            "The name is recorded with devices that are created, and compared by destroy --owned.",
        )],
    )?;
    section(page, "SEVERAL COMMANDS", SEVERAL_COMMANDS)?;
    section(page, "OUTPUT", OUTPUT)?;
    pairs(page, "EXIT STATUS", &EXIT_STATUS)?;
    pairs(page, "ENVIRONMENT", &ENVIRONMENT)?;
    pairs(page, "FILES", &FILES)?;
    pairs(page, "EXAMPLES", &EXAMPLES)?;
    section(page, "SEE ALSO", &["virsh(1), mdevctl(8), lspci(8), libmdev(3), libmdev-xml(5), libmdev-libvirt(8)"])
}

fn heading(page: &mut Vec<u8>, title: &str) -> std::io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", [title]);
    roff.to_writer(page)
}

fn section(page: &mut Vec<u8>, title: &str, paragraphs: &[&str]) -> std::io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", [title]);
    for paragraph in paragraphs {
        roff.control("PP", []);
        roff.text([roman(*paragraph)]);
    }
    roff.to_writer(page)
}

fn pairs(page: &mut Vec<u8>, title: &str, pairs: &[(&str, &str)]) -> std::io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", [title]);
    for (term, text) in pairs {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*text)]);
    }
    roff.to_writer(page)
}

/// Writes a command: its usage, its description and its own options.
fn write_command(page: &mut Vec<u8>, command: &clap::Command) -> std::io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SS", [command.get_name()]);
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").split_whitespace().collect::<Vec<_>>().join(" ");
    roff.text([bold(usage)]);
    roff.control("PP", []);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let aliases: Vec<&str> = command.get_visible_aliases().collect();
    let aliases = if aliases.is_empty() { String::new() } else { format!(" Alias: {}.", aliases.join(", ")) };
    roff.text([roman(format!("{about}.{aliases}"))]);
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        roff.control("TP", []);
        roff.text([bold(format!("{} {}", command.get_name(), sub.get_name()))]);
        roff.text([roman(sub.get_about().map(ToString::to_string).unwrap_or_default())]);
    }
    let own = |arg: &&clap::Arg| !arg.is_global_set() && !arg.is_hide_set() && arg.get_id() != "help";
    for arg in command.get_arguments().filter(own) {
        roff.control("TP", []);
        roff.text([bold(arg.to_string())]);
        roff.text([roman(arg.get_help().map(ToString::to_string).unwrap_or_default())]);
    }
    roff.to_writer(page)
}

const DESCRIPTION: &[&str] = &[
    "A mediated device is a part of a physical device, such as a virtual GPU. The driver of the physical device creates it on request, \
     and QEMU attaches it to a guest. The physical device is the parent; a parent offers types.",
    "A parent is named by its node name (pci_0000_86_00_0), its address (0000:86:00.0 or 86:00.0) or its path in sysfs; a device by its \
     name, its UUID, the address of its VF, its path, /dev/vfio/N or iommu:N. Commands that change nothing also accept the beginning of \
     the UUID, of 4 characters or more.",
];

const SEVERAL_COMMANDS: &[&str] = &[
    "Commands are separated by an argument ';'. A single argument may contain several commands, separated by semicolons or newlines. \
     Without a command, nodedev reads commands from standard input.",
    "Words are separated by white space. Single quotes keep everything between them. Double quotes keep everything except a backslash, \
     which keeps the next character, as it does outside of quotes. A word that begins with '#' begins a comment.",
    "If one command is invalid, no command runs. If a command fails, the next one runs, unless --stop-on-error is given.",
];

const OUTPUT: &[&str] = &[
    "Tables fit the terminal. In a pipe they have all columns. Scripts should use --json or --names. With --json, an error is one line on \
     standard error: an object with code, errno, message and path. A member without a value is left out.",
    "Control characters in texts of drivers are printed as \\x1b.",
];

const EXIT_STATUS: [(&str, &str); 10] = [
    ("0", "All commands succeeded."),
    ("1", "A command failed; for doctor: a problem prevents the use of mediated devices."),
    ("2", "The command line is invalid."),
    ("3", "There is no such node, type or attribute."),
    ("4", "The name or the UUID is in use."),
    ("5", "A process has the device open."),
    ("6", "No instances are left."),
    ("7", "No permission, or the device has another owner."),
    ("8", "A time limit was reached."),
    ("75", "start --autostart: the parent offers no types yet; run the command again later."),
];

const ENVIRONMENT: [(&str, &str); 3] = [
    ("MDEV_DEFAULT_URI", "The host, unless -c is given."),
    ("NO_COLOR", "If not empty, no colours."),
    ("COLUMNS", "The width of tables, also in a pipe."),
];

const FILES: [(&str, &str); 4] = [
    ("/etc/mdevctl.d/PARENT/UUID", "Definitions, in the format of mdevctl."),
    ("/etc/libmdev/definitions/PARENT/UUID", "The name, group, parameters and owner of a definition."),
    ("/run/libmdev", "Records of running devices, and locks."),
    ("/etc/libmdev/autostart", "If it exists, the udev rule starts devices with autostart, without systemd."),
];

const EXAMPLES: [(&str, &str); 6] = [
    ("nodedev list --tree --types", "Shows what the host has and what it can create."),
    ("nodedev doctor", "Shows why there is nothing to create."),
    ("uuid=$(nodedev -q create --parent 41:00.0 --type A10-4Q)", "Creates a device and keeps its UUID."),
    ("qemu-system-x86_64 ... $(nodedev info $uuid --json | jq -r .qemuArgs)", "Starts a guest with it."),
    ("nodedev destroy --wait 60 $uuid", "Destroys it when the guest has ended."),
    ("nodedev -c test:///default \"create --type 11 --name a; info a; destroy a\"", "Does the same without hardware."),
];
