// SPDX-License-Identifier: LGPL-2.1-or-later
//! The text of a definition, as mdevctl reads and writes it: `mdev_type`, `start`, and `attrs` as a list of objects with one key each.
//! A change keeps unknown members, in their places.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Definition;
use crate::error::shown;

/// The values of `start` in mdevctl's files. Every other value than `auto` means manual.
const AUTO: &str = "auto";
const MANUAL: &str = "manual";

/// The parsed text of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) type_id: String,
    pub(super) autostart: bool,
    pub(super) attributes: Vec<(String, String)>,
}

/// Parses the text of a definition. The error is a phrase that follows the path of the file.
pub(super) fn parse(text: &[u8]) -> Result<Text, String> {
    let map = object(text)?;
    let word = |key: &str| match map.get(key) {
        Some(Value::String(value)) => Ok(value.clone()),
        Some(other) => Err(format!("its \"{key}\" is {}, not a text", shown(&other.to_string()))),
        None => Err(format!("it has no \"{key}\"")),
    };
    let type_id = word("mdev_type")?;
    if !crate::model::name::is_component(&type_id) {
        return Err(format!("its \"mdev_type\" is {}, which is not a valid type id", shown(&type_id)));
    }
    // As in mdevctl, every value except the text "auto" means manual.
    let autostart = match map.get("start") {
        None | Some(Value::Null) => return Err("it has no \"start\"".to_owned()),
        Some(start) => start == AUTO,
    };
    Ok(Text { type_id, autostart, attributes: attributes(map.get("attrs"))? })
}

fn object(text: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err("it is no JSON object".to_owned()),
        Err(_) if text.iter().all(u8::is_ascii_whitespace) => Err("it is empty".to_owned()),
        Err(e) => Err(format!("it is no JSON: {e}")),
    }
}

fn attributes(value: Option<&Value>) -> Result<Vec<(String, String)>, String> {
    let list = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err("its \"attrs\" is no list".to_owned()),
    };
    let one = |entry: &Value| {
        let map = entry.as_object().filter(|map| map.len() == 1)?;
        let (name, value) = map.iter().next()?;
        Some((name.clone(), value.as_str()?.to_owned()))
    };
    // Some call-outs return `[{}]` for no attributes.
    let real = list.iter().filter(|entry| !entry.as_object().is_some_and(Map::is_empty));
    real.map(|entry| one(entry).ok_or_else(|| "an entry of its \"attrs\" is not {\"name\": \"value\"}".to_owned()))
        .collect()
}

/// Returns the new text of a definition whose text was `old`. Unknown members keep their values and their places.
pub(super) fn update(old: Option<&[u8]>, new: &Definition) -> String {
    let before = old.and_then(|old| parse(old).ok());
    let mut map = old.and_then(|old| object(old).ok()).unwrap_or_default();
    map.insert("mdev_type".to_owned(), json!(new.type_id));
    // Another value that means manual is kept.
    if before.as_ref().is_none_or(|before| before.autostart != new.autostart) {
        map.insert("start".to_owned(), json!(if new.autostart { AUTO } else { MANUAL }));
    }
    if before.is_none_or(|before| before.attributes != new.attributes) {
        let one = |(name, value): &(String, String)| Value::Object(Map::from_iter([(name.clone(), json!(value))]));
        map.insert("attrs".to_owned(), Value::Array(new.attributes.iter().map(one).collect()));
    }
    // Cannot fail: all keys are texts.
    serde_json::to_string_pretty(&map).unwrap_or_default()
}

impl Definition {
    /// Returns the definition as JSON on one line, which mdevctl's call-outs read.
    pub fn compact_json(&self) -> String {
        let text = update(None, self);
        serde_json::from_str::<Value>(&text).map_or(text, |value| value.to_string())
    }

    /// Returns the text of mdevctl's file for a new definition.
    pub fn pretty_json(&self) -> String {
        update(None, self)
    }

