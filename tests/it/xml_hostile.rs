// SPDX-License-Identifier: LGPL-2.1-or-later
//! Untrusted XML: each fault has its own error with a place, and the cost of a refused document is limited.

use mdev::test_hooks::xml::{Unknown, parse_device, parse_host};
use mdev::{Error, ErrorCode};

use crate::support::xmltree::parse_strict;

const CONTENT: ErrorCode = ErrorCode::XmlContent;
const LIMIT: ErrorCode = ErrorCode::XmlLimit;
const SYNTAX: ErrorCode = ErrorCode::XmlSyntax;

fn device_error(text: &[u8]) -> Error {
    parse_strict(text).expect_err(&String::from_utf8_lossy(&text[..text.len().min(200)]))
}

/// Checks the refusal of a text: error code, place, and a part of the message.
fn refused(text: impl AsRef<[u8]>, code: ErrorCode, place: (usize, usize), words: &str) {
    check(&device_error(text.as_ref()), code, place, words);
}

fn check(error: &Error, code: ErrorCode, (line, column): (usize, usize), words: &str) {
    assert!(error.message.starts_with(&format!("XML line {line}, column {column}: ")), "{error}");
    assert!(error.message.contains(words), "{error}");
    assert_eq!((error.code, error.errno), (code, libc::EINVAL), "{error}");
    assert!(error.message.len() < 400, "{error}");
}

/// Returns a device on one line whose capability contains `inside`.
fn device(inside: &str) -> String {
    format!("<device><parent>p</parent><capability type='mdev'>{inside}</capability></device>")
}

/// The column at which `inside` begins in [`device`].
const INSIDE: usize = 51;

#[test]
fn text_that_is_no_document_is_refused_with_its_place() {
    refused("", SYNTAX, (1, 1), "empty");
    refused(" \n\t", SYNTAX, (1, 1), "empty");
    refused("\u{feff}", SYNTAX, (1, 1), "empty");
    refused("\u{feff}\u{feff}~~", SYNTAX, (1, 1), "second byte order mark");
    refused("<!-- only -->", SYNTAX, (1, 14), "no element");
    refused("<device>\n<name>x", SYNTAX, (2, 8), "ends inside <name>");
    refused("<device", SYNTAX, (1, 1), "not closed");
    refused("<device><name a='", SYNTAX, (1, 9), "not closed");
    refused("<device></name>", SYNTAX, (1, 9), "expected </device>, got </name>");
    refused("hello", SYNTAX, (1, 1), "text before the root element");
    refused(device("<type id='1'/>") + "\n tail", SYNTAX, (2, 2), "text after the end");
    refused(device("<type id='1'/>") + "<device/>", SYNTAX, (1, 87), "second root element <device>");
    refused("{\"mdev_type\": \"11\"}", SYNTAX, (1, 1), "the text looks like JSON");
}

#[test]
fn document_above_size_limit_is_refused_unread() {
    // The pages of zeroed memory are never allocated if no code reads them.
    refused(vec![0; 100 << 20], LIMIT, (1, 1), "104857600 bytes long; at most 1048576");
    check(&parse_host(&vec![0; 100 << 20]).unwrap_err(), LIMIT, (1, 1), "at most 67108864");
    let full = device("<type id='1'/>") + &" ".repeat((1 << 20) - 86);
    assert_eq!(full.len(), 1 << 20);
    assert!(parse_strict(full.as_bytes()).is_ok());
    refused(full + " ", LIMIT, (1, 1), "1048577 bytes");
}

#[test]
fn document_with_10000_levels_is_refused() {
    let deep = "<device>".to_owned() + &"<driver>".repeat(10_000) + &"</driver>".repeat(10_000) + "</device>";
    refused(&deep, LIMIT, (1, 1 + 32 * 8), "more than 32 deep");
    refused("<device>".repeat(10_000), CONTENT, (1, 9), "unknown element 'device'");
}

#[test]
fn element_with_too_many_attributes_is_refused() {
    let many: String = (0..10_000).map(|i| format!(" a{i}='1'")).collect();
    refused(format!("<device{many}/>"), LIMIT, (1, 127), "more than 16 attributes");
    let attrs = "<attr name='a' value='1'/>".repeat(1025);
    refused(device(&attrs), LIMIT, (1, INSIDE + 1024 * 26), "more than 1024 <attr> elements");
}

