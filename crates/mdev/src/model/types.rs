// SPDX-License-Identifier: LGPL-2.1-or-later
//! The types that a parent can create.

use std::cmp::Ordering;
use std::ffi::CStr;

/// The files that a dump shows first, in this order. All others follow by name.
const DUMPED_FIRST: [&str; 5] = ["fb_length", "resolution", "heads", "max_instances", "requires_group"];

/// The file that has the name of a type. It is no attribute in a dump.
const NAME: &str = "name";

/// Where the texts of a file are in the block of a [`TypeTexts`].
#[derive(Debug, Clone, Copy)]
struct File {
    rank: usize,
    name: usize,
    value: usize,
    end: usize,
}

/// The texts of a type in one piece of memory, since a host may have more than a thousand types: its id, and the name and the
/// value of each file. Each has a NUL at its end, so that C reads them in place.
#[derive(Debug, Clone, Default)]
pub struct TypeTexts {
    block: Box<str>,
    id: usize,
    /// In the order of a dump.
    files: Box<[File]>,
}

impl TypeTexts {
    /// The texts of a type with this id and these files.
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

    fn is_called(&self, file: &File, name: &str) -> bool {
        self.block.as_bytes().get(file.name..file.value - 1) == Some(name.as_bytes())
    }

    fn find(&self, name: &str) -> Option<&File> {
        self.files.iter().find(|file| self.is_called(file, name))
    }

    fn attributes(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| !self.is_called(file, NAME))
    }

    /// The text that begins here, as C sees it.
    fn as_c(&self, start: usize) -> &CStr {
        CStr::from_bytes_until_nul(self.block.as_bytes().get(start..).unwrap_or_default()).unwrap_or_default()
    }
}

impl PartialEq for TypeTexts {
    /// The order of the block is that in which the kernel lists the files.
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.files.iter().map(|file| self.pair(file));
        self.id() == other.id() && pairs.eq(other.files.iter().map(|file| other.pair(file)))
    }
}

impl Eq for TypeTexts {}

/// Makes the texts of one type after another, in memory that is allocated once.
#[derive(Debug, Default)]
pub struct TextsBuilder {
    block: String,
    id: usize,
    files: Vec<File>,
}

impl TextsBuilder {
    /// Begins a type.
    pub fn begin(&mut self, id: &str) {
        self.block.clear();
        self.files.clear();
        self.id = id.len();
        self.push(id);
    }

    /// Adds a file.
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

    /// The texts of the type that was begun last.
    pub fn finish(&mut self) -> TypeTexts {
        let name = |file: &File| self.block.as_bytes().get(file.name..file.value);
        self.files.sort_unstable_by(|a, b| a.rank.cmp(&b.rank).then_with(|| name(a).cmp(&name(b))));
        TypeTexts { block: self.block.as_str().into(), id: self.id, files: self.files.as_slice().into() }
    }
}

/// One directory of `mdev_supported_types`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Type {
    /// Its id, and what its readable files have.
    pub texts: TypeTexts,
    /// How many can still be created; unknown where the file cannot be read or understood.
    pub available_instances: Option<u32>,
    /// `available_instances` counts places (VFs) that share the card, each as if it were alone, so that fewer may fit.
    pub counts_places: bool,
    /// The type has a `requires_group` file that does not read 0.
    pub requires_group: bool,
    /// The type takes a parameter string before create.
    pub has_params: bool,
}

impl Type {
    /// The directory's name: what a create request gives as type.
    pub fn id(&self) -> &str {
        self.texts.id()
    }

    /// `name`, where the vendor gives one.
    pub fn name(&self) -> Option<&str> {
        self.attribute(NAME)
    }

