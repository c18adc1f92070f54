// SPDX-License-Identifier: LGPL-2.1-or-later
//! Flags of requests. tests/it/header.rs makes the enums of include/libmdev.h from this file.

use bitflags::bitflags;

bitflags! {
    /// Which nodes mdev_conn_list() returns. MDEV_LIST_PARENTS and MDEV_LIST_DEVICES select the kind: without either, both are
    /// listed. MDEV_LIST_ACTIVE and MDEV_LIST_INACTIVE select the state: without either, active nodes are listed. Parents are always
    /// active.
    ///
    /// Since: 0.1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ListFlags: u32 {
        /// Devices that can create mediated devices.
        const PARENTS = 1;
        /// Mediated devices.
        const DEVICES = 2;
        /// Nodes that exist in the kernel.
        const ACTIVE = 4;
        /// Devices that are defined, but not started.
        const INACTIVE = 8;
        /// Parents come without their types, which are most of what a list costs: for who wants names and states.
        /// mdev_device_list_types() of such a parent is -ENODATA; look it up by its name, or dump it.
        const NO_TYPES = 16;
    }

    /// How mdev_conn_create_xml() and mdev_conn_create_group_xml() create.
    ///
    /// Since: 0.1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct CreateFlags: u32 {
        /// A device with the same UUID, parent and type is success: it is returned.
        const EXIST_OK = 1;
        /// Where the XML leaves the choice of a parent, fill those first that have devices already.
        const PACK = 2;
        /// Do not run mdevctl's call-out scripts.
        const NO_CALLOUTS = 4;
        /// Skip elements and XML attributes that this version of the library does not support, as libvirt does, instead of
        /// refusing them with -EINVAL.
        const IGNORE_UNKNOWN = 8;
    }

    /// How mdev_conn_destroy_uuid(), mdev_device_destroy() and mdev_conn_destroy_incomplete() destroy.
    ///
    /// Since: 0.1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct DestroyFlags: u32 {
        /// Refuse with -EPERM what the owner of this connection (see mdev_conn_set_owner()) has not made.
        const OWNED = 1;
        /// Do not run mdevctl's call-out scripts.
        const NO_CALLOUTS = 2;
    }

    /// How mdev_conn_define_xml() works; mdev_device_undefine() takes only MDEV_DEFINE_NO_CALLOUTS.
    ///
    /// Since: 0.1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct DefineFlags: u32 {
        /// Do not run mdevctl's call-out scripts.
        const NO_CALLOUTS = 1;
        /// The device is started when its parent appears, as after mdev_device_set_autostart(), in one step and with one call-out.
        /// Without, a new definition is not, and one that is changed stays as it was.
        const AUTOSTART = 2;
        /// Skip elements and XML attributes that this version of the library does not support, as libvirt does, instead of
        /// refusing them with -EINVAL.
        const IGNORE_UNKNOWN = 4;
    }

    /// How mdev_device_start() and mdev_conn_autostart() work.
    ///
    /// Since: 0.1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct StartFlags: u32 {
        /// Do not run mdevctl's call-out scripts.
        const NO_CALLOUTS = 1;
    }

    /// Which XML mdev_device_get_xml() prints.
    ///
    /// Since: 0.1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct XmlFlags: u32 {
        /// Today's libvirt schema (nodedev.rng) instead of the founding proposal's.
        const LIBVIRT = 1;
        /// Print the definition of a device, also while the device runs. -ENOENT if it has no definition. No effect on a parent.
        const INACTIVE = 2;
    }

    /// How mdev_device_get_qemu_args() attaches a device.
    ///
    /// Since: 0.1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct QemuFlags: u32 {
        /// Use IOMMUFD and the device's own node /dev/vfio/devices/vfioN instead of its VFIO group. QEMU 8.2 and later.
        const IOMMUFD = 1;
    }

    /// What can be done with an attribute of a node: mdev_device_get_attr_access().
    ///
    /// Since: 0.1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct AttrAccess: u32 {
        /// It has a value: mdev_device_get_attr().
        const READ = 1;
        /// It takes a value: mdev_device_set_attr().
        const WRITE = 2;
    }
}
