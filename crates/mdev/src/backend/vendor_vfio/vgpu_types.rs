// SPDX-License-Identifier: LGPL-2.1-or-later
//! The text of `creatable_vgpu_types`: one type a line, in one of the two formats that drivers have.
//!
//! `1148  : NVIDIA L40S-2Q`, with or without the header `ID    : vGPU Name`, or name first: `NVIDIA A40-2Q  558`. The first
//! line that is a type in either decides for the whole text; a line of the other format is as wrong as one of none. What is
//! wrong is returned by line, and the types of the other lines are valid all the same. An id is never guessed.

use std::collections::HashMap;

use crate::error::shown;

/// Many times what any card has; a text that goes on is not read to its end.
const TYPES_MAX: usize = 1024;

/// As long as the name of a type may be in a request.
const NAME_MAX: usize = 255;

/// A type that the driver would make now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend) struct Creatable {
    /// Decimal, as it is written to `current_vgpu_type`.
    pub(in crate::backend) id: String,
    pub(in crate::backend) name: String,
}

/// A line that is no type: its number from 1 on, and what is wrong with it.
pub(in crate::backend) type BadLine = (usize, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    IdFirst,
    NameFirst,
}

/// The types in the order of their lines, and the lines that cannot be used.
pub(in crate::backend) fn parse(text: &str) -> (Vec<Creatable>, Vec<BadLine>) {
    let (mut types, mut bad) = (Vec::<Creatable>::new(), Vec::new());
    // Indexes into `types`.
    let (mut ids, mut names) = (HashMap::<String, usize>::new(), HashMap::<String, usize>::new());
    let mut format = None;
    let mut first = true;
    for (number, line) in text.lines().enumerate().map(|(i, line)| (i + 1, line.trim())) {
        if line.is_empty() {
            continue;
        }
        if std::mem::take(&mut first) && is_header(line) {
            continue;
        }
        if types.len() == TYPES_MAX {
            bad.push((number, format!("there are more than {TYPES_MAX} types")));
            break;
        }
        let Some((found, one)) = type_of(line).filter(|(found, _)| format.is_none_or(|f| f == *found)) else {
            bad.push((number, format!("'{}' is not a type", shown(line))));
            continue;
        };
        format = Some(found);
        let known = ids.get(&one.id).or_else(|| names.get(&one.name)).and_then(|place| types.get(*place));
        match known {
            Some(known) if *known == one => {}
            Some(known) => {
                bad.push((number, format!("'{}' contradicts {}, '{}'", shown(line), known.id, shown(&known.name))));
            }
            None => {
                ids.insert(one.id.clone(), types.len());
                names.insert(one.name.clone(), types.len());
                types.push(one);
            }
        }
    }
    (types, bad)
}

/// `ID    : vGPU Name`, or the same the other way round; nothing that could be the name of a type.
fn is_header(line: &str) -> bool {
    let words = || line.split(|c: char| c.is_whitespace() || c == ':').filter(|word| !word.is_empty());
    let of_header = |word: &str| ["id", "vgpu", "name", "type"].iter().any(|own| word.eq_ignore_ascii_case(own));
    words().all(of_header) && words().any(|word| word.eq_ignore_ascii_case("id"))
}

fn type_of(line: &str) -> Option<(Format, Creatable)> {
    let id_first = line.split_once(':').and_then(|(id, name)| one(id, name));
    if let Some(found) = id_first {
        return Some((Format::IdFirst, found));
    }
    let (name, id) = line.rsplit_once(char::is_whitespace)?;
    one(id, name).map(|found| (Format::NameFirst, found))
}

