// SPDX-License-Identifier: LGPL-2.1-or-later
//! Conversion between XML and the model. No I/O.
//!
//! | file | what |
//! |---|---|
//! | `reader` | the strict pull reader that every parser uses: limits, and an error with line and column |
//! | `chars` | characters that XML can contain; escaping |
//! | `writer` | indentation and escaping for every dump |
//! | `kind` | the kinds of parents that the dumps distinguish |
//! | `definition` | `<device>` of a create request, in either dialect -> [`DeviceDef`](crate::model::DeviceDef) |
//! | `rfc` | parents and devices in the dialect of the founding proposal |
//! | `libvirt` | parents and devices as current libvirt prints them |
//! | `hostdev` | the `<hostdev>` element for a libvirt domain |
//! | `host` | the dump of a whole host, and its parser |
//! | `errno` | names of errnos, so that a dumped host does not depend on the machine |
//!
//! Every text in a dump is escaped. A character that XML 1.0 cannot contain is printed as U+FFFD; files of vendors contain such
//! control bytes. Every parser error has `EINVAL`, one of the codes `XmlSyntax`, `XmlContent` and `XmlLimit`, and a message that
//! begins with `XML line L, column C:`; columns count characters. A DOCTYPE, an entity that is not predefined and an encoding other
//! than UTF-8 are syntax errors. A text that is too long is refused before it is parsed, at line 1, column 1.

mod chars;
mod definition;
#[cfg_attr(not(feature = "sim"), allow(dead_code, reason = "only the replay of a dump parses a host"))]
mod errno;
#[cfg_attr(not(feature = "sim"), allow(dead_code, reason = "only the replay of a dump parses a host"))]
mod host;
mod hostdev;
mod kind;
mod libvirt;
mod reader;
mod rfc;
mod writer;

pub use definition::{Unknown, parse_device};
#[cfg(feature = "sim")]
pub use host::parse_host;
pub use host::write_host;
pub use hostdev::hostdev;
pub use libvirt::{device_libvirt, parent_libvirt};
pub use rfc::{device_rfc, parent_rfc};