#[test]
fn document_types_and_custom_entities_are_refused() {
    let bomb = "<!DOCTYPE device [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;&a;'>]>\n<device><name>&b;</name></device>";
    refused(bomb, SYNTAX, (1, 1), "DOCTYPE");
    refused("<!DOCTYPE device SYSTEM 'file:///etc/passwd'><device/>", SYNTAX, (1, 1), "DOCTYPE");
    refused("<!doctype device><device/>", SYNTAX, (1, 1), "DOCTYPE");
    refused("<?xml version='1.0'?>\n<!DOCTYPE device [", SYNTAX, (2, 1), "DOCTYPE");
    refused("<device/><!DOCTYPE device>", CONTENT, (1, 1), "no <capability");
    refused(device("<type id='1'/>") + "<!DOCTYPE device>", SYNTAX, (1, 87), "DOCTYPE");
    refused("<device><name>&b;</name></device>", SYNTAX, (1, 15), "unknown entity 'b'");
    refused("<device><name>&b</name></device>", SYNTAX, (1, 15), "'&' without a ';'");
    refused("<device><name>&#0;</name></device>", SYNTAX, (1, 15), "'#0'");
    refused("<device><name>&#xD800;</name></device>", SYNTAX, (1, 15), "'#xD800'");
    refused(device("<type id='&x;'/>"), SYNTAX, (1, INSIDE + 10), "unknown entity 'x'");
    refused(device("<type id='&#0;'/>"), SYNTAX, (1, INSIDE + 10), "'#0'");
    let good = device("<type id='&lt;&gt;&amp;&apos;&quot;&#65;&#x42;'/>");
    assert_eq!(parse_strict(good.as_bytes()).unwrap().type_id, "<>&'\"AB");
}

#[test]
fn document_that_is_not_utf_8_is_refused() {
    refused(b"<device>\n \xff</device>", SYNTAX, (2, 2), "not UTF-8");
    refused(b"<device>\xc3\xa9\xc3", SYNTAX, (1, 10), "not UTF-8");
    refused(b"\xff\xfe<\0d\0", SYNTAX, (1, 1), "not UTF-8");
    refused(b"<device>\0</device>", SYNTAX, (1, 9), "a NUL byte");
    refused(b"\0", SYNTAX, (1, 1), "a NUL byte");
    refused("<device>\n\u{1b}[2J</device>", SYNTAX, (2, 1), "U+001B");
    refused("<?xml version='1.0' encoding='ISO-8859-1'?><device/>", SYNTAX, (1, 1), "'ISO-8859-1'; only UTF-8");
    refused("<?xml version='1.1'?><device/>", SYNTAX, (1, 1), "version='1.0'");
    refused("<?xml?><device/>", SYNTAX, (1, 1), "version='1.0'");
    refused(" <?xml version='1.0'?><device/>", SYNTAX, (1, 2), "at the start of the text");
    let text =
        "\u{feff}<?xml version='1.0' encoding='utf-8' standalone='yes'?>\r\n".to_owned() + &device("<type id='1'/>");
    assert!(parse_strict(text.as_bytes()).is_ok());
}

#[test]
fn names_that_are_paths_are_refused() {
    for id in
        ["../../../etc", "..", ".", "", "a/../b", "a//b", "/etc", "a/", "a&#10;b", &"x".repeat(256), &"x/".repeat(200)]
    {
        refused(
            device(&format!("<type id='{id}'/>")),
            CONTENT,
            (1, INSIDE),
            "which is not the id or the name of a type",
        );
    }
    for name in ["../x", "a/b", "..", "/", "a\nb"] {
        let text = format!("<device><name>{name}</name></device>");
        refused(text, CONTENT, (1, 9), "which is not a device name");
    }
    for name in ["../x", "..", "/", "", "a//b", "/a", "a/", "a/../b", "a/.", "a&#10;b", "a/b&#9;"] {
        let attr = format!("<attr name='{name}' value='1'/>");
        refused(device(&attr), CONTENT, (1, INSIDE), "which is not the name of an attribute");
    }
    let nested = device("<type id='1'/><attr name='nvidia/vgpu_params' value='1'/>");
    assert_eq!(parse_strict(nested.as_bytes()).unwrap().attributes, [("nvidia/vgpu_params".into(), "1".into())]);
    for parent in [
        "../x",
        "a/b",
        "/etc/passwd",
        "/sys",
        "/sys/../etc",
        "/sys/a/./b",
        "/sys//a",
        "/sys/a//",
        "/",
        "..",
        ".",
        "",
        "a\nb",
        "./0000:86:00.0",
    ] {
        refused(format!("<device><parent>{parent}</parent></device>"), CONTENT, (1, 9), "<parent> is");
    }
    for parent in ["pci_0000_86_00_0", "0000:AF:00.0", "/sys/devices/pci0000:80/0000:86:00.0", "/sys/class/mdev_bus/x/"]
    {
        let text = format!(
            "<device><parent>\n {parent} </parent><capability type='mdev'><type id='1'/></capability></device>"
        );
        assert_eq!(parse_strict(text.as_bytes()).unwrap().parent.as_deref(), Some(parent.trim_end_matches('/')));
    }
}

