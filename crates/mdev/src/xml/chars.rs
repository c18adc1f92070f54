// SPDX-License-Identifier: LGPL-2.1-or-later
//! Characters: which ones XML can carry, and how they are escaped and found again.

use std::borrow::Cow;

/// What stands for a character that XML 1.0 cannot carry, not even as a character reference.
const REPLACEMENT: char = '\u{fffd}';

/// True for the characters that an XML 1.0 document may contain.
pub(super) fn is_xml_char(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        _ => c >= ' ',
    }
}

/// XML's own white space; nothing of Unicode's.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// True for the name of an element or attribute. Characters beyond ASCII are all accepted: no name that is known here has
/// any, so they only make the name one that is reported as unknown.
pub(super) fn is_name(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':' || !c.is_ascii();
    text.starts_with(first) && text.chars().all(|c| first(c) || c.is_ascii_digit() || c == '-' || c == '.')
}

/// What is between `&` and `;` as a character: one of the five predefined entities or a character reference.
pub(super) fn resolve(reference: &str) -> Option<char> {
    match reference {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => numeric(reference.strip_prefix('#')?),
    }
}

fn numeric(digits: &str) -> Option<char> {
    let (digits, radix) = match digits.strip_prefix('x') {
        Some(hex) => (hex, 16),
        None => (digits, 10),
    };
    // from_str_radix alone would take a leading plus sign.
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    char::from_u32(u32::from_str_radix(digits, radix).ok()?).filter(|c| is_xml_char(*c))
}

/// Line ends as every XML processor must show them: a carriage return, alone or before a newline, is a newline.
pub(super) fn normalize_line_ends(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")) } else { Cow::Borrowed(text) }
}

/// Appends character data. A carriage return is written as a reference, or a reader would make a newline of it. Quotes stay
/// as they are: in a dumped host they are frequent, and nothing needs them escaped there.
pub(super) fn push_content(out: &mut String, text: &str) {
    text.chars().for_each(|c| push(out, c));
}

/// Appends character data as libvirt does it, with quotes escaped too.
pub(super) fn push_text(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            c => push(out, c),
        }
    }
}

/// Appends the value of an attribute, for single quotes as well as for double ones.
pub(super) fn push_value(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\t' => out.push_str("&#9;"),
            '\n' => out.push_str("&#10;"),
            c => push_text(out, c.encode_utf8(&mut [0; 4])),
        }
    }
}

fn push(out: &mut String, c: char) {
    match c {
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '&' => out.push_str("&amp;"),
        '\r' => out.push_str("&#13;"),
        c => out.push(if is_xml_char(c) { c } else { REPLACEMENT }),
    }
}

/// A stranger's text, fit for a sentence: nothing invisible, not too long.
pub(super) fn plain(text: &str) -> String {
    const LONGEST: usize = 64;
    let mut out: String = text.chars().take(LONGEST).map(|c| if c.is_control() { REPLACEMENT } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push_str("...");
    }
    out
}

/// The same in quotes.
pub(super) fn shown(text: &str) -> String {
    format!("'{}'", plain(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_to_an_invalid_character_is_refused() {
        assert_eq!(resolve("amp"), Some('&'));
        assert_eq!(resolve("#65"), Some('A'));
        assert_eq!(resolve("#x20AC"), Some('€'));
        for bad in
            ["", "nbsp", "#", "#x", "#0", "#x0", "#1", "#xD800", "#xFFFE", "#x110000", "#+65", "#-1", "#X41", "LT"]
        {
            assert_eq!(resolve(bad), None, "{bad}");
        }
    }

    #[test]
    fn character_outside_xml_is_replaced() {
        let mut out = String::new();
        push_text(&mut out, "a\0\u{1b}<&>'\r\n\u{ffff}");
        assert_eq!(out, "a\u{fffd}\u{fffd}&lt;&amp;&gt;&apos;&#13;\n\u{fffd}");
    }

    #[test]
    fn value_with_either_quote_is_escaped() {
        let mut out = String::new();
        push_value(&mut out, "'\"\t\n\r<");
        assert_eq!(out, "&apos;&quot;&#9;&#10;&#13;&lt;");
    }

    #[test]
    fn long_value_in_a_message_is_cut() {
        assert_eq!(shown("a\nb"), "'a\u{fffd}b'");
        assert_eq!(shown(&"x".repeat(1000)).len(), 64 + 5);
    }
}
