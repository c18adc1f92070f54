// SPDX-License-Identifier: LGPL-2.1-or-later
//! The commands and their options. The help, the manual page and the completion are generated from this file.

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::ArgValueCandidates;

use crate::complete;

/// What `--version` prints after the name of the program.
const VERSION: &str = concat!("(libmdev) ", env!("CARGO_PKG_VERSION"));

/// Manages mediated devices: virtual GPUs and other slices of a physical device.
#[derive(Debug, Parser)]
#[command(name = "nodedev", version = VERSION, no_binary_name = true, subcommand_required = true, arg_required_else_help = false)]
#[command(disable_help_subcommand = true, infer_long_args = false, max_term_width = 100)]
#[command(
    after_help = "Owner: nodedev --owner NAME COMMAND. The name is recorded with devices that are created, and compared by destroy \
                  --owned.\n\nSeveral commands: nodedev COMMAND \\; COMMAND, or one argument 'COMMAND; COMMAND'. Without a command, \
                  nodedev reads commands from standard input.\n\nExit status: 0 success, 1 failed, 2 usage, 3 not found, 4 exists, 5 in \
                  use, 6 no instances left, 7 denied, 8 timeout, 75 try again later."
)]
pub struct Line {
    /// Options of the program.
    #[command(flatten)]
    pub globals: Globals,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options before or after any command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Globals {
    /// Host: mdev:///system (this host, the default), test:///default (a simulated host), test:///PATH (a dump), or set
    /// MDEV_DEFAULT_URI
    #[arg(short, long, global = true, value_name = "URI")]
    pub connect: Option<String>,
    /// Stop after the first command that fails
    #[arg(short = 'e', long, global = true)]
    pub stop_on_error: bool,
    /// Print no table headers and no messages of success; create prints only the UUID
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print JSON instead of text, also for errors
    #[arg(long, global = true)]
    pub json: bool,
    /// Print what the library logs on standard error
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Print the commands that are read from standard input
    #[arg(short = 'x', long, global = true)]
    pub echo: bool,
}

/// Program options and the remaining words, to find the first command.
#[derive(Debug, Parser)]
#[command(name = "nodedev", no_binary_name = true, disable_help_flag = true)]
pub struct Start {
    /// Options of the program.
    #[command(flatten)]
    pub globals: Globals,
    /// Owner: recorded with devices that are created, and compared by destroy --owned
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
    /// The command and its arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List parents and mediated devices
    List(List),
    /// List the types that parents can create
    Types(Types),
    /// Show why there are no devices, or fewer than expected
    Doctor(Doctor),
    /// Show each parent on one line: product, driver, VFs and what still fits
    Status(Status),
    /// Show everything about a parent or a device
    Info(Info),
    /// Print the XML of a parent or a device
    Dumpxml(Dumpxml),
    /// Write the whole host to a file that can be replayed
    Dumphost(Dumphost),
    /// Create devices
    Create(Create),
    /// Destroy devices
    #[command(visible_alias = "stop")]
    Destroy(Destroy),
    /// Define a device that persists
    Define(Define),
    /// Remove definitions
    Undefine(Names),
    /// Start defined devices
    Start(StartDevices),
    /// Start a device when its parent appears, or stop doing so
    SetAutostart(SetAutostart),
    /// Reset a device
    Reset(Name),
    /// Set a device online
    Online(Name),
    /// Set a device offline
    Offline(Name),
    /// List, read or write attributes of a device
    #[command(subcommand)]
    Attr(Attr),
    /// Wait until a parent offers types, or until a device has a state
    Wait(Wait),
    /// Print events
    Event(Event),
    /// Serve a simulated host as a file system, for programs that do not use libmdev
    Simfs(Simfs),
    /// Print a completion script
    Completion(Completion),
    /// Print help
    Help(Help),
    /// Print the manual page
    #[command(hide = true)]
    Man,
    /// Print the version
    Version,
    /// End; the commands after it do not run
    #[command(visible_alias = "exit")]
    Quit,
    /// Use start --autostart or set-autostart
    #[command(hide = true)]
    Autostart {
        /// Ignored.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        words: Vec<String>,
    },
}

/// Arguments of `list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Only parents
    #[arg(long)]
    pub parents: bool,
    /// Only devices
    #[arg(long)]
    pub devices: bool,
    /// Only defined devices that do not run
    #[arg(long, conflicts_with = "all")]
    pub inactive: bool,
    /// Also defined devices that do not run
    #[arg(long)]
    pub all: bool,
    /// Devices below their parents
    #[arg(long, conflicts_with_all = ["names", "json"])]
    pub tree: bool,
    /// Only names, one on each line
    #[arg(long, conflicts_with_all = ["types", "json"])]
    pub names: bool,
    /// Also the types that each parent can create
    #[arg(long)]
    pub types: bool,
    /// Columns: NAME, KIND, STATE, PARENT, TYPE, AUTOSTART, PERSISTENT, ADDRESS, OWNER, UUID, LAYOUT, GROUP, IOMMU, NUMA, PATH, USED-BY
    #[arg(short, long, add = ArgValueCandidates::new(complete::columns), value_name = "COLUMN,...", value_delimiter = ',', conflicts_with_all = ["tree", "names", "json"])]
    pub output: Vec<String>,
    /// Do not cut columns to the width of the terminal
    #[arg(short, long)]
    pub wide: bool,
    /// Only this parent and its devices
    #[arg(long, add = ArgValueCandidates::new(complete::parents), value_name = "PARENT")]
    pub parent: Option<String>,
    /// Only devices of this type
    #[arg(long = "type", add = ArgValueCandidates::new(complete::types), value_name = "TYPE")]
    pub ty: Option<String>,
    /// Only this state
    #[arg(long)]
    pub state: Option<State>,
    /// Only devices of this owner
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
    /// Only this sysfs layout: mdev, rfc, general, vendor-vfio
    #[arg(long, value_parser = ["mdev", "rfc", "general", "vendor-vfio"])]
    pub layout: Option<String>,
    /// Only devices that start with their parent
    #[arg(long)]
    pub autostart: bool,
}

