// SPDX-License-Identifier: LGPL-2.1-or-later
//! Reads one file of a definition. Its content makes root write to devices, so a file that another user may have written is refused.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::Errno;
use uuid::Uuid;

use super::extras::FileIdentity;
use super::{Definition, json};
use crate::store::calls::{openat, read};
use crate::trust::writable_by_others;

/// The maximum size of a file: much more than the longest known definition, an AP matrix with some hundred attributes.
const TEXT_MAX: u64 = 1024 * 1024;

/// Why a file is unusable.
#[derive(Debug)]
pub(super) enum ReadError {
    /// Its content is not a valid definition, and may be incomplete. Contains the cause and the text.
    Invalid(String, Vec<u8>),
    /// It is a link, not a regular file, or too large.
    NotRegular(String, Errno),
    /// Another user may have written it.
    Untrusted(String),
    /// It could not be read, and may be valid.
    Io(Errno),
}

/// Reads a regular file that belongs to this user or to root and that no other user may write. `None` if it does not exist.
pub(super) fn text(dir: &OwnedFd, name: &str) -> Result<Option<(Vec<u8>, FileIdentity)>, ReadError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let irregular = || ReadError::NotRegular("it is not a regular file".to_owned(), Errno::INVAL);
    let fd = match openat(dir, name, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(ReadError::NotRegular("it is a symbolic link".to_owned(), Errno::LOOP)),
        // The file is a socket.
        Err(Errno::NXIO) => return Err(irregular()),
        Err(errno) => return Err(ReadError::Io(errno)),
    };
    let stat = fstat(&fd).map_err(ReadError::Io)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(irregular());
    }
    let us = rustix::process::geteuid().as_raw();
    if us == 0 && stat.st_uid != 0 {
        let why = format!("it belongs to user {}, who would have root write to devices", stat.st_uid);
        return Err(ReadError::Untrusted(why));
    }
    if let Some(why) = writable_by_others(&stat) {
        return Err(ReadError::Untrusted(why));
    }
    let identity = FileIdentity::of(&fd).map_err(ReadError::Io)?;
    let text = read(&File::from(fd), TEXT_MAX + 1).map_err(ReadError::Io)?;
    if text.len() as u64 > TEXT_MAX {
        return Err(ReadError::NotRegular(format!("it is larger than {} KiB", TEXT_MAX >> 10), Errno::FBIG));
    }
    let identity = identity.with(&text);
    Ok(Some((text, identity)))
}

/// A definition as read from mdevctl's file, with the text and the identity of the file.
pub(super) type Read = (Definition, Vec<u8>, FileIdentity);

/// Reads mdevctl's file. `None` if it does not exist.
pub(super) fn definition(dir: &OwnedFd, parent: &str, uuid: &Uuid) -> Result<Option<Read>, ReadError> {
    let Some((text, identity)) = text(dir, &uuid.to_string())? else { return Ok(None) };
    match json::parse(&text) {
        Ok(json::Text { type_id, autostart, attributes }) => {
            let parent = parent.to_owned();
            let found = Definition { parent, uuid: *uuid, type_id, autostart, attributes, ..Definition::default() };
            Ok(Some((found, text, identity)))
        }
        Err(why) => Err(ReadError::Invalid(why, text)),
    }
}
