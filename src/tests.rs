// SPDX-License-Identifier: LGPL-2.1-or-later
//! Tests of the C layer that are hard to write in C: panics, ending threads, log lines during a call, the layout of the driver
//! table. C programs test everything else.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::offset_of;
use std::process::Command;
use std::ptr::null_mut;
use std::sync::Mutex;

use rustix::io::Errno;

use super::conn::*;
use super::device::*;
use super::driver_table::*;
use super::errors::*;
use super::handle::{Object, borrow};
use super::log::*;
use super::{guard, strings, unwind};
use mdev::{Error, ErrorCode, Result};

/// The message of this thread's error, if the last call failed.
fn message() -> Option<String> {
    let error = mdev_last_error();
    // SAFETY: NULL or an error of this thread, and its message lives as long.
    (!error.is_null()).then(|| unsafe { CStr::from_ptr(mdev_error_get_message(error)) }.to_string_lossy().into_owned())
}

fn code() -> c_int {
    // SAFETY: NULL or an error of this thread.
    unsafe { mdev_error_get_code(mdev_last_error()) }
}

fn refusal() -> Result<c_int> {
    Err(Error::new(ErrorCode::InUse, Errno::BUSY, "the device is in use").at("/sys/x"))
}

fn default_host() -> *mut mdev_conn {
    let mut conn = null_mut();
    // SAFETY: both pointers are good.
    assert_eq!(unsafe { mdev_conn_open(&mut conn, c"test:///default".as_ptr(), 0) }, 0, "{:?}", message());
    conn
}

#[test]
fn panic_in_a_call_returns_enotrecoverable() {
    assert_eq!(guard::call(|| panic!("two\nlines")), -libc::ENOTRECOVERABLE);
    let text = message().expect("an error");
    assert!(text.contains("two lines") && text.contains("tests.rs:"), "{text}");
    assert_eq!(code(), ErrorCode::Panic as c_int);
    // A payload that is not a text, and a payload whose destructor panics.
    assert_eq!(guard::call(|| std::panic::panic_any(7)), -libc::ENOTRECOVERABLE);
    struct Mine;
    impl Drop for Mine {
        fn drop(&mut self) {
            panic!("a destructor")
        }
    }
    assert_eq!(guard::call(|| std::panic::panic_any(Mine)), -libc::ENOTRECOVERABLE);
    assert_eq!(guard::infallible(3, || panic!("quiet")), 3);
    assert_eq!(unwind::depth(), 0);
}

/// Not a separate test: the next test runs this in another process, to read its stderr.
#[test]
fn panic_in_a_process_of_its_own() {
    let place = std::env::var_os("MDEV_TEST_PANIC").unwrap_or_default();
    if place == "inside" {
        assert_eq!(guard::call(|| panic!("unheard")), -libc::ENOTRECOVERABLE);
    } else if place == "outside" {
        guard::call(|| Ok(0));
        let caught = std::panic::catch_unwind(|| panic!("heard"));
        assert!(caught.is_err());
    }
}

