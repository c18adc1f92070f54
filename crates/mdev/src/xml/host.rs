// SPDX-License-Identifier: LGPL-2.1-or-later
//! A dumped host: every path that a node-device driver reads, in a form that people can read and edit.
//!
//! ```xml
//! <host version='1'>
//!   <kernel>6.1.0</kernel>
//!   <dir path='/sys/devices/virtual/mtty/mtty'>
//!     <link name='subsystem' target='../../../../class/mtty'/>
//!     <file name='vendor' mode='0444'>0x10de&#10;</file>
//!     <file name='config' mode='0644' encoding='hex'>86800000</file>
//!     <file name='broken' mode='0444' errno='EIO'/>
//!   </dir>
//!   <file path='/dev/vfio/7' mode='0600'></file>
//! </host>
//! ```
//!
//! An entry is inside the preceding `<dir>` if it is directly in that directory; otherwise it has its full path. The content of a
//! `<file>` is the exact text of the file. Newlines at the end are written as `&#10;`, so that one file is one line. A content that
//! is not UTF-8, or that has characters that XML cannot contain, is written in hexadecimal digits; white space between them is
//! ignored. `mode` is octal. `errno` is the name or number of the error that reading the file returned.
//!
//! Writing and reading a host preserves the entries, their order and every byte of the files. Paths and link targets may have any
//! character that XML can contain.

use std::cmp::Ordering;
use std::fmt::Write;

use super::chars::{is_space, is_xml_char, push_content, shown};
use super::errno;
use super::reader::{Limits, Reader, Tag};
use super::writer::Writer;
use crate::error::{ErrorCode, Result};
use crate::model::host::{Host, HostEntry, HostEntryKind};
use crate::model::name::is_component;

const LIMITS: Limits = Limits { bytes: 64 * 1024 * 1024, depth: 4 };

/// `PATH_MAX` without its NUL.
const MAX_PATH: usize = 4095;

/// The maximal depth of directories; sysfs has about twenty.
const MAX_DEPTH: usize = 64;

/// The most bytes of all paths together. A short `<file name=''>` in a `<dir>` with a long path needs far more memory than text.
const MAX_PATHS: usize = 64 * 1024 * 1024;

/// Bytes on one line of hexadecimal digits.
const HEX_LINE: usize = 32;

/// Writes a host.
pub fn write_host(h: &Host) -> String {
    let mut w = Writer::default();
    w.open("host", &[("version", &1)]);
    if let Some(kernel) = &h.kernel {
        w.leaf("kernel", &[], kernel);
    }
    let mut entries = h.entries.iter().peekable();
    while let Some(entry) = entries.next() {
        if entry.kind != HostEntryKind::Dir {
            write_leaf(&mut w, "path", &entry.path, &entry.kind);
            continue;
        }
        let inside = |e: &&HostEntry| e.kind != HostEntryKind::Dir && directly_in(&e.path, &entry.path).is_some();
        if entries.peek().filter(|e| inside(e)).is_none() {
            w.empty("dir", &[("path", &entry.path)]);
            continue;
        }
        w.open("dir", &[("path", &entry.path)]);
        while let Some(child) = entries.next_if(inside) {
            let name = directly_in(&child.path, &entry.path).unwrap_or_default();
            write_leaf(&mut w, "name", name, &child.kind);
        }
        w.close();
    }
    w.finish()
}

/// The last component of `path` if `path` is directly in the directory `dir`.
fn directly_in<'a>(path: &'a str, dir: &str) -> Option<&'a str> {
    path.strip_prefix(dir)?.strip_prefix('/').filter(|name| is_path_part(name))
}

/// A link or a file; `key` is `path` or `name`.
fn write_leaf(w: &mut Writer, key: &str, name: &str, kind: &HostEntryKind) {
    match kind {
        HostEntryKind::Dir => w.empty("dir", &[(key, &name)]),
        HostEntryKind::Link(target) => w.empty("link", &[(key, &name), ("target", target)]),
        HostEntryKind::File(mode, content) => {
            let mode = format!("{mode:04o}");
            match content {
                Err(number) => w.empty("file", &[(key, &name), ("mode", &mode), ("errno", &errno::name(*number))]),
                Ok(bytes) => match as_text(bytes) {
                    Some(text) => w.raw_leaf("file", &[(key, &name), ("mode", &mode)], &text),
                    None => {
                        w.raw_leaf("file", &[(key, &name), ("mode", &mode), ("encoding", &"hex")], &to_hex(bytes));
                    }
                },
            }
        }
    }
}

