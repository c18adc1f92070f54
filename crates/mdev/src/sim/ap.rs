// SPDX-License-Identifier: LGPL-2.1-or-later
//! The attributes of an AP matrix device (s390): the adapters, usage domains and control domains of a guest.
//!
//! A queue is a pair of an adapter and a domain; it belongs to at most one device. All queues of the simulated host
//! are free for guests. Queues that the host keeps for itself (EADDRNOTAVAIL) are not simulated.

use super::kernel::Kernel;
use super::template::ap_limit;
use super::text;
use super::tree::Ino;
use crate::sysfs::{Errno, IoResult};

/// The driver part of the type id.
pub(super) const DRIVER: &str = "vfio_ap";

const WORDS: usize = 4;

/// The highest adapter and domain if the host shows no limit.
const ID_MAX: u64 = 255;

/// A mask of 256 bits. Bit 0 is the leftmost, as on s390.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mask([u64; WORDS]);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Matrix {
    adapters: Mask,
    domains: Mask,
    control: Mask,
}

/// A writable file of the device; `true` assigns, `false` unassigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    Adapter(bool),
    Domain(bool),
    Control(bool),
    Config,
}

const WRITABLE: [(&str, u32, File); 7] = [
    ("assign_adapter", 0o200, File::Adapter(true)),
    ("unassign_adapter", 0o200, File::Adapter(false)),
    ("assign_domain", 0o200, File::Domain(true)),
    ("unassign_domain", 0o200, File::Domain(false)),
    ("assign_control_domain", 0o200, File::Control(true)),
    ("unassign_control_domain", 0o200, File::Control(false)),
    ("ap_config", 0o644, File::Config),
];

/// Returns every file that the driver adds, with its mode.
pub(super) fn files() -> impl Iterator<Item = (&'static str, u32)> {
    let readable = ["matrix", "guest_matrix", "control_domains"].map(|name| (name, 0o444));
    WRITABLE.map(|(name, mode, _)| (name, mode)).into_iter().chain(readable)
}

impl File {
    pub(super) fn named(name: &str) -> Option<File> {
        WRITABLE.iter().find(|file| file.0 == name).map(|file| file.2)
    }
}

impl Mask {
    fn set(&mut self, id: u64, on: bool) {
        let (word, bit) = ((id / 64) as usize, 1_u64 << (63 - id % 64));
        if let Some(word) = self.0.get_mut(word) {
            *word = if on { *word | bit } else { *word & !bit };
        }
    }

    fn ids(&self) -> Vec<u64> {
        (0..WORDS as u64 * 64).filter(|id| self.0[(id / 64) as usize] >> (63 - id % 64) & 1 == 1).collect()
    }

    fn meets(&self, other: &Mask) -> bool {
        self.0.iter().zip(other.0).any(|(a, b)| a & b != 0)
    }

    fn hex(&self) -> String {
        self.0.iter().fold("0x".to_owned(), |text, word| format!("{text}{word:016x}"))
    }

    /// Parses hexadecimal digits from the left; missing digits are zero.
    fn parse(text: &str) -> IoResult<Mask> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        if digits.len() > WORDS * 16 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Errno::INVAL);
        }
        let padded = format!("{digits:0<64}");
        let mut mask = Mask::default();
        for (word, digits) in mask.0.iter_mut().zip(padded.as_bytes().chunks(16)) {
            let digits = std::str::from_utf8(digits).map_err(|_| Errno::INVAL)?;
            *word = u64::from_str_radix(digits, 16).map_err(|_| Errno::INVAL)?;
        }
        Ok(mask)
    }
}

impl Matrix {
    /// Lists adapter and domain of every queue. While only adapters or only domains are assigned, lists that half.
    fn queues(&self) -> String {
        let (adapters, domains) = (self.adapters.ids(), self.domains.ids());
        let queue = |a: &u64| domains.iter().map(move |d| format!("{a:02x}.{d:04x}\n")).collect::<String>();
        match (adapters.is_empty(), domains.is_empty()) {
            (false, true) => adapters.iter().map(|a| format!("{a:02x}.\n")).collect(),
            (true, false) => domains.iter().map(|d| format!(".{d:04x}\n")).collect(),
            _ => adapters.iter().map(queue).collect(),
        }
    }

    fn shares_a_queue_with(&self, other: &Matrix) -> bool {
        self.adapters.meets(&other.adapters) && self.domains.meets(&other.domains)
    }

    fn config(&self) -> String {
        format!("{},{},{}\n", self.adapters.hex(), self.domains.hex(), self.control.hex())
    }
}

