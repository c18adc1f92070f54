// SPDX-License-Identifier: LGPL-2.1-or-later
//! The types of a PF: the lines of `creatable_vgpu_types`, and the framebuffer of each type.

/// MiB in one GiB; type names give the size in GiB.
const GIB: u64 = 1024;

/// The letter of a type's series follows its framebuffer size: compute, workstation, applications, desktops.
const SERIES: [char; 4] = ['C', 'Q', 'A', 'B'];

/// A type of a PF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Type {
    id: u32,
    /// The line of the list, unchanged.
    line: String,
    /// Framebuffer in MiB; 0 if the name has no size.
    size: u64,
}

/// Every type of a PF, in the order of the lists.
#[derive(Debug, Clone, Default)]
pub(super) struct Catalogue {
    header: Option<String>,
    types: Vec<Type>,
}

impl Catalogue {
    /// Adds the types of a list at their places among the known types. Returns their ids.
    pub(super) fn learn(&mut self, text: &str) -> Vec<u32> {
        let mut ids = Vec::new();
        let mut place = 0;
        for line in text.split('\n') {
            match parse(line) {
                Some((id, name)) => {
                    ids.push(id);
                    place = 1 + self.add(place, Type { id, line: line.to_owned(), size: size(name) });
                }
                None if is_header(line) => self.header = Some(line.to_owned()),
                None => {}
            }
        }
        ids
    }

    /// Adds a type of which only its id is known, from a VF that has it. Its size is 1 MiB, not 0: on a card that was
    /// full, exactly the used framebuffer is available for it.
    pub(super) fn learn_id(&mut self, id: u32) {
        let name_first =
            self.types.first().is_some_and(|ty| !ty.line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
        let line = if name_first { format!("vGPU type {id}  {id}") } else { format!("{id:<5} : vGPU type {id}") };
        self.add(self.types.len(), Type { id, line, size: 1 });
    }

    /// Inserts the type at `place` if it is new. Returns its place.
    fn add(&mut self, place: usize, ty: Type) -> usize {
        let known = self.types.iter().position(|known| known.id == ty.id);
        known.unwrap_or_else(|| {
            self.types.insert(place, ty);
            place
        })
    }

    pub(super) fn get(&self, id: u32) -> Option<&Type> {
        self.types.iter().find(|ty| ty.id == id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.types.iter().map(|ty| ty.id)
    }

    /// Framebuffer of a type in MiB; 0 if the type is unknown.
    pub(super) fn size(&self, id: u32) -> u64 {
        self.get(id).map_or(0, |ty| ty.size)
    }

    /// The list of these types, with the header if the lists of this card have one.
    pub(super) fn list(&self, ids: &[u32]) -> String {
        self.header.iter().map(|line| format!("{line}\n")).chain([self.lines(ids)]).collect()
    }

    /// The lines of these types.
    pub(super) fn lines(&self, ids: &[u32]) -> String {
        let types = self.types.iter().filter(|ty| ids.contains(&ty.id)).map(|ty| &ty.line);
        types.flat_map(|line| [line, "\n"]).collect()
    }
}

/// `1148  : NVIDIA L40S-2Q` or `NVIDIA A40-2Q  558`.
fn parse(line: &str) -> Option<(u32, &str)> {
    let line = line.trim();
    let (id, name) = match line.split_once(':') {
        Some((id, name)) if is_number(id.trim_end()) => (id.trim_end(), name.trim_start()),
        _ => {
            let (name, id) = line.rsplit_once(char::is_whitespace)?;
            (id, name.trim_end())
        }
    };
    let known = is_number(id) && !name.is_empty();
    id.parse().ok().filter(|id| known && *id != 0).map(|id| (id, name))
}

/// `ID    : vGPU Name`
fn is_header(line: &str) -> bool {
    line.split_once(':').is_some_and(|(id, _)| id.trim().eq_ignore_ascii_case("id"))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Returns the framebuffer in MiB. The end of the name gives it in GiB: `-2Q`, `-141C`, `-1-10CME`; `-0B` is half a
/// GiB.
fn size(name: &str) -> u64 {
    let tail = name.rsplit_once('-').map_or("", |(_, tail)| tail);
    let letter = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
    let (digits, series) = tail.split_at(letter);
    match digits.parse::<u32>() {
        Ok(0) if series.starts_with(SERIES) => GIB / 2,
        Ok(gib) if series.starts_with(SERIES) => u64::from(gib) * GIB,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_of_types_is_parsed_in_both_formats_only() {
        for (line, id, name) in [
            ("1148  : NVIDIA L40S-2Q", 1148, "NVIDIA L40S-2Q"),
            ("  7:x\r", 7, "x"),
            ("NVIDIA A40-2Q  558", 558, "NVIDIA A40-2Q"),
            ("NVIDIA RTX: 6000 Ada-8Q\t12", 12, "NVIDIA RTX: 6000 Ada-8Q"),
        ] {
            assert_eq!(parse(line), Some((id, name)), "{line:?}");
        }
        for bad in
            ["", "ID    : vGPU Name", "1148", "1148 :", "0 : none", "-1 : x", "+1 : x", "4294967296 : x", "x 0x1"]
        {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn framebuffer_is_taken_from_type_name() {
        for (name, mib) in [
            ("NVIDIA H200X-141C", 141 * GIB),
            ("NVIDIA A100-1-10CME", 10 * GIB),
            ("GRID M60-0B", 512),
            ("GRID M10-2B4", 2 * GIB),
            ("NVIDIA A40", 0),
            ("NVIDIA A40-Q", 0),
            ("NVIDIA A40-8", 0),
            ("NVIDIA A40-8X", 0),
            ("NVIDIA A40-99999999999Q", 0),
        ] {
            assert_eq!(size(name), mib, "{name}");
        }
    }

    #[test]
    fn list_of_types_is_written_as_it_was_read() {
        for text in [
            "ID    : vGPU Name\n1148  : NVIDIA L40S-2Q\n1149  : NVIDIA L40S-4Q\n",
            "1148 :NVIDIA L40S-2Q\r\n1149 :  NVIDIA L40S-4Q\r\n",
            "NVIDIA A40-2Q  558\nNVIDIA A40-4Q  559\n",
        ] {
            let mut catalogue = Catalogue::default();
            let ids = catalogue.learn(text);
            assert_eq!(catalogue.list(&ids), text);
            assert_eq!(catalogue.lines(&[]), "");
            assert_eq!(catalogue.list(&[]), if text.starts_with("ID") { "ID    : vGPU Name\n" } else { "" });
            // The order does not depend on whether a part of the list is read before or after the whole list.
            let mut parts = Catalogue::default();
            parts.learn(&catalogue.list(&ids[1..]));
            parts.learn(text);
            parts.learn(&catalogue.list(&ids[..1]));
            assert_eq!(parts.list(&ids), text);
            catalogue.learn_id(7);
            assert_eq!(catalogue.learn(&catalogue.list(&[7]).clone()), [7]);
        }
    }
}
