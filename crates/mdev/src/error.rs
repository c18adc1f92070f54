// SPDX-License-Identifier: LGPL-2.1-or-later
//! The error type of the library: a stable code, an errno, one English sentence and a path.

use rustix::io::Errno;

/// The cause of a failure, finer than an errno. A number never gets another meaning.
///
/// Since: 0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub enum ErrorCode {
    /// Internal fault of the library; please report it.
    Internal = 1,
    /// An argument is NULL, too long, or does not have the form that the function requires.
    InvalidArgument = 2,
    /// A handle is NULL, of the wrong kind or already freed.
    InvalidHandle = 3,
    /// The function does not support a flag.
    InvalidFlags = 4,
    /// The connection URI names no host.
    InvalidUri = 5,
    /// The text is not well-formed XML, or does not have the expected root element.
    XmlSyntax = 6,
    /// The XML is well-formed, but an element or a value is invalid or missing.
    XmlContent = 7,
    /// The XML exceeds the limit of size or depth.
    XmlLimit = 8,
    /// No node device has this name or UUID.
    NoNode = 9,
    /// The parent device does not exist or cannot create mediated devices.
    NoParent = 10,
    /// The parent has no such type.
    NoType = 11,
    /// The name or the UUID is in use.
    Exists = 12,
    /// The type has no instances left.
    NoInstances = 13,
    /// A process has the device open.
    InUse = 14,
    /// The sysfs layout of this parent does not support the operation.
    NotSupported = 15,
    /// Parameters were given, but the type accepts none.
    ParamsNotSupported = 16,
    /// A group was given, but the type requires none.
    GroupNotSupported = 17,
    /// No permission.
    AccessDenied = 18,
    /// The device has another owner.
    NotOwner = 19,
    /// The operation did not end within its time limit.
    Timeout = 20,
    /// The kernel returned an error; the errno is the kernel's.
    Kernel = 21,
    /// A file of the kernel has unexpected content.
    BadData = 22,
    /// A file below /run/libmdev or /etc/mdevctl.d could not be read or written.
    Store = 23,
    /// The node device does not have this value.
    NoData = 24,
    /// The device does not have this attribute, or the attribute cannot be read or written.
    NoAttribute = 25,
    /// A panic of the library was caught at the C boundary; please report it.
    Panic = 26,
    /// The kernel accepted the request, but the device did not become usable.
    NotReady = 27,
    /// Several node devices match; name one of them.
    Ambiguous = 28,
    /// The node device is not in the required state: it is not running, is already running, or has no definition.
    WrongState = 29,
    /// An mdevctl call-out refused, or did not end in time.
    Callout = 30,
}

impl ErrorCode {
    /// Returns every code, in the order of the numbers.
    pub const fn all() -> [ErrorCode; 30] {
        [
            ErrorCode::Internal,
            ErrorCode::InvalidArgument,
            ErrorCode::InvalidHandle,
            ErrorCode::InvalidFlags,
            ErrorCode::InvalidUri,
            ErrorCode::XmlSyntax,
            ErrorCode::XmlContent,
            ErrorCode::XmlLimit,
            ErrorCode::NoNode,
            ErrorCode::NoParent,
            ErrorCode::NoType,
            ErrorCode::Exists,
            ErrorCode::NoInstances,
            ErrorCode::InUse,
            ErrorCode::NotSupported,
            ErrorCode::ParamsNotSupported,
            ErrorCode::GroupNotSupported,
            ErrorCode::AccessDenied,
            ErrorCode::NotOwner,
            ErrorCode::Timeout,
            ErrorCode::Kernel,
            ErrorCode::BadData,
            ErrorCode::Store,
            ErrorCode::NoData,
            ErrorCode::NoAttribute,
            ErrorCode::Panic,
            ErrorCode::NotReady,
            ErrorCode::Ambiguous,
            ErrorCode::WrongState,
            ErrorCode::Callout,
        ]
    }

