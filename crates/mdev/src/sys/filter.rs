// SPDX-License-Identifier: LGPL-2.1-or-later
//! Attaches a packet filter to a socket.

use std::os::fd::{AsRawFd, BorrowedFd};

/// One instruction, in the form of `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// Number of instructions to skip if a comparison is true.
    pub jt: u8,
    /// Number of instructions to skip if it is false.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// Makes the kernel run the program on every message for this socket. Returns false if the kernel refuses the
/// program.
pub fn attach_filter(socket: BorrowedFd<'_>, program: &[Instruction]) -> bool {
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
