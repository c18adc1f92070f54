// SPDX-License-Identifier: LGPL-2.1-or-later
//! Parses the values of writes as the kernel's own helpers do.

use crate::sysfs::{Errno, IoResult};

/// The maximum length of a write to `vgpu_params`.
const VGPU_PARAMS_MAX: usize = 1024;

/// Length of a UUID in text.
pub(super) const UUID_LEN: usize = 36;

/// Parses the 36 bytes of a UUID as the kernel does: upper or lower case, dashes at the fixed places. Returns lower
/// case, as sysfs shows it.
pub(super) fn uuid(value: &[u8]) -> IoResult<String> {
    let dash = |i| matches!(i, 8 | 13 | 18 | 23);
    let sound = |(i, b): (usize, &u8)| if dash(i) { *b == b'-' } else { b.is_ascii_hexdigit() };
    if value.len() != UUID_LEN || !value.iter().enumerate().all(sound) {
        return Err(Errno::INVAL);
    }
    std::str::from_utf8(value).map(str::to_ascii_lowercase).map_err(|_| Errno::INVAL)
}

/// Returns the value without one newline at its end, as `echo` adds it.
pub(super) fn line(value: &[u8]) -> &[u8] {
    value.strip_suffix(b"\n").unwrap_or(value)
}

/// Parses an unsigned number; a prefix selects the base (`0x` hexadecimal, `0` octal). ERANGE if it is too large.
pub(super) fn unsigned(value: &[u8]) -> IoResult<u64> {
    let text = std::str::from_utf8(line(value)).map_err(|_| Errno::INVAL)?;
    let text = text.strip_prefix('+').unwrap_or(text);
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Err(Errno::INVAL);
    }
    u64::from_str_radix(digits, radix).map_err(|_| Errno::RANGE)
}

/// Parses decimal digits only; leading zeros are allowed.
pub(super) fn decimal(value: &[u8]) -> IoResult<u32> {
    group(line(value))
}

/// Parses a signed decimal number as `kstrtol(text, 10)` does: sign and final newline are optional. ERANGE if it is
/// too large.
pub(super) fn long(value: &[u8]) -> IoResult<i64> {
    let text = std::str::from_utf8(line(value)).map_err(|_| Errno::INVAL)?;
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Errno::INVAL);
    }
    text.parse().map_err(|_| Errno::RANGE)
}

/// Parses a decimal number without a minus sign, as `kstrtoul(text, 10)` does. ERANGE if it is too large.
pub(super) fn unsigned_long(value: &[u8]) -> IoResult<u64> {
    match long(value) {
        Err(Errno::RANGE) if !value.starts_with(b"-") => {
            std::str::from_utf8(line(value)).ok().and_then(|text| text.parse().ok()).ok_or(Errno::RANGE)
        }
        _ if value.starts_with(b"-") => Err(Errno::INVAL),
        number => number.map(i64::unsigned_abs),
    }
}

/// Returns the part of a write to `vgpu_params` that NVIDIA's driver keeps: all bytes but the last, whatever the last
/// is. E2BIG above the maximum length; EPERM while a guest uses the device.
pub(super) fn vgpu_params(value: &[u8], in_use: bool) -> IoResult<Vec<u8>> {
    match value {
        _ if value.len() > VGPU_PARAMS_MAX => Err(Errno::TOOBIG),
        _ if in_use => Err(Errno::PERM),
        [kept @ .., _] => Ok(kept.to_vec()),
        [] => Ok(Vec::new()),
    }
}

/// Parses a switch: `1`, `y`, `t`, `on` and their opposites. Ignores the text after these letters.
pub(super) fn switch(value: &[u8]) -> IoResult<bool> {
    match value {
        [b'1' | b'y' | b'Y' | b't' | b'T', ..] | [b'o' | b'O', b'n' | b'N', ..] => Ok(true),
        [b'0' | b'n' | b'N' | b'f' | b'F', ..] | [b'o' | b'O', b'f' | b'F', ..] => Ok(false),
        _ => Err(Errno::INVAL),
    }
}

