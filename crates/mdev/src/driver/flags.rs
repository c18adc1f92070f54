// SPDX-License-Identifier: LGPL-2.1-or-later
//! Flags of requests. tests/it/header.rs generates the enums of include/libmdev.h from this file.

use bitflags::bitflags;

bitflags! {
    /// Selects the node devices that mdev_conn_list() returns. MDEV_LIST_PARENTS and MDEV_LIST_DEVICES select the kind:
    /// without either, both are listed. MDEV_LIST_ACTIVE and MDEV_LIST_INACTIVE select the state: without either,
    /// active node devices are listed. Parents are always active.
    ///
    /// Since: 0.1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ListFlags: u32 {
        /// Devices that can create mediated devices.
        const PARENTS = 1;
        /// Mediated devices.
        const DEVICES = 2;
        /// Node devices that exist in the kernel.
        const ACTIVE = 4;
        /// Mediated devices that are defined but not started.
        const INACTIVE = 8;
        /// Lists parents without their types, which take most of the time of a list: for callers that need only names
        /// and states. mdev_device_list_types() of such a parent fails with -ENODATA; look the parent up by its name,
        /// or dump the host.
        const NO_TYPES = 16;
    }

    /// Flags of mdev_conn_create_xml() and mdev_conn_create_group_xml().
    ///
    /// Since: 0.1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct CreateFlags: u32 {
        /// If a device with the same UUID, parent and type exists, return it instead of failing with -EEXIST.
        const EXIST_OK = 1;
        /// If the XML leaves the choice of a parent, prefer parents that already have devices.
        const PACK = 2;
        /// Do not run mdevctl's call-out scripts.
        const NO_CALLOUTS = 4;
        /// Skip elements and XML attributes that this version of the library does not support, as libvirt does, instead
        /// of refusing them with -EINVAL.
        const IGNORE_UNKNOWN = 8;
        /// Choose the parent, the type, the UUID and the VF and check the request, but write nothing. The result is a
        /// handle of the device that does not exist, and the log handler receives the plan: see mdev_conn_plan_xml().
        const DRY_RUN = 16;
    }

    /// Flags of mdev_conn_destroy_uuid(), mdev_device_destroy() and mdev_conn_destroy_incomplete().
    ///
    /// Since: 0.1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct DestroyFlags: u32 {
        /// Fail with -EPERM if the owner of this connection (see mdev_conn_set_owner()) did not create the device.
        const OWNED = 1;
        /// Do not run mdevctl's call-out scripts.
        const NO_CALLOUTS = 2;
    }

    /// Flags of mdev_conn_define_xml(). mdev_device_undefine() accepts only MDEV_DEFINE_NO_CALLOUTS.
    ///
    /// Since: 0.1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct DefineFlags: u32 {
        /// Do not run mdevctl's call-out scripts.
        const NO_CALLOUTS = 1;
        /// Start the device when its parent appears, as mdev_device_set_autostart() does, but in one step and with one
        /// call-out. Without this flag, a new definition has no autostart, and a changed definition keeps its
        /// autostart.
        const AUTOSTART = 2;
        /// Skip elements and XML attributes that this version of the library does not support, as libvirt does, instead
        /// of refusing them with -EINVAL.
        const IGNORE_UNKNOWN = 4;
    }

    /// Flags of mdev_device_start() and mdev_conn_autostart().
    ///
    /// Since: 0.1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct StartFlags: u32 {
        /// Do not run mdevctl's call-out scripts.
        const NO_CALLOUTS = 1;
    }

    /// Flags of mdev_device_get_xml().
    ///
    /// Since: 0.1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct XmlFlags: u32 {
        /// Use libvirt's schema (nodedev.rng) instead of the founding proposal's dialect.
        const LIBVIRT = 1;
        /// Print the definition of a device, also while the device runs. -ENOENT if it has no definition. No effect on
        /// a parent.
        const INACTIVE = 2;
    }

    /// Flags of mdev_device_get_qemu_args().
    ///
    /// Since: 0.1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct QemuFlags: u32 {
        /// Use IOMMUFD and the device's own node /dev/vfio/devices/vfioN instead of its VFIO group. QEMU 8.2 and later.
        const IOMMUFD = 1;
    }

    /// The access to an attribute of a node device: see mdev_device_get_attr_access().
    ///
    /// Since: 0.1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct AttrAccess: u32 {
        /// The attribute can be read with mdev_device_get_attr().
        const READ = 1;
        /// The attribute can be written with mdev_device_set_attr().
        const WRITE = 2;
    }
}