#[test]
fn panic_in_a_call_prints_nothing_and_outside_prints_a_message() {
    let stderr_of = |place: &str| {
        let mut me = Command::new(std::env::current_exe().expect("this program"));
        me.args(["--exact", "tests::panic_in_a_process_of_its_own", "--nocapture"]).env("MDEV_TEST_PANIC", place);
        let output = me.output().expect("this program again");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert_eq!(stderr_of("inside"), "");
    assert!(stderr_of("outside").contains("heard"));
}

#[test]
fn last_error_is_set_by_a_failure_and_cleared_by_the_next_call() {
    assert_eq!(guard::call(refusal), -libc::EBUSY);
    assert_eq!(message().as_deref(), Some("the device is in use"));
    let error = mdev_last_error();
    // SAFETY: an error of this thread.
    unsafe {
        assert_eq!(mdev_error_get_errno(error), libc::EBUSY);
        assert_eq!(CStr::from_ptr(mdev_error_get_path(error)), c"/sys/x");
    }
    // A getter that succeeds does not change the error; a getter that fails does.
    assert_eq!(guard::getter(|| Ok(1)), 1);
    assert!(message().is_some());
    assert_eq!(guard::getter(|| Err(Error::invalid("bad"))), -libc::EINVAL);
    assert_eq!(message().as_deref(), Some("bad"));
    let error = mdev_last_error();
    assert_eq!(guard::call(|| Ok(0)), 0);
    assert_eq!(message(), None);
    // SAFETY: mdev_last_error() does not return it any more, but it is valid until the next failure.
    assert_eq!(unsafe { mdev_error_get_errno(error) }, libc::EINVAL);
    std::thread::spawn(|| assert_eq!(message(), None)).join().expect("the thread");
}

#[test]
fn failure_with_any_errno_returns_a_negative_value() {
    let odd = Error { code: ErrorCode::Internal, errno: 0, message: "odd".into(), path: None };
    assert_eq!(guard::call(|| Err(odd)), -libc::EIO);
}

#[test]
fn call_in_a_destructor_of_a_thread_succeeds() {
    struct AtTheEnd;
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            assert_eq!(guard::call(refusal), -libc::EBUSY);
            let _ = mdev_last_error();
            let finding = || mdev::Finding::new(ErrorCode::BadData, "/sys/x", "not a number");
            let ((), found) = mdev::collect(|| mdev::c_interface::report(finding()));
            assert!(found.len() <= 1, "the slot may be gone: {found:?}");
        }
    }
    thread_local!(static LATE: AtTheEnd = const { AtTheEnd });
    // In one of the two orders, the error's slot no longer exists at the end of the other slot.
    for late_first in [true, false] {
        let thread = std::thread::spawn(move || {
            if late_first {
                LATE.with(|_| ());
            }
            assert_eq!(guard::call(refusal), -libc::EBUSY);
            let ((), found) = mdev::collect(|| ());
            assert_eq!(found, []);
            LATE.with(|_| ());
        });
        thread.join().expect("no panic at the end of a thread");
    }
}

#[test]
fn handle_of_another_kind_is_refused() {
    let conn = default_host();
    let refused = |wrong: *const mdev_device| {
        // SAFETY: each points to readable memory.
        let error = unsafe { borrow(wrong) }.map(|_| ()).expect_err("no node");
        assert_eq!((error.code, error.errno), (ErrorCode::InvalidHandle, libc::EINVAL));
        error.message
    };
    assert!(refused(conn.cast()).contains("expected a node device, got a connection"));
    let zeroes = [0u64; 4];
    assert!(refused(zeroes.as_ptr().cast()).contains("not a handle of this library"));
    assert!(refused(zeroes.as_ptr().cast::<u8>().wrapping_add(1).cast()).contains("not a handle of this library"));
    // The memory after the last unref, while it is not reused.
    let mut gone = std::mem::ManuallyDrop::new(Object::<mdev_conn>::new(super::conn::Body::new(
        mdev::Conn::open(Some("test:///default")).expect("a host"),
    )));
    // SAFETY: dropped once, and read only as memory afterwards.
    unsafe { std::mem::ManuallyDrop::drop(&mut gone) };
    assert!(refused((&raw const gone).cast()).contains("a handle without references"));
    // SAFETY: one reference exists, a second is taken, and both are dropped.
    unsafe {
        assert_eq!(mdev_conn_ref(conn), conn);
        assert!(mdev_conn_unref(conn).is_null() && mdev_conn_unref(conn).is_null());
    }
}

#[test]
fn text_and_list_results_have_c_form() {
    let copy = strings::to_c_string("a\0b").expect("memory");
    // SAFETY: fresh from malloc, with a NUL at its end.
    unsafe {
        assert_eq!(CStr::from_ptr(copy), c"a");
        strings::free(copy);
    }
    let mut elements = [1, 2];
    let list = strings::to_c_list(elements.iter_mut().map(std::ptr::from_mut)).expect("memory");
    // SAFETY: two elements and a NULL.
    unsafe {
        assert_eq!((*list.read(), *list.add(1).read(), list.add(2).read()), (1, 2, null_mut()));
        strings::free(list);
    }
    let latin1 = CString::new([b'a', 0xe4]).expect("no NUL");
    // SAFETY: a string.
    let error = unsafe { strings::text(latin1.as_ptr(), "the name") }.expect_err("not UTF-8");
    assert_eq!((error.errno, error.message.contains("the name is not valid UTF-8")), (libc::EINVAL, true));
}

/// The calls of the handlers below: level, line.
static SEEN: Mutex<Vec<(c_int, String)>> = Mutex::new(Vec::new());

fn seen() -> Vec<(c_int, String)> {
    std::mem::take(&mut *SEEN.lock().expect("no panic in a handler"))
}

