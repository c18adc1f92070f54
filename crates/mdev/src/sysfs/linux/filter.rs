// SPDX-License-Identifier: LGPL-2.1-or-later
//! A filter for the socket of uevents, which the kernel runs. The filter drops uevents that cannot concern mediated devices, so
//! they do not wake this process and take no space in the buffer. On a host with containers, most uevents are dropped.
//! `benches/vm-events` measures the gain.
//!
//! A program of classic BPF has no loops and no strings. But the format of a uevent is fixed: `ACTION@PATH`, NUL, `ACTION=ACTION`,
//! NUL, `DEVPATH=PATH`, NUL, `SUBSYSTEM=NAME`, NUL. If the first part has `h` bytes, `SUBSYSTEM=` is at 2h + 17. The filter passes
//! messages of another format. It also passes every subsystem that is not listed, since a parent may be in any subsystem.

use rustix::fd::BorrowedFd;

use crate::sys::filter::{Instruction, attach_filter};

/// Subsystems with many uevents and no parents. The filter drops their uevents.
const DROPPED: [&str; 26] = [
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

/// The filter passes a message whose first part has this many bytes or more. The first part of a device below many bridges has
/// about 150 bytes. A higher limit makes the program too large: the translated program must fit into net.core.optmem_max, which
/// is 20 KiB before Linux 6.9.
const FIRST_MAX: u32 = 240;

/// Attaches the filter. A failure is only logged: without the filter, more messages are read, and the results are the same.
pub(super) fn attach(socket: BorrowedFd<'_>) {
    if !attach_filter(socket, &program()) {
        log::debug!("the kernel refused the filter for uevents, so all uevents are read");
    }
}

// linux/bpf_common.h: class, size or operation, and mode in one number. There are two registers, A and X.
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
const JUMP_IF_BITS: u16 = 0x45;
const JUMP_IF_GREATER_OR_EQUAL_X: u16 = 0x3d;
const RETURN: u16 = 0x06;
const A_TO_X: u16 = 0x07;
const X_TO_A: u16 = 0x87;

/// The result of the program: the number of bytes of the message that the socket receives.
const DROP: u32 = 0;
const PASS: u32 = u32::MAX;

/// Added to a word of ASCII, this number sets the highest bit of each byte that is not NUL. If the message is not ASCII, `h` may be
/// wrong. The filter then passes the message, since it finds no `SUBSYSTEM=` at 2h + 17.
const ASCII: u32 = 0x7f7f_7f7f;
const HIGHEST: u32 = 0x8080_8080;

const KEY: &[u8] = b"SUBSYSTEM=";

/// At least the size of the key and of the longest name with its NUL. The filter passes a message that is too short for them: the
/// kernel drops a message if the program loads bytes beyond its end.
const ROOM: u32 = 26;

fn op(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

/// Returns an instruction that skips `jt` instructions if the comparison with `k` is true, and `jf` instructions if it is false.
fn compare(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

/// Returns the whole program.
fn program() -> Vec<Instruction> {
    let mut table = Vec::new();

    // X = offset of the first word that contains a NUL; A = the highest bits of its bytes.
    const WORD: u32 = 6;
    for at in (0..FIRST_MAX).step_by(4) {
        table.extend([
            op(LOAD_WORD, at),
            op(ADD, ASCII),
            op(AND, HIGHEST),
            op(LOAD_X, at),
            compare(JUMP_IF_EQUAL, HIGHEST, 1, 0),         // no NUL: the next word
            op(JUMP, (FIRST_MAX - 4 - at) / 4 * WORD + 1), // to the next block
        ]);
    }
    table.push(op(RETURN, PASS)); // the first part is too long

    // A = h, the offset of the NUL.
    const BYTE: u32 = 4;
    for byte in 0..4 {
        table.extend([
            compare(JUMP_IF_BITS, 0x8000_0000 >> (8 * byte), 3, 0), // no NUL: the next byte
            op(X_TO_A, 0),
            op(ADD, byte),
            op(JUMP, (3 - byte) * BYTE), // to the next block
        ]);
    }

    // X = 2h + 17.
    table.extend([
        op(SHIFT_LEFT, 1),
        op(ADD, 17),
        op(STORE, 0),
        op(ADD, ROOM),
        op(A_TO_X, 0),
        op(LOAD_LENGTH, 0),
        compare(JUMP_IF_GREATER_OR_EQUAL_X, 0, 1, 0),
        op(RETURN, PASS), // the message is too short
        op(LOAD_X_STORED, 0),
    ]);

    let name = |name: &&str| if_equal(KEY.len() as u32, &[name.as_bytes(), &[0]].concat(), &[op(RETURN, DROP)]);
    let names: Vec<Instruction> = DROPPED.iter().flat_map(name).collect();
    table.extend(if_equal(0, KEY, &names));
    table.push(op(RETURN, PASS));
    table
}

/// Returns instructions that run `then` if these bytes are at X + `offset`, and skip `then` if not.
fn if_equal(offset: u32, bytes: &[u8], then: &[Instruction]) -> Vec<Instruction> {
    let mut table = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (size, load) = match rest.len() {
            4.. => (4, LOAD_WORD_AT_X),
            2 | 3 => (2, LOAD_HALF_AT_X),
            _ => (1, LOAD_BYTE_AT_X),
        };
        let at = bytes.len() - rest.len();
        let (part, after) = rest.split_at(size);
        let value = part.iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
        table.extend([op(load, offset + at as u32), compare(JUMP_IF_EQUAL, value, 0, 0)]);
        rest = after;
    }
    let end = table.len() + then.len();
    for (place, row) in table.iter_mut().enumerate().skip(1).step_by(2) {
        // The tests run the program, and fail if a distance is larger than 255.
        row.jf = (end - place - 1) as u8;
    }
    table.extend_from_slice(then);
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixDatagram;

    /// Runs the program for a message, as the kernel does. Returns the result of the program.
    fn run(code: &[Instruction], message: &[u8]) -> u32 {
        let (mut a, mut x, mut stored, mut at) = (0_u32, 0_u32, 0_u32, 0_usize);
        let load = |from: u32, size: usize| {
            let from = from as usize;
            message.get(from..from + size).map(|b| b.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
        };
        loop {
            let Instruction { code, jt, jf, k } = code[at];
            at += 1;
            // The kernel drops a message if the program loads bytes beyond its end.
            let mut set_a = |value: Option<u32>| value.map(|value| a = value).is_some();
            let is_loaded = match code {
                LOAD_WORD => set_a(load(k, 4)),
                LOAD_WORD_AT_X => set_a(load(x + k, 4)),
                LOAD_HALF_AT_X => set_a(load(x + k, 2)),
                LOAD_BYTE_AT_X => set_a(load(x + k, 1)),
                LOAD_LENGTH => set_a(Some(message.len() as u32)),
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
                JUMP_IF_BITS => at += usize::from(if a & k != 0 { jt } else { jf }),
                JUMP_IF_GREATER_OR_EQUAL_X => at += usize::from(if a >= x { jt } else { jf }),
                RETURN => return k,
                LOAD_WORD | LOAD_WORD_AT_X | LOAD_HALF_AT_X | LOAD_BYTE_AT_X | LOAD_LENGTH => {}
                _ => panic!("{code:#x} is unknown"),
            }
            if !is_loaded {
                return 0;
            }
        }
    }

    fn message(action: &str, path: &str, subsystem: &str) -> Vec<u8> {
        format!("{action}@{path}\0ACTION={action}\0DEVPATH={path}\0SUBSYSTEM={subsystem}\0MAJOR=1\0SEQNUM=12345\0")
            .into_bytes()
    }

    #[test]
    fn filter_drops_only_uevents_of_listed_subsystems() {
        let code = program();
        assert!(code.len() < 640, "the program may be too large for the kernel: {} instructions", code.len());
        let is_listed = |name: &str| DROPPED.contains(&name);
        let others =
            ["mdev", "vfio", "vfio-dev", "pci", "css", "mtty", "netx", "ne", "", "usbmisc", "scsi_x", "matrix"];
        for action in ["add", "bind", "change", "offline"] {
            for length in 1..300 {
                let path = format!("/{}", "d".repeat(length));
                for subsystem in DROPPED.into_iter().chain(others) {
                    let passed = run(&code, &message(action, &path, subsystem)) != 0;
                    let is_long = action.len() + 2 + length >= FIRST_MAX as usize;
                    assert_eq!(passed, is_long || !is_listed(subsystem), "{action} {path} {subsystem}");
                }
            }
        }
    }

    #[test]
    fn filter_passes_messages_of_another_format() {
        let code = program();
        let others: [&[u8]; 4] = [
            b"add@/devices/x\0DEVPATH=/devices/x\0ACTION=add\0SUBSYSTEM=nets\0SEQNUM=1\0MORE=12345678\0",
            b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0SUBSYSTEM=net\0",
            "add@/devices/äöü\0ACTION=add\0DEVPATH=/devices/äöü\0SUBSYSTEM=mdev\0SEQNUM=12345\0MORE=1".as_bytes(),
            b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0HIDDEN=1\0SUBSYSTEM=net\0SEQNUM=12345\0",
        ];
        for message in others {
            assert_ne!(run(&code, message), 0, "{}", String::from_utf8_lossy(message));
        }
    }

    /// Uses a socket to which this process can send.
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
                // For a dropped message, some kernels return success and some an error.
                let _ = kernel.send(sent.as_bytes());
                let mut buffer = [0; 2048];
                let received = socket.recv(&mut buffer).is_ok_and(|n| &buffer[..n] == sent.as_bytes());
                assert_eq!(received, passes, "{subsystem} with a path of {length}");
            }
        }
        let _ = kernel.send(b"x");
        assert!(socket.recv(&mut [0; 8]).is_err(), "the kernel drops a message that is too short for a load");
        assert!(!attach_filter(socket.as_fd(), &[]));
    }
}
