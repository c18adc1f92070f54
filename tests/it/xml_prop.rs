// SPDX-License-Identifier: LGPL-2.1-or-later
//! Properties of the XML module: no text makes a parser panic, and every dump is parsed back to the same value.

use std::collections::BTreeSet;

use mdev::test_hooks::model::host::{Host, HostEntry, HostEntryKind};
use mdev::test_hooks::model::{Device, DeviceDef, LayoutKind};
use mdev::test_hooks::xml::{device_libvirt, device_rfc, parse_host, write_host};
use mdev::{Error, ErrorCode};
use proptest::prelude::*;
use proptest::{collection, option, sample};

use crate::support::xmltree::parse_strict;

/// Checks that a parser error has a place and one of three codes.
fn check_error(error: &Error) {
    assert!(matches!(error.code, ErrorCode::XmlSyntax | ErrorCode::XmlContent | ErrorCode::XmlLimit), "{error:?}");
    assert_eq!(error.errno, libc::EINVAL);
    let place = error.message.strip_prefix("XML line ").and_then(|rest| rest.split_once(": ")).expect("a place").0;
    let (line, column) = place.split_once(", column ").expect("a line and a column");
    assert!(line.parse::<u32>().unwrap() > 0 && column.parse::<u32>().unwrap() > 0, "{error:?}");
    assert!(!error.message.chars().any(char::is_control), "{error:?}");
}

fn parse_both(text: &[u8]) {
    if let Err(error) = parse_strict(text) {
        check_error(&error);
    }
    if let Err(error) = parse_host(text) {
        check_error(&error);
    }
}

/// Pieces of nearly correct documents.
const PIECES: [&str; 47] = [
    "\u{feff}",
    "<device>",
    "</device>",
    "<host version='1'>",
    "</host>",
    "<capability type='mdev'>",
    "</capability>",
    "<type id='11'/>",
    "<name>",
    "</name>",
    "<parent>",
    "</parent>",
    "<uuid>",
    "</uuid>",
    "<group>",
    "</group>",
    "<params>",
    "</params>",
    "<attr name='a' value='b'/>",
    "<attr name=",
    "'",
    "\"",
    "=",
    "<",
    ">",
    "/>",
    "</",
    "&",
    ";",
    "&lt;",
    "&#0;",
    "&#x41;",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "--",
    "<?xml version='1.0'?>",
    "<?pi",
    "?>",
    "<!DOCTYPE x [",
    "\r\n",
    "é\u{fffd}",
    "<dir path='/a'>",
    "</dir>",
    "<file name='b' mode='0444' encoding='hex'>0a</file>",
    "<link path='/c' target='d'/>",
];

/// Any character that XML can contain; characters that need escapes are more frequent.
fn xml_char() -> impl Strategy<Value = char> {
    prop_oneof![
        sample::select(vec!['<', '>', '&', '\'', '"', '\t', '\r', ' ', ']', '\u{85}', '\u{fffd}', '\u{10ffff}']),
        any::<char>().prop_map(|c| if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') { 'x' } else { c }),
        proptest::char::range('a', 'z'),
    ]
}

fn text(longest: usize) -> impl Strategy<Value = String> {
    collection::vec(xml_char(), 1..longest).prop_map(|chars| chars.into_iter().collect())
}

/// A name that the parser accepts.
fn name() -> impl Strategy<Value = String> {
    text(20)
        .prop_map(|t| t.replace(|c: char| c == '/' || c.is_control(), "_"))
        .prop_map(|t| if t.starts_with([' ', '.']) || t.ends_with(' ') { format!("x{t}x") } else { t })
}

fn device() -> impl Strategy<Value = Device> {
    let attributes = collection::vec((name(), text(30).prop_map(|t| t + "x")), 0..4);
    let extras = (option::of(1u32..), option::of(text(40)), option::of(0u32..), option::of(text(9)), attributes);
    (name(), name(), name(), any::<u128>(), any::<bool>(), extras).prop_map(
        |(name, parent, t, uuid, active, extras)| {
            let (group, params, iommu_group, owner, attributes) = extras;
            Device {
                name,
                uuid: mdev::test_hooks::model::name::parse_uuid(&format!("{uuid:032x}")).expect("a UUID"),
                parent,
                parent_sysname: "0000:86:00.0".to_owned(),
                syspath: "/sys/devices/x".to_owned(),
                layout: LayoutKind::RFC,
                type_id: Some(t),
                device_api: None,
                iommu_group,
                numa_node: None,
                physical_function: None,
                driver: None,
                group,
                params,
                owner,
                attributes,
                identity: None,
                attach: mdev::test_hooks::model::Attach::Mdev,
                active,
            }
        },
    )
}

/// A component of a path on a host: any text without a slash.
fn component() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-c]{1,2}", 1 => text(6).prop_map(|t| t.replace('/', "\n"))]
        .prop_map(|t| if t.starts_with('.') { format!("x{t}") } else { t })
}