#[test]
fn malformed_values_are_refused_with_their_place() {
    let uuid = |text: &str| device(&format!("<uuid>{text}</uuid>"));
    refused(uuid("c60cc60c-c60c-c60c-c60c-c60cc60cc60"), CONTENT, (1, INSIDE), "35 characters long");
    refused(uuid(""), CONTENT, (1, INSIDE), "0 characters long");
    refused(uuid("{c60cc60c-c60c-c60c-c60c-c60cc60cc60c}"), CONTENT, (1, INSIDE), "38 characters long");
    let digit = "character 36 is 'g'; expected a hexadecimal digit";
    refused(uuid("c60cc60c-c60c-c60c-c60c-c60cc60cc60g"), CONTENT, (1, INSIDE), digit);
    refused(uuid("c60cc60c-c60cc-60c-c60c-c60cc60cc60c"), CONTENT, (1, INSIDE), "character 14 is 'c'; expected '-'");
    for group in ["", "-1", "+1", "0x1", "1.5", "4294967296", "1 2", "١"] {
        refused(
            device(&format!("<group>{group}</group>")),
            CONTENT,
            (1, INSIDE),
            "a decimal number from 1 to 4294967295",
        );
    }
    refused(device("<group>0</group>"), CONTENT, (1, INSIDE), "group numbers begin at 1");
    for params in ["a\nb", "'a\nb'", "a&#10;b", "\r", "x\n"] {
        refused(device(&format!("<params>{params}</params>")), CONTENT, (1, INSIDE), "newline");
    }
    let long = "x".repeat(4096);
    refused(
        device(&format!("<params>{long}</params>")),
        CONTENT,
        (1, INSIDE),
        "4096 bytes long; sysfs accepts at most 4095",
    );
    refused(device(&format!("<attr name='a' value='{long}'/>")), CONTENT, (1, INSIDE), "4096 bytes long");
    refused(device("<attr name='a' value=''/>"), CONTENT, (1, INSIDE), "empty value");
    refused(device("<attr name='a'/>"), CONTENT, (1, INSIDE), "<attr> has no attribute 'value'");
    refused(device("<attr value='1'/>"), CONTENT, (1, INSIDE), "<attr> has no attribute 'name'");
}

#[test]
fn missing_repeated_and_unknown_parts_are_refused() {
    refused(device(""), CONTENT, (1, 27), "no <type id='...'/>");
    refused(device("<type/>"), CONTENT, (1, INSIDE), "<type> has no attribute 'id'");
    refused(device("<type id='1'/><type id='2'/>"), CONTENT, (1, INSIDE + 14), "a second <type>");
    refused(device("<type id='1' api='x'/>"), CONTENT, (1, INSIDE), "unknown attribute 'api'; expected one of id");
    refused(device("<type id='1'><name>x</name></type>"), CONTENT, (1, INSIDE + 13), "must be empty");
    refused(device("<type id='1'>x</type>"), CONTENT, (1, INSIDE + 13), "text 'x' directly inside <type>");
    refused(device("<attribute name='a'>b</attribute>"), CONTENT, (1, INSIDE), "unknown element 'attribute'");
    refused(device("<param>x</param>"), CONTENT, (1, INSIDE), "unknown element 'param'");
    refused(device("x"), CONTENT, (1, INSIDE), "text 'x' directly inside <capability>");
    refused(device("<group><b/></group>"), CONTENT, (1, INSIDE + 7), "which holds text only");
    refused(device("<group x='1'>1</group>"), CONTENT, (1, INSIDE), "unknown attribute 'x'");
    refused("<device/>", CONTENT, (1, 1), "no <capability type='mdev'>");
    refused("<device x='1'/>", CONTENT, (1, 1), "unknown attribute 'x'");
    refused("<domain/>", SYNTAX, (1, 1), "root element is <domain>; expected <device>");
    refused("<device>\n <uuid/></device>", CONTENT, (2, 2), "unknown element 'uuid' inside <device>");
    refused("<device><name>a</name><name>a</name></device>", CONTENT, (1, 23), "a second <name>");
    refused("<device><capability/></device>", CONTENT, (1, 9), "no attribute 'type'");
    refused("<device><capability type='pci'/></device>", CONTENT, (1, 9), "of type 'pci' cannot be created");
    let twice = "<capability type='mdev'><type id='1'/></capability>".repeat(2);
    refused(format!("<device>{twice}</device>"), CONTENT, (1, 60), "a second <capability>");
}

