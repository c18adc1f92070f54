// SPDX-License-Identifier: LGPL-2.1-or-later
//! How the types of one parent share its capacity.
//!
//! A dump contains the number of instances of each type that can be created at one moment. It does not contain the
//! effect of a create on the other types, so a replay assumes this: the parent has one resource, and an instance of a
//! type with `n` available instances costs `1/n` of the free resource. After a create of type `a` the fraction
//! `f = 1 - 1/n_a` is free, and type `i` shows `floor(f * n_i)`. The free resource is counted in units of `1/lcm(n_1, n_2,
//! ...)`, so that no fraction is ever rounded.
//!
//! This is exact for every driver with a single resource that was examined, if nothing was in use when the host was
//! dumped: serial ports (24 single or 12 double), a plain count of devices (4 of any type), megabytes (64/16/4).
//!
//! If something was in use, `n` was rounded down (23 single ports or 11 double), and `1/n` is slightly too high. So
//! if the largest `n` is not a multiple of all others, each cost is taken to be a whole multiple of the cheapest
//! type's cost, as sizes of hardware are. Of the multiples that show the same numbers, a power of two is used if
//! there is one, else the largest multiple. If a type has no such multiple, `1/n` is used for all types. Without this
//! rule, the replay of the steps of a real kernel (`tests/it/kernel_facts.rs`) returns other results than that kernel.
//!
//! * A type that shows 0 costs more than the free resource; the exact cost is unknown. Its cost is the next larger
//!   power of two. If every type shows 0, each costs one unit.
//! * A type whose number cannot be read has no limit.
//! * If the lcm is too large, costs are rounded down to units of 1/2^96: exact for numbers below 2^48.

/// The free resource can still double, and more devices than any host has can be freed, without an overflow.
const UNITS_MAX: u128 = 1 << 96;

/// The free capacity of a parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pool {
    free: u128,
    /// The cost of each type; `None` for a type without a limit.
    costs: Vec<Option<u128>>,
}

impl Pool {
    /// Builds the pool from the numbers that the types show now.
    pub(super) fn new(shown: &[Option<u64>]) -> Pool {
        let most = shown.iter().flatten().max().copied().unwrap_or(0);
        if most == 0 {
            return Pool { free: 0, costs: shown.iter().map(|n| n.map(|_| 1)).collect() };
        }
        let fresh = shown.iter().flatten().all(|n| *n == 0 || most % n == 0);
        let whole = |n: &Option<u64>| match n {
            Some(n) => multiple(most, *n, fresh).map(Some),
            None => Some(None),
        };
        if let Some(costs) = shown.iter().map(whole).collect() {
            return Pool { free: u128::from(most), costs };
        }
        let units = common_units(shown).unwrap_or(UNITS_MAX);
        let cost = |n: u64| if n == 0 { above(units) } else { units / u128::from(n) };
        Pool { free: units, costs: shown.iter().map(|n| n.map(cost)).collect() }
    }

    /// Returns the number of instances of the type that can be created now; `None` if there is no limit.
    pub(super) fn available(&self, index: usize) -> Option<u64> {
        let cost = self.costs.get(index).copied().flatten()?;
        Some(u64::try_from(self.free / cost).unwrap_or(u64::MAX))
    }

    /// Takes one instance of the type. Returns false and changes nothing if none is available.
    pub(super) fn take(&mut self, index: usize) -> bool {
        if self.available(index) == Some(0) {
            return false;
        }
        self.free -= self.costs.get(index).copied().flatten().unwrap_or(0);
        true
    }

    /// Frees one instance of the type, whether it was taken here or existed before.
    pub(super) fn give(&mut self, index: usize) {
        self.free = self.free.saturating_add(self.costs.get(index).copied().flatten().unwrap_or(0));
    }
}

