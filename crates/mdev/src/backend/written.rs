// SPDX-License-Identifier: LGPL-2.1-or-later
//! Writes texts to a driver's file and checks whether the driver has kept them.

use super::{Layout, write_error};
use crate::error::{Error, ErrorCode, Result, shown};
use crate::sysfs::{Dir, Errno, basename, read_text, write_line};

/// The form in which a file shows the text that was written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextForm {
    /// The text as it was written.
    Verbatim,
    /// The driver may show the text in its own form.
    Any,
}

impl TextForm {
    /// The form in which a device of this layout shows a text in the file `name`.
    pub fn of(layout: Option<&Layout>, name: &str) -> TextForm {
        let is_verbatim = layout.is_some_and(|layout| layout.verbatim.contains(&basename(name)));
        if is_verbatim { TextForm::Verbatim } else { TextForm::Any }
    }
}

/// Words for off and for on. The kernel accepts all of them, and may show another one.
const SWITCHES: [&[&str]; 2] = [&["0", "n", "no", "off", "false"], &["1", "y", "yes", "on", "true"]];

/// Whether a driver has kept a text that was written to its file.
#[derive(Debug, PartialEq, Eq)]
enum Kept {
    /// The file shows the text, or another form of it, or another text than before.
    Yes,
    /// The file shows the same text as before, or no text. The driver may still have used the text: a file that starts
    /// an action may never show it, and the text may be another form of the present value.
    Unclear,
    /// The driver has not kept the text: the reason and the next step.
    No(&'static str),
}

/// Writes a text, and reads it back if the file can be read. Fails if the driver has not kept the text. Logs a warning
/// if that is unclear.
pub fn write_and_verify(dir: &dyn Dir, name: &str, shown: TextForm, text: &str) -> Result<()> {
    let before = read_back(dir, name);
    write_line(dir, name, text).map_err(|errno| write_error(dir, name, errno))?;
    read_back(dir, name).map_or(Ok(()), |now| check_kept(dir, name, shown, text, before.as_deref(), &now))
}

/// The text of a file; `None` if the file cannot be read.
pub(super) fn read_back(dir: &dyn Dir, name: &str) -> Option<String> {
    let is_readable = dir.meta(name).is_ok_and(|meta| meta.mode & 0o444 != 0);
    if is_readable { read_text(dir, name).ok() } else { None }
}

/// Fails if the driver has not kept the text. The file showed `before`, then `text` was written, and it shows `now`.
pub(super) fn check_kept(
    dir: &dyn Dir,
    name: &str,
    form: TextForm,
    text: &str,
    before: Option<&str>,
    now: &str,
) -> Result<()> {
    let path = || format!("{}/{name}", dir.path());
    let holds = || format!("{} holds '{}' after '{}' was written", path(), shown(now), shown(text));
    match compare(form, text.trim(), before.map(str::trim), now.trim()) {
        Kept::Yes => Ok(()),
        Kept::Unclear => {
            log::warn!("{}; the driver may have ignored the text", holds());
            Ok(())
        }
        Kept::No(why) => Err(Error::new(ErrorCode::BadData, Errno::IO, format!("{}: {why}", holds())).at(path())),
    }
}

/// Compares texts without surrounding white space. With [`TextForm::Any`], the result is [`Kept::No`] only if the file
/// shows the beginning of the text and not the rest.
fn compare(form: TextForm, text: &str, before: Option<&str>, now: &str) -> Kept {
    let is_verbatim = form == TextForm::Verbatim;
    if now == text || !is_verbatim && is_same(text, now) {
        return Kept::Yes;
    }
    match now {
        "" if is_verbatim => Kept::No("the driver has discarded the text; see the kernel's log"),
        "" => Kept::Unclear,
        _ if is_cut(text, now) => Kept::No("the driver has dropped the end; write a shorter text"),
        _ if is_verbatim => Kept::No("the driver has changed the text; see the kernel's log"),
        _ if before == Some(now) => Kept::Unclear,
        _ => Kept::Yes,
    }
}

/// Whether a driver has kept only the beginning of a text.
fn is_cut(text: &str, now: &str) -> bool {
    text.len() > now.len() && text.starts_with(now)
}

/// Whether both are the same number, the same word or switch, or the same masks, or `now` is a list with the text in
/// brackets.
fn is_same(text: &str, now: &str) -> bool {
    let zero_for_none = now.is_empty() && number(text) == Some(0);
    let numbers = number(text).is_some_and(|text| number(now) == Some(text));
    let words = text.eq_ignore_ascii_case(now);
    let switches = SWITCHES.iter().any(|words| [text, now].iter().all(|text| contains(words, text)));
    let masks = text.contains(',') && significant(text) == significant(now);
    let is_chosen =
        now.split_whitespace().any(|word| word.strip_prefix('[').and_then(|w| w.strip_suffix(']')) == Some(text));
    zero_for_none || numbers || words || switches || masks || is_chosen
}

fn contains(words: &[&str], word: &str) -> bool {
    words.iter().any(|listed| listed.eq_ignore_ascii_case(word))
}

/// The number at the beginning of a text, without its fraction.
fn number(text: &str) -> Option<u64> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok();
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// Hexadecimal masks without trailing zeros: in the kernel's AP masks, bit 0 is on the left.
fn significant(masks: &str) -> Vec<String> {
    let masks = masks.to_ascii_lowercase();
    masks.split(',').map(|mask| mask.trim().trim_start_matches("0x").trim_end_matches('0').to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::TextForm::{Any, Verbatim};
    use super::*;
    use crate::backend::layout;
    use crate::model::LayoutKind;

    #[test]
    fn parameters_are_verbatim_in_every_layout() {
        for kind in [LayoutKind::MDEV, LayoutKind::GENERAL, LayoutKind::RFC, LayoutKind::VENDOR_VFIO] {
            for name in ["params", "nvidia/vgpu_params"] {
                assert_eq!(TextForm::of(Some(layout(kind)), name), TextForm::Verbatim, "{kind:?} {name}");
            }
        }
    }

    #[test]
    fn text_that_is_cut_or_not_verbatim_is_lost() {
        for (form, text, before, now) in [
            (Any, "frame_rate_limiter=60", None, "frame_rate_limiter=6"),
            (Any, "60", None, "6"),
            (Any, "0x10", None, "0x1"),
            (Any, "disable_vnc=1,x=2", None, "disable_vnc=1"),
            (Any, "disable_vnc=1,x=2", Some("disable_vnc=1"), "disable_vnc=1"),
            (Verbatim, "60%", None, "60"),
            (Verbatim, "x=1", None, "X=1"),
            (Verbatim, "x=1", Some(""), ""),
            (Verbatim, "y=2", None, "x=1"),
            (Verbatim, "y=2", Some("x=1"), "x=1"),
            (Verbatim, "", None, "x=1"),
            (Verbatim, "0", None, ""),
        ] {
            let kept = compare(form, text, before, now);
            assert!(matches!(kept, Kept::No(_)), "{form:?} {text} {before:?} {now}: {kept:?}");
        }
    }

    /// Files that start an action, values that the driver has already, and actions that have not ended.
    #[test]
    fn text_is_not_lost_if_the_file_is_empty_or_unchanged() {
        for (text, before, now) in [
            ("1", "", ""),
            ("1", "0", "0"),
            ("1G", "1073741824", "1073741824"),
            ("max", "100", "100"),
            ("start", "idle", "idle"),
            ("fast", "[slow] fast", "[slow] fast"),
            ("", "x", "x"),
        ] {
            assert_eq!(compare(Any, text, Some(before), now), Kept::Unclear, "{text} {before}");
        }
    }

    #[test]
    fn text_that_the_driver_shows_in_its_own_form_is_kept() {
        for (text, now) in [
            ("60", "60"),
            ("60%", "60"),
            ("60", "60 Hz"),
            ("1.5", "1"),
            ("0x10", "16"),
            ("007", "7"),
            ("+5", "5"),
            ("0", ""),
            ("on", "1"),
            ("N", "0"),
            ("off", "N"),
            ("Enabled", "enabled"),
            ("fast", "slow [fast]"),
            ("0x05,0x04,0x0", "0x0500,0x0400,0x0000"),
            ("0x0F,0XA4,0x0", "0x0f00,0xa400,0x0000"),
            ("", ""),
        ] {
            assert_eq!(compare(Any, text, Some(now), now), Kept::Yes, "{text} {now}");
        }
        // The file shows the state that the text led to.
        assert_eq!(compare(Any, "start", Some("idle"), "running"), Kept::Yes);
        assert_eq!(compare(Verbatim, "y=2", Some("x=1"), "y=2"), Kept::Yes);
    }
}