/// The state of a node in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum State {
    /// Exists in the kernel.
    Active,
    /// Is defined and does not run.
    Inactive,
    /// Has a definition that cannot be used.
    Broken,
}

/// Arguments of `types`.
#[derive(Debug, Clone, Args)]
pub struct Types {
    /// Only this parent
    #[arg(value_name = "PARENT", add = ArgValueCandidates::new(complete::parents))]
    pub parent: Option<String>,
    /// Only this type: id, name, or a short form (A10-4Q, 0x60e)
    #[arg(value_name = "TYPE", add = ArgValueCandidates::new(complete::types))]
    pub ty: Option<String>,
    /// Only types of which a device can be created now
    #[arg(long)]
    pub available: bool,
    /// Do not cut columns to the width of the terminal
    #[arg(short, long)]
    pub wide: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Clone, Args)]
pub struct Doctor {
    /// Only this parent or PCI device
    #[arg(value_name = "PARENT", add = ArgValueCandidates::new(complete::parents))]
    pub parent: Option<String>,
    /// Also print the checks that found no problem
    #[arg(short, long)]
    pub all: bool,
}

/// Arguments of `status`.
#[derive(Debug, Clone, Args)]
pub struct Status {
    /// Only this parent
    #[arg(value_name = "PARENT", add = ArgValueCandidates::new(complete::parents))]
    pub parent: Option<String>,
    /// Print the status again after each change, until ^C
    #[arg(short, long)]
    pub watch: bool,
    /// Do not cut columns to the width of the terminal
    #[arg(long)]
    pub wide: bool,
}

/// Arguments of `info`.
#[derive(Debug, Clone, Args)]
pub struct Info {
    /// Name, UUID or the beginning of a UUID, PCI address, sysfs path, /dev/vfio/N, or iommu:N
    #[arg(value_name = "NODE", add = ArgValueCandidates::new(complete::nodes))]
    pub node: String,
    /// Id of the device in QEMU, for the QMP command
    #[arg(long)]
    pub id: Option<String>,
}

