// SPDX-License-Identifier: LGPL-2.1-or-later
//! Creates whose call-out changes sysfs: a module is loaded again, or a driver registers its types again.

use std::fs;
use std::os::unix::fs::MetadataExt;

use mdev::{Conn, CreateFlags};
use tempfile::TempDir;

use crate::support::lab::request;
use crate::support::scripts::install_script;
use crate::support::tree::{Tree, TypeSpec};

const UUID: &str = "11111111-2222-4333-8444-555555555555";
const OTHER: &str = "22222222-2222-4333-8444-555555555555";
const BUS: &str = "/sys/bus/mdev/devices";

/// A host with one parent.
fn host() -> (TempDir, Tree, String) {
    let root = tempfile::tempdir().unwrap();
    let tree = Tree::new(root.path()).unwrap();
    let mtty = tree.virtual_device("mtty").unwrap();
    tree.parent(&mtty, &[TypeSpec::new("mtty-1", "Single port serial", "vfio-pci", 24)]).unwrap();
    (root, tree, mtty)
}

fn connect(root: &TempDir, body: &str) -> Conn {
    let script = root.path().join("etc/mdevctl.d/scripts.d/callouts/s");
    install_script(&script, &format!("[ $6 = capabilities ] && exit 2\n{body}\nexit 0\n"));
    Conn::open(Some(&format!("mdev:///system?root={}", root.path().display()))).unwrap()
}

fn with_uuid() -> String {
    request("mtty", "mtty-1", &format!("<uuid>{UUID}</uuid>"))
}

/// The create looks at the records of all devices, and removes those without a device.
#[test]
fn create_whose_callout_reloads_the_bus_keeps_records_of_other_devices() {
    let (root, mut tree, mtty) = host();
    tree.mdev(&mtty, "mtty-1", OTHER).unwrap();
    let bus = tree.real(BUS);
    let identity = fs::symlink_metadata(bus.join(OTHER)).unwrap().ino();
    let record = tree.real(&format!("/run/libmdev/devices/{OTHER}"));
    let text = format!(r#"{{"uuid":"{OTHER}","parent":"mtty","type":"mtty-1","owner":"nova","mark":{identity}}}"#);
    fs::create_dir_all(record.parent().unwrap()).unwrap();
    fs::write(&record, text).unwrap();
    // After the search for conflicting records, the create fails.
    let create = format!("{mtty}/mdev_supported_types/mtty-1/create");
    tree.remove(&create).unwrap();
    tree.dir(&create).unwrap();
    let bus = bus.parent().unwrap();
    let conn = connect(
        &root,
        &format!(
            "[ $4 = pre ] || exit 0; cd '{}' && mkdir new && mv devices/{OTHER} new/ && mv devices old && mv new devices || exit 1",
            bus.display()
        ),
    );
    // A device without a name has no record.
    let text = with_uuid().replace("<parent>", "<name>n</name><parent>");
    conn.create_xml(text.as_bytes(), CreateFlags::empty()).map(drop).unwrap_err();
    assert!(bus.join("old").exists());
    assert!(record.exists());
}

#[test]
fn create_whose_callout_registers_the_types_again_writes_to_the_new_type() {
    let (root, mut tree, mtty) = host();
    // The device appears with the call-out, so that the create does not wait for it.
    tree.mdev(&mtty, "mtty-1", UUID).unwrap();
    let link = tree.real(&format!("{BUS}/{UUID}"));
    let aside = root.path().join("aside");
    fs::rename(&link, &aside).unwrap();
    let parent = tree.real(&mtty);
    let conn = connect(
        &root,
        &format!(
            "[ $4 = pre ] || exit 0; cd '{}' && mv mdev_supported_types old && cp -r old mdev_supported_types && mv '{}' '{}' || exit 1",
            parent.display(),
            aside.display(),
            link.display()
        ),
    );
    conn.create_xml(with_uuid().as_bytes(), CreateFlags::empty()).unwrap();
    let written = |types: &str| fs::read_to_string(parent.join(types).join("mtty-1/create")).unwrap();
    assert_eq!(written("old"), "");
    assert_eq!(written("mdev_supported_types"), format!("{UUID}\n"));
}

/// The first attempt fails because another creator takes the last instance; the second finds the parent anew.
#[test]
fn create_that_tries_again_after_its_parent_was_replaced_uses_the_new_parent() {
    let (root, mut tree, mtty) = host();
    tree.mdev(&mtty, "mtty-1", UUID).unwrap();
    let link = tree.real(&format!("{BUS}/{UUID}"));
    let aside = root.path().join("aside");
    fs::rename(&link, &aside).unwrap();
    let parent = tree.real(&mtty);
    let left = parent.join("mdev_supported_types/mtty-1/available_instances");
    let conn = connect(
        &root,
        &format!(
            "case $4-$8 in\n\
             pre-none) if [ -e '{0}.old' ]; then mv '{1}' '{2}'; else echo 0 >'{3}'; fi || exit 1;;\n\
             post-failure) echo 24 >'{3}'; mv '{0}' '{0}.old'; cp -a '{0}.old' '{0}';;\n\
             esac",
            parent.display(),
            aside.display(),
            link.display(),
            left.display()
        ),
    );
    let text = with_uuid().replace("<parent>mtty</parent>", "");
    conn.create_xml(text.as_bytes(), CreateFlags::empty()).unwrap();
    let written = |parent: &str| fs::read_to_string(format!("{parent}/mdev_supported_types/mtty-1/create")).unwrap();
    let parent = parent.display().to_string();
    assert_eq!(written(&format!("{parent}.old")), "");
    assert_eq!(written(&parent), format!("{UUID}\n"));
}
