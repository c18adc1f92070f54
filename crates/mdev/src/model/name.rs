// SPDX-License-Identifier: LGPL-2.1-or-later
//! Node names as libvirt builds them, and the checks of text from callers before it becomes part of a path.

use uuid::Uuid;

/// Maximum length of the name of a directory entry, in bytes.
pub const NAME_MAX: usize = 255;

/// Maximum length of an attribute name in bytes: much more than any driver uses, much less than the limit of a path.
const ATTRIBUTE_MAX: usize = 1023;

/// Replaces every byte that is not an ASCII letter or digit by `_`, as libvirt does.
pub fn sanitize(text: &str) -> String {
    text.bytes().map(|b| if b.is_ascii_alphanumeric() { b as char } else { '_' }).collect()
}

/// Returns the node name: `pci_0000_86_00_0`, `css_0_0_0052`, `mtty_mtty`. The node name of the AP matrix, `matrix` in sysfs, is
/// `ap_matrix` as in libvirt.
pub fn node_name(subsystem: &str, sysname: &str) -> String {
    if sysname == "matrix" {
        return "ap_matrix".to_owned();
    }
    format!("{}_{}", sanitize(subsystem), sanitize(sysname))
}

/// Returns the default name of a device: `mdev_<uuid>_<parent address>`, with `_` for every separator.
pub fn device_name(uuid: &Uuid, parent_sysname: &str) -> String {
    format!("mdev_{}_{}", sanitize(&uuid.hyphenated().to_string()), sanitize(parent_sysname))
}

/// True if `text` can be exactly one component of a path: not empty, no slash, no NUL, not `.` or `..`.
pub fn is_component(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NAME_MAX
        && text != "."
        && text != ".."
        && !text.bytes().any(|b| b == b'/' || b == 0 || b == b'\n')
}

/// True if `text` can be one component of a path and has no control characters. Names in a request must be such
/// components.
pub fn is_plain_component(text: &str) -> bool {
    is_component(text) && !text.chars().any(char::is_control)
}

/// True if `text` can be the name of an attribute: a file in the directory of a device, or a path below it with the
/// components joined by `/` (`nvidia/vgpu_params`). No component leads out of that directory.
pub fn is_attribute(text: &str) -> bool {
    text.len() <= ATTRIBUTE_MAX && text.split('/').all(is_component)
}

/// Parses a UUID with its four dashes, or 32 hexadecimal digits. `None` for any text that the kernel would cut or
/// refuse.
pub fn parse_uuid(text: &str) -> Option<Uuid> {
    let dashed =
        text.len() == 36 && text.bytes().enumerate().all(|(i, b)| (b == b'-') == matches!(i, 8 | 13 | 18 | 23));
    let plain = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if dashed || plain { Uuid::try_parse(text).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_name_is_equal_to_name_in_libvirt() {
        assert_eq!(node_name("pci", "0000:86:00.0"), "pci_0000_86_00_0");
        assert_eq!(node_name("mtty", "mtty"), "mtty_mtty");
        assert_eq!(node_name("matrix", "matrix"), "ap_matrix");
        let uuid = parse_uuid("C60CC60C-c60c-c60c-c60c-c60cc60cc60c").unwrap();
        assert_eq!(device_name(&uuid, "0000:06:00.0"), "mdev_c60cc60c_c60c_c60c_c60c_c60cc60cc60c_0000_06_00_0");
    }

    #[test]
    fn name_that_is_path_is_no_component() {
        for bad in ["", ".", "..", "a/b", "../../../etc", "a\0b", "a\nb", &"x".repeat(256)] {
            assert!(!is_component(bad), "{bad:?}");
        }
        assert!(is_component("i915-GVTg_V5_4"));
        assert!(is_component("..."));
    }

    #[test]
    fn attribute_name_outside_device_is_invalid() {
        for bad in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/..",
            "a/./b",
            "a/b\0",
            "a\n/b",
            &"x/".repeat(600),
            &"x".repeat(256),
        ] {
            assert!(!is_attribute(bad), "{bad:?}");
        }
        for good in ["assign_adapter", "nvidia/vgpu_params", "a/b/c", ".../..a"] {
            assert!(is_attribute(good), "{good}");
        }
    }

    #[test]
    fn uuid_is_parsed_in_its_full_form_only() {
        assert!(parse_uuid("c60cc60cc60cc60cc60cc60cc60cc60c").is_some());
        for bad in [
            "",
            "c60cc60c-c60c-c60c-c60c-c60cc60cc60",
            "{c60cc60c-c60c-c60c-c60c-c60cc60cc60c}",
            "urn:uuid:c60cc60c-c60c-c60c-c60c-c60cc60cc60c",
            "c60cc60c-c60c-c60c-c60c-c60cc60cc60g",
            "c60cc60cc60c-c60c-c60c-c60c-c60cc60c",
        ] {
            assert!(parse_uuid(bad).is_none(), "{bad}");
        }
    }
}
