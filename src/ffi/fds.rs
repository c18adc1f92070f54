// SPDX-License-Identifier: LGPL-2.1-or-later
//! What the monitor needs of the kernel and cannot ask for without `unsafe`: a filter for its socket.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::driver::FilterInstruction;

/// Gives it to the monitor. Once is enough; again does no harm.
pub(super) fn install() {
    crate::driver::set_filter_attacher(attach_filter);
}

/// Lets the kernel look at every message for this socket first. False when it does not take the program.
fn attach_filter(socket: BorrowedFd<'_>, program: &[FilterInstruction]) -> bool {
    let mut program: Vec<libc::sock_filter> =
        program.iter().map(|i| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect();
    let Ok(len) = u16::try_from(program.len()) else { return false };
    let argument = libc::sock_fprog { len, filter: program.as_mut_ptr() };
    // SAFETY: the kernel reads the argument, and as many instructions as it names, while the call runs.
    let rc = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const argument).cast(),
            size_of_val(&argument) as libc::socklen_t,
        )
    };
    rc == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    /// The kernel's own interpreter, on a socket that we can speak into.
    #[test]
    fn the_kernel_takes_the_filter_and_drops_chatter() {
        let (kernel, socket) = UnixDatagram::pair().unwrap();
        assert!(attach_filter(socket.as_fd(), &crate::driver::event_filter()));
        socket.set_nonblocking(true).unwrap();
        let message = |path: &str, subsystem: &str| {
            format!("add@{path}\0ACTION=add\0DEVPATH={path}\0SUBSYSTEM={subsystem}\0MAJOR=1\0SEQNUM=12345\0")
        };
        for length in 1..260 {
            let path = format!("/{}", "d".repeat(length));
            for (subsystem, passes) in
                [("net", length > 234), ("power_supply", length > 234), ("mdev", true), ("pci", true)]
            {
                let sent = message(&path, subsystem);
                // What the filter drops looks like a success, or like a peer that refuses, depending on the kernel.
                let _ = kernel.send(sent.as_bytes());
                let mut buffer = [0; 2048];
                let came = socket.recv(&mut buffer).is_ok_and(|n| &buffer[..n] == sent.as_bytes());
                assert_eq!(came, passes, "{subsystem} with a path of {length}");
            }
        }
        let _ = kernel.send(b"x");
        assert!(socket.recv(&mut [0; 8]).is_err(), "a load beyond the end of a message drops it");
        assert!(!attach_filter(socket.as_fd(), &[]));
    }
}