#[test]
fn document_without_optional_parts_is_parsed() {
    let text = device("<params>''</params><!-- c --><type id='1'/><?pi?>");
    let def = parse_strict(text.as_bytes()).unwrap();
    assert_eq!((def.params, def.name, def.uuid, def.group), (None, None, None, None));
    for (text, params) in
        [("'a'", "a"), ("\"a\"", "a"), ("'a\"", "'a\""), ("'", "'"), ("''a''", "'a'"), (" 'a'", " 'a'")]
    {
        let text = device(&format!("<params>{text}</params><type id='1'/>"));
        assert_eq!(parse_strict(text.as_bytes()).unwrap().params.as_deref(), Some(params));
    }
    for name in ["", " ", "new device", "\n new device \n"] {
        let text = device("<type id='1'/>").replace("<parent>", &format!("<name>{name}</name><parent>"));
        assert_eq!(parse_strict(text.as_bytes()).unwrap().name, None);
    }
}

#[test]
fn start_element_accepts_auto_and_manual_only() {
    for (start, expected) in [("<start type='auto'/>", Some(true)), ("<start type='manual'/>", Some(false)), ("", None)]
    {
        let text = device(&format!("<type id='1'/>{start}"));
        assert_eq!(parse_strict(text.as_bytes()).unwrap().autostart, expected);
    }
    refused(device("<start type='always'/>"), CONTENT, (1, INSIDE), "'always'; expected 'auto' or 'manual'");
    refused(device("<start/>"), CONTENT, (1, INSIDE), "no attribute 'type'");
    refused(device("<start type='auto'/><start type='auto'/>"), CONTENT, (1, INSIDE + 20), "a second <start>");
}

#[test]
fn unknown_elements_are_skipped_only_when_asked() {
    let new = "<new a='1'>text<deep><type id='2'/></deep></new>";
    let known = "<type id='1' new='1'>text<new/></type><uuid new='1'>c60cc60c-c60c-c60c-c60c-c60cc60cc60c</uuid>\
                 <attr name='a' value='b' new='c'/>";
    let text = format!(
        "<device new='1'>{new}<parent>p</parent><capability type='mdev' new='1'>{known}{new}</capability>{new}</device>"
    );
    let plain = "<device><parent>p</parent><capability type='mdev'><type id='1'/>\
                 <uuid>c60cc60c-c60c-c60c-c60c-c60cc60cc60c</uuid><attr name='a' value='b'/></capability></device>";
    assert_eq!(parse_device(text.as_bytes(), Unknown::Ignore), parse_strict(plain.as_bytes()));
    assert_eq!(parse_strict(text.as_bytes()).unwrap_err().code, CONTENT);
    for bad in ["<type id='a/../b'/>", "<type id='1'/><type id='1'/>", "<type/>", "<group>0</group><type id='1'/>"] {
        assert!(parse_device(device(bad).as_bytes(), Unknown::Ignore).is_err(), "{bad}");
    }
}

#[test]
fn parent_addr_names_parent_that_is_absent() {
    let parse = |parent: &str, addr: &str| {
        let text = format!(
            "<device><parent>{parent}</parent><capability type='mdev'><type id='1'/><parent_addr>{addr}</parent_addr></capability></device>"
        );
        parse_strict(text.as_bytes()).unwrap().parent
    };
    assert_eq!(parse("computer", "0000:86:00.0").as_deref(), Some("0000:86:00.0"));
    assert_eq!(parse("pci_0000_87_00_0", "0000:86:00.0").as_deref(), Some("pci_0000_87_00_0"));
    assert_eq!(parse("computer", "../x").as_deref(), Some("computer"));
}

