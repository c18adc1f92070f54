// SPDX-License-Identifier: LGPL-2.1-or-later
//! What mdevctl has no word for, in a file of its own, and how two files change as one.
//!
//! A definition is in two files then, and whoever changes both may be killed between. So the file of extras also says, while
//! that lasts, to which text of mdevctl's file it does *not* belong yet, and what belongs to that one. Whenever it is read,
//! that text is compared: the definition is the old one or the new one.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Definition;

/// The extras of one definition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extras {
    mdev_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    params: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Box<Before>>,
}

/// What was until mdevctl's file changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    /// Its old text, as a UUID of version 5.
    text: Uuid,
    extras: Extras,
}

fn digest(text: &[u8]) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text)
}

impl Extras {
    pub(super) fn of(definition: &Definition) -> Self {
        let Definition { type_id, name, group, params, owner, .. } = definition.clone();
        Extras { mdev_type: type_id, name, group, params, owner, before: None }
    }

    /// mdevctl has words for everything.
    pub(super) fn is_empty(&self) -> bool {
        self.name.is_none() && self.group.is_none() && self.params.is_none() && self.owner.is_none()
    }

    /// mdevctl's file is about to change.
    pub(super) fn is_on_the_way(&self) -> bool {
        self.before.is_some()
    }

    /// The same, for as long as mdevctl's file may still have `text`, to which `old` belongs.
    pub(super) fn after(&self, text: &[u8], old: Extras) -> Self {
        let old = Extras { before: None, ..old };
        Extras { before: Some(Box::new(Before { text: digest(text), extras: old })), ..self.clone() }
    }

    /// Those that belong to this text, while mdevctl's file has it still and was about to change.
    pub(super) fn not_yet(&self, text: &[u8]) -> Option<&Extras> {
        self.before.as_ref().filter(|before| before.text == digest(text)).map(|before| &before.extras)
    }

    /// Those of the definition whose text in mdevctl's file is this one, of this type. With another type in it they are
    /// about something else.
    pub(super) fn belonging_to(self, text: &[u8], type_id: &str) -> Option<Self> {
        let this = match self.before {
            Some(before) if before.text == digest(text) => before.extras,
            _ => Extras { before: None, ..self },
        };
        (this.mdev_type == type_id).then_some(this)
    }

    pub(super) fn lend(self, definition: &mut Definition) {
        (definition.name, definition.group) = (self.name, self.group);
        (definition.params, definition.owner) = (self.params, self.owner);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{Definitions, Start};
    use super::*;

    fn definition(type_id: &str, name: Option<&str>) -> Definition {
        let name = name.map(str::to_owned);
        Definition { parent: "0000:86:00.0".into(), type_id: type_id.into(), name, ..Definition::default() }
    }

    /// Between the first and the last of the steps that change a definition, it is one or the other.
    #[test]
    fn two_files_change_as_one() {
        let cases = [
            (definition("11", Some("old")), definition("12", Some("new"))),
            (definition("11", Some("old")), definition("11", Some("new"))),
            (definition("11", Some("old")), definition("12", None)),
            (definition("11", None), definition("12", Some("new"))),
        ];
        for (old, new) in cases {
            let text = |definition: &Definition| definition.pretty_json().into_bytes();
            let way = Extras::of(&new).after(&text(&old), Extras::of(&old));
            let seen = |of: &Definition| way.clone().belonging_to(&text(of), &of.type_id).unwrap_or_default();
            // Where mdevctl's text stays the same, the file beside it alone decides, and is replaced in one step.
            if text(&old) != text(&new) {
                assert_eq!((seen(&old), seen(&new)), (Extras::of(&old), Extras::of(&new)));
            }
        }
    }

    #[test]
    fn nothing_is_left_beside_and_strays_of_killed_writers_go() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::create_dir_all(root.path().join("run")).unwrap();
        let store = Definitions::files(root.path().to_str().unwrap());
        let path = |folder: &str, name: &str| root.path().join("etc").join(folder).join("0000:86:00.0").join(name);
        let uuid = Uuid::nil().to_string();
        let read = || store.get("0000:86:00.0", &Uuid::nil()).unwrap().unwrap();
        for (old, new) in [("11", "12"), ("12", "12"), ("12", "11")] {
            for name in [Some("a"), Some("b"), None] {
                store.put(&definition(old, name), Start::Set, &|| Ok(())).unwrap();
                fs::write(path("mdevctl.d", &format!(".{uuid}.new")), "half").unwrap();
                fs::write(path("mdevctl.d", &format!(".{uuid}.part")), "half").unwrap();
                store.put(&definition(new, Some("c")), Start::Set, &|| Ok(())).unwrap();
                assert_eq!(read(), definition(new, Some("c")));
                let beside = fs::read_to_string(path("libmdev/definitions", &uuid)).unwrap();
                assert!(!beside.contains("before"), "{beside}");
                store.set_autostart("0000:86:00.0", &Uuid::nil(), true).unwrap();
                assert_eq!(read(), Definition { autostart: true, ..definition(new, Some("c")) });
                let names: Vec<_> =
                    fs::read_dir(path("mdevctl.d", "")).unwrap().map(|e| e.unwrap().file_name()).collect();
                assert_eq!(names, [&*uuid]);
                store.put(&definition(new, None), Start::Set, &|| Ok(())).unwrap();
                assert!(!path("libmdev/definitions", &uuid).exists());
                // A later definition would keep it.
                store.set_autostart("0000:86:00.0", &Uuid::nil(), false).unwrap();
            }
        }
    }

    #[test]
    fn whoever_comes_after_a_killed_writer_goes_on_with_what_counts() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["etc/libmdev/definitions/0000:86:00.0", "run"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let store = Definitions::files(root.path().to_str().unwrap());
        let old = definition("11", Some("old"));
        store.put(&old, Start::Set, &|| Ok(())).unwrap();
        let way = Extras::of(&definition("11", Some("new"))).after(old.pretty_json().as_bytes(), Extras::of(&old));
        let beside = root.path().join(format!("etc/libmdev/definitions/0000:86:00.0/{}", Uuid::nil()));
        fs::write(&beside, serde_json::to_vec(&way).unwrap()).unwrap();
        store.set_autostart("0000:86:00.0", &Uuid::nil(), true).unwrap();
        let seen = store.get("0000:86:00.0", &Uuid::nil()).unwrap().unwrap();
        assert_eq!(seen, Definition { autostart: true, ..old });
    }
}