/// Arguments of `dumpxml`.
#[derive(Debug, Clone, Args)]
pub struct Dumpxml {
    /// The parent or device
    #[arg(value_name = "NODE", add = ArgValueCandidates::new(complete::nodes))]
    pub node: String,
    /// Use libvirt's schema
    #[arg(long)]
    pub libvirt: bool,
    /// Print the definition, also while the device runs
    #[arg(long)]
    pub inactive: bool,
}

/// Arguments of `dumphost`.
#[derive(Debug, Clone, Args)]
pub struct Dumphost {
    /// The file to write; standard output without it
    #[arg(value_hint = ValueHint::FilePath, value_name = "FILE")]
    pub file: Option<String>,
}

/// A device without XML.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// Parent: name, address or sysfs path; create chooses one without it
    #[arg(long, add = ArgValueCandidates::new(complete::parents), value_name = "PARENT", requires = "ty")]
    pub parent: Option<String>,
    /// Type: id, name, or a short form
    #[arg(long = "type", add = ArgValueCandidates::new(complete::types), value_name = "TYPE", conflicts_with = "files")]
    pub ty: Option<String>,
    /// UUID; random without it
    #[arg(long, requires = "ty", conflicts_with = "count")]
    pub uuid: Option<String>,
    /// Name of the device
    #[arg(long, requires = "ty", conflicts_with = "count")]
    pub name: Option<String>,
    /// Parameters for the vendor's driver
    #[arg(long, requires = "ty")]
    pub params: Option<String>,
    /// Attribute to write after the create; can be repeated
    #[arg(long, value_name = "NAME=VALUE", requires = "ty")]
    pub attr: Vec<String>,
    /// Prefer a parent on this NUMA node
    #[arg(long, value_name = "NODE", requires = "ty", conflicts_with = "parent")]
    pub numa: Option<u16>,
}

/// Arguments of `create`.
#[derive(Debug, Clone, Args)]
pub struct Create {
    /// File with the XML of a device; '-' is standard input, up to a line with a single dot
    #[arg(value_hint = ValueHint::FilePath, value_name = "FILE", required_unless_present_any = ["ty", "parent"])]
    pub files: Vec<String>,
    /// The device without XML.
    #[command(flatten)]
    pub options: Options,
    /// Create this number of devices, or as many as fit
    #[arg(long, value_name = "N|all", requires = "ty", allow_negative_numbers = true)]
    pub count: Option<String>,
    /// Create the files as one group for one guest: all or none. With --type, the number of the group: --group 1
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub group: Option<String>,
    /// Print what would be done, and do nothing
    #[arg(long, conflicts_with = "count")]
    pub dry_run: bool,
    /// Accept an existing device of the same UUID, parent and type
    #[arg(long)]
    pub exist_ok: bool,
    /// Prefer parents that already have devices
    #[arg(long)]
    pub pack: bool,
    /// Record this owner
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
    /// Do not run mdevctl's call-out scripts
    #[arg(long)]
    pub no_callouts: bool,
}

/// Arguments of `destroy`.
#[derive(Debug, Clone, Args)]
pub struct Destroy {
    /// Devices
    #[arg(value_name = "DEVICE", add = ArgValueCandidates::new(complete::devices), required_unless_present_any = ["incomplete", "all", "parent"], conflicts_with_all = ["incomplete", "all"])]
    pub devices: Vec<String>,
    /// All devices of --parent
    #[arg(long, requires = "parent", conflicts_with = "incomplete")]
    pub all: bool,
    /// The parent for --all
    #[arg(long, add = ArgValueCandidates::new(complete::parents), value_name = "PARENT", requires = "all")]
    pub parent: Option<String>,
    /// Refuse devices of other owners: see nodedev --owner
    #[arg(long, conflicts_with = "incomplete")]
    pub owned: bool,
    /// Devices of groups whose creator was killed
    #[arg(long)]
    pub incomplete: bool,
    /// Only incomplete groups of this owner
    #[arg(long, value_name = "NAME", requires = "incomplete")]
    pub owner: Option<String>,
    /// If the device is in use, wait for this time until it is free
    #[arg(long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "incomplete")]
    pub wait: Option<i32>,
    /// Do not run mdevctl's call-out scripts
    #[arg(long)]
    pub no_callouts: bool,
}

