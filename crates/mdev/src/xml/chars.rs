// SPDX-License-Identifier: LGPL-2.1-or-later
//! Characters: which characters XML can contain, and how they are escaped and unescaped.

use std::borrow::Cow;

/// The replacement for a character that XML 1.0 cannot contain, not even as a character reference.
const REPLACEMENT: char = '\u{fffd}';

/// Whether an XML 1.0 document may contain a character.
pub(super) fn is_xml_char(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        _ => c >= ' ',
    }
}

/// White space as XML defines it. Other white space of Unicode does not count.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// Whether a text is the name of an element or attribute. Accepts all characters outside ASCII: no supported name has any, so such
/// a name is reported as unknown.
pub(super) fn is_name(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':' || !c.is_ascii();
    text.starts_with(first) && text.chars().all(|c| first(c) || c.is_ascii_digit() || c == '-' || c == '.')
}

/// The character of a reference, which is the text between `&` and `;`: one of the five predefined entities or a character
/// reference.
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
    // from_str_radix accepts a leading plus sign.
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    char::from_u32(u32::from_str_radix(digits, radix).ok()?).filter(|c| is_xml_char(*c))
}

/// Normalizes line ends as the XML standard requires: a carriage return, alone or before a newline, becomes a newline.
pub(super) fn normalize_line_ends(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")) } else { Cow::Borrowed(text) }
}

/// Appends character data. A carriage return is written as a reference, since a reader would change it into a newline. Quotes are
/// not escaped: a dumped host has many of them, and XML does not require it.
pub(super) fn push_content(out: &mut String, text: &str) {
    text.chars().for_each(|c| push(out, c));
}

/// Appends character data with escaped quotes, as libvirt does.
pub(super) fn push_text(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            c => push(out, c),
        }
    }
}

/// Appends the value of an attribute, for single and for double quotes.
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

/// An untrusted text for a message: control characters are replaced, and a long text is cut.
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
