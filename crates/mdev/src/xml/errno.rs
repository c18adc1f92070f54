// SPDX-License-Identifier: LGPL-2.1-or-later
//! Names of errnos. The numbers differ between architectures, so a dumped host contains names.

macro_rules! table {
    ($($name:ident)*) => {
        /// Every errno that a read of sysfs returned or is documented to return, and the common errnos of drivers.
        const TABLE: &[(&str, i32)] = &[$((stringify!($name), libc::$name)),*];
    };
}

table! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST EXDEV
    ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK
    ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENODATA ETIME ENOLINK ECOMM EPROTO EBADMSG EOVERFLOW EILSEQ EUSERS
    EOPNOTSUPP ENOBUFS ENOTCONN ESHUTDOWN ETIMEDOUT ECONNRESET ECONNREFUSED EHOSTDOWN EALREADY EINPROGRESS ESTALE EUCLEAN
    EREMOTEIO ENOMEDIUM EMEDIUMTYPE ECANCELED EKEYREJECTED
}

/// The largest errno of the kernel.
const MAX_ERRNO: i32 = 4095;

/// The name of an errno, such as `EIO`, or its number if it is not in the table.
pub(super) fn name(errno: i32) -> String {
    match TABLE.iter().find(|(_, number)| *number == errno) {
        Some((name, _)) => (*name).to_owned(),
        None => errno.to_string(),
    }
}

/// The errno for a name or for decimal digits.
pub(super) fn number(text: &str) -> Option<i32> {
    if let Some((_, number)) = TABLE.iter().find(|(name, _)| *name == text) {
        return Some(*number);
    }
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| digits && (1..=MAX_ERRNO).contains(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_name_is_parsed_back_to_its_number() {
        assert_eq!(name(5), "EIO");
        (1..=MAX_ERRNO).for_each(|n| assert_eq!(number(&name(n)), Some(n)));
        for bad in ["", "0", "-5", "+5", "4096", "eio", "EWHAT"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }
}
