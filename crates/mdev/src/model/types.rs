// SPDX-License-Identifier: LGPL-2.1-or-later
//! The types that a parent can create.

use std::cmp::Ordering;
use std::ffi::CStr;

/// The first files in a dump, in this order. The other files follow, sorted by name.
const DUMPED_FIRST: [&str; 5] = ["fb_length", "resolution", "heads", "max_instances", "requires_group"];

/// The file that contains the name of a type. A dump does not show it as an attribute.
const NAME: &str = "name";

/// The positions of the texts of a file in the block of a [`TypeTexts`].
#[derive(Debug, Clone, Copy)]
struct File {
    rank: usize,
    name: usize,
    value: usize,
    end: usize,
}

/// The texts of a type: its id, and the name and the value of each file. They are in one block of memory, since a host may have
/// more than a thousand types. Each text ends with a NUL, so that a C program can use it without a copy.
#[derive(Debug, Clone, Default)]
pub struct TypeTexts {
    block: Box<str>,
    id: usize,
    /// The files, in the order of a dump.
    files: Box<[File]>,
}

impl TypeTexts {
    /// Returns the texts of a type with this id and these files.
    pub fn new<'a>(id: &str, files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut builder = TextsBuilder::default();
        builder.begin(id);
        files.into_iter().for_each(|(name, value)| builder.add(name, value));
        builder.finish()
    }

    /// Sets the value of a file.
    pub fn set(&mut self, name: &str, value: &str) {
        let others = self.files.iter().map(|file| self.pair(file)).filter(|(other, _)| *other != name);
        *self = TypeTexts::new(self.id(), others.chain([(name, value)]));
    }

    fn id(&self) -> &str {
        &self.block[..self.id]
    }

    fn pair(&self, file: &File) -> (&str, &str) {
        (&self.block[file.name..file.value - 1], &self.block[file.value..file.end])
    }

    fn has_name(&self, file: &File, name: &str) -> bool {
        self.block.as_bytes().get(file.name..file.value - 1) == Some(name.as_bytes())
    }

    fn find(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|file| self.has_name(file, name))
    }

    fn attributes(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| !self.has_name(file, NAME))
    }

    /// Returns the text that starts at this position, up to its first NUL.
    fn as_c(&self, start: usize) -> &CStr {
        CStr::from_bytes_until_nul(self.block.as_bytes().get(start..).unwrap_or_default()).unwrap_or_default()
    }
}

impl PartialEq for TypeTexts {
    /// Compares the files in the order of a dump. The order of the texts in the block is the kernel's, and may differ.
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.files.iter().map(|file| self.pair(file));
        self.id() == other.id() && pairs.eq(other.files.iter().map(|file| other.pair(file)))
    }
}

impl Eq for TypeTexts {}

/// Builds the texts of one type after another, and uses the same memory for all types.
#[derive(Debug, Default)]
pub struct TextsBuilder {
    block: String,
    id: usize,
    files: Vec<File>,
}

impl TextsBuilder {
    /// Begins the texts of a type.
    pub fn begin(&mut self, id: &str) {
        self.block.clear();
        self.files.clear();
        self.id = id.len();
        self.push(id);
    }

    /// Adds a file to the type that was begun last.
    pub fn add(&mut self, name: &str, value: &str) {
        let rank = DUMPED_FIRST.iter().position(|first| *first == name).unwrap_or(DUMPED_FIRST.len());
        let name = self.push(name);
        let value = self.push(value);
        self.files.push(File { rank, name, value, end: self.block.len() - 1 });
    }

    fn push(&mut self, text: &str) -> usize {
        let start = self.block.len();
        self.block.push_str(text);
        self.block.push('\0');
        start
    }

    /// Returns the texts of the type that was begun last.
    pub fn finish(&mut self) -> TypeTexts {
        let name = |file: &File| self.block.as_bytes().get(file.name..file.value);
        self.files.sort_unstable_by(|a, b| a.rank.cmp(&b.rank).then_with(|| name(a).cmp(&name(b))));
        TypeTexts { block: self.block.as_str().into(), id: self.id, files: self.files.as_slice().into() }
    }
}