    /// A class attribute by name; `name` is one as well.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.texts.find(name).map(|file| self.texts.pair(file).1)
    }

    /// Every readable regular file but `name`, in the order in which it is dumped.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.attributes().map(|file| self.texts.pair(file))
    }

    /// The id as C sees it.
    pub fn id_as_c(&self) -> &CStr {
        self.texts.as_c(0)
    }

    /// The same of [`Type::attribute`].
    pub fn attribute_as_c(&self, name: &str) -> Option<&CStr> {
        self.texts.find(name).map(|file| self.texts.as_c(file.value))
    }

    /// The name of each attribute, `name` first.
    pub fn names_as_c(&self) -> impl Iterator<Item = &CStr> {
        self.texts.find(NAME).into_iter().chain(self.texts.attributes()).map(|file| self.texts.as_c(file.name))
    }

    /// The kind of its devices, where the vendor gives one: `vfio-pci`, `vfio-ccw`, `vfio-ap`.
    pub fn device_api(&self) -> Option<&str> {
        self.attribute("device_api")
    }

    /// How many can still be created, and whether that is an upper bound. One place that offers the type is one device.
    pub fn capacity(&self) -> Option<(u32, bool)> {
        self.available_instances.map(|count| (count, self.counts_places && count > 1))
    }

    /// Whether `text` is the id or the name. `_` may stand for a space of the name, as management software writes it.
    fn is_called(&self, text: &str) -> bool {
        self.id() == text || self.name().is_some_and(|name| name == text || name.replace(' ', "_") == text)
    }

    /// Whether `text` is a form that other tools print, in upper or lower case: the number of the id as `0x60e`, `1550` or
    /// `nvidia-1550`, or the name without the vendor's prefix (`A10-4Q`).
    fn is_also_called(&self, text: &str) -> bool {
        let same_number = number(self.id()).is_some_and(|id| number(text) == Some(id));
        let same_name = || self.name().is_some_and(|name| short_name(name) == short_name(text));
        same_number || self.id().eq_ignore_ascii_case(text) || same_name()
    }
}

/// The number in `1550`, `0x60e` and `nvidia-1550`.
fn number(id: &str) -> Option<u32> {
    let id = id.to_ascii_lowercase();
    let id = id.strip_prefix("nvidia-").unwrap_or(&id);
    let (digits, radix) = id.strip_prefix("0x").map_or((id, 10), |digits| (digits, 16));
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
}

fn short_name(name: &str) -> String {
    let name = name.to_ascii_lowercase().replace('_', " ");
    let without =
        ["nvidia ", "grid "].iter().fold(name.as_str(), |name, brand| name.strip_prefix(brand).unwrap_or(name));
    without.trim().to_owned()
}

/// The result of [`find_type`].
#[derive(Debug)]
pub enum FoundType<'t> {
    /// This type.
    One(&'t Type),
    /// No type.
    Nothing,
    /// A short form that these types share.
    Several(Vec<&'t Type>),
}

/// The type that `text` means: the one with this id, else the one with this name, else the only one for which it is a form
/// that other tools print.
pub fn find_type<'t>(types: &'t [Type], text: &str) -> FoundType<'t> {
    let exact = types.iter().find(|kind| kind.id() == text).or_else(|| types.iter().find(|kind| kind.is_called(text)));
    if let Some(kind) = exact {
        return FoundType::One(kind);
    }
    let also: Vec<&Type> = types.iter().filter(|kind| kind.is_also_called(text)).collect();
    match also[..] {
        [] => FoundType::Nothing,
        [one] => FoundType::One(one),
        _ => FoundType::Several(also),
    }
}

/// Numbers by value, before everything else by text.
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

/// A count as drivers print it; `u32::MAX` for every larger count. `None` for -1 and fractions, which some drivers print in a
/// faulty state.
pub fn parse_count(text: &str) -> Option<u32> {
    let digits = text.trim_ascii();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Digits alone fail to parse only if the number is too large.
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
            assert!(matches!(find_type(&all, text), FoundType::One(kind) if kind.id() == id), "{text}");
        }
        for text in ["", "0x", "nvidia-", "155", "A10", "0x1550", "4294967296550"] {
            assert!(matches!(find_type(&all, text), FoundType::Nothing), "{text}");
        }
    }

    #[test]
    fn short_name_of_two_types_is_ambiguous() {
        let all = types(&[("1", "NVIDIA T4-1Q"), ("2", "GRID T4-1Q")]);
        assert!(matches!(find_type(&all, "T4-1Q"), FoundType::Several(both) if both.len() == 2));
        assert!(matches!(find_type(&all, "GRID T4-1Q"), FoundType::One(kind) if kind.id() == "2"));
    }
}
