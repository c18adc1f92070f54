// SPDX-License-Identifier: LGPL-2.1-or-later
//! Properties of the simulated PFs: no writes use more framebuffer than the card has, and a VF can get every type
//! that it lists.

use mdev::test_hooks::sim::{SimHost, default_host};
use mdev::test_hooks::sysfs::Errno;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::hosts::{read, replay};
use crate::support::vfs::{ALL, SIZES, at, creatable, set, vf};

const CAPACITY: u32 = 141;

#[derive(Debug, Clone)]
enum Step {
    /// Writes a type, 0, or an id that the card does not have.
    Write(u32, u32),
    /// Writes a text that is not an id.
    Garbage(u32, String),
    /// A guest opens or closes the VF.
    Use(u32, bool),
    Replay,
}

fn step() -> impl Strategy<Value = Step> {
    let id = select([&ALL[..], &[0, 0, 7]].concat());
    prop_oneof![
        12 => (0..8_u32, id).prop_map(|(vf, id)| Step::Write(vf, id)),
        1 => (0..8_u32, "[ -~\n]{1,8}").prop_map(|(vf, text)| Step::Garbage(vf, format!("x{text}"))),
        3 => (0..8_u32, any::<bool>()).prop_map(|(vf, in_use)| Step::Use(vf, in_use)),
        1 => Just(Step::Replay),
    ]
}

fn current(host: &SimHost, number: u32) -> u32 {
    read(host, &at(number, "current_vgpu_type")).unwrap().parse().unwrap()
}

fn size(id: u32) -> u32 {
    ALL.iter().position(|known| *known == id).map_or(0, |index| SIZES[index])
}

fn all_current(host: &SimHost) -> Vec<u32> {
    (0..8).map(|number| current(host, number)).collect()
}

/// Returns the expected result of the write, from the state before it, and the type of the VF after it.
fn expected(host: &SimHost, number: u32, id: u32, in_use: bool) -> (Result<(), Errno>, u32) {
    let had = current(host, number);
    match id {
        0 if had != 0 && !in_use => (Ok(()), 0),
        0 => (Err(Errno::PERM), had),
        _ if had != 0 => (Err(Errno::PERM), had),
        _ if creatable(host, number).contains(&id) => (Ok(()), id),
        _ => (Err(Errno::IO), 0),
    }
}

struct Run {
    host: SimHost,
    in_use: [bool; 8],
    /// True if a replay has lost the sizes of some types.
    guesses: bool,
}

impl Run {
    fn take(&mut self, step: &Step) {
        let before = all_current(&self.host);
        let mut after = before.clone();
        match step {
            Step::Write(number, id) => {
                let in_use = self.in_use[*number as usize];
                let (answer, has) = expected(&self.host, *number, *id, in_use);
                assert_eq!(set(&self.host, *number, &id.to_string()), answer, "{id} to {number} of {before:?}");
                after[*number as usize] = has;
            }
            Step::Garbage(number, text) => {
                assert_eq!(set(&self.host, *number, text), Err(Errno::INVAL));
            }
            Step::Use(number, in_use) => {
                let path = vf(*number);
                if self.host.set_in_use(path.rsplit('/').next().unwrap(), *in_use).is_ok() {
                    self.in_use[*number as usize] = *in_use;
                }
            }
            Step::Replay => {
                // A dump does not contain guests, nor the size of a type that is in no list.
                let listed: Vec<u32> = (0..8).flat_map(|number| creatable(&self.host, number)).collect();
                self.guesses |= before.iter().any(|id| *id != 0 && !listed.contains(id));
                *self = Run { host: replay(&self.host), in_use: [false; 8], ..*self };
            }
        }
        assert_eq!(all_current(&self.host), after, "{step:?}");
    }

    fn taken(&self) -> u32 {
        all_current(&self.host).iter().map(|id| size(*id)).sum()
    }

    fn clear(&self) {
        for number in 0..8 {
            let path = vf(number);
            let _ = self.host.set_in_use(path.rsplit('/').next().unwrap(), false);
            let answer = if current(&self.host, number) == 0 { Err(Errno::PERM) } else { Ok(()) };
            assert_eq!(set(&self.host, number, "0"), answer);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_sets_never_exceed_framebuffer_and_free_it(steps in vec(step(), 0..60)) {
        let mut run = Run { host: default_host(), in_use: [false; 8], guesses: false };
        for step in steps.iter().filter(|step| !matches!(step, Step::Replay)) {
            run.take(step);
            let left = CAPACITY.checked_sub(run.taken());
            prop_assert!(left.is_some(), "{:?}", all_current(&run.host));
            for number in 0..8 {
                let is_free = current(&run.host, number) == 0;
                let fits = |id: &u32| is_free && Some(size(*id)) <= left;
                let should: Vec<u32> = ALL.into_iter().filter(fits).collect();
                prop_assert_eq!(creatable(&run.host, number), should);
            }
        }
        run.clear();
        prop_assert_eq!(run.host.entries(), default_host().entries());
    }

    #[test]
    fn replay_lists_types_of_its_dump(steps in vec(step(), 0..60)) {
        let mut run = Run { host: default_host(), in_use: [false; 8], guesses: false };
        for step in &steps {
            run.take(step);
            prop_assert!(run.guesses || run.taken() <= CAPACITY, "{:?}", all_current(&run.host));
        }
        let lists: Vec<_> = (0..8).map(|number| creatable(&run.host, number)).collect();
        let again = replay(&run.host);
        prop_assert_eq!((0..8).map(|number| creatable(&again, number)).collect::<Vec<_>>(), lists);
    }
}