/// Returns the cost of a type that shows `n`, if the cheapest type costs one and shows `most`: a whole number `c`
/// with `floor(most / c) == n`. `None` if there is no such number.
fn multiple(most: u64, n: u64, fresh: bool) -> Option<u128> {
    let (most, n) = (u128::from(most), u128::from(n));
    if n == 0 {
        return Some(above(most));
    }
    let (least, largest) = (most / (n + 1) + 1, most / n);
    let power = least.next_power_of_two();
    if !fresh && power <= largest {
        return Some(power);
    }
    (least <= largest).then_some(largest)
}

/// A cost that exceeds the free resource.
fn above(free: u128) -> u128 {
    (free + 1).next_power_of_two()
}

/// The number of units for which every cost is a whole number. `None` if it exceeds [`UNITS_MAX`].
fn common_units(shown: &[Option<u64>]) -> Option<u128> {
    shown.iter().flatten().filter(|n| **n > 0).map(|n| u128::from(*n)).try_fold(1, lcm)
}

/// The least common multiple; `None` above [`UNITS_MAX`].
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
    fn full_pool_of_dump_is_freed_by_removal() {
        let mut full = pool(&[0, 0, 0]);
        assert!(!full.take(0));
        full.give(2);
        assert_eq!(shows(&full, 3), [1, 1, 1]);
        // One serial port is left; a double port needs two.
        let mut mtty = pool(&[1, 0]);
        assert!(!mtty.take(1));
        mtty.give(0);
        assert_eq!(shows(&mtty, 2), [2, 1]);
    }

    #[test]
    fn half_full_pool_of_dump_is_rounded_once() {
        let mut mtty = pool(&[23, 11]);
        mtty.give(0);
        assert_eq!(shows(&mtty, 2), [24, 12]);
        let mut mbochs = pool(&[47, 11, 2]);
        mbochs.give(0);
        mbochs.give(2);
        assert_eq!(shows(&mbochs, 3), [64, 16, 4]);
        let mut i915 = pool(&[0, 1, 3, 7]);
        i915.give(3);
        assert_eq!(shows(&i915, 4), [1, 2, 4, 8]);
    }

    #[test]
    fn pool_shows_counts_of_its_dump() {
        let numbers = [0, 1, 2, 3, 5, 7, 8, 11, 12, 23, 100];
        for (a, b, c) in
            numbers.iter().flat_map(|a| numbers.map(|b| (*a, b))).flat_map(|(a, b)| numbers.map(|c| (a, b, c)))
        {
            let mut pool = pool(&[a, b, c]);
            assert_eq!(shows(&pool, 3), [a, b, c]);
            if pool.take(0) {
                let left = shows(&pool, 3);
                assert!(left[0] == a - 1 && left[1] <= b && left[2] <= c, "{a} {b} {c}: {left:?}");
                pool.give(0);
                assert_eq!(shows(&pool, 3), [a, b, c]);
            }
        }
    }

    #[test]
    fn pool_fractions_are_exact() {
        // The costs are 1.25 to 1.42 times the cheapest: no whole multiple.
        let mut pool = pool(&[10, 7]);
        assert!(pool.take(0));
        assert_eq!(shows(&pool, 2), [9, 6]);
        assert!(pool.take(1));
        assert_eq!(shows(&pool, 2), [7, 5]);
    }

    #[test]
    fn type_without_count_has_no_limit() {
        let mut pool = Pool::new(&[None, Some(1)]);
        for _ in 0..100 {
            assert!(pool.take(0));
        }
        assert_eq!((pool.available(0), pool.available(1)), (None, Some(1)));
    }

    #[test]
    fn counts_without_common_unit_share_one_resource() {
        let odd = [5, 9, 11].map(|n| (1 << 47) + n);
        let mut pool = pool(&odd);
        assert_eq!(common_units(&odd.map(Some)), None);
        assert_eq!(shows(&pool, 3), odd);
        assert!(pool.take(1));
        let left = shows(&pool, 3);
        assert_eq!(left[1], odd[1] - 1);
        assert!(left[0] < odd[0] && left[2] < odd[2], "{left:?}");
        pool.give(1);
        assert_eq!(shows(&pool, 3), odd);
        assert!(super::Pool::new(&[u64::MAX, u64::MAX - 1].map(Some)).take(0));
    }
}