/// Parses `UUID` or `UUID:GROUP` with an optional newline at the end: the format of `create` in both proposals.
pub(super) fn uuid_and_group(value: &[u8]) -> IoResult<(String, Option<u32>)> {
    let (head, rest) = line(value).split_at_checked(UUID_LEN).ok_or(Errno::INVAL)?;
    let uuid = uuid(head)?;
    match rest {
        [] => Ok((uuid, None)),
        [b':', digits @ ..] => Ok((uuid, Some(group(digits)?))),
        _ => Err(Errno::INVAL),
    }
}

/// Parses a group number: decimal digits only.
pub(super) fn group(digits: &[u8]) -> IoResult<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Errno::INVAL);
    }
    std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).ok_or(Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPPER: &str = "C2177883-F1BB-47F0-914D-32A22E3A8804";

    #[test]
    fn uuid_texts_are_parsed_as_kernel_does() {
        assert_eq!(uuid(UPPER.as_bytes()).unwrap(), UPPER.to_lowercase());
        for bad in ["", &UPPER[1..], &UPPER.replace('-', "0"), &UPPER.replace('C', "g"), &format!("{UPPER}0")] {
            assert_eq!(uuid(bad.as_bytes()), Err(Errno::INVAL), "{bad}");
        }
    }

    #[test]
    fn numbers_and_switches_are_parsed_as_kernel_does() {
        for (text, number) in [("1\n", 1), ("0", 0), ("0x10", 16), ("010", 8), ("+7", 7)] {
            assert_eq!(unsigned(text.as_bytes()), Ok(number), "{text}");
        }
        for bad in ["", "\n", "-1", "one", "1 ", "1\n\n", "0x", "08"] {
            assert_eq!(unsigned(bad.as_bytes()), Err(Errno::INVAL), "{bad}");
        }
        assert_eq!(unsigned(b"18446744073709551616"), Err(Errno::RANGE));
        assert_eq!((decimal(b"010\n"), decimal(b"4294967295"), decimal(b"0")), (Ok(10), Ok(u32::MAX), Ok(0)));
        for bad in ["", "\n", "-1", "+7", "0x10", " 1", "1 ", "1\n\n", "4294967296"] {
            assert_eq!(decimal(bad.as_bytes()), Err(Errno::INVAL), "{bad}");
        }
        assert_eq!((switch(b"1\n"), switch(b"off"), switch(b"2")), (Ok(true), Ok(false), Err(Errno::INVAL)));
    }

    #[test]
    fn signed_numbers_are_parsed_as_kernel_does() {
        for (text, number) in [("0\n", 0), ("-0", 0), ("+1433", 1433), ("-1", -1), ("007", 7)] {
            assert_eq!(long(text.as_bytes()), Ok(number), "{text}");
        }
        for bad in ["", "\n", "+", "-", "+-1", " 1", "1 ", "0x1", "1\n\n"] {
            assert_eq!((long(bad.as_bytes()), unsigned_long(bad.as_bytes())), (Err(Errno::INVAL), Err(Errno::INVAL)));
        }
        assert_eq!(
            (long(b"9223372036854775808"), long(b"-9223372036854775809")),
            (Err(Errno::RANGE), Err(Errno::RANGE))
        );
        assert_eq!((unsigned_long(b"18446744073709551615"), unsigned_long(b"-1")), (Ok(u64::MAX), Err(Errno::INVAL)));
        assert_eq!(unsigned_long(b"18446744073709551616"), Err(Errno::RANGE));
    }

    #[test]
    fn group_texts_are_parsed_as_driver_does() {
        let with = |tail: &str| uuid_and_group(format!("{UPPER}{tail}").as_bytes()).map(|(_, group)| group);
        assert_eq!((with(""), with("\n"), with(":1"), with(":0007\n")), (Ok(None), Ok(None), Ok(Some(1)), Ok(Some(7))));
        for bad in [":", ":x", ":+1", ":-1", ": 1", ":1 ", "1", ":4294967296", ":1:2", "\n\n"] {
            assert_eq!(with(bad), Err(Errno::INVAL), "{bad}");
        }
    }
}
