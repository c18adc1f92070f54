// SPDX-License-Identifier: LGPL-2.1-or-later
//! How the types of one parent share what the parent has.
//!
//! A dump says how many instances of each type can be created at one moment. It does not say what creating one does to the
//! others, so a replay has to assume something, and assumes this: the parent has one resource, and a type that shows `n`
//! available costs `1/n` of what is free. After one more of type `a` the fraction `f = 1 - 1/n_a` is free, and type `i` shows
//! `floor(f * n_i)`.
//!
//! That is exact for every driver with a single resource that was looked at: serial ports (24 single or 12 double), a plain
//! count of devices (4, whatever the type), megabytes (64/16/4). No fraction is ever rounded: what is free is counted in
//! units of one `lcm(n_1, n_2, ...)`th.
//!
//! * A type that shows 0 tells nothing about its cost, except that it is more than what is free: it is taken for twice that.
//!   Where every type shows 0, each costs one unit.
//! * A type whose number cannot be read is created without a limit.
//! * Numbers so odd that their lcm does not fit are counted each for itself.

/// Leaves room to give back more devices than any host has, and to double it.
const UNITS_MAX: u128 = 1 << 96;

/// What a parent has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pool {
    /// One resource; what each type takes of it, `None` for a type without a limit.
    Shared { free: u128, costs: Vec<Option<u128>> },
    /// Each type has its own number.
    Separate { left: Vec<Option<u64>> },
}

impl Pool {
    /// From what each type shows now.
    pub(super) fn new(shown: &[Option<u64>]) -> Pool {
        let nonzero = || shown.iter().flatten().filter(|n| **n > 0).map(|n| u128::from(*n));
        if nonzero().next().is_none() {
            return Pool::Shared { free: 0, costs: shown.iter().map(|n| n.map(|_| 1)).collect() };
        }
        match nonzero().try_fold(1, lcm) {
            Some(units) => {
                let cost = |n: u64| if n == 0 { units * 2 } else { units / u128::from(n) };
                Pool::Shared { free: units, costs: shown.iter().map(|n| n.map(cost)).collect() }
            }
            None => Pool::Separate { left: shown.to_vec() },
        }
    }

    /// How many of the type can be created now; `None` without a limit.
    pub(super) fn available(&self, index: usize) -> Option<u64> {
        match self {
            Pool::Shared { free, costs } => {
                let cost = costs.get(index).copied().flatten()?;
                Some(u64::try_from(free / cost).unwrap_or(u64::MAX))
            }
            Pool::Separate { left } => left.get(index).copied().flatten(),
        }
    }

    /// Takes one of the type; false, and nothing taken, when there is none.
    pub(super) fn take(&mut self, index: usize) -> bool {
        if self.available(index) == Some(0) {
            return false;
        }
        match self {
            Pool::Shared { free, costs } => *free -= costs.get(index).copied().flatten().unwrap_or(0),
            Pool::Separate { left } => {
                if let Some(Some(n)) = left.get_mut(index) {
                    *n -= 1;
                }
            }
        }
        true
    }

    /// Gives one of the type back, whether it was taken here or existed before.
    pub(super) fn give(&mut self, index: usize) {
        match self {
            Pool::Shared { free, costs } => {
                *free = free.saturating_add(costs.get(index).copied().flatten().unwrap_or(0));
            }
            Pool::Separate { left } => {
                if let Some(Some(n)) = left.get_mut(index) {
                    *n = n.saturating_add(1);
                }
            }
        }
    }
}

/// `None` past [`UNITS_MAX`].
fn lcm(a: u128, b: u128) -> Option<u128> {
    (a / gcd(a, b)).checked_mul(b).filter(|units| *units <= UNITS_MAX)
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(shown: &[u64]) -> Pool {
        Pool::new(&shown.iter().map(|n| Some(*n)).collect::<Vec<_>>())
    }

    fn shows(pool: &Pool, types: usize) -> Vec<u64> {
        (0..types).map(|i| pool.available(i).unwrap()).collect()
    }

    #[test]
    fn mtty_counts_ports() {
        let mut mtty = pool(&[24, 12]);
        assert!(mtty.take(0));
        assert_eq!(shows(&mtty, 2), [23, 11]);
        assert!(mtty.take(1));
        assert_eq!(shows(&mtty, 2), [21, 10]);
        mtty.give(0);
        mtty.give(1);
        assert_eq!(shows(&mtty, 2), [24, 12]);
    }

    #[test]
    fn mdpy_counts_devices() {
        let mut mdpy = pool(&[4, 4, 4]);
        for left in (0..4).rev() {
            assert!(mdpy.take(left as usize % 3));
            assert_eq!(shows(&mdpy, 3), [left; 3]);
        }
        assert!(!mdpy.take(1));
    }

    #[test]
    fn mbochs_counts_megabytes() {
        let mut mbochs = pool(&[64, 16, 4]);
        assert!(mbochs.take(0));
        assert_eq!(shows(&mbochs, 3), [63, 15, 3]);
        assert!(mbochs.take(2));
        assert_eq!(shows(&mbochs, 3), [47, 11, 2]);
        assert!(mbochs.take(1));
        assert_eq!(shows(&mbochs, 3), [43, 10, 2]);
    }

    #[test]
    fn what_was_full_when_dumped_frees_up() {
        let mut full = pool(&[0, 0, 0]);
        assert!(!full.take(0));
        full.give(2);
        assert_eq!(shows(&full, 3), [1, 1, 1]);
        // One serial port left: a double port needs two.
        let mut mtty = pool(&[1, 0]);
        assert!(!mtty.take(1));
        mtty.give(0);
        assert_eq!(shows(&mtty, 2), [2, 1]);
    }

    #[test]
    fn a_type_without_a_number_has_no_limit() {
        let mut pool = Pool::new(&[None, Some(1)]);
        for _ in 0..100 {
            assert!(pool.take(0));
        }
        assert_eq!((pool.available(0), pool.available(1)), (None, Some(1)));
    }

    #[test]
    fn numbers_without_a_common_unit_count_for_themselves() {
        let odd = [u64::MAX, u64::MAX - 1, u64::MAX - 2];
        let mut pool = pool(&odd);
        assert!(matches!(pool, Pool::Separate { .. }));
        assert!(pool.take(1));
        assert_eq!(shows(&pool, 3), [odd[0], odd[1] - 1, odd[2]]);
    }
}
