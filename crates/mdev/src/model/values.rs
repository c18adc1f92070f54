// SPDX-License-Identifier: LGPL-2.1-or-later
//! Checks of the values in a create request. The request is XML or [`CreateOptions`](crate::CreateOptions): `what` is the name of
//! the element or option, with which the error begins.

use uuid::Uuid;

use super::name::{NAME_MAX, is_attribute, is_plain_component, parse_uuid};
use crate::error::shown as escaped;

/// The maximum length of a value that is written to a file of sysfs, in bytes: one page without its NUL.
pub const VALUE_MAX: usize = 4095;

/// The maximum number of attributes of a device. Each adapter, domain and control domain of an AP matrix is one, at most 256 of each.
pub const ATTRIBUTES_MAX: usize = 1024;

/// The name in an XML template of libvirt, which stands for "no name".
const NO_NAME: &str = "new device";

/// A checked value, or the sentence of an error.
type Checked<T> = Result<T, String>;

/// Returns an untrusted text in quotes, for a sentence.
fn shown(text: &str) -> String {
    format!("'{}'", escaped(text))
}

/// Checks the name of a device. `None` for an empty name and for libvirt's placeholder.
pub fn name(what: &str, text: &str) -> Checked<Option<String>> {
    if text.is_empty() || text == NO_NAME {
        return Ok(None);
    }
    if !is_plain_component(text) {
        return Err(format!(
            "{what} gives {}, which is not a device name: 1 to 255 bytes, no '/', no control characters, not '.' or '..'",
            shown(text)
        ));
    }
    Ok(Some(text.to_owned()))
}

/// Checks the name, address or path of a parent. Removes a slash at its end.
pub fn parent(what: &str, text: &str) -> Checked<String> {
    let parent = text.strip_suffix('/').unwrap_or(text);
    let is_valid = match parent.strip_prefix("/sys/") {
        Some(below) => parent.len() <= VALUE_MAX && below.split('/').all(is_plain_component),
        None => is_plain_component(parent),
    };
    if !is_valid {
        return Err(format!(
            "{what} is {}; expected a node name (pci_0000_86_00_0), an address (0000:86:00.0) or an absolute path below /sys",
            shown(parent)
        ));
    }
    Ok(parent.to_owned())
}

/// Checks the id or the name of a type.
pub fn type_id(what: &str, text: &str) -> Checked<String> {
    // The name of a type may contain '/'. An id is one path component; the search for the type checks that.
    if text.len() > NAME_MAX || !text.split('/').all(is_plain_component) {
        return Err(format!(
            "{what} gives {}, which is not the id or the name of a type: 1 to 255 bytes, no control characters; no part between \
             slashes may be empty, '.' or '..'",
            shown(text)
        ));
    }
    Ok(text.to_owned())
}

/// Parses a UUID.
pub fn uuid(what: &str, text: &str) -> Checked<Uuid> {
    parse_uuid(text).ok_or_else(|| format!("{what} is {}, {}", shown(text), not_a_uuid(text)))
}

/// Checks the parameters for the vendor's driver. `None` for an empty text.
pub fn params(what: &str, text: &str) -> Checked<Option<String>> {
    if text.contains('\n') {
        return Err(format!("{what} contains a newline; write the parameters on one line"));
    }
    if text.len() > VALUE_MAX {
        return Err(too_long(what, text));
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

/// Checks the name and the value of an attribute.
pub fn attribute(what: &str, name: &str, value: &str) -> Checked<(String, String)> {
    if !is_attribute(name) || name.chars().any(char::is_control) {
        return Err(format!(
            "{what} gives {}, which is not the name of an attribute: a file of the device, or several components joined by '/', \
             each of 1 to 255 bytes, no control characters, not '.' or '..'",
            shown(name)
        ));
    }
    if value.is_empty() {
        return Err(format!("{what} {} has an empty value, which cannot be written to a device", shown(name)));
    }
    if value.len() > VALUE_MAX {
        return Err(too_long(&format!("{what} {}", shown(name)), value));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Returns why a text is not a UUID: its length, or its first wrong character.
fn not_a_uuid(text: &str) -> String {
    let length = text.chars().count();
    let is_dash = |i: usize| length == 36 && matches!(i, 8 | 13 | 18 | 23);
    let is_wrong = |(i, c): &(usize, char)| if is_dash(*i) { *c != '-' } else { !c.is_ascii_hexdigit() };
    match text.chars().enumerate().find(is_wrong) {
        Some((i, c)) if matches!(length, 32 | 36) => {
            let expected = if is_dash(i) { "'-'" } else { "a hexadecimal digit" };
            format!(
                "which is not a UUID: character {} is {}; expected {expected}",
                i + 1,
                shown(c.encode_utf8(&mut [0; 4]))
            )
        }
        _ => format!("{length} characters long; a UUID has 36 with its dashes, or 32 hexadecimal digits"),
    }
}

fn too_long(what: &str, value: &str) -> String {
    format!("{what} is {} bytes long; sysfs accepts at most {VALUE_MAX}", value.len())
}
