// SPDX-License-Identifier: LGPL-2.1-or-later
//! A filter for the socket of the kernel's events, run by the kernel: what certainly has nothing to do with mediated devices
//! neither wakes this process nor takes room among what waits. On a host of containers that is most of what is sent.
//!
//! A program of classic BPF has no loops and no strings. But the kernel's message is regular: with `h` bytes in its first
//! part `action@path`, the same action and path follow as `ACTION=` and `DEVPATH=`, and so `SUBSYSTEM=` stands at 2h + 17.
//! What does not look like that passes, and so does every subsystem that is not on the list: a parent may be of any.

use std::collections::HashMap;

use rustix::fd::BorrowedFd;

use crate::sys::filter::{Instruction, attach_filter};

/// Subsystems of which no parent is, and that have much to tell.
const CHATTER: [&str; 26] = [
    "net",
    "queues",
    "block",
    "bdi",
    "input",
    "usb",
    "module",
    "drivers",
    "cpu",
    "memory",
    "node",
    "tty",
    "vc",
    "thermal",
    "power_supply",
    "backlight",
    "leds",
    "rtc",
    "sound",
    "hid",
    "hidraw",
    "scsi",
    "scsi_host",
    "scsi_disk",
    "workqueue",
    "slab",
];

/// A first part longer than this passes; that of a device in a deep tree of bridges has some 150 bytes.
const FIRST_MAX: u32 = 240;

/// Without the filter there is more to read, and nothing else is different.
pub(super) fn attach(socket: BorrowedFd<'_>) {
    if !attach_filter(socket, &program()) {
        log::debug!("the kernel filters no uevents for us: they are all read");
    }
}

// linux/bpf_common.h: class, size or operation, and mode in one number.
const LOAD_WORD: u16 = 0x20;
const LOAD_WORD_AT_X: u16 = 0x40;
const LOAD_HALF_AT_X: u16 = 0x48;
const LOAD_BYTE_AT_X: u16 = 0x50;
const LOAD_LENGTH: u16 = 0x80;
const LOAD_X: u16 = 0x01;
const LOAD_X_STORED: u16 = 0x61;
const STORE: u16 = 0x02;
const ADD: u16 = 0x04;
const AND: u16 = 0x54;
const SHIFT_LEFT: u16 = 0x64;
const JUMP: u16 = 0x05;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_GREATER_OR_EQUAL_X: u16 = 0x3d;
const RETURN: u16 = 0x06;
const A_TO_X: u16 = 0x07;
const X_TO_A: u16 = 0x87;

/// Every byte of a word of ASCII gets its highest bit by this addition, unless it is NUL. Other bytes lead to a wrong place,
/// at which no `SUBSYSTEM=` stands.
const ASCII: u32 = 0x7f7f_7f7f;
const HIGHEST: u32 = 0x8080_8080;

/// The key and the longest name on the list with its NUL; other variables follow in every message.
const ROOM: u32 = 26;

/// A place in the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Label {
    /// The word with the first NUL was found; it begins at X.
    Word,
    /// This byte of it is not the NUL.
    Byte(u32),
    /// The NUL was found; it is at A.
    Nul,
    /// The key stands where it should.
    Room,
    /// It is not this one of the list.
    Name(usize),
    Pass,
}

/// Instructions, and leaps to places that may come later.
#[derive(Debug, Default)]
struct Program {
    code: Vec<Instruction>,
    places: HashMap<Label, usize>,
    leaps: Vec<(usize, Label)>,
}

impl Program {
    fn op(&mut self, code: u16, k: u32) {
        self.code.push(Instruction { code, jt: 0, jf: 0, k });
    }

    fn here(&mut self, label: Label) {
        self.places.insert(label, self.code.len());
    }

    /// Comparisons leap at most 255 instructions far, so each one leaps over one that leaps further.
    fn leap(&mut self, to: Label) {
        self.leaps.push((self.code.len(), to));
        self.op(JUMP, 0);
    }

    fn leap_unless(&mut self, equal_to: u32, to: Label) {
        self.code.push(Instruction { code: JUMP_IF_EQUAL, jt: 1, jf: 0, k: equal_to });
        self.leap(to);
    }

    /// Goes on only when these bytes stand at X + `offset`.
    fn expect(&mut self, offset: u32, bytes: &[u8], otherwise: Label) {
        let mut at = 0;
        while at < bytes.len() {
            let (size, code) = match bytes.len() - at {
                4.. => (4, LOAD_WORD_AT_X),
                2 | 3 => (2, LOAD_HALF_AT_X),
                _ => (1, LOAD_BYTE_AT_X),
            };
            let value = bytes[at..at + size].iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
            self.op(code, offset + at as u32);
            self.leap_unless(value, otherwise);
            at += size;
        }
    }

    fn finish(mut self) -> Vec<Instruction> {
        for (from, to) in self.leaps {
            self.code[from].k = (self.places[&to] - from - 1) as u32;
        }
        self.code
    }
}

