// SPDX-License-Identifier: LGPL-2.1-or-later
//! Records of devices that are being made.

use uuid::Uuid;

use super::runtime::{Facts, Runtime};
use crate::error::Result;

/// Names and groups that are ours from now on; ends in [`Reservation::confirm`] or is taken back when dropped.
#[derive(Debug)]
pub struct Reservation<'a> {
    pub(super) store: &'a Runtime,
    pub(super) facts: Vec<Facts>,
    /// Say that the devices are being made; none for the simulated host.
    pub(super) _locks: Vec<crate::lock::Lock>,
    pub(super) confirmed: bool,
}

impl Reservation<'_> {
    /// The facts as they were reserved, groups filled in.
    pub fn facts(&self) -> &[Facts] {
        &self.facts
    }

    /// The devices are there: `alive` gives the mark of each. From here on others may see their facts as settled.
    pub fn confirm(&mut self, alive: &dyn Fn(&Facts) -> Option<u64>) -> Result<()> {
        for facts in self.facts.iter_mut().filter(|facts| facts.worth_keeping()) {
            if facts.mark.is_none() {
                facts.mark = alive(facts);
            } else if let Runtime::Files(_) = self.store {
                // Its file has the mark.
                continue;
            }
            match self.store {
                Runtime::Files(store) => store.replace(facts)?,
                Runtime::Memory(store) => store.replace(facts),
            }
        }
        self.confirmed = true;
        Ok(())
    }

    /// The device of this UUID, on the mdev bus, exists and has this mark. Its record has the mark from here on, so that it
    /// identifies the device even if the creator is killed.
    pub fn mark(&mut self, uuid: &Uuid, mark: u64) -> Result<()> {
        let Runtime::Files(store) = self.store else { return Ok(()) };
        let own = |facts: &&mut Facts| facts.uuid == *uuid && facts.worth_keeping();
        let Some(facts) = self.facts.iter_mut().find(own) else { return Ok(()) };
        let marked = Facts { mark: Some(mark), ..facts.clone() };
        store.replace(&marked)?;
        *facts = marked;
        Ok(())
    }

    /// The device of this UUID is there although its creation has failed: its record stays, with the mark of the device.
    pub fn keep(&mut self, uuid: &Uuid, mark: Option<u64>) {
        let Some(index) = self.facts.iter().position(|facts| facts.uuid == *uuid) else { return };
        let kept = Facts { mark, ..self.facts.remove(index) };
        let written = match self.store {
            _ if !kept.worth_keeping() => Ok(()),
            Runtime::Files(store) => store.replace(&kept),
            Runtime::Memory(store) => {
                store.replace(&kept);
                Ok(())
            }
        };
        if let Err(e) = written {
            log::warn!("{e}");
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if self.confirmed {
            return;
        }
        for facts in self.facts.iter().filter(|facts| facts.worth_keeping()) {
            self.store.withdraw(&facts.uuid);
        }
    }
}
