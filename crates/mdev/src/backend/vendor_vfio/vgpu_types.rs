// SPDX-License-Identifier: LGPL-2.1-or-later
//! Parses `creatable_vgpu_types`: one type a line, in one of the two formats of the drivers.
//!
//! The id comes first, as in `1148  : NVIDIA L40S-2Q`, with or without the header `ID    : vGPU Name`; or the name
//! comes first, as in `NVIDIA A40-2Q  558`. The first line that is a type in one of the formats determines the format
//! of the whole text. A line in the other format or in none is invalid: it is returned as such, and does not change the
//! types of the other lines.

use std::collections::HashMap;

use crate::error::shown;

/// Many times the number of types of any card. The lines after that are not parsed.
const TYPES_MAX: usize = 1024;

/// The maximal length of the name of a type in a request.
const NAME_MAX: usize = 255;

/// A type of which the driver can create a device now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend) struct Creatable {
    /// In decimal digits, as it is written to `current_vgpu_type`.
    pub(in crate::backend) id: String,
    /// Its name.
    pub(in crate::backend) name: String,
}

/// A line that is not a type: its number, from 1 on, and the reason.
pub(in crate::backend) type BadLine = (usize, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    IdFirst,
    NameFirst,
}

/// Returns the types in the order of their lines, and the invalid lines.
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
        let in_format = |(of_line, _): &(Format, Creatable)| format.is_none_or(|format| format == *of_line);
        let Some((of_line, ty)) = type_of(line).filter(in_format) else {
            bad.push((number, format!("'{}' is not a type", shown(line))));
            continue;
        };
        format = Some(of_line);
        let earlier = ids.get(&ty.id).or_else(|| names.get(&ty.name)).and_then(|index| types.get(*index));
        match earlier {
            Some(earlier) if *earlier == ty => {}
            Some(earlier) => {
                bad.push((number, format!("'{}' contradicts {}, '{}'", shown(line), earlier.id, shown(&earlier.name))));
            }
            None => {
                ids.insert(ty.id.clone(), types.len());
                names.insert(ty.name.clone(), types.len());
                types.push(ty);
            }
        }
    }
    (types, bad)
}

/// Whether a line is `ID    : vGPU Name`, or the same words in another order. False for a line that could have the name
/// of a type.
fn is_header(line: &str) -> bool {
    let words = || line.split(|c: char| c.is_whitespace() || c == ':').filter(|word| !word.is_empty());
    let of_header = |word: &str| ["id", "vgpu", "name", "type"].iter().any(|other| word.eq_ignore_ascii_case(other));
    words().all(of_header) && words().any(|word| word.eq_ignore_ascii_case("id"))
}

/// The type in a line and the format of the line; `None` if the line is not a type.
fn type_of(line: &str) -> Option<(Format, Creatable)> {
    let id_first = line.split_once(':').and_then(|(id, name)| creatable(id, name));
    if let Some(ty) = id_first {
        return Some((Format::IdFirst, ty));
    }
    let (name, id) = line.rsplit_once(char::is_whitespace)?;
    creatable(id, name).map(|ty| (Format::NameFirst, ty))
}

/// The type with these texts as id and name; `None` if one of them is invalid.
fn creatable(id: &str, name: &str) -> Option<Creatable> {
    let (id, name) = (id.trim(), name.trim());
    let is_number = !id.is_empty() && id.len() <= 10 && id.bytes().all(|b| b.is_ascii_digit());
    // 0 means no type. An id with leading zeros would not be written as the driver shows it.
    if !is_number || id.starts_with('0') || id.parse::<u32>().is_err() {
        return None;
    }
    let first_word = name.split(char::is_whitespace).next().unwrap_or_default();
    // If the first word of a name is a number, the line may be in the other format.
    let is_name = !name.is_empty()
        && name.len() <= NAME_MAX
        && !first_word.bytes().all(|b| b.is_ascii_digit() || b == b':')
        && !name.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER);
    is_name.then(|| Creatable { id: id.to_owned(), name: name.to_owned() })
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
    fn type_list_in_both_formats_is_parsed_with_any_spacing() {
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
    fn name_may_end_in_a_number_and_contain_a_colon() {
        assert_eq!(good("1148 : NVIDIA RTX 6000\n"), pairs(&[("1148", "NVIDIA RTX 6000")]));
        assert_eq!(good("NVIDIA: A 2 558\n"), pairs(&[("558", "NVIDIA: A 2")]));
        assert_eq!(good("5 : NVIDIA A/B-2Q\n"), pairs(&[("5", "NVIDIA A/B-2Q")]));
    }

    #[test]
    fn list_of_many_types_is_parsed_to_its_end() {
        let text: String = (1..=128).map(|n| format!("{n} : NVIDIA X-{n}Q\n")).collect();
        assert_eq!(good(&text).len(), 128);
    }

    #[test]
    fn bad_line_is_returned_and_hides_no_other_line() {
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
    fn line_in_the_other_format_or_with_a_contradiction_is_bad() {
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
        /// In any text, every returned id is a word at the beginning or the end of its line.
        #[test]
        fn no_id_is_invented(text in "[ -~\\n\\r\\t]{0,200}") {
            for ty in parse(&text).0 {
                let is_in_text = text.lines().map(str::trim).any(|line| {
                    let ends = [line.split(':').next().map(str::trim), line.split_whitespace().last()];
                    ends.contains(&Some(ty.id.as_str())) && line.contains(&ty.name)
                });
                proptest::prop_assert!(is_in_text, "{ty:?}");
            }
        }
    }
}
