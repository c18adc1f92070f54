// SPDX-License-Identifier: LGPL-2.1-or-later
//! The integration tests, as one program.

// A test may panic, but clippy does not treat the shared functions as tests.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod attrs;
mod autostart;
mod backends;
mod callout_changes;
mod cargo_library;
mod create_answers;
mod create_faults;
mod definition_callouts;
mod definitions;
mod diagnose;
mod driver;
mod exhausted;
mod exist_ok;
mod faulty_host;
mod groups;
mod header;
mod identity;
mod in_use;
mod incomplete;
mod kernel_facts;
mod layers;
mod messages;
mod oracle;
mod parents;
mod reads;
mod refusals;
mod sim_kernel;
mod sim_prop;
mod sim_sysfs;
mod sim_vendor;
mod sim_vendor_prop;
mod support;
mod vendor;
mod vendor_answers;
mod vendor_facts;
mod vendor_races;
mod version;
mod watch;
mod without_xml;
mod wrong_absence;
mod xml_golden;
mod xml_hostile;
mod xml_prop;