    /// Parses the text of a file; `None` if it is not a valid definition.
    pub fn from_json(parent: &str, uuid: Uuid, text: &[u8]) -> Option<Definition> {
        let Text { type_id, autostart, attributes } = parse(text).ok()?;
        Some(Definition { parent: parent.to_owned(), uuid, type_id, autostart, attributes, ..Definition::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(attributes: &[(&str, &str)]) -> Definition {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Definition {
            type_id: "11".into(),
            autostart: true,
            attributes: attributes.iter().map(pair).collect(),
            ..Definition::default()
        }
    }

    /// Equal to the byte to the text of mdevctl 1.2.0 for the same definition.
    #[test]
    fn new_text_is_in_the_form_of_mdevctl() {
        let text = "{\n  \"mdev_type\": \"11\",\n  \"start\": \"auto\",\n  \"attrs\": [\n    {\n      \"a\": \"1\"\n    },\n    {\n      \"a\": \"2\"\n    }\n  ]\n}";
        assert_eq!(update(None, &definition(&[("a", "1"), ("a", "2")])), text);
        let none = "{\n  \"mdev_type\": \"11\",\n  \"start\": \"auto\",\n  \"attrs\": []\n}";
        assert_eq!(update(None, &definition(&[])), none);
        assert_eq!(
            definition(&[("a", "1")]).compact_json(),
            r#"{"mdev_type":"11","start":"auto","attrs":[{"a":"1"}]}"#
        );
    }

    #[test]
    fn unknown_members_keep_their_place() {
        let old = r#"{"z":[1,{"y":null}],"start":"never","mdev_type":"9","attrs":null,"a":1.5}"#;
        let manual = Definition { autostart: false, ..definition(&[]) };
        let new = update(Some(old.as_bytes()), &manual).split_whitespace().collect::<String>();
        assert_eq!(new, r#"{"z":[1,{"y":null}],"start":"never","mdev_type":"11","attrs":null,"a":1.5}"#);
        let new = update(Some(old.as_bytes()), &definition(&[("b", "2")])).split_whitespace().collect::<String>();
        assert_eq!(new, r#"{"z":[1,{"y":null}],"start":"auto","mdev_type":"11","attrs":[{"b":"2"}],"a":1.5}"#);
    }

    #[test]
    fn invalid_definition_returns_an_error() {
        for (text, why) in [
            ("", "empty"),
            ("{", "no JSON"),
            ("[]", "object"),
            (r#"{"start":"auto"}"#, "mdev_type"),
            (r#"{"mdev_type":5,"start":"auto"}"#, "mdev_type"),
            (r#"{"mdev_type":"../x","start":"auto"}"#, "not a valid type id"),
            (r#"{"mdev_type":"11"}"#, "start"),
            (r#"{"mdev_type":"11","start":null}"#, "start"),
            (r#"{"mdev_type":"11","start":"auto","attrs":{}}"#, "attrs"),
            (r#"{"mdev_type":"11","start":"auto","attrs":[{"a":"1","b":"2"}]}"#, "attrs"),
            (r#"{"mdev_type":"11","start":"auto","attrs":[{"a":1}]}"#, "attrs"),
            (r#"{"mdev_type":"11","start":"auto","attrs":["a"]}"#, "attrs"),
        ] {
            let reason = parse(text.as_bytes()).unwrap_err();
            assert!(reason.contains(why), "{text}: {reason}");
        }
    }

    #[test]
    fn start_that_is_not_the_text_auto_is_manual() {
        let parsed =
            |start: &str| parse(format!(r#"{{"mdev_type":"11","start":{start},"attrs":[{{}}],"x":0}}"#).as_bytes());
        for start in [r#""whatever""#, r#""Auto""#, r#""""#, "true", "false", "1", "0.5", "[]", r#"["auto"]"#, "{}"] {
            assert_eq!(
                parsed(start),
                Ok(Text { type_id: "11".into(), autostart: false, attributes: vec![] }),
                "{start}"
            );
        }
        assert!(parsed(r#""auto""#).unwrap().autostart);
    }

    proptest::proptest! {
        #[test]
        fn definition_written_and_parsed_is_equal(
            type_id in "[a-zA-Z0-9_. -]{1,20}[a-z]",
            autostart: bool,
            attributes in proptest::collection::vec((".{1,8}", ".{0,16}"), 0..6),
            key in "x[a-z]{0,6}",
            value in -1000..1000_i32,
        ) {
            let new = Definition { type_id, autostart, attributes, ..Definition::default() };
            let old = format!(r#"{{"{key}":{value},"mdev_type":"old","start":"manual"}}"#);
            for text in [update(None, &new), update(Some(old.as_bytes()), &new)] {
                let back = parse(text.as_bytes()).unwrap();
                proptest::prop_assert_eq!((&back.type_id, back.autostart, &back.attributes), (&new.type_id, new.autostart, &new.attributes));
                // Written again, nothing changes.
                proptest::prop_assert_eq!(update(Some(text.as_bytes()), &new), text);
            }
            let kept: Value = serde_json::from_str(&update(Some(old.as_bytes()), &new)).unwrap();
            proptest::prop_assert_eq!(&kept[&key], &json!(value));
        }
    }
}