/// Assigns or unassigns one id, or replaces all three masks. Changes nothing on an error. EADDRINUSE if another
/// device has one of the queues.
pub(super) fn write(kernel: &mut Kernel, uuid: &str, file: File, value: &[u8]) -> IoResult<()> {
    let mut matrix = kernel.devices.get(uuid).ok_or(Errno::NODEV)?.matrix;
    match file {
        File::Adapter(on) => matrix.adapters.set(id(kernel, "ap_max_adapter_id", value)?, on),
        File::Domain(on) => matrix.domains.set(id(kernel, "ap_max_domain_id", value)?, on),
        File::Control(on) => matrix.control.set(id(kernel, "ap_max_domain_id", value)?, on),
        File::Config => matrix = config(kernel, value)?,
    }
    let taken =
        kernel.devices.iter().any(|(other, device)| other != uuid && matrix.shares_a_queue_with(&device.matrix));
    if taken {
        return Err(Errno::ADDRINUSE);
    }
    if let Some(device) = kernel.devices.get_mut(uuid) {
        device.matrix = matrix;
    }
    show(kernel, uuid);
    Ok(())
}

fn limit(kernel: &Kernel, name: &str) -> u64 {
    ap_limit(kernel, name).unwrap_or(ID_MAX).min(ID_MAX)
}

/// Parses a number in any base. ENODEV if it exceeds the limit of the machine.
fn id(kernel: &Kernel, limit_name: &str, value: &[u8]) -> IoResult<u64> {
    let id = text::unsigned(value)?;
    if id > limit(kernel, limit_name) { Err(Errno::NODEV) } else { Ok(id) }
}

fn config(kernel: &Kernel, value: &[u8]) -> IoResult<Matrix> {
    let text = std::str::from_utf8(text::line(value)).map_err(|_| Errno::INVAL)?;
    let masks = text.split(',').map(Mask::parse).collect::<IoResult<Vec<_>>>()?;
    let [adapters, domains, control] = masks[..] else { return Err(Errno::INVAL) };
    let (adapter_max, domain_max) = (limit(kernel, "ap_max_adapter_id"), limit(kernel, "ap_max_domain_id"));
    for (mask, max) in [(&adapters, adapter_max), (&domains, domain_max), (&control, domain_max)] {
        if mask.ids().last().is_some_and(|id| *id > max) {
            return Err(Errno::NODEV);
        }
    }
    Ok(Matrix { adapters, domains, control })
}

/// Updates the readable files.
pub(super) fn show(kernel: &mut Kernel, uuid: &str) {
    let Some(device) = kernel.devices.get(uuid) else { return };
    let (dir, matrix) = (device.dir, device.matrix);
    let whole = if matrix.adapters.ids().is_empty() || matrix.domains.ids().is_empty() {
        String::new()
    } else {
        matrix.queues()
    };
    let control = matrix.control.ids().iter().map(|d| format!("{d:04x}\n")).collect();
    let shown = [
        ("matrix", matrix.queues()),
        ("guest_matrix", whole),
        ("control_domains", control),
        ("ap_config", matrix.config()),
    ];
    for (name, content) in shown {
        if let Some(file) = kernel.tree.child(dir, name) {
            kernel.tree.show(file, &content);
        }
    }
}

/// Reads the assignments of a dumped device.
pub(super) fn restore(kernel: &Kernel, dir: Ino) -> Matrix {
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let mut matrix = Matrix::default();
    for line in kernel.tree.text(dir, "matrix").unwrap_or_default().lines() {
        let (adapter, domain) = line.split_once('.').unwrap_or((line, ""));
        hex(adapter).into_iter().for_each(|id| matrix.adapters.set(id, true));
        hex(domain).into_iter().for_each(|id| matrix.domains.set(id, true));
    }
    let control = kernel.tree.text(dir, "control_domains").unwrap_or_default();
    control.lines().filter_map(hex).for_each(|id| matrix.control.set(id, true));
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_bits_are_counted_from_left() {
        let mut mask = Mask::default();
        mask.set(0, true);
        mask.set(70, true);
        assert_eq!(mask.hex(), format!("0x8000000000000000{:016x}{}", 1_u64 << 57, "0".repeat(32)));
        assert_eq!(Mask::parse(&mask.hex()), Ok(mask));
        assert_eq!(Mask::parse("0x8").unwrap().ids(), [0]);
        assert_eq!((Mask::parse("0xg"), Mask::parse(&"0".repeat(65))), (Err(Errno::INVAL), Err(Errno::INVAL)));
    }

    #[test]
    fn matrix_shows_queues_and_half_queues() {
        let mut matrix = Matrix::default();
        assert_eq!(matrix.queues(), "");
        matrix.domains.set(0xab, true);
        assert_eq!(matrix.queues(), ".00ab\n");
        matrix.adapters.set(5, true);
        matrix.adapters.set(6, true);
        assert_eq!(matrix.queues(), "05.00ab\n06.00ab\n");
    }
}
