// SPDX-License-Identifier: LGPL-2.1-or-later
//! Connection URIs.

use rustix::io::Errno;

use crate::error::{Error, ErrorCode, Result, shown};

/// The host of a URI.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A real host whose sys, dev and run folders lie below `root`.
    System { root: String },
    /// The built-in simulated host.
    Default,
    /// A dumped host in this file.
    Dump { path: String },
}

pub(super) fn parse(uri: Option<&str>) -> Result<Target> {
    let uri = uri.unwrap_or("mdev:///system");
    if uri.len() > 4096 {
        return Err(Error::new(ErrorCode::InvalidUri, Errno::INVAL, "the URI is longer than 4096 bytes"));
    }
    if let Some(path) = uri.strip_prefix("test://") {
        return match path {
            "/default" => Ok(Target::Default),
            _ if path.starts_with('/') && path.len() > 1 && !path.contains('?') => {
                Ok(Target::Dump { path: decode(path).ok_or_else(|| unknown(uri))? })
            }
            _ => Err(unknown(uri)),
        };
    }
    let Some(rest) = uri.strip_prefix("mdev:///system") else { return Err(unknown(uri)) };
    let root = match rest.strip_prefix("?root=") {
        None if rest.is_empty() => "/".to_owned(),
        Some(root) if !root.contains(['&', '#', '?']) => decode(root).ok_or_else(|| unknown(uri))?,
        _ => return Err(unknown(uri)),
    };
    if !root.starts_with('/') {
        let message = format!("the root in '{}' is not an absolute path", shown(uri));
        return Err(Error::new(ErrorCode::InvalidUri, Errno::INVAL, message));
    }
    Ok(Target::System { root })
}

/// Adds the URI and the next step to the error for a directory or file that does not exist.
pub(super) fn missing(uri: Option<&str>, e: Error) -> Error {
    let Some(uri) = uri.filter(|_| e.errno() == Errno::NOENT) else { return e };
    let hint = match uri.starts_with("test:") {
        true => {
            "after test://, give the path of a file that mdev_conn_dump_xml() or 'nodedev dumphost' wrote; the built-in \
             simulated host is test:///default"
        }
        false => "root= needs an existing directory, with the sys folder of the host",
    };
    e.hint(hint).of(&shown(uri))
}

fn unknown(uri: &str) -> Error {
    let message = format!(
        "'{}' names no host; use mdev:///system, mdev:///system?root=/DIR, test:///default or test:///PATH/TO/DUMP.xml",
        shown(uri)
    );
    Error::new(ErrorCode::InvalidUri, Errno::INVAL, message)
}

/// Decodes percent-encoded bytes. `None` for an invalid encoding, a NUL, or a result that is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let (digits, after) = tail.split_at_checked(2)?;
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    if bytes.contains(&0) { None } else { String::from_utf8(bytes).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_uris_are_parsed() {
        assert_eq!(parse(None).unwrap(), Target::System { root: "/".into() });
        assert_eq!(parse(Some("mdev:///system")).unwrap(), Target::System { root: "/".into() });
        assert_eq!(parse(Some("mdev:///system?root=/a%20b")).unwrap(), Target::System { root: "/a b".into() });
        assert_eq!(parse(Some("test:///default")).unwrap(), Target::Default);
        assert_eq!(parse(Some("test:///tmp/h.xml")).unwrap(), Target::Dump { path: "/tmp/h.xml".into() });
    }

    #[test]
    fn unknown_uri_is_refused_with_the_known_forms() {
        let bad = [
            "",
            "qemu:///system",
            "mdev:///systems",
            "mdev:///system?",
            "mdev:///system?root=",
            "mdev:///system?root=x",
            "mdev:///system?root=/a&b=1",
            "mdev:///system?root=/%0",
            "mdev:///system?root=/%00",
            "test://",
            "test:///",
            "test://x",
            "mdev://host/system",
        ];
        for uri in bad {
            let e = parse(Some(uri)).unwrap_err();
            assert_eq!(e.code, ErrorCode::InvalidUri, "{uri}");
        }
    }
}