/// Arguments of `define`.
#[derive(Debug, Clone, Args)]
pub struct Define {
    /// Files with the XML of a device; '-' is standard input, up to a line with a single dot
    #[arg(value_hint = ValueHint::FilePath, value_name = "FILE", required_unless_present_any = ["ty", "parent"])]
    pub files: Vec<String>,
    /// The device without XML.
    #[command(flatten)]
    pub options: Options,
    /// Define this number of devices
    #[arg(long, value_name = "N", requires = "ty", value_parser = positive::<u32>)]
    pub count: Option<u32>,
    /// Number of the group
    #[arg(long, value_name = "GROUP", requires = "ty")]
    pub group: Option<u32>,
    /// Start the device when its parent appears
    #[arg(long)]
    pub autostart: bool,
    /// Record this owner
    #[arg(long, value_name = "NAME")]
    pub owner: Option<String>,
    /// Do not run mdevctl's call-out scripts
    #[arg(long)]
    pub no_callouts: bool,
}

/// Arguments of `undefine`.
#[derive(Debug, Clone, Args)]
pub struct Names {
    /// Devices
    #[arg(value_name = "DEVICE", add = ArgValueCandidates::new(complete::devices), required_unless_present_any = ["all", "parent"], conflicts_with = "all")]
    pub devices: Vec<String>,
    /// All definitions on --parent
    #[arg(long, requires = "parent")]
    pub all: bool,
    /// The parent for --all
    #[arg(long, add = ArgValueCandidates::new(complete::parents), value_name = "PARENT", requires = "all")]
    pub parent: Option<String>,
    /// Do not run mdevctl's call-out scripts
    #[arg(long)]
    pub no_callouts: bool,
}

/// Arguments of `start`.
#[derive(Debug, Clone, Args)]
pub struct StartDevices {
    /// Devices; with --autostart: the parent
    #[arg(value_name = "DEVICE", required_unless_present_any = ["all", "autostart", "parent"], conflicts_with = "all", add = ArgValueCandidates::new(complete::devices))]
    pub devices: Vec<String>,
    /// All definitions on --parent
    #[arg(long, requires = "parent", conflicts_with = "autostart")]
    pub all: bool,
    /// The parent for --all
    #[arg(long, add = ArgValueCandidates::new(complete::parents), value_name = "PARENT", requires = "all")]
    pub parent: Option<String>,
    /// Every device that starts with its parent: on one parent, or on all
    #[arg(long)]
    pub autostart: bool,
    /// Do not run mdevctl's call-out scripts
    #[arg(long)]
    pub no_callouts: bool,
}

/// Arguments of `set-autostart`.
#[derive(Debug, Clone, Args)]
pub struct SetAutostart {
    /// Devices
    #[arg(value_name = "DEVICE", add = ArgValueCandidates::new(complete::devices), required = true)]
    pub devices: Vec<String>,
    /// Do not start the device with its parent
    #[arg(long)]
    pub disable: bool,
}

/// One device.
#[derive(Debug, Clone, Args)]
pub struct Name {
    /// The device
    #[arg(value_name = "DEVICE", add = ArgValueCandidates::new(complete::devices))]
    pub device: String,
}