unsafe extern "C" fn keep(level: c_int, message: *const c_char, data: *mut c_void) {
    // Other tests of this process log as well.
    // SAFETY: a string of the library.
    let line = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    if line.contains("of this test") || line.contains("left out") {
        SEEN.lock().expect("no panic in a handler").push((level, line));
    }
    if !data.is_null() {
        // Inside the handler: calls of the library, and another handler.
        guard::call(|| {
            ::log::error!("line of this test from inside");
            refusal()
        });
        // SAFETY: the data is not used.
        unsafe { mdev_set_log_handler(Some(keep), null_mut(), 2) };
    }
}

#[test]
fn log_lines_are_delivered_at_the_end_of_the_call() {
    let set = |data: *mut c_void, level| {
        // SAFETY: the data is only compared with NULL.
        unsafe { mdev_set_log_handler(Some(keep), data, level) };
    };
    set(null_mut(), 3);
    let rc = guard::call(|| {
        ::log::info!("first\nof this test");
        ::log::debug!("too fine, of this test");
        assert!(seen().is_empty(), "not while the call runs");
        refusal()
    });
    assert_eq!((rc, seen()), (-libc::EBUSY, vec![(3, "first\\nof this test".to_owned())]));

    // A handler that calls the library does not change the error of the call that logged, and does not get its own log lines.
    set(&raw const SEEN as *mut c_void, 4);
    let rc = guard::call(|| {
        ::log::warn!("second of this test");
        Err(Error::invalid("the outer error"))
    });
    assert_eq!((rc, message().as_deref()), (-libc::EINVAL, Some("the outer error")));
    assert_eq!(seen(), [(2, "second of this test".to_owned())]);
    // A failed call inside the handler does not make the outer call fail.
    set(&raw const SEEN as *mut c_void, 4);
    let rc = guard::call(|| {
        ::log::warn!("third of this test");
        Ok(5)
    });
    assert_eq!((rc, message(), seen().len()), (5, None, 1));
    guard::call(|| {
        ::log::info!("the handler has set level 2 of this test");
        Ok(0)
    });
    assert!(seen().is_empty());

    guard::call(|| {
        (0..1500).for_each(|n| ::log::error!("{n} of this test"));
        Ok(0)
    });
    let lines = seen();
    assert_eq!((lines.len(), lines[1000].1.as_str()), (1001, "500 more lines of this call were left out"));
    // SAFETY: no handler.
    unsafe { mdev_set_log_handler(None, null_mut(), 4) };
    guard::call(|| {
        ::log::error!("no handler gets this line of this test");
        Ok(0)
    });
    assert!(seen().is_empty());
}

/// A callback runs during a call, and may call the library, as a log handler may.
#[test]
fn successful_call_does_not_return_an_inner_failure() {
    let outer = guard::call(|| {
        let _outside = unwind::Depth::set(0);
        assert_eq!(guard::call(refusal), -libc::EBUSY);
        assert!(message().is_some());
        Ok(1)
    });
    assert_eq!((outer, message()), (1, None));
}

/// Programs are compiled against these offsets: a member never moves, and a new member is appended to this list.
#[test]
fn driver_table_members_keep_their_offsets() {
    macro_rules! places {
        ($($member:ident)*) => { [$((stringify!($member), offset_of!(mdev_driver, $member))),*] };
    }
    let members = places![
        open close num_of_devices list_devices list_all_devices event_register event_deregister lookup_by_name
        get_xml_desc get_parent num_of_caps list_caps create_xml destroy define_xml undefine create set_autostart
        get_autostart is_persistent is_active destroy_uuid list_types last_error conn_ref conn_dump_xml
        conn_lookup_by_uuid conn_create_group_xml conn_set_owner conn_wait_parent device_ref device_unref
        device_list_free device_get_name device_get_syspath device_get_layout device_is_parent device_get_uuid
        device_get_type_id device_get_group device_get_iommu_group device_get_owner device_get_numa_node
        device_get_physical_function device_get_qemu_device device_get_qmp_device_add device_get_hostdev_xml
        device_get_attr device_set_attr device_reset device_set_online device_find_type type_get_id type_get_name
        type_get_device_api type_get_description type_get_attr type_get_available_instances type_requires_group
        error_get_code error_get_errno error_get_message error_get_path set_log_handler version conn_autostart
        monitor_get_fd monitor_receive event_get_type event_get_device event_unref device_get_params
        device_list_attrs device_get_attr_access type_list_attrs
        monitor_ref monitor_set_buffer_size event_ref conn_event_register conn_event_deregister conn_get_fd
        conn_dispatch type_get_capacity device_get_qemu_args
        conn_list_problems finding_get_severity finding_get_code finding_get_object finding_get_message
        finding_get_next_step finding_list_free device_list_definition_attrs conn_destroy_incomplete error_code_name conn_create conn_define
        device_get_driver device_get_product device_get_address device_get_vfio_node conn_plan_xml conn_list_filtered
        conn_diagnose conn_wait_device device_list_users user_get_pid user_get_program user_get_guest user_list_free
        device_get_vf_counts
    ];
    assert_eq!(offset_of!(mdev_driver, name), size_of::<usize>() + 8);
    let first = offset_of!(mdev_driver, name) + size_of::<*const c_char>();
    for (index, (member, place)) in members.into_iter().enumerate() {
        assert_eq!(place, first + index * size_of::<usize>(), "{member} has moved");
    }
    assert_eq!(size_of::<mdev_driver>(), first + members.len() * size_of::<usize>());
}