    /// Returns the name of the code: lower case, with dashes. A name never gets another meaning.
    pub const fn name(self) -> &'static str {
        match self {
            ErrorCode::Internal => "internal",
            ErrorCode::InvalidArgument => "invalid-argument",
            ErrorCode::InvalidHandle => "invalid-handle",
            ErrorCode::InvalidFlags => "invalid-flags",
            ErrorCode::InvalidUri => "invalid-uri",
            ErrorCode::XmlSyntax => "xml-syntax",
            ErrorCode::XmlContent => "xml-content",
            ErrorCode::XmlLimit => "xml-limit",
            ErrorCode::NoNode => "no-node",
            ErrorCode::NoParent => "no-parent",
            ErrorCode::NoType => "no-type",
            ErrorCode::Exists => "exists",
            ErrorCode::NoInstances => "no-instances",
            ErrorCode::InUse => "in-use",
            ErrorCode::NotSupported => "not-supported",
            ErrorCode::ParamsNotSupported => "params-not-supported",
            ErrorCode::GroupNotSupported => "group-not-supported",
            ErrorCode::AccessDenied => "access-denied",
            ErrorCode::NotOwner => "not-owner",
            ErrorCode::Timeout => "timeout",
            ErrorCode::Kernel => "kernel",
            ErrorCode::BadData => "bad-data",
            ErrorCode::Store => "store",
            ErrorCode::NoData => "no-data",
            ErrorCode::NoAttribute => "no-attribute",
            ErrorCode::Panic => "panic",
            ErrorCode::NotReady => "not-ready",
            ErrorCode::Ambiguous => "ambiguous",
            ErrorCode::WrongState => "wrong-state",
            ErrorCode::Callout => "callout",
        }
    }
}

/// The error of every function of this crate that can fail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The stable code.
    pub code: ErrorCode,
    /// The positive errno. A C function returns it with a minus sign.
    pub errno: i32,
    /// One English sentence: the object, the file and the next step. Control characters are escaped.
    pub message: String,
    /// The file or directory of the error, if there is one, with its unescaped name.
    pub path: Option<String>,
}

/// The result type of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with a message.
    pub fn new(code: ErrorCode, errno: Errno, message: impl Into<String>) -> Self {
        Error { code, errno: errno.raw_os_error(), message: printable(message.into()), path: None }
    }

    /// -EINVAL with [`ErrorCode::InvalidArgument`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Error::new(ErrorCode::InvalidArgument, Errno::INVAL, message)
    }

    /// The errno of the error.
    pub fn errno(&self) -> Errno {
        Errno::from_raw_os_error(self.errno)
    }

    /// Returns the same error with a path.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// The error of a failed system call on `path`: "cannot {action} {path}: {reason}". The errno determines the code, and is not
    /// changed.
    pub fn io(action: &str, path: &str, errno: Errno) -> Self {
        let code = match errno {
            Errno::ACCESS | Errno::PERM | Errno::ROFS => ErrorCode::AccessDenied,
            _ => ErrorCode::Kernel,
        };
        let error = Error::new(code, errno, format!("cannot {action} {path}: {}", describe(errno))).at(path);
        match errno {
            Errno::ACCESS | Errno::PERM => error.hint(denied_hint(overrides_permissions())),
            Errno::ROFS => error.hint(&format!("the file system that has {path} is mounted read-only")),
            _ => error,
        }
    }

    /// Appends `; hint` to the message: the cause, or the next step.
    #[must_use]
    pub fn hint(mut self, hint: &str) -> Self {
        self.message = printable(format!("{}; {hint}", self.message));
        self
    }

    /// Puts `prefix: ` before the message, to name the object of the failed operation.
    #[must_use]
    pub fn of(mut self, prefix: &str) -> Self {
        self.message = printable(format!("{prefix}: {}", self.message));
        self
    }
}

/// Whether an errno means that this process or host has run out of a resource. Such an errno is no problem of the object that is
/// read, so a list must not leave the object out because of it.
pub fn is_exhausted(errno: Errno) -> bool {
    matches!(errno, Errno::MFILE | Errno::NFILE | Errno::NOMEM)
}

/// An errno, or an error that has one.
pub trait HasErrno {
    /// The errno.
    fn errno(&self) -> Errno;
}

impl HasErrno for Errno {
    fn errno(&self) -> Errno {
        *self
    }
}

impl HasErrno for Error {
    fn errno(&self) -> Errno {
        Error::errno(self)
    }
}

/// Returns `Ok` with the error if the error is a problem of the object that is read. Fails with the error if this process or host has
/// run out of a resource: [`is_exhausted`].
pub fn unless_exhausted<E: HasErrno>(e: E) -> std::result::Result<E, E> {
    if is_exhausted(e.errno()) { Err(e) } else { Ok(e) }
}

