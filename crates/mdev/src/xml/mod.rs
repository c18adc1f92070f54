// SPDX-License-Identifier: LGPL-2.1-or-later
//! Text to model and back. No I/O.
//!
//! | file | what |
//! |---|---|
//! | `reader` | the strict pull reader below every parser: limits, one error with line and column for each fault |
//! | `chars` | which characters XML can carry; escaping |
//! | `writer` | indentation and escaping for every dump |
//! | `kind` | the kinds of parents that the dumps tell apart |
//! | `definition` | `<device>` of a create request, in either dialect -> [`DeviceDef`](crate::model::DeviceDef) |
//! | `rfc` | parents and devices in the dialect of the founding proposal |
//! | `libvirt` | parents and devices as today's libvirt prints them |
//! | `hostdev` | the `<hostdev>` element for a libvirt domain |
//! | `host` | a whole host, dumped and read again |
//! | `errno` | names of errnos, so that a dumped host does not depend on the machine |
//!
//! Every text that a dump prints is escaped; a character that XML 1.0 cannot carry (vendors' files do hold control bytes)
//! is printed as U+FFFD. Every parser error has `EINVAL`, one of the codes `XmlSyntax`, `XmlContent` and `XmlLimit`, and a
//! sentence that begins with `XML line L, column C:`; columns count characters. A DOCTYPE, an entity that is not predefined and
//! an encoding other than UTF-8 count as syntax. A text that is too long is refused before it is read, at line 1, column 1.

mod chars;
mod definition;
mod errno;
mod host;
mod hostdev;
mod kind;
mod libvirt;
mod reader;
mod rfc;
mod writer;

pub use definition::{Unknown, parse_device};
pub use host::{parse_host, write_host};
pub use hostdev::hostdev;
pub use libvirt::{device_libvirt, parent_libvirt};
pub use rfc::{device_rfc, parent_rfc};