#[test]
fn driver_table_is_returned_for_a_known_abi_only() {
    let size = size_of::<mdev_driver>();
    for newer_or_older in [size, size * 2, size - 8, offset_of!(mdev_driver, open)] {
        // SAFETY: a static table.
        let table = unsafe { &*mdev_driver_get(MDEV_DRIVER_ABI, newer_or_older) };
        assert_eq!((table.size, table.abi, table.features), (size, 1, 0));
    }
    for (abi, size) in [(0, size), (2, size), (1, 0), (1, 8)] {
        assert!(mdev_driver_get(abi, size).is_null());
        assert!(message().is_some());
    }
}

/// A process whose main thread has ended while another thread, with the same descriptors, has not.
struct Headless(c_int);

impl Headless {
    fn start() -> Self {
        extern "C" fn wait(_: *mut c_void) -> c_int {
            loop {
                // SAFETY: a call of the kernel.
                unsafe { libc::pause() };
            }
        }
        let mut stack = vec![0_u128; 4096];
        let flags = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
        // SAFETY: both processes return from here as from fork(2). The child makes only system calls: it starts a thread on a
        // stack in its own copy of the memory, which stays until the child is killed, and ends its main thread.
        let pid = unsafe {
            let pid = libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0);
            if pid == 0 {
                libc::clone(wait, stack.as_mut_ptr_range().end.cast(), flags, null_mut());
                libc::syscall(libc::SYS_exit, 0);
            }
            pid
        };
        assert!(pid > 0);
        Headless(pid as c_int)
    }

    fn state(&self) -> String {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap();
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.0)).unwrap().count();
        format!("{}{threads}", stat.rsplit(") ").next().unwrap().split(' ').next().unwrap())
    }
}

impl Drop for Headless {
    fn drop(&mut self) {
        // SAFETY: a child of this test, whose status is not read.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, null_mut(), libc::__WALL);
        }
    }
}

#[test]
fn device_of_a_process_without_main_thread_is_in_use() {
    const UUID: &str = "11111111-2222-4333-8444-555555555555";
    let root = tempfile::tempdir().unwrap();
    let parent = "sys/devices/virtual/mtty/mtty";
    // Without a device number, the node is the file itself.
    let files = [
        (format!("{parent}/mdev_supported_types/mtty-1/device_api"), "vfio-pci\n"),
        (format!("{parent}/{UUID}/remove"), ""),
        (format!("{parent}/{UUID}/vfio-dev/vfio0/dev"), "\n"),
        ("dev/vfio/devices/vfio0".to_owned(), ""),
    ];
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let bus = root.path().join("sys/bus/mdev/devices");
    std::fs::create_dir_all(&bus).unwrap();
    std::os::unix::fs::symlink(format!("../../../devices/virtual/mtty/mtty/{UUID}"), bus.join(UUID)).unwrap();
    let node = std::fs::File::open(root.path().join("dev/vfio/devices/vfio0")).unwrap();
    let user = Headless::start();
    drop(node);
    while user.state() != "Z2" {
        std::thread::yield_now();
    }
    let uri = format!("mdev:///system?root={}", root.path().display());
    let conn = mdev::Conn::open(Some(&uri)).unwrap();
    let e = conn.destroy_uuid(UUID, mdev::DestroyFlags::empty()).unwrap_err();
    assert_eq!((e.code, e.errno), (ErrorCode::InUse, libc::EBUSY), "{e}");
    assert!(e.message.contains(&format!("process {} ", user.0)), "{e}");
    let remove = std::fs::read(root.path().join(format!("{parent}/{UUID}/remove"))).unwrap();
    assert_eq!(remove, b"", "nothing was written");
}
