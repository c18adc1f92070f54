// SPDX-License-Identifier: LGPL-2.1-or-later
//! The driver table: all functions through one symbol.

use std::ffi::{c_char, c_int, c_uint, c_void};

use rustix::io::Errno;

use super::action::*;
use super::caps::{list_caps, list_devices, num_of_caps, num_of_devices};
use super::conn::*;
use super::define::*;
use super::device::*;
use super::device_info::*;
use super::device_types::*;
use super::errors::*;
use super::event::*;
use super::filter::*;
use super::finding::*;
use super::guard;
use super::log::mdev_set_log_handler;
use super::monitor::*;
use super::options::*;
use super::subscribe::*;
use super::types::*;
use super::user::*;
use super::version::mdev_version;
use mdev::EventKind;
use mdev::{Error, ErrorCode};

/// The version of the layout of struct mdev_driver. New members are only appended, so the version does not change.
///
/// Since: 0.1.
pub const MDEV_DRIVER_ABI: u32 = 1;

/// The driver table: all functions of the library. The callbacks of libvirt's node-device driver come first, in
/// libvirt's order and with the same meaning; all other functions follow. One callback of libvirt is left out:
/// nodeDeviceLookupSCSIHostByWWN, which follows nodeDeviceLookupByName in libvirt's table, since no mediated device is
/// a SCSI host.
///
/// The documentation of a member is that of the exported function that it names. New members are only appended. A
/// member that is NULL is not supported: check it with MDEV_DRIVER_HAS(). The table is static and constant, and all
/// threads share it.
///
/// Since: 0.1. Follows: libvirt's src/driver-nodedev.h.
#[repr(C)]
pub struct mdev_driver {
    /// The size of the library's table in bytes. Since 0.1.
    pub size: usize,
    /// MDEV_DRIVER_ABI. Since 0.1.
    pub abi: u32,
    /// Reserved for feature bits; always 0. Since 0.1.
    pub features: u32,
    /// "mdev". Since 0.1.
    pub name: *const c_char,
    /// mdev_conn_open(). Since 0.1.
    pub open: Option<unsafe extern "C" fn(ret: *mut *mut mdev_conn, uri: *const c_char, flags: c_uint) -> c_int>,
    /// mdev_conn_unref(). Since 0.1.
    pub close: Option<unsafe extern "C" fn(conn: *mut mdev_conn) -> *mut mdev_conn>,
    /// Returns the number of parents and active devices that have the capability cap: "pci", "css" or "ap_matrix" (the
    /// bus of a parent), "mdev_types" (parents), "mdev" (mediated devices); NULL: all. flags: 0. Since 0.1.
    pub num_of_devices: Option<unsafe extern "C" fn(conn: *mut mdev_conn, cap: *const c_char, flags: c_uint) -> c_int>,
    /// Writes the names of the node devices that num_of_devices counts into names, at most maxnames of them, and
    /// returns the number of names. The caller frees each name with free(). Since 0.1.
    pub list_devices: Option<
        unsafe extern "C" fn(
            conn: *mut mdev_conn,
            cap: *const c_char,
            names: *mut *mut c_char,
            maxnames: c_int,
            flags: c_uint,
        ) -> c_int,
    >,
    /// mdev_conn_list(). Since 0.1.
    pub list_all_devices:
        Option<unsafe extern "C" fn(conn: *mut mdev_conn, ret: *mut *mut *mut mdev_device, flags: c_uint) -> c_int>,
    /// mdev_monitor_new(). Since 0.1.
    pub event_register:
        Option<unsafe extern "C" fn(ret: *mut *mut mdev_monitor, conn: *mut mdev_conn, flags: c_uint) -> c_int>,
    /// mdev_monitor_unref(). Since 0.1.
    pub event_deregister: Option<unsafe extern "C" fn(mon: *mut mdev_monitor) -> *mut mdev_monitor>,
    /// mdev_conn_lookup_by_name(). Since 0.1.
    pub lookup_by_name:
        Option<unsafe extern "C" fn(conn: *mut mdev_conn, name: *const c_char, ret: *mut *mut mdev_device) -> c_int>,
    /// mdev_device_get_xml(). Since 0.1.
    pub get_xml_desc:
        Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *mut c_char, flags: c_uint) -> c_int>,
    /// mdev_device_get_parent(). Since 0.1.
    pub get_parent: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int>,
    /// Returns the number of capabilities of a node device. Since 0.1.
    pub num_of_caps: Option<unsafe extern "C" fn(dev: *mut mdev_device) -> c_int>,
    /// Writes the capabilities of a node device into names, at most maxnames of them, and returns the number of
    /// names. The caller frees each name with free(). Since 0.1.
    pub list_caps:
        Option<unsafe extern "C" fn(dev: *mut mdev_device, names: *mut *mut c_char, maxnames: c_int) -> c_int>,
    /// mdev_conn_create_xml(). Since 0.1.
    pub create_xml: Option<
        unsafe extern "C" fn(
            conn: *mut mdev_conn,
            xml: *const c_char,
            ret: *mut *mut mdev_device,
            flags: c_uint,
        ) -> c_int,
    >,
    /// mdev_device_destroy(). Since 0.1.
    pub destroy: Option<unsafe extern "C" fn(dev: *mut mdev_device, flags: c_uint) -> c_int>,
    /// mdev_conn_define_xml(). Since 0.1.
    pub define_xml: Option<
        unsafe extern "C" fn(
            conn: *mut mdev_conn,
            xml: *const c_char,
            ret: *mut *mut mdev_device,
            flags: c_uint,
        ) -> c_int,
    >,
    /// mdev_device_undefine(). Since 0.1.
    pub undefine: Option<unsafe extern "C" fn(dev: *mut mdev_device, flags: c_uint) -> c_int>,
    /// mdev_device_start(). Since 0.1.
    pub create: Option<unsafe extern "C" fn(dev: *mut mdev_device, flags: c_uint) -> c_int>,
    /// mdev_device_set_autostart(). Since 0.1.
    pub set_autostart: Option<unsafe extern "C" fn(dev: *mut mdev_device, autostart: c_int) -> c_int>,
    /// mdev_device_get_autostart(). Since 0.1.
    pub get_autostart: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut c_int) -> c_int>,
    /// mdev_device_is_persistent(). Since 0.1.
    pub is_persistent: Option<unsafe extern "C" fn(dev: *mut mdev_device) -> c_int>,
    /// mdev_device_is_active(). Since 0.1.
    pub is_active: Option<unsafe extern "C" fn(dev: *mut mdev_device) -> c_int>,
    /// mdev_conn_destroy_uuid(). Since 0.1.
    pub destroy_uuid: Option<unsafe extern "C" fn(conn: *mut mdev_conn, uuid: *const c_char, flags: c_uint) -> c_int>,
    /// mdev_device_list_types(). Since 0.1.
    pub list_types: Option<unsafe extern "C" fn(parent: *mut mdev_device, ret: *mut *const *const mdev_type) -> c_int>,
    /// mdev_last_error(). Since 0.1.
    pub last_error: Option<unsafe extern "C" fn() -> *const mdev_error>,
    /// mdev_conn_ref(). Since 0.1.
    pub conn_ref: Option<unsafe extern "C" fn(conn: *mut mdev_conn) -> *mut mdev_conn>,
    /// mdev_conn_dump_xml(). Since 0.1.
    pub conn_dump_xml:
        Option<unsafe extern "C" fn(conn: *mut mdev_conn, ret: *mut *mut c_char, flags: c_uint) -> c_int>,
    /// mdev_conn_lookup_by_uuid(). Since 0.1.
    pub conn_lookup_by_uuid:
        Option<unsafe extern "C" fn(conn: *mut mdev_conn, uuid: *const c_char, ret: *mut *mut mdev_device) -> c_int>,
    /// mdev_conn_create_group_xml(). Since 0.1.
    pub conn_create_group_xml: Option<
        unsafe extern "C" fn(
            conn: *mut mdev_conn,
            xmls: *const *const c_char,
            n: usize,
            ret: *mut *mut *mut mdev_device,
            flags: c_uint,
        ) -> c_int,
    >,
    /// mdev_conn_set_owner(). Since 0.1.
    pub conn_set_owner: Option<unsafe extern "C" fn(conn: *mut mdev_conn, owner: *const c_char) -> c_int>,
    /// mdev_conn_wait_parent(). Since 0.1.
    pub conn_wait_parent: Option<
        unsafe extern "C" fn(
            conn: *mut mdev_conn,
            name: *const c_char,
            timeout_ms: c_int,
            ret: *mut *mut mdev_device,
        ) -> c_int,
    >,
    /// mdev_device_ref(). Since 0.1.
    pub device_ref: Option<unsafe extern "C" fn(dev: *mut mdev_device) -> *mut mdev_device>,
    /// mdev_device_unref(). Since 0.1.
    pub device_unref: Option<unsafe extern "C" fn(dev: *mut mdev_device) -> *mut mdev_device>,
    /// mdev_device_list_free(). Since 0.1.
    pub device_list_free: Option<unsafe extern "C" fn(list: *mut *mut mdev_device)>,
    /// mdev_device_get_name(). Since 0.1.
    pub device_get_name: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int>,
    /// mdev_device_get_syspath(). Since 0.1.
    pub device_get_syspath: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int>,
    /// mdev_device_get_layout(). Since 0.1.
    pub device_get_layout: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int>,
    /// mdev_device_is_parent(). Since 0.1.
    pub device_is_parent: Option<unsafe extern "C" fn(dev: *mut mdev_device) -> c_int>,
    /// mdev_device_get_uuid(). Since 0.1.
    pub device_get_uuid: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int>,
    /// mdev_device_get_type_id(). Since 0.1.
    pub device_get_type_id: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int>,
    /// mdev_device_get_group(). Since 0.1.
    pub device_get_group: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut c_uint) -> c_int>,
    /// mdev_device_get_iommu_group(). Since 0.1.
    pub device_get_iommu_group: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut c_uint) -> c_int>,
    /// mdev_device_get_owner(). Since 0.1.
    pub device_get_owner: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int>,
    /// mdev_device_get_numa_node(). Since 0.1.
    pub device_get_numa_node: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut c_int) -> c_int>,
    /// mdev_device_get_physical_function(). Since 0.1.
    pub device_get_physical_function:
        Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int>,
    /// mdev_device_get_qemu_device(). Since 0.1.
    pub device_get_qemu_device: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *mut c_char) -> c_int>,
    /// mdev_device_get_qmp_device_add(). Since 0.1.
    pub device_get_qmp_device_add:
        Option<unsafe extern "C" fn(dev: *mut mdev_device, id: *const c_char, ret: *mut *mut c_char) -> c_int>,
    /// mdev_device_get_hostdev_xml(). Since 0.1.
    pub device_get_hostdev_xml: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *mut c_char) -> c_int>,
    /// mdev_device_get_attr(). Since 0.1.
    pub device_get_attr:
        Option<unsafe extern "C" fn(dev: *mut mdev_device, name: *const c_char, ret: *mut *mut c_char) -> c_int>,
    /// mdev_device_set_attr(). Since 0.1.
    pub device_set_attr:
        Option<unsafe extern "C" fn(dev: *mut mdev_device, name: *const c_char, value: *const c_char) -> c_int>,
    /// mdev_device_reset(). Since 0.1.
    pub device_reset: Option<unsafe extern "C" fn(dev: *mut mdev_device) -> c_int>,
    /// mdev_device_set_online(). Since 0.1.
    pub device_set_online: Option<unsafe extern "C" fn(dev: *mut mdev_device, online: c_int) -> c_int>,
    /// mdev_device_find_type(). Since 0.1.
    pub device_find_type: Option<
        unsafe extern "C" fn(parent: *mut mdev_device, id_or_name: *const c_char, ret: *mut *const mdev_type) -> c_int,
    >,
    /// mdev_type_get_id(). Since 0.1.
    pub type_get_id: Option<unsafe extern "C" fn(r#type: *const mdev_type) -> *const c_char>,
    /// mdev_type_get_name(). Since 0.1.
    pub type_get_name: Option<unsafe extern "C" fn(r#type: *const mdev_type) -> *const c_char>,
    /// mdev_type_get_device_api(). Since 0.1.
    pub type_get_device_api: Option<unsafe extern "C" fn(r#type: *const mdev_type) -> *const c_char>,
    /// mdev_type_get_description(). Since 0.1.
    pub type_get_description: Option<unsafe extern "C" fn(r#type: *const mdev_type) -> *const c_char>,
    /// mdev_type_get_attr(). Since 0.1.
    pub type_get_attr: Option<unsafe extern "C" fn(r#type: *const mdev_type, name: *const c_char) -> *const c_char>,
    /// mdev_type_get_available_instances(). Since 0.1.
    pub type_get_available_instances: Option<unsafe extern "C" fn(r#type: *const mdev_type, ret: *mut c_uint) -> c_int>,
    /// mdev_type_requires_group(). Since 0.1.
    pub type_requires_group: Option<unsafe extern "C" fn(r#type: *const mdev_type) -> c_int>,
    /// mdev_error_get_code(). Since 0.1.
    pub error_get_code: Option<unsafe extern "C" fn(err: *const mdev_error) -> c_int>,
    /// mdev_error_get_errno(). Since 0.1.
    pub error_get_errno: Option<unsafe extern "C" fn(err: *const mdev_error) -> c_int>,
    /// mdev_error_get_message(). Since 0.1.
    pub error_get_message: Option<unsafe extern "C" fn(err: *const mdev_error) -> *const c_char>,
    /// mdev_error_get_path(). Since 0.1.
    pub error_get_path: Option<unsafe extern "C" fn(err: *const mdev_error) -> *const c_char>,
    /// mdev_set_log_handler(). Since 0.1.
    pub set_log_handler: Option<
        unsafe extern "C" fn(
            handler: Option<unsafe extern "C" fn(level: c_int, message: *const c_char, data: *mut c_void)>,
            data: *mut c_void,
            max_level: c_int,
        ),
    >,
    /// mdev_version(). Since 0.1.
    pub version: Option<unsafe extern "C" fn() -> *const c_char>,
    /// mdev_conn_autostart(). Since 0.1.
    pub conn_autostart:
        Option<unsafe extern "C" fn(conn: *mut mdev_conn, parent: *const c_char, flags: c_uint) -> c_int>,
    /// mdev_monitor_get_fd(). Since 0.1.
    pub monitor_get_fd: Option<unsafe extern "C" fn(mon: *mut mdev_monitor) -> c_int>,
    /// mdev_monitor_receive(). Since 0.1.
    pub monitor_receive: Option<unsafe extern "C" fn(mon: *mut mdev_monitor, ret: *mut *mut mdev_event) -> c_int>,
    /// mdev_event_get_type(). Since 0.1.
    pub event_get_type: Option<unsafe extern "C" fn(ev: *const mdev_event) -> EventKind>,
    /// mdev_event_get_device(). Since 0.1.
    pub event_get_device: Option<unsafe extern "C" fn(ev: *const mdev_event, ret: *mut *mut mdev_device) -> c_int>,
    /// mdev_event_unref(). Since 0.1.
    pub event_unref: Option<unsafe extern "C" fn(ev: *mut mdev_event) -> *mut mdev_event>,
    /// mdev_device_get_params(). Since 0.1.
    pub device_get_params: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int>,
    /// mdev_device_list_attrs(). Since 0.1.
    pub device_list_attrs: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *mut *mut c_char) -> c_int>,
    /// mdev_device_get_attr_access(). Since 0.1.
    pub device_get_attr_access:
        Option<unsafe extern "C" fn(dev: *mut mdev_device, name: *const c_char, ret: *mut c_uint) -> c_int>,
    /// mdev_type_list_attrs(). Since 0.1.
    pub type_list_attrs:
        Option<unsafe extern "C" fn(r#type: *const mdev_type, ret: *mut *const *const c_char) -> c_int>,
    /// mdev_monitor_ref(). Since 0.1.
    pub monitor_ref: Option<unsafe extern "C" fn(mon: *mut mdev_monitor) -> *mut mdev_monitor>,
    /// mdev_monitor_set_buffer_size(). Since 0.1.
    pub monitor_set_buffer_size: Option<unsafe extern "C" fn(mon: *mut mdev_monitor, bytes: usize) -> c_int>,
    /// mdev_event_ref(). Since 0.1.
    pub event_ref: Option<unsafe extern "C" fn(ev: *mut mdev_event) -> *mut mdev_event>,
    /// mdev_conn_event_register(). Since 0.1.
    pub conn_event_register: Option<
        unsafe extern "C" fn(
            conn: *mut mdev_conn,
            callback: mdev_event_callback,
            data: *mut c_void,
            free_data: mdev_free_callback,
            flags: c_uint,
        ) -> c_int,
    >,
    /// mdev_conn_event_deregister(). Since 0.1.
    pub conn_event_deregister: Option<unsafe extern "C" fn(conn: *mut mdev_conn, id: c_int) -> c_int>,
    /// mdev_conn_get_fd(). Since 0.1.
    pub conn_get_fd: Option<unsafe extern "C" fn(conn: *mut mdev_conn) -> c_int>,
    /// mdev_conn_dispatch(). Since 0.1.
    pub conn_dispatch: Option<unsafe extern "C" fn(conn: *mut mdev_conn) -> c_int>,
    /// mdev_type_get_capacity(). Since 0.1.
    pub type_get_capacity:
        Option<unsafe extern "C" fn(r#type: *const mdev_type, ret: *mut c_uint, is_upper_bound: *mut c_int) -> c_int>,
    /// mdev_device_get_qemu_args(). Since 0.1.
    pub device_get_qemu_args:
        Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *mut c_char, flags: c_uint) -> c_int>,
    /// mdev_conn_list_problems(). Since 0.1.
    pub conn_list_problems:
        Option<unsafe extern "C" fn(conn: *mut mdev_conn, ret: *mut *mut *mut mdev_finding, flags: c_uint) -> c_int>,
    /// mdev_finding_get_severity(). Since 0.1.
    pub finding_get_severity: Option<unsafe extern "C" fn(finding: *const mdev_finding) -> c_int>,
    /// mdev_finding_get_code(). Since 0.1.
    pub finding_get_code: Option<unsafe extern "C" fn(finding: *const mdev_finding) -> c_int>,
    /// mdev_finding_get_object(). Since 0.1.
    pub finding_get_object: Option<unsafe extern "C" fn(finding: *const mdev_finding) -> *const c_char>,
    /// mdev_finding_get_message(). Since 0.1.
    pub finding_get_message: Option<unsafe extern "C" fn(finding: *const mdev_finding) -> *const c_char>,
    /// mdev_finding_get_next_step(). Since 0.1.
    pub finding_get_next_step: Option<unsafe extern "C" fn(finding: *const mdev_finding) -> *const c_char>,
    /// mdev_finding_list_free(). Since 0.1.
    pub finding_list_free: Option<unsafe extern "C" fn(list: *mut *mut mdev_finding)>,
    /// mdev_device_list_definition_attrs(). Since 0.1.
    pub device_list_definition_attrs: Option<
        unsafe extern "C" fn(
            dev: *mut mdev_device,
            names: *mut *const *const c_char,
            values: *mut *const *const c_char,
        ) -> c_int,
    >,
    /// mdev_conn_destroy_incomplete(). Since 0.1.
    pub conn_destroy_incomplete:
        Option<unsafe extern "C" fn(conn: *mut mdev_conn, owner: *const c_char, flags: c_uint) -> c_int>,
    /// mdev_error_code_name(). Since 0.1.
    pub error_code_name: Option<extern "C" fn(code: c_int) -> *const c_char>,
    /// mdev_conn_create(). Since 0.1.
    pub conn_create: Option<
        unsafe extern "C" fn(
            conn: *mut mdev_conn,
            options: *const mdev_create_options,
            ret: *mut *mut mdev_device,
            flags: c_uint,
        ) -> c_int,
    >,
    /// mdev_conn_define(). Since 0.1.
    pub conn_define: Option<
        unsafe extern "C" fn(
            conn: *mut mdev_conn,
            options: *const mdev_create_options,
            ret: *mut *mut mdev_device,
            flags: c_uint,
        ) -> c_int,
    >,
    /// mdev_device_get_driver(). Since 0.1.
    pub device_get_driver: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int>,
    /// mdev_device_get_product(). Since 0.1.
    pub device_get_product: Option<
        unsafe extern "C" fn(dev: *mut mdev_device, vendor: *mut *const c_char, product: *mut *const c_char) -> c_int,
    >,
    /// mdev_device_get_address(). Since 0.1.
    pub device_get_address: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *const c_char) -> c_int>,
    /// mdev_device_get_vfio_node(). Since 0.1.
    pub device_get_vfio_node:
        Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *mut c_char, flags: c_uint) -> c_int>,
    /// mdev_conn_plan_xml(). Since 0.1.
    pub conn_plan_xml: Option<
        unsafe extern "C" fn(conn: *mut mdev_conn, xml: *const c_char, plan: *mut *mut c_char, flags: c_uint) -> c_int,
    >,
    /// mdev_conn_list_filtered(). Since 0.1.
    pub conn_list_filtered: Option<
        unsafe extern "C" fn(
            conn: *mut mdev_conn,
            filter: *const mdev_list_filter,
            ret: *mut *mut *mut mdev_device,
            flags: c_uint,
        ) -> c_int,
    >,
    /// mdev_conn_diagnose(). Since 0.1.
    pub conn_diagnose: Option<
        unsafe extern "C" fn(
            conn: *mut mdev_conn,
            parent: *const c_char,
            ret: *mut *mut *mut mdev_finding,
            flags: c_uint,
        ) -> c_int,
    >,
    /// mdev_conn_wait_device(). Since 0.1.
    pub conn_wait_device: Option<
        unsafe extern "C" fn(conn: *mut mdev_conn, uuid: *const c_char, state: c_int, timeout_ms: c_int) -> c_int,
    >,
    /// mdev_device_list_users(). Since 0.1.
    pub device_list_users: Option<unsafe extern "C" fn(dev: *mut mdev_device, ret: *mut *mut *mut mdev_user) -> c_int>,
    /// mdev_user_get_pid(). Since 0.1.
    pub user_get_pid: Option<unsafe extern "C" fn(user: *const mdev_user) -> c_int>,
    /// mdev_user_get_program(). Since 0.1.
    pub user_get_program: Option<unsafe extern "C" fn(user: *const mdev_user) -> *const c_char>,
    /// mdev_user_get_guest(). Since 0.1.
    pub user_get_guest: Option<unsafe extern "C" fn(user: *const mdev_user) -> *const c_char>,
    /// mdev_user_list_free(). Since 0.1.
    pub user_list_free: Option<unsafe extern "C" fn(list: *mut *mut mdev_user)>,
    /// mdev_device_get_vf_counts(). Since 0.1.
    pub device_get_vf_counts:
        Option<unsafe extern "C" fn(dev: *mut mdev_device, used: *mut c_uint, total: *mut c_uint) -> c_int>,
}

// SAFETY: the table is constant. Its only pointer to data points to a static string.
unsafe impl Sync for mdev_driver {}

static DRIVER: mdev_driver = mdev_driver {
    size: size_of::<mdev_driver>(),
    abi: MDEV_DRIVER_ABI,
    features: 0,
    name: c"mdev".as_ptr(),
    open: Some(mdev_conn_open),
    close: Some(mdev_conn_unref),
    num_of_devices: Some(num_of_devices),
    list_devices: Some(list_devices),
    list_all_devices: Some(mdev_conn_list),
    event_register: Some(mdev_monitor_new),
    event_deregister: Some(mdev_monitor_unref),
    lookup_by_name: Some(mdev_conn_lookup_by_name),
    get_xml_desc: Some(mdev_device_get_xml),
    get_parent: Some(mdev_device_get_parent),
    num_of_caps: Some(num_of_caps),
    list_caps: Some(list_caps),
    create_xml: Some(mdev_conn_create_xml),
    destroy: Some(mdev_device_destroy),
    define_xml: Some(mdev_conn_define_xml),
    undefine: Some(mdev_device_undefine),
    create: Some(mdev_device_start),
    set_autostart: Some(mdev_device_set_autostart),
    get_autostart: Some(mdev_device_get_autostart),
    is_persistent: Some(mdev_device_is_persistent),
    is_active: Some(mdev_device_is_active),
    destroy_uuid: Some(mdev_conn_destroy_uuid),
    list_types: Some(mdev_device_list_types),
    last_error: Some(mdev_last_error),
    conn_ref: Some(mdev_conn_ref),
    conn_dump_xml: Some(mdev_conn_dump_xml),
    conn_lookup_by_uuid: Some(mdev_conn_lookup_by_uuid),
    conn_create_group_xml: Some(mdev_conn_create_group_xml),
    conn_set_owner: Some(mdev_conn_set_owner),
    conn_wait_parent: Some(mdev_conn_wait_parent),
    device_ref: Some(mdev_device_ref),
    device_unref: Some(mdev_device_unref),
    device_list_free: Some(mdev_device_list_free),
    device_get_name: Some(mdev_device_get_name),
    device_get_syspath: Some(mdev_device_get_syspath),
    device_get_layout: Some(mdev_device_get_layout),
    device_is_parent: Some(mdev_device_is_parent),
    device_get_uuid: Some(mdev_device_get_uuid),
    device_get_type_id: Some(mdev_device_get_type_id),
    device_get_group: Some(mdev_device_get_group),
    device_get_iommu_group: Some(mdev_device_get_iommu_group),
    device_get_owner: Some(mdev_device_get_owner),
    device_get_numa_node: Some(mdev_device_get_numa_node),
    device_get_physical_function: Some(mdev_device_get_physical_function),
    device_get_qemu_device: Some(mdev_device_get_qemu_device),
    device_get_qmp_device_add: Some(mdev_device_get_qmp_device_add),
    device_get_hostdev_xml: Some(mdev_device_get_hostdev_xml),
    device_get_attr: Some(mdev_device_get_attr),
    device_set_attr: Some(mdev_device_set_attr),
    device_reset: Some(mdev_device_reset),
    device_set_online: Some(mdev_device_set_online),
    device_find_type: Some(mdev_device_find_type),
    type_get_id: Some(mdev_type_get_id),
    type_get_name: Some(mdev_type_get_name),
    type_get_device_api: Some(mdev_type_get_device_api),
    type_get_description: Some(mdev_type_get_description),
    type_get_attr: Some(mdev_type_get_attr),
    type_get_available_instances: Some(mdev_type_get_available_instances),
    type_requires_group: Some(mdev_type_requires_group),
    error_get_code: Some(mdev_error_get_code),
    error_get_errno: Some(mdev_error_get_errno),
    error_get_message: Some(mdev_error_get_message),
    error_get_path: Some(mdev_error_get_path),
    set_log_handler: Some(mdev_set_log_handler),
    version: Some(mdev_version),
    monitor_get_fd: Some(mdev_monitor_get_fd),
    monitor_receive: Some(mdev_monitor_receive),
    event_get_type: Some(mdev_event_get_type),
    event_get_device: Some(mdev_event_get_device),
    event_unref: Some(mdev_event_unref),
    device_get_params: Some(mdev_device_get_params),
    device_list_attrs: Some(mdev_device_list_attrs),
    device_get_attr_access: Some(mdev_device_get_attr_access),
    type_list_attrs: Some(mdev_type_list_attrs),
    monitor_ref: Some(mdev_monitor_ref),
    monitor_set_buffer_size: Some(mdev_monitor_set_buffer_size),
    event_ref: Some(mdev_event_ref),
    conn_event_register: Some(mdev_conn_event_register),
    conn_event_deregister: Some(mdev_conn_event_deregister),
    conn_get_fd: Some(mdev_conn_get_fd),
    conn_dispatch: Some(mdev_conn_dispatch),
    conn_autostart: Some(mdev_conn_autostart),
    type_get_capacity: Some(mdev_type_get_capacity),
    device_get_qemu_args: Some(mdev_device_get_qemu_args),
    conn_list_problems: Some(mdev_conn_list_problems),
    finding_get_severity: Some(mdev_finding_get_severity),
    finding_get_code: Some(mdev_finding_get_code),
    finding_get_object: Some(mdev_finding_get_object),
    finding_get_message: Some(mdev_finding_get_message),
    finding_get_next_step: Some(mdev_finding_get_next_step),
    finding_list_free: Some(mdev_finding_list_free),
    device_list_definition_attrs: Some(mdev_device_list_definition_attrs),
    conn_destroy_incomplete: Some(mdev_conn_destroy_incomplete),
    error_code_name: Some(mdev_error_code_name),
    conn_create: Some(mdev_conn_create),
    conn_define: Some(mdev_conn_define),
    device_get_driver: Some(mdev_device_get_driver),
    device_get_product: Some(mdev_device_get_product),
    device_get_address: Some(mdev_device_get_address),
    device_get_vfio_node: Some(mdev_device_get_vfio_node),
    conn_plan_xml: Some(mdev_conn_plan_xml),
    conn_list_filtered: Some(mdev_conn_list_filtered),
    conn_diagnose: Some(mdev_conn_diagnose),
    conn_wait_device: Some(mdev_conn_wait_device),
    device_list_users: Some(mdev_device_list_users),
    user_get_pid: Some(mdev_user_get_pid),
    user_get_program: Some(mdev_user_get_program),
    user_get_guest: Some(mdev_user_get_guest),
    user_list_free: Some(mdev_user_list_free),
    device_get_vf_counts: Some(mdev_device_get_vf_counts),
};

/// Returns the driver table. A program that loads the library with dlopen() needs to look up only this function with
/// dlsym().
///
/// @param abi MDEV_DRIVER_ABI
/// @param size sizeof(struct mdev_driver) of the caller's header; the library's table may be smaller or larger
/// @return a static table; NULL, and mdev_last_error() is set: the library does not support this abi (-EOPNOTSUPP), or
/// size is smaller than the table of any version (-EINVAL).
///
/// Thread-safe. Since: 0.1. Follows: virStateDriver's registration; vfio's argsz.
#[unsafe(no_mangle)]
pub extern "C" fn mdev_driver_get(abi: u32, size: usize) -> *const mdev_driver {
    guard::pointer(|| {
        if abi != MDEV_DRIVER_ABI {
            let what =
                format!("driver ABI {abi} is not supported, only {MDEV_DRIVER_ABI}; use another version of libmdev");
            return Err(Error::new(ErrorCode::NotSupported, Errno::OPNOTSUPP, what));
        }
        // The smallest useful size: the members before the first function.
        if size < std::mem::offset_of!(mdev_driver, open) {
            return Err(Error::invalid(format!(
                "{size} is not the size of a driver table; pass sizeof(struct mdev_driver)"
            )));
        }
        Ok(std::ptr::from_ref(&DRIVER))
    })
}