/// The escaped text; `None` if the content must be in hexadecimal.
fn as_text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    if !text.chars().all(is_xml_char) {
        return None;
    }
    let body = text.trim_end_matches('\n');
    let mut out = String::with_capacity(text.len() + 8);
    push_content(&mut out, body);
    (body.len()..text.len()).for_each(|_| out.push_str("&#10;"));
    Some(out)
}

fn to_hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2 + bytes.len() / HEX_LINE + 1);
    for line in bytes.chunks(HEX_LINE) {
        if bytes.len() > HEX_LINE {
            out.push('\n');
        }
        // Writing to a String cannot fail.
        line.iter().for_each(|b| write!(out, "{b:02x}").unwrap_or_default());
    }
    out
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut digits = text.chars().filter(|c| !is_space(*c));
    while let Some(high) = digits.next() {
        let (high, low) = (high.to_digit(16)?, digits.next()?.to_digit(16)?);
        bytes.push((high << 4 | low) as u8);
    }
    Some(bytes)
}

/// Reads a host.
pub fn parse_host(text: &[u8]) -> Result<Host> {
    let mut reader = Reader::new(text, LIMITS)?;
    let root = reader.root("host")?;
    reader.only(&root, &["version"])?;
    let mut parser = Parser { reader, host: Host::default(), places: Vec::new(), path_bytes: 0 };
    match parser.required(&root, "version")? {
        "1" => {}
        other => {
            let sentence = format!("the host dump has version {}; only version 1 is supported", shown(other));
            return Err(parser.reader.wrong(root.at, sentence));
        }
    }
    while let Some(tag) = parser.reader.child()? {
        parser.top(&tag)?;
    }
    parser.reader.finish()?;
    parser.check_tree()?;
    Ok(parser.host)
}

struct Parser<'a> {
    reader: Reader<'a>,
    host: Host,
    /// The position of each entry in the text.
    places: Vec<usize>,
    path_bytes: usize,
}

impl<'a> Parser<'a> {
    fn top(&mut self, tag: &Tag<'a>) -> Result<()> {
        match tag.name {
            "kernel" if self.host.kernel.is_some() || !self.host.entries.is_empty() => {
                Err(self.reader.wrong(tag.at, "<kernel> must occur once, before every entry"))
            }
            "kernel" => {
                self.reader.only(tag, &[])?;
                self.host.kernel = Some(self.reader.content(tag)?);
                Ok(())
            }
            "dir" => self.dir(tag),
            _ => {
                let path = if is_leaf(tag) { self.path(tag)? } else { String::new() };
                self.leaf(tag, "path", path)
            }
        }
    }

    fn dir(&mut self, tag: &Tag<'a>) -> Result<()> {
        self.reader.only(tag, &["path"])?;
        let path = self.path(tag)?;
        self.add(tag, path.clone(), HostEntryKind::Dir)?;
        while let Some(child) = self.reader.child()? {
            let path = if is_leaf(&child) { format!("{path}/{}", self.name(&child)?) } else { String::new() };
            self.leaf(&child, "name", path)?;
        }
        Ok(())
    }

    fn leaf(&mut self, tag: &Tag<'a>, key: &str, path: String) -> Result<()> {
        let kind = match tag.name {
            "link" => {
                self.reader.only(tag, &[key, "target"])?;
                let target = self.required(tag, "target")?;
                if target.is_empty() || target.len() > MAX_PATH {
                    let sentence = format!("the target of a link must have 1 to {MAX_PATH} bytes");
                    return Err(self.reader.wrong(tag.at, sentence));
                }
                self.reader.nothing(tag)?;
                HostEntryKind::Link(target.to_owned())
            }
            "file" => {
                self.reader.only(tag, &[key, "mode", "encoding", "errno"])?;
                HostEntryKind::File(self.mode(tag)?, self.file(tag)?)
            }
            name => return Err(self.reader.wrong(tag.at, format!("unknown element {} in a dumped host", shown(name)))),
        };
        self.add(tag, path, kind)
    }