/// A type of a parent, at one moment: a directory of `mdev_supported_types`, or a vGPU type of a PF.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Type {
    /// The id, and the texts of the readable files.
    pub texts: TypeTexts,
    /// The number of devices that can still be created; `None` if the file cannot be read or is not a number.
    pub available_instances: Option<u32>,
    /// True if `available_instances` is the number of VFs that offer the type. The VFs share one card, so fewer devices may fit.
    pub counts_places: bool,
    /// True if the type has a `requires_group` file whose value is not 0.
    pub requires_group: bool,
    /// True if the type accepts a parameter string before a create.
    pub has_params: bool,
}

impl Type {
    /// Returns the id: the name of the type's directory, and the type in a create request.
    pub fn id(&self) -> &str {
        self.texts.id()
    }

    /// Returns the text of the file `name`; `None` if the type has no such file.
    pub fn name(&self) -> Option<&str> {
        self.attribute(NAME)
    }

    /// Returns the text of a file of the type, also of `name`; `None` if the type has no such file.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.texts.find(name).map(|file| self.texts.pair(file).1)
    }

    /// Returns the name and the text of every readable regular file except `name`, in the order of a dump.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.attributes().map(|file| self.texts.pair(file))
    }

    /// Returns the id as a C string.
    pub fn id_as_c(&self) -> &CStr {
        self.texts.as_c(0)
    }

    /// Returns the result of [`Type::attribute`] as a C string.
    pub fn attribute_as_c(&self, name: &str) -> Option<&CStr> {
        self.texts.find(name).map(|file| self.texts.as_c(file.value))
    }

    /// Returns the names of all files as C strings, `name` first.
    pub fn names_as_c(&self) -> impl Iterator<Item = &CStr> {
        self.texts.find(NAME).into_iter().chain(self.texts.attributes()).map(|file| self.texts.as_c(file.name))
    }

    /// Returns the text of the file `device_api`: `vfio-pci`, `vfio-ccw`, `vfio-ap`. `None` if the type has no such file.
    pub fn device_api(&self) -> Option<&str> {
        self.attribute("device_api")
    }

    /// Returns the number of devices that can still be created, and true if this number is only an upper bound. If one VF offers
    /// the type, the number is exact.
    pub fn capacity(&self) -> Option<(u32, bool)> {
        self.available_instances.map(|count| (count, self.counts_places && count > 1))
    }

    /// True if `text` is the id or the name. The text may have `_` where the name has a space, as some management software
    /// writes names.
    fn matches(&self, text: &str) -> bool {
        self.id() == text || self.name().is_some_and(|name| name == text || name.replace(' ', "_") == text)
    }

    /// True if `text` is a form of the id or the name that other tools print, in upper or lower case: the number of the id as
    /// `0x60e`, `1550` or `nvidia-1550`, or the name without the vendor's prefix (`A10-4Q`).
    fn matches_loosely(&self, text: &str) -> bool {
        let same_number = number(self.id()).is_some_and(|id| number(text) == Some(id));
        let same_name = || self.name().is_some_and(|name| short_name(name) == short_name(text));
        same_number || self.id().eq_ignore_ascii_case(text) || same_name()
    }
}

/// Parses the number in `1550`, `0x60e` and `nvidia-1550`.
fn number(id: &str) -> Option<u32> {
    let id = id.to_ascii_lowercase();
    let id = id.strip_prefix("nvidia-").unwrap_or(&id);
    let (digits, radix) = id.strip_prefix("0x").map_or((id, 10), |digits| (digits, 16));
    let is_plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_plain.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
}

/// Returns the name in lower case, without the vendor's prefix, and with spaces instead of `_`.
fn short_name(name: &str) -> String {
    let name = name.to_ascii_lowercase().replace('_', " ");
    let without =
        ["nvidia ", "grid "].iter().fold(name.as_str(), |name, brand| name.strip_prefix(brand).unwrap_or(name));
    without.trim().to_owned()
}