/// Actions of `attr`.
#[derive(Debug, Clone, Subcommand)]
pub enum Attr {
    /// List the attributes with their values
    List {
        /// The device
        #[arg(value_name = "NODE", add = ArgValueCandidates::new(complete::nodes))]
        node: String,
    },
    /// Print the value of an attribute
    Get {
        /// The device
        #[arg(value_name = "NODE", add = ArgValueCandidates::new(complete::nodes))]
        node: String,
        /// The attribute
        #[arg(value_name = "ATTRIBUTE")]
        attribute: String,
    },
    /// Write an attribute
    Set {
        /// The device
        #[arg(value_name = "NODE", add = ArgValueCandidates::new(complete::nodes))]
        node: String,
        /// The attribute
        #[arg(value_name = "ATTRIBUTE")]
        attribute: String,
        /// The value
        #[arg(value_name = "VALUE", allow_hyphen_values = true)]
        value: String,
    },
}

/// Arguments of `wait`.
#[derive(Debug, Clone, Args)]
pub struct Wait {
    /// A parent; with --for: a device
    #[arg(value_name = "NODE", add = ArgValueCandidates::new(complete::nodes))]
    pub node: String,
    /// Until the parent offers this type
    #[arg(long = "type", add = ArgValueCandidates::new(complete::types), value_name = "TYPE", conflicts_with = "state")]
    pub ty: Option<String>,
    /// Until the device has this state
    #[arg(long = "for", value_name = "STATE")]
    pub state: Option<DeviceState>,
    /// The longest wait; 0 checks once
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    pub timeout: i32,
}

/// The state of a device for which `wait` waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceState {
    /// The device exists and can be used.
    Created,
    /// The device does not exist.
    Deleted,
    /// The device exists and no process has it open.
    Free,
}

/// Arguments of `event`.
#[derive(Debug, Clone, Args)]
pub struct Event {
    /// End after this number of events
    #[arg(long, value_name = "N", value_parser = positive::<u64>)]
    pub count: Option<u64>,
    /// End after this time; a failure if --count events were not received
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<i32>,
    /// Print the time of each event
    #[arg(long)]
    pub timestamp: bool,
    /// Only events of this node
    #[arg(long, value_name = "NODE", add = ArgValueCandidates::new(complete::nodes))]
    pub device: Option<String>,
    /// Only events of this type: created, deleted, updated, defined, undefined, overrun
    #[arg(long = "type", value_name = "EVENT", value_parser = crate::commands::event::kind)]
    pub kind: Option<mdev::EventKind>,
    /// A command to run while events are printed; several in one argument
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// Arguments of `simfs`.
#[derive(Debug, Clone, Args)]
pub struct Simfs {
    /// The host: default, a file of dumphost, or a description in JSON
    #[arg(long, value_hint = ValueHint::FilePath, value_name = "HOST")]
    pub host: Option<String>,
    /// Let other users use the folder
    #[arg(long, requires = "mountpoint")]
    pub allow_other: bool,
    /// An existing folder in which the host appears, until ^C
    #[arg(value_hint = ValueHint::DirPath, value_name = "FOLDER")]
    pub mountpoint: Option<String>,
    /// A command to run with the host as its /sys
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Arguments of `completion`.
#[derive(Debug, Clone, Args)]
pub struct Completion {
    /// The shell
    pub shell: Shell,
}

/// A shell for which there is a completion script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// Fish.
    Fish,
}

/// Arguments of `help`.
#[derive(Debug, Clone, Args)]
pub struct Help {
    /// The command
    pub command: Option<String>,
}

/// The longest time limit, in seconds: what an i32 of milliseconds can hold.
const SECONDS_MAX: f64 = 2_000_000.0;

/// Parses a number of seconds (`5`, `0.5`) and returns milliseconds.
fn seconds(text: &str) -> Result<i32, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match text.parse::<f64>() {
        Ok(seconds) if is_number && seconds <= SECONDS_MAX => Ok((seconds * 1000.0) as i32),
        _ => Err(format!("expected a number of seconds up to {SECONDS_MAX}, such as 5 or 0.5")),
    }
}

/// Parses a number from 1.
fn positive<T: std::str::FromStr + PartialOrd + From<u8>>(text: &str) -> Result<T, String> {
    text.parse().ok().filter(|number| *number >= T::from(1)).ok_or_else(|| "expected a number from 1".to_owned())
}