fn content() -> impl Strategy<Value = Result<Vec<u8>, i32>> {
    prop_oneof![
        collection::vec(any::<u8>(), 0..100).prop_map(Ok),
        (text(40), 0..3usize).prop_map(|(t, newlines)| Ok((t + &"\n".repeat(newlines)).into_bytes())),
        (1..4096i32).prop_map(Err),
    ]
}

fn kind() -> impl Strategy<Value = HostEntryKind> {
    prop_oneof![
        2 => Just(HostEntryKind::Dir),
        1 => text(20).prop_map(HostEntryKind::Link),
        3 => (0..0o10000u32, content()).prop_map(|(mode, content)| HostEntryKind::File(mode, content)),
    ]
}

/// A host with its entries in any order, without a repeated path and without an entry below a non-directory.
fn host() -> impl Strategy<Value = Host> {
    let entry = (collection::vec(component(), 1..4), kind());
    (option::of("[ -~]{0,20}"), collection::vec(entry, 0..20)).prop_map(|(kernel, entries)| {
        let mut seen = BTreeSet::new();
        let mut host = Host { kernel, entries: Vec::new() };
        for (parts, kind) in entries {
            let path = format!("/{}", parts.join("/"));
            let hidden = |e: &HostEntry| e.kind != HostEntryKind::Dir && path.starts_with(&format!("{}/", e.path));
            let hides = |e: &HostEntry| kind != HostEntryKind::Dir && e.path.starts_with(&format!("{path}/"));
            if !host.entries.iter().any(|e| hidden(e) || hides(e)) && seen.insert(path.clone()) {
                host.entries.push(HostEntry { path, kind });
            }
        }
        host
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parser_of_any_bytes_does_not_panic(bytes in collection::vec(any::<u8>(), 0..200)) {
        parse_both(&bytes);
    }

    #[test]
    fn parser_of_nearly_xml_does_not_panic(pieces in collection::vec(sample::select(PIECES.to_vec()), 0..30)) {
        parse_both(pieces.concat().as_bytes());
    }

    #[test]
    fn document_with_changed_bytes_is_parsed_or_refused_with_place(
        dump in prop_oneof![device().prop_map(|d| device_rfc(&d)), host().prop_map(|h| write_host(&h))],
        changes in collection::vec((any::<sample::Index>(), any::<u8>()), 1..4),
        end in any::<sample::Index>(),
    ) {
        let mut bytes = dump.into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        parse_both(&bytes);
        parse_both(&bytes[..end.index(bytes.len())]);
    }

    #[test]
    fn device_xml_is_parsed_back_to_same_device(device in device()) {
        let expected = DeviceDef {
            numa_node: None,
            autostart: None,
            name: Some(device.name.clone()),
            parent: Some(device.parent.clone()),
            type_id: device.type_id.clone().unwrap_or_default(),
            uuid: Some(device.uuid),
            group: device.group,
            params: device.params.clone(),
            attributes: device.attributes.clone(),
        };
        prop_assert_eq!(parse_strict(device_rfc(&device).as_bytes()), Ok(expected.clone()));
        let libvirts = DeviceDef { group: None, params: None, ..expected };
        prop_assert_eq!(parse_strict(device_libvirt(&device).as_bytes()), Ok(libvirts));
    }

    #[test]
    fn host_xml_is_parsed_back_to_same_host(host in host()) {
        prop_assert_eq!(parse_host(write_host(&host).as_bytes()), Ok(host));
    }
}