/// Returns a host on one line.
fn host(inside: &str) -> Vec<u8> {
    format!("<host version='1'>{inside}</host>").into_bytes()
}

fn host_refused(inside: &str, code: ErrorCode, column: usize, words: &str) {
    check(&parse_host(&host(inside)).expect_err(inside), code, (1, 18 + column), words);
}

#[test]
fn host_with_invalid_entries_is_refused() {
    for path in
        ["", "/", "sys", "sys/a", "/sys/../etc", "/sys/./a", "/sys//a", "/sys/a/", &format!("/{}", "x".repeat(256))]
    {
        host_refused(&format!("<dir path='{path}'/>"), CONTENT, 1, "is not absolute, or has");
    }
    for name in ["..", "a/b", "", "."] {
        host_refused(
            &format!("<dir path='/a'><file name='{name}' mode='0444'/></dir>"),
            CONTENT,
            16,
            "not the name of one file",
        );
    }
    host_refused(
        "<dir path='/a'/><dir path='/b'/><link path='/a' target='b'/>",
        CONTENT,
        33,
        "path '/a' is given twice",
    );
    host_refused("<dir path='/a'/><dir path='/a'/>", CONTENT, 17, "path '/a' is given twice");
    host_refused(
        "<link path='/a' target='b'/><dir path='/a-'/><dir path='/a/b/c'/>",
        CONTENT,
        46,
        "below a file or a link",
    );
    host_refused("<dir path='/a'><dir path='/a/b'/></dir>", CONTENT, 16, "unknown element 'dir'");
    host_refused("<socket path='/a'/>", CONTENT, 1, "unknown element 'socket'");
    host_refused("<file path='/a'/>", CONTENT, 1, "no attribute 'mode'");
    for mode in ["", "8", "07777777", "-1", "rw"] {
        host_refused(&format!("<file path='/a' mode='{mode}'/>"), CONTENT, 1, "octal");
    }
    host_refused("<file path='/a' mode='0' encoding='hex'>abc</file>", CONTENT, 1, "hexadecimal");
    host_refused("<file path='/a' mode='0' encoding='hex'>é0</file>", CONTENT, 1, "hexadecimal");
    host_refused("<file path='/a' mode='0' encoding='base64'/>", CONTENT, 1, "'base64'");
    host_refused("<file path='/a' mode='0' errno='EWHAT'/>", CONTENT, 1, "'EWHAT'");
    host_refused("<file path='/a' mode='0' errno='EIO'>x</file>", CONTENT, 1, "neither content nor encoding");
    host_refused("<link path='/a'/>", CONTENT, 1, "no attribute 'target'");
    host_refused("<link path='/a' target=''/>", CONTENT, 1, "1 to 4095 bytes");
    host_refused("<dir path='/a'/><kernel>6</kernel>", CONTENT, 17, "before every entry");
    host_refused(&format!("<dir path='{}'/>", "/x".repeat(65)), LIMIT, 1, "deeper than 64");
    host_refused(&format!("<dir path='/{}'/>", vec!["x".repeat(255); 20].join("/")), LIMIT, 1, "a path of 5120 bytes");
    check(&parse_host(b"<host/>").unwrap_err(), CONTENT, (1, 1), "no attribute 'version'");
    check(&parse_host(b"<host version='2'/>").unwrap_err(), CONTENT, (1, 1), "only version 1");
    check(&parse_host(b"<device/>").unwrap_err(), SYNTAX, (1, 1), "expected <host>");
    check(&parse_host(b"<!DOCTYPE host><host/>").unwrap_err(), SYNTAX, (1, 1), "DOCTYPE");
}

#[test]
fn host_whose_paths_exceed_total_limit_is_refused() {
    let long = format!("/{}", vec!["x".repeat(250); 15].join("/"));
    let files: String = (0..20_000).map(|i| format!("<file name='{i}' mode='0'/>")).collect();
    let error = parse_host(&host(&format!("<dir path='{long}'>{files}</dir>"))).unwrap_err();
    assert_eq!(error.code, LIMIT);
    assert!(error.message.contains("all paths together"), "{error}");
}
