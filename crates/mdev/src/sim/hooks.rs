// SPDX-License-Identifier: LGPL-2.1-or-later
//! Hooks for tests: removed hardware, guests, deviations of drivers, failures, a log of operations.

use std::sync::Arc;
use std::time::Duration;

use super::inject::{Hook, LogEntry, Moment, Op};
use super::kernel::Device;
use super::tree::ROOT;
use super::{SimHost, device, nodes, template, unplug, vendor};
use crate::sysfs::{Errno, IoResult, Users};

impl SimHost {
    /// Removes a path, the entries below it and every link that leads there, as when hardware or a driver is removed.
    /// Removes devices first, even while they are in use. ENOENT if the path does not exist.
    pub fn unplug(&self, path: &str) -> IoResult<()> {
        self.with(|kernel| {
            let ino = kernel.tree.walk(ROOT, path, false)?;
            unplug::unplug(kernel, ino);
            Ok(())
        })
    }

    /// Removes a device or parent, by its sysfs name, as soon as a listing of any folder has returned its link. As in kernfs, this
    /// listing leaves out the next entry.
    pub fn remove_while_listed(&self, sysname: &str) {
        self.with(|kernel| kernel.quirks.removed_while_listed.insert(sysname.to_owned()));
    }

    /// A guest opens or closes a device (by UUID) or a VF (by address). ENODEV if it does not exist or the VF has no
    /// type; EBUSY while another guest or process has it open.
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

    /// A process opens or closes the device's own VFIO node (`/dev/vfio/devices/vfioN`) without binding it. The group
    /// stays free. ENODEV if the UUID does not exist.
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

    /// Moves the time of a device node back by `by`. ENOENT if the node does not exist.
    pub fn set_back_time(&self, node: &str, by: Duration) -> IoResult<()> {
        self.with(|kernel| kernel.tree.find(node).map(|ino| kernel.tree.set_back_time(ino, by)))
    }

    /// Sets the result of a search for the users of an existing node that has none. The default is [`Users::None`].
    pub fn set_no_user(&self, users: Users) {
        self.with(|kernel| kernel.no_user = users);
    }

    /// Writes as `echo` in a shell does: truncates the file first, which also changes its time.
    pub fn echo(&self, path: &str, value: &str) -> IoResult<()> {
        self.with(|kernel| {
            let ino = kernel.tree.find(path)?;
            kernel.tree.set_mtime(ino)?;
            let dir = kernel.tree.node(ino)?.parent;
            let name = kernel.tree.node(ino)?.name.clone();
            kernel.write(dir, &name, format!("{value}\n").as_bytes())
        })
    }

    /// Returns the number of resets of the device. ENODEV if the UUID does not exist.
    pub fn resets(&self, uuid: &str) -> IoResult<u32> {
        self.with(|kernel| kernel.devices.get(uuid).map(|device| device.resets).ok_or(Errno::NODEV))
    }

    /// Returns the parameters for the next device of a type (layout rfc); no file shows them. `type_path` is the
    /// type's directory; ENOENT if it is not one.
    pub fn params_set(&self, type_path: &str) -> IoResult<String> {
        self.with(|kernel| {
            let dir = kernel.tree.find(type_path)?;
            let mut types = kernel.parents.iter().flat_map(|parent| &parent.types);
            types.find(|ty| ty.dir == dir).map(|ty| ty.params.clone()).ok_or(Errno::NOENT)
        })
    }

    /// Makes the next create succeed without creating a device, as a real driver was seen to do. Setting the type of
    /// a VF is a create.
    pub fn swallow_next_create(&self) {
        self.with(|kernel| kernel.quirks.swallow_next_create = true);
    }

    /// From now on, `vgpu_params` of a VF without a type returns ENXIO, and a VF that gets a type starts without
    /// parameters.
    pub fn params_need_type(&self) {
        self.with(vendor::params_need_type);
    }

    /// While true, a new device has only its directory; its type, driver, IOMMU group and VFIO node appear when this
    /// is set to false. A VF that gets a type has no IOMMU group and no VFIO node until then.
    pub fn hold_back_links(&self, hold_back: bool) {
        self.with(|kernel| {
            kernel.quirks.hold_back_links = hold_back;
            if hold_back {
                return;
            }
            let bare = |device: &Device| kernel.tree.child(device.dir, "iommu_group").is_none();
            let waiting: Vec<String> =
                kernel.devices.iter().filter(|(_, device)| bare(device)).map(|(uuid, _)| uuid.clone()).collect();
            nodes::restore_nodes(kernel);
            for uuid in waiting {
                // Fails only for a dumped device that has some of its links; the remaining entries stay as they were
                // dumped.
                let _ = device::attach(kernel, &uuid);
            }
        });
    }

    /// Makes one operation fail: the `nth` of this kind from now on (1 is the next) whose path ends in `path_suffix`.
    pub fn fail_next(&self, op: Op, path_suffix: &str, errno: Errno, nth: u32) {
        self.shared.inject.fail_next(op, Moment::Before, path_suffix, errno, nth);
    }

    /// Makes one successful write return `errno` after it took effect, as if a driver created the device and failed:
    /// the `nth` write from now on whose path ends in `path_suffix`.
    pub fn fail_after_write(&self, path_suffix: &str, errno: Errno, nth: u32) {
        self.shared.inject.fail_next(Op::Write, Moment::After, path_suffix, errno, nth);
    }

    /// Sets or removes the function that is called before every operation.
    pub fn set_hook(&self, hook: Option<Arc<Hook>>) {
        self.shared.inject.set_hook(hook);
    }

    /// Starts a log of all operations.
    pub fn start_log(&self) {
        self.shared.inject.start_log();
    }

    /// Returns the operations since [`SimHost::start_log`] and ends the log.
    pub fn take_log(&self) -> Vec<LogEntry> {
        self.shared.inject.take_log()
    }
}