/// The whole program.
pub fn program() -> Vec<Instruction> {
    let mut p = Program::default();
    find_nul(&mut p);
    // From h to 2h + 17, with room behind it.
    p.here(Label::Nul);
    p.op(SHIFT_LEFT, 1);
    p.op(ADD, 17);
    p.op(STORE, 0);
    p.op(ADD, ROOM);
    p.op(A_TO_X, 0);
    p.op(LOAD_LENGTH, 0);
    p.code.push(Instruction { code: JUMP_IF_GREATER_OR_EQUAL_X, jt: 1, jf: 0, k: 0 });
    p.leap(Label::Pass);
    p.here(Label::Room);
    p.op(LOAD_X_STORED, 0);
    let key = b"SUBSYSTEM=";
    p.expect(0, key, Label::Pass);
    for (i, name) in CHATTER.iter().enumerate() {
        let bytes: Vec<u8> = name.bytes().chain([0]).collect();
        p.expect(key.len() as u32, &bytes, Label::Name(i));
        p.op(RETURN, 0);
        p.here(Label::Name(i));
    }
    p.here(Label::Pass);
    p.op(RETURN, u32::MAX);
    p.finish()
}

/// Where the first part of the message ends: to A.
fn find_nul(p: &mut Program) {
    for at in (0..FIRST_MAX).step_by(4) {
        p.op(LOAD_WORD, at);
        p.op(ADD, ASCII);
        p.op(AND, HIGHEST);
        p.op(LOAD_X, at);
        p.leap_unless(HIGHEST, Label::Word);
    }
    p.leap(Label::Pass);
    p.here(Label::Word);
    for byte in 0..4 {
        p.op(LOAD_BYTE_AT_X, byte);
        p.leap_unless(0, Label::Byte(byte));
        p.op(X_TO_A, 0);
        p.op(ADD, byte);
        p.leap(Label::Nul);
        p.here(Label::Byte(byte));
    }
    p.leap(Label::Pass);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    /// What the kernel would do with a message: how much of it passes.
    fn run(code: &[Instruction], message: &[u8]) -> u32 {
        let (mut a, mut x, mut stored, mut at) = (0_u32, 0_u32, 0_u32, 0_usize);
        let load = |from: u32, size: usize| {
            let from = from as usize;
            message.get(from..from + size).map(|b| b.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
        };
        loop {
            let Instruction { code, jt, jf, k } = code[at];
            at += 1;
            // Beyond the end of the message the kernel drops it.
            let mut take = |value: Option<u32>| value.map(|value| a = value).is_some();
            let good = match code {
                LOAD_WORD => take(load(k, 4)),
                LOAD_WORD_AT_X => take(load(x + k, 4)),
                LOAD_HALF_AT_X => take(load(x + k, 2)),
                LOAD_BYTE_AT_X => take(load(x + k, 1)),
                LOAD_LENGTH => take(Some(message.len() as u32)),
                _ => true,
            };
            match code {
                LOAD_X => x = k,
                LOAD_X_STORED => x = stored,
                STORE => stored = a,
                ADD => a = a.wrapping_add(k),
                AND => a &= k,
                SHIFT_LEFT => a <<= k,
                A_TO_X => x = a,
                X_TO_A => a = x,
                JUMP => at += k as usize,
                JUMP_IF_EQUAL => at += usize::from(if a == k { jt } else { jf }),
                JUMP_IF_GREATER_OR_EQUAL_X => at += usize::from(if a >= x { jt } else { jf }),
                RETURN => return k,
                _ => {}
            }
            if !good {
                return 0;
            }
        }
    }

    fn message(action: &str, path: &str, subsystem: &str) -> Vec<u8> {
        format!("{action}@{path}\0ACTION={action}\0DEVPATH={path}\0SUBSYSTEM={subsystem}\0MAJOR=1\0SEQNUM=12345\0")
            .into_bytes()
    }

    #[test]
    fn filter_drops_only_uevents_of_other_subsystems() {
        let code = program();
        assert!(code.len() < 4096, "the kernel takes no more, and there are {}", code.len());
        let listed = |name: &str| CHATTER.contains(&name);
        let others =
            ["mdev", "vfio", "vfio-dev", "pci", "css", "mtty", "netx", "ne", "", "usbmisc", "scsi_x", "matrix"];
        for action in ["add", "bind", "change", "offline"] {
            for length in 1..300 {
                let path = format!("/{}", "d".repeat(length));
                for subsystem in CHATTER.into_iter().chain(others) {
                    let passed = run(&code, &message(action, &path, subsystem)) != 0;
                    let long = action.len() + 2 + length >= FIRST_MAX as usize;
                    assert_eq!(passed, long || !listed(subsystem), "{action} {path} {subsystem}");
                }
            }
        }
    }

    #[test]
    fn filter_passes_messages_in_another_form() {
        let code = program();
        let odd: [&[u8]; 4] = [
            b"add@/devices/x\0DEVPATH=/devices/x\0ACTION=add\0SUBSYSTEM=nets\0SEQNUM=1\0MORE=12345678\0",
            b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0SUBSYSTEM=net\0",
            "add@/devices/äöü\0ACTION=add\0DEVPATH=/devices/äöü\0SUBSYSTEM=mdev\0SEQNUM=12345\0MORE=1".as_bytes(),
            b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0HIDDEN=1\0SUBSYSTEM=net\0SEQNUM=12345\0",
        ];
        for message in odd {
            assert_ne!(run(&code, message), 0, "{}", String::from_utf8_lossy(message));
        }
    }

    /// The kernel's own interpreter, on a socket that we can speak into.
    #[test]
    fn kernel_accepts_the_filter_and_drops_other_uevents() {
        let (kernel, socket) = UnixDatagram::pair().unwrap();
        assert!(attach_filter(socket.as_fd(), &program()));
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