fn one(id: &str, name: &str) -> Option<Creatable> {
    let (id, name) = (id.trim(), name.trim());
    let digits = !id.is_empty() && id.len() <= 10 && id.bytes().all(|b| b.is_ascii_digit());
    // 0 is no type but "none", and an octal-looking number is not what would be written back.
    if !digits || id.starts_with('0') || id.parse::<u32>().is_err() {
        return None;
    }
    let begins = name.split(char::is_whitespace).next().unwrap_or_default();
    // A name that begins with a number may be an id with the name behind it.
    let plain = !name.is_empty()
        && name.len() <= NAME_MAX
        && !begins.bytes().all(|b| b.is_ascii_digit() || b == b':')
        && !name.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER);
    plain.then(|| Creatable { id: id.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(text: &str) -> Vec<(String, String)> {
        let (types, bad) = parse(text);
        assert_eq!(bad, [], "{text:?}");
        types.into_iter().map(|t| (t.id, t.name)).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(id, name)| ((*id).to_owned(), (*name).to_owned())).collect()
    }

    #[test]
    fn both_formats_in_every_spacing() {
        let two = pairs(&[("1148", "NVIDIA L40S-2Q"), ("1149", "NVIDIA L40S 3Q")]);
        for text in [
            "ID    : vGPU Name\n1148  : NVIDIA L40S-2Q\n1149  : NVIDIA L40S 3Q\n",
            "1148  : NVIDIA L40S-2Q\n1149  : NVIDIA L40S 3Q",
            "id:vgpu name\r\n1148:NVIDIA L40S-2Q\r\n\r\n\t1149\t:\tNVIDIA L40S 3Q\t\r\n",
            "NVIDIA L40S-2Q  1148\nNVIDIA L40S 3Q 1149\n",
            "vGPU Name   ID\n NVIDIA L40S-2Q\t1148 \n\nNVIDIA L40S 3Q     1149\n",
            "1148 : NVIDIA L40S-2Q\n1148 : NVIDIA L40S-2Q\n1149 : NVIDIA L40S 3Q\n",
        ] {
            assert_eq!(good(text), two, "{text:?}");
        }
        for empty in ["", "\n", "\r\n \n", "ID    : vGPU Name\n"] {
            assert_eq!(good(empty), [], "{empty:?}");
        }
    }

    #[test]
    fn a_name_may_end_in_a_number_and_hold_a_colon() {
        assert_eq!(good("1148 : NVIDIA RTX 6000\n"), pairs(&[("1148", "NVIDIA RTX 6000")]));
        assert_eq!(good("NVIDIA: A 2 558\n"), pairs(&[("558", "NVIDIA: A 2")]));
        assert_eq!(good("5 : NVIDIA A/B-2Q\n"), pairs(&[("5", "NVIDIA A/B-2Q")]));
    }

    #[test]
    fn many_types() {
        let text: String = (1..=128).map(|n| format!("{n} : NVIDIA X-{n}Q\n")).collect();
        assert_eq!(good(&text).len(), 128);
    }

    #[test]
    fn a_bad_line_is_told_and_hides_no_other() {
        for line in [
            "garbage",
            "12 34",
            "12 : 34",
            "0 : NVIDIA X",
            "01 : NVIDIA X",
            "-5 : NVIDIA X",
            "5",
            "5 :",
            ": NVIDIA X",
            "4294967296 : NVIDIA X",
            "99999999999999999999 : X",
            "5 : a\u{7}b",
            "558 NVIDIA X 7",
            "+5 : X",
            "0x5 : NVIDIA X",
            "٣ : NVIDIA X",
            "NVIDIA X 5.",
            "ID : vGPU Name",
        ] {
            let text = format!("1148 : NVIDIA L40S-2Q\n{line}\n1149 : NVIDIA L40S-3Q\n");
            let (types, bad) = parse(&text);
            assert_eq!(types.iter().map(|t| t.id.as_str()).collect::<Vec<_>>(), ["1148", "1149"], "{line}");
            assert_eq!(bad.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2], "{line}");
        }
    }

    #[test]
    fn formats_are_not_mixed_and_contradictions_not_taken() {
        for (text, ids, bad_lines) in [
            ("1148 : NVIDIA A\nNVIDIA B 1149\n", vec!["1148"], vec![2]),
            ("NVIDIA B 1149\n1148 : NVIDIA A\n", vec!["1149"], vec![2]),
            ("1148 : NVIDIA A\n1148 : NVIDIA B\n", vec!["1148"], vec![2]),
            ("1148 : NVIDIA A\n1149 : NVIDIA A\n", vec!["1148"], vec![2]),
        ] {
            let (types, bad) = parse(text);
            assert_eq!(types.iter().map(|t| t.id.as_str()).collect::<Vec<_>>(), ids, "{text:?}");
            assert_eq!(bad.iter().map(|(number, _)| *number).collect::<Vec<_>>(), bad_lines, "{text:?}");
        }
    }

    proptest::proptest! {
        /// Whatever comes, every id stands in the text as a word of its own, at the beginning or end of its line.
        #[test]
        fn no_id_is_invented(text in "[ -~\\n\\r\\t]{0,200}") {
            for one in parse(&text).0 {
                let stands = text.lines().map(str::trim).any(|line| {
                    let ends = [line.split(':').next().map(str::trim), line.split_whitespace().last()];
                    ends.contains(&Some(one.id.as_str())) && line.contains(&one.name)
                });
                proptest::prop_assert!(stands, "{one:?}");
            }
        }
    }
}