    fn file(&mut self, tag: &Tag<'a>) -> Result<std::result::Result<Vec<u8>, i32>> {
        let content = self.reader.content(tag)?;
        match (attribute(tag, "errno"), attribute(tag, "encoding")) {
            (Some(name), None) if content.is_empty() => match errno::number(name) {
                Some(number) => Ok(Err(number)),
                None => Err(self.reader.wrong(tag.at, format!("{} is not the name of an errno", shown(name)))),
            },
            (Some(_), _) => Err(self.reader.wrong(tag.at, "a <file> with an errno has neither content nor encoding")),
            (None, None) => Ok(Ok(content.into_bytes())),
            (None, Some("hex")) => from_hex(&content).map(Ok).ok_or_else(|| {
                self.reader.wrong(tag.at, "the content of this <file> is not pairs of hexadecimal digits")
            }),
            (None, Some(other)) => {
                Err(self.reader.wrong(tag.at, format!("unknown encoding {}; only 'hex' is supported", shown(other))))
            }
        }
    }

    fn mode(&self, tag: &Tag<'a>) -> Result<u32> {
        let text = self.required(tag, "mode")?;
        let octal = (1..=4).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
        match u32::from_str_radix(text, 8) {
            Ok(mode) if octal => Ok(mode),
            _ => Err(self.reader.wrong(tag.at, format!("mode {} is not one to four octal digits", shown(text)))),
        }
    }

    fn required<'t>(&self, tag: &'t Tag<'a>, name: &str) -> Result<&'t str> {
        attribute(tag, name)
            .ok_or_else(|| self.reader.wrong(tag.at, format!("<{}> has no attribute '{name}'", tag.name)))
    }

    fn path(&self, tag: &Tag<'a>) -> Result<String> {
        let path = self.required(tag, "path")?;
        if path.strip_prefix('/').is_some_and(|below| below.split('/').all(is_path_part)) {
            return Ok(path.to_owned());
        }
        let sentence = format!("path {} is not absolute, or has an empty component, '.' or '..' in it", shown(path));
        Err(self.reader.wrong(tag.at, sentence))
    }

    fn name<'t>(&self, tag: &'t Tag<'a>) -> Result<&'t str> {
        let name = self.required(tag, "name")?;
        if is_path_part(name) {
            return Ok(name);
        }
        Err(self.reader.wrong(tag.at, format!("name {} is not the name of one file", shown(name))))
    }

    fn add(&mut self, tag: &Tag<'a>, path: String, kind: HostEntryKind) -> Result<()> {
        self.path_bytes += path.len();
        let sentence = match () {
            () if path.len() > MAX_PATH => format!("a path of {} bytes; at most {MAX_PATH} are accepted", path.len()),
            () if path.matches('/').count() > MAX_DEPTH => format!("a path deeper than {MAX_DEPTH} directories"),
            () if self.path_bytes > MAX_PATHS => format!("all paths together have more than {MAX_PATHS} bytes"),
            () => {
                self.host.entries.push(HostEntry { path, kind });
                self.places.push(tag.at);
                return Ok(());
            }
        };
        Err(self.reader.fail(ErrorCode::XmlLimit, tag.at, sentence))
    }

    /// Fails if a path occurs twice, or is below a file or a link. In the order of [`by_component`], the entries below a path follow
    /// directly after it, so it is enough to compare neighbours.
    fn check_tree(&self) -> Result<()> {
        let mut order: Vec<_> = self.host.entries.iter().zip(&self.places).collect();
        order.sort_by(|(a, _), (b, _)| by_component(&a.path, &b.path));
        for pair in order.windows(2) {
            let [(first, _), (second, place)] = pair else { continue };
            if first.path == second.path {
                return Err(self.reader.wrong(**place, format!("path {} is given twice", shown(&second.path))));
            }
            let below = second.path.strip_prefix(&first.path).is_some_and(|rest| rest.starts_with('/'));
            if below && first.kind != HostEntryKind::Dir {
                let sentence = format!("path {} lies below a file or a link", shown(&second.path));
                return Err(self.reader.wrong(**place, sentence));
            }
        }
        Ok(())
    }
}

fn is_leaf(tag: &Tag<'_>) -> bool {
    matches!(tag.name, "link" | "file")
}

fn attribute<'t>(tag: &'t Tag<'_>, name: &str) -> Option<&'t str> {
    tag.attributes.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_ref())
}

/// As [`is_component`], but also accepts a newline, which a file name may contain.
fn is_path_part(name: &str) -> bool {
    is_component(&name.replace('\n', "_"))
}

/// Byte order in which a slash comes before everything else.
fn by_component(a: &str, b: &str) -> Ordering {
    let key = |byte: u8| if byte == b'/' { 0 } else { byte };
    a.bytes().map(key).cmp(b.bytes().map(key))
}