/// The result of [`find_type`].
#[derive(Debug)]
pub enum FoundType<'t> {
    /// The text matches this type.
    One(&'t Type),
    /// The text matches no type.
    Nothing,
    /// The text is a short form that matches all these types.
    Several(Vec<&'t Type>),
}

/// Finds a type by a text of the user. Tries the ids first, then the names, then the forms that other tools print.
pub fn find_type<'t>(types: &'t [Type], text: &str) -> FoundType<'t> {
    let exact = types.iter().find(|ty| ty.id() == text).or_else(|| types.iter().find(|ty| ty.matches(text)));
    if let Some(ty) = exact {
        return FoundType::One(ty);
    }
    let similar: Vec<&Type> = types.iter().filter(|ty| ty.matches_loosely(text)).collect();
    match similar[..] {
        [] => FoundType::Nothing,
        [ty] => FoundType::One(ty),
        _ => FoundType::Several(similar),
    }
}

/// Compares two type ids. Numbers come first, in the order of their values; other ids follow, in the order of their texts.
pub fn compare_ids(a: &str, b: &str) -> Ordering {
    // Most ids begin with a letter.
    let is_text = |id: &str| id.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    if is_text(a) && is_text(b) {
        return a.cmp(b);
    }
    match (parse_count(a), parse_count(b)) {
        (Some(x), Some(y)) => x.cmp(&y).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// Parses a count in the text of a driver. Returns `u32::MAX` for a larger count, and `None` for a text that is not a count: some
/// drivers print -1 or a fraction in a faulty state.
pub fn parse_count(text: &str) -> Option<u32> {
    let digits = text.trim_ascii();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // The text contains only digits, so parsing fails only if the number is too large.
    Some(digits.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(all: &[(&str, &str)]) -> Vec<Type> {
        let one = |(id, name): &(&str, &str)| Type { texts: TypeTexts::new(id, [("name", *name)]), ..Type::default() };
        all.iter().map(one).collect()
    }

    #[test]
    fn ids_of_types_sort_numbers_by_value() {
        let mut ids = ["i915-GVTg_V5_4", "12", "11", "9", "100", "i915-GVTg_V5_1"];
        ids.sort_unstable_by(|a, b| compare_ids(a, b));
        assert_eq!(ids, ["9", "11", "12", "100", "i915-GVTg_V5_1", "i915-GVTg_V5_4"]);
    }

    #[test]
    fn count_with_other_characters_is_not_parsed() {
        assert_eq!(parse_count("16\n"), Some(16));
        for large in ["4294967296", "99999999999999999999999"] {
            assert_eq!(parse_count(large), Some(u32::MAX), "{large}");
        }
        for bad in ["", "-1", "+1", "1.5", "0x10", "16 of 32"] {
            assert_eq!(parse_count(bad), None, "{bad}");
        }
    }

    #[test]
    fn type_is_found_by_every_form_in_use() {
        let all =
            types(&[("1550", "NVIDIA A10-4Q"), ("nvidia-63", "GRID P4-1Q"), ("60e", "Other 8"), ("8", "NVIDIA A/B-1")]);
        for (text, id) in [
            ("1550", "1550"),
            ("0x60e", "1550"),
            ("0X60E", "1550"),
            ("nvidia-1550", "1550"),
            ("NVIDIA A10-4Q", "1550"),
            ("nvidia_a10-4q", "1550"),
            ("A10-4Q", "1550"),
            ("a10-4q", "1550"),
            ("63", "nvidia-63"),
            ("NVIDIA-63", "nvidia-63"),
            ("p4-1q", "nvidia-63"),
            ("60e", "60e"),
            ("NVIDIA A/B-1", "8"),
        ] {
            assert!(matches!(find_type(&all, text), FoundType::One(ty) if ty.id() == id), "{text}");
        }
        for text in ["", "0x", "nvidia-", "155", "A10", "0x1550", "4294967296550"] {
            assert!(matches!(find_type(&all, text), FoundType::Nothing), "{text}");
        }
    }

    #[test]
    fn short_name_of_two_types_is_ambiguous() {
        let all = types(&[("1", "NVIDIA T4-1Q"), ("2", "GRID T4-1Q")]);
        assert!(matches!(find_type(&all, "T4-1Q"), FoundType::Several(both) if both.len() == 2));
        assert!(matches!(find_type(&all, "GRID T4-1Q"), FoundType::One(ty) if ty.id() == "2"));
    }
}