/// `None` if the object does not exist or cannot be read. Fails only if this process or host has run out of a resource.
pub fn if_readable<T, E: HasErrno>(result: std::result::Result<T, E>) -> std::result::Result<Option<T>, E> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) => unless_exhausted(e).map(|_| None),
    }
}

/// Whether an errno means that the object does not exist. A caller must report every other errno, and must not treat the object as
/// absent.
pub fn is_absent(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NODEV | Errno::NOTDIR)
}

/// `None` if the object does not exist; every other failure is returned.
pub fn if_present<T>(result: std::result::Result<T, Errno>) -> std::result::Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(errno) if is_absent(errno) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// `None` if the error means that the object does not exist; every other error is returned.
pub fn unless_absent<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if is_absent(e.errno()) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether this process may open files for which its user has no permission.
fn overrides_permissions() -> bool {
    let effective = || Some(rustix::thread::capabilities(None).ok()?.effective);
    rustix::process::geteuid().is_root()
        || effective().is_some_and(|set| set.contains(rustix::thread::CapabilitySet::DAC_OVERRIDE))
}

/// The hint for EACCES and EPERM of a call that opens or reads a file.
fn denied_hint(privileged: bool) -> &'static str {
    match privileged {
        true => "the mode of the file or a security module denies it even to root",
        false => "run as root or with CAP_DAC_OVERRIDE",
    }
}

/// Escapes the characters that change the output of a terminal: control characters, line breaks and characters that change the direction of the text.
/// File names and texts of callers may contain them. Applied to every message and log line.
pub fn printable(text: String) -> String {
    let is_interpreted = |c: char| {
        let changes_direction =
            matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        c.is_control() || changes_direction
    };
    if !text.contains(is_interpreted) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_interpreted(c) { escaped.extend(c.escape_debug()) } else { escaped.push(c) }
    }
    escaped
}

/// Untrusted text for a message: control characters and quotes are escaped, and a long text is cut.
pub fn shown(text: &str) -> String {
    const MAX: usize = 120;
    let mut shown: String = text.chars().take(MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

/// The text of strerror(3) without the "(os error N)" that the standard library appends.
pub fn describe(errno: Errno) -> String {
    let text = std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string();
    match text.rfind(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_error_names_action_path_and_reason() {
        let e = Error::io("write", "/sys/x/create", Errno::NOSPC).of("pci_0000_86_00_0");
        assert_eq!(e.to_string(), "pci_0000_86_00_0: cannot write /sys/x/create: No space left on device");
        assert_eq!((e.code, e.errno, e.path.as_deref()), (ErrorCode::Kernel, 28, Some("/sys/x/create")));
    }

    #[test]
    fn control_characters_in_messages_are_escaped() {
        let bad = "\u{1b}[31m\u{9b}a\nb\u{202e}c\u{7f}";
        let clean = "\\u{1b}[31m\\u{9b}a\\nb\\u{202e}c\\u{7f}";
        let e = Error::io("open", bad, Errno::NOENT).of(bad);
        assert_eq!(e.message, format!("{clean}: cannot open {clean}: No such file or directory"));
        assert_eq!(e.path.as_deref(), Some(bad), "the file has this name");
        assert_eq!(printable("größer 'as' \\ is".to_owned()), "größer 'as' \\ is");
    }

    #[test]
    fn untrusted_text_in_a_message_is_short_and_on_one_line() {
        assert_eq!(shown("a\nb"), "a\\nb");
        assert_eq!(shown(&"x".repeat(10_000_000)).len(), 123);
    }

    #[test]
    fn denied_access_names_root_only_to_other_users() {
        assert!(denied_hint(false).contains("run as root"));
        assert!(!denied_hint(true).contains("run as root"));
        let e = Error::io("write", "/sys/x", Errno::ACCESS);
        assert!(e.message.ends_with(denied_hint(overrides_permissions())), "{e}");
    }

    #[test]
    fn read_only_file_system_is_named_by_the_path() {
        for path in ["/sys/x", "/run/libmdev/lock", "/etc/mdevctl.d"] {
            let e = Error::io("write", path, Errno::ROFS);
            assert_eq!(e.code, ErrorCode::AccessDenied);
            assert!(e.message.contains(&format!("the file system that has {path} is mounted read-only")), "{e}");
        }
    }
}
