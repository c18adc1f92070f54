// SPDX-License-Identifier: LGPL-2.1-or-later
//! What tests do to a simulated host: hardware that is removed, guests, quirks of drivers, failures, a log.

use std::sync::Arc;
use std::time::Duration;

use super::inject::{Hook, LogEntry, Moment, Op};
use super::kernel::Device;
use super::tree::ROOT;
use super::{SimHost, device, nodes, template, unplug, vendor};
use crate::sysfs::{Errno, IoResult, Users};

impl SimHost {
    /// Removes a path, all that is below it and every link that leads there, as when hardware or a driver goes. Devices
    /// go first, in use or not.
    pub fn unplug(&self, path: &str) -> IoResult<()> {
        self.with(|kernel| {
            let ino = kernel.tree.walk(ROOT, path, false)?;
            unplug::unplug(kernel, ino);
            Ok(())
        })
    }

    /// A guest takes a device (by its UUID) or a VF (by its address), or lets go of it. ENODEV for an unknown one and for
    /// a VF without a type, EBUSY while somebody else has it.
    pub fn set_in_use(&self, id: &str, in_use: bool) -> IoResult<()> {
        self.with(|kernel| {
            let vf = kernel.vendor.virtual_gpu(&kernel.tree, id);
            let dir = kernel.devices.get(id).map(|device| device.dir).or(vf).ok_or(Errno::NODEV)?;
            let held = nodes::group_node(&kernel.tree, dir).is_some_and(|node| kernel.held.contains(&node));
            let device = kernel.devices.get_mut(id).map(|device| &mut device.in_use);
            let used = device.or(vf.and_then(|vf| kernel.vendor.vfs.get_mut(&vf)).map(|vf| &mut vf.in_use));
            let used = used.ok_or(Errno::NODEV)?;
            if in_use && (held || *used) {
                return Err(Errno::BUSY);
            }
            *used = in_use;
            if let Ok(file) = kernel.tree.walk(dir, template::VM_NAME, false) {
                kernel.tree.show(file, if in_use { "lab\n" } else { "\n" });
            }
            Ok(())
        })
    }

    /// A process opens the device's own VFIO node (`/dev/vfio/devices/vfioN`) without binding it, or closes the node. The group
    /// stays free. ENODEV for an unknown UUID.
    pub fn set_opened(&self, uuid: &str, opened: bool) -> IoResult<()> {
        self.with(|kernel| {
            let dir = kernel.devices.get(uuid).ok_or(Errno::NODEV)?.dir;
            if opened {
                kernel.opened.insert(dir)
            } else {
                kernel.opened.remove(&dir)
            };
            Ok(())
        })
    }

    /// Moves the time of a device node back by `by`.
    pub fn set_back_time(&self, node: &str, by: Duration) -> IoResult<()> {
        self.with(|kernel| kernel.tree.find(node).map(|ino| kernel.tree.set_back_time(ino, by)))
    }

    /// What a search for the users of an existing node returns when it finds none: [`Users::None`] unless set.
    pub fn set_no_user(&self, users: Users) {
        self.with(|kernel| kernel.no_user = users);
    }

    /// Writes as `echo` in a shell does, which truncates the file first: that is a change of its time, too.
    pub fn echo(&self, path: &str, value: &str) -> IoResult<()> {
        self.with(|kernel| {
            let ino = kernel.tree.find(path)?;
            kernel.tree.set_mtime(ino)?;
            let dir = kernel.tree.node(ino)?.parent;
            let name = kernel.tree.node(ino)?.name.clone();
            kernel.write(dir, &name, format!("{value}\n").as_bytes())
        })
    }

    /// How often the device was reset. ENODEV for an unknown UUID.
    pub fn resets(&self, uuid: &str) -> IoResult<u32> {
        self.with(|kernel| kernel.devices.get(uuid).map(|device| device.resets).ok_or(Errno::NODEV))
    }

    /// The parameters that the next device of a type will get (layout rfc), which no file shows. `type_path` is the
    /// type's directory; ENOENT when it is none.
    pub fn params_set(&self, type_path: &str) -> IoResult<String> {
        self.with(|kernel| {
            let dir = kernel.tree.find(type_path)?;
            let mut types = kernel.parents.iter().flat_map(|parent| &parent.types);
            types.find(|ty| ty.dir == dir).map(|ty| ty.params.clone()).ok_or(Errno::NOENT)
        })
    }

    /// The next create succeeds and makes nothing, as a real driver has been seen to do. To give a VF a type is a create.
    pub fn swallow_next_create(&self) {
        self.with(|kernel| kernel.quirks.swallow_next_create = true);
    }

    /// From now on `vgpu_params` of a VF without a type is ENXIO, and a VF that is given a type has no parameters.
    pub fn params_need_type(&self) {
        self.with(vendor::params_need_type);
    }

    /// While true, a new device has its folder but not yet its type, driver, IOMMU group and VFIO node; they all come
    /// when it is set to false. A VF that is given a type loses its IOMMU group and VFIO node until then.
    pub fn hold_back_links(&self, hold_back: bool) {
        self.with(|kernel| {
            kernel.quirks.hold_back_links = hold_back;
            if hold_back {
                return;
            }
            let bare = |device: &Device| kernel.tree.child(device.dir, "iommu_group").is_none();
            let waiting: Vec<String> =
                kernel.devices.iter().filter(|(_, device)| bare(device)).map(|(uuid, _)| uuid.clone()).collect();
            nodes::bring_back(kernel);
            for uuid in waiting {
                // Only a dumped device can have half of its links already; the rest of it stays as it was dumped.
                let _ = device::attach(kernel, &uuid);
            }
        });
    }

    /// The `nth` operation of this kind from now on (1 is the next one) whose path ends in `path_suffix` fails, once.
    pub fn fail_next(&self, op: Op, path_suffix: &str, errno: Errno, nth: u32) {
        self.shared.inject.fail_next(op, Moment::Before, path_suffix, errno, nth);
    }

    /// Once, the `nth` successful write from now on whose path ends in `path_suffix` takes effect and returns `errno`, as if a
    /// driver made the device and failed.
    pub fn fail_after_write(&self, path_suffix: &str, errno: Errno, nth: u32) {
        self.shared.inject.fail_next(Op::Write, Moment::After, path_suffix, errno, nth);
    }

    /// Sets or takes away what is called before every operation.
    pub fn set_hook(&self, hook: Option<Arc<Hook>>) {
        self.shared.inject.set_hook(hook);
    }

    /// From now on every operation is written down.
    pub fn start_log(&self) {
        self.shared.inject.start_log();
    }

    /// What was written down since [`SimHost::start_log`]; ends the log.
    pub fn take_log(&self) -> Vec<LogEntry> {
        self.shared.inject.take_log()
    }
}
