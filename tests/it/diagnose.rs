// SPDX-License-Identifier: LGPL-2.1-or-later
//! The diagnosis of a host: each state in which a host offers no devices gives a finding with the next step.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use mdev::test_hooks::sim::{SimEntry, SimHost, default_host};
use mdev::test_hooks::store::Runtime;
use mdev::{Conn, CreateFlags, DefineFlags, ErrorCode, Finding, Severity};

use crate::support::hosts::{file, link};

const GPU: &str = "0000:41:00.0";
const NODE: &str = "pci_0000_41_00_0";
const NVIDIA: &str = "0x10de";
const INTEL: &str = "0x8086";

/// A GPU with links from its bus and driver.
fn gpu(address: &str, vendor: &str, class: &str, driver: Option<&str>) -> Vec<SimEntry> {
    let path = format!("/sys/devices/{address}");
    let mut entries = vec![
        file(&format!("{path}/vendor"), 0o444, &format!("{vendor}\n")),
        file(&format!("{path}/device"), 0o444, "0x2335\n"),
        file(&format!("{path}/class"), 0o444, &format!("{class}\n")),
        link(&format!("{path}/subsystem"), "../../bus/pci"),
        link(&format!("/sys/bus/pci/devices/{address}"), &format!("../../../devices/{address}")),
    ];
    if let Some(driver) = driver {
        entries.push(link(&format!("{path}/driver"), &format!("../../bus/pci/drivers/{driver}")));
        let bound = format!("/sys/bus/pci/drivers/{driver}/{address}");
        entries.push(link(&bound, &format!("../../../../devices/{address}")));
    }
    entries
}

fn diagnose(entries: Vec<SimEntry>, parent: Option<&str>) -> Vec<Finding> {
    let host = SimHost::new(entries).unwrap();
    Conn::on(Arc::new(host), Arc::new(Runtime::memory([]))).diagnose(parent).unwrap()
}

/// Checks that there is one finding, about the GPU, that has these parts in its message and in its next step.
#[track_caller]
fn one_problem(found: &[Finding], severity: Severity, message: &str, next_step: &str) {
    let [finding] = found else { panic!("{found:?}") };
    assert_eq!((finding.severity, finding.object.as_str()), (severity, NODE), "{finding:?}");
    assert!(finding.message.contains(message), "{finding:?}");
    assert!(finding.next_step.as_ref().is_some_and(|step| step.contains(next_step)), "{finding:?}");
}

#[test]
fn gpu_with_a_driver_without_vgpus_gives_the_next_command() {
    let cases = [
        (NVIDIA, None, "no driver is bound", "modprobe nvidia"),
        (INTEL, None, "no driver is bound", "modprobe kvmgt"),
        (NVIDIA, Some("nouveau"), "supports no virtual GPUs", "blacklist nouveau"),
        (NVIDIA, Some("vfio-pci"), "reserved for one guest", "virsh nodedev-reattach pci_0000_41_00_0"),
        (NVIDIA, Some("pci-pf-stub"), "only enables VFs", "drivers/pci-pf-stub/unbind"),
        (NVIDIA, Some("nvidia"), "offers no virtual GPUs", "vGPU host driver"),
        (INTEL, Some("i915"), "offers no virtual GPUs", "modprobe kvmgt"),
    ];
    for (vendor, driver, message, next_step) in cases {
        let found = diagnose(gpu(GPU, vendor, "0x030200", driver), Some(NODE));
        one_problem(&found, Severity::Error, message, next_step);
    }
}

#[test]
fn gpu_with_disabled_vfs_gives_the_command_that_enables_them() {
    let mut entries = gpu(GPU, NVIDIA, "0x030200", Some("nvidia"));
    entries.push(file(&format!("/sys/devices/{GPU}/sriov_totalvfs"), 0o444, "16\n"));
    // Without the vGPU software, the driver offers no virtual GPUs on VFs either.
    let found = diagnose(entries.clone(), Some("41:00.0"));
    one_problem(&found, Severity::Error, "offers no virtual GPUs", "vGPU host driver");
    entries.push(file("/sys/module/nvidia_vgpu_vfio/refcnt", 0o444, "0\n"));
    let found = diagnose(entries, Some("41:00.0"));
    one_problem(
        &found,
        Severity::Error,
        "offers no types",
        &format!("VFs are not enabled; enable them with the program of the vendor's driver: sriov-manage -e {GPU}"),
    );
    // VFs of another vendor have another command.
    for (vendor, driver) in [("0x1002", "amdgpu"), (INTEL, "xe")] {
        let mut entries = gpu(GPU, vendor, "0x030200", Some(driver));
        entries.push(file(&format!("/sys/devices/{GPU}/sriov_totalvfs"), 0o444, "7\n"));
        let found = diagnose(entries, Some(NODE));
        let next = format!("echo 7 >/sys/bus/pci/devices/{GPU}/sriov_numvfs");
        one_problem(&found, Severity::Error, "its 7 VFs are not enabled", &next);
    }
}

#[test]
fn vfs_without_types_give_the_reason_and_vfs_without_driver_their_number() {
    let card = |list: &str, second_driver: Option<&str>| {
        let mut entries = gpu(GPU, NVIDIA, "0x030200", Some("nvidia"));
        entries.push(file(&format!("/sys/devices/{GPU}/sriov_totalvfs"), 0o444, "2\n"));
        for (n, driver) in [Some("nvidia"), second_driver].into_iter().enumerate() {
            let vf = format!("0000:41:00.{}", n + 1);
            entries.extend(gpu(&vf, NVIDIA, "0x030200", driver));
            entries.push(link(&format!("/sys/devices/{GPU}/virtfn{n}"), &format!("../{vf}")));
            entries.push(link(&format!("/sys/devices/{vf}/physfn"), &format!("../{GPU}")));
            if driver.is_some() {
                entries.push(file(&format!("/sys/devices/{vf}/nvidia/current_vgpu_type"), 0o644, "0\n"));
                entries.push(file(&format!("/sys/devices/{vf}/nvidia/creatable_vgpu_types"), 0o444, list));
            }
        }
        entries
    };
    let header = "ID    : vGPU Name\n";
    let found = diagnose(card(header, Some("nvidia")), Some(NODE));
    one_problem(&found, Severity::Error, "offers no types", "MIG");
    let full = format!("{header}1433 : NVIDIA H200X-17C\n");
    let found = diagnose(card(&full, None), Some(NODE));
    let [fine, unbound] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(fine.severity, Severity::Note, "{fine:?}");
    assert!(unbound.message.contains("1 of 2 VFs have no driver, such as 0000:41:00.2"), "{unbound:?}");
}

#[test]
fn full_parent_is_a_warning_and_a_usable_parent_a_note() {
    let host = default_host();
    let conn = Conn::on(Arc::new(host), Arc::new(Runtime::memory([])));
    let xml =
        b"<device><parent>css_0_0_0052</parent><capability type='mdev'><type id='vfio_ccw-io'/></capability></device>";
    let found = conn.diagnose(Some("css_0_0_0052")).unwrap();
    assert_eq!(found.iter().map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::Note]);
    conn.create_xml(xml, CreateFlags::empty()).unwrap();
    let found = conn.diagnose(Some("css_0_0_0052")).unwrap();
    let [full] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((full.severity, full.code), (Severity::Warning, ErrorCode::NoInstances), "{full:?}");
    assert!(full.next_step.as_ref().is_some_and(|step| step.contains("destroy a device")), "{full:?}");
}

#[test]
fn device_that_is_no_gpu_and_absent_device_are_told_apart() {
    let nic = gpu(GPU, INTEL, "0x020000", Some("ice"));
    let found = diagnose(nic.clone(), Some(GPU));
    assert!(found.iter().all(|finding| finding.message.contains("not a GPU")), "{found:?}");
    let conn = Conn::on(Arc::new(SimHost::new(nic.clone()).unwrap()), Arc::new(Runtime::memory([])));
    assert_eq!(conn.diagnose(Some("0000:42:00.0")).unwrap_err().code, ErrorCode::NoParent);
    let found = diagnose(nic, None);
    assert!(found.iter().any(|finding| finding.message.contains("no GPU and no parent")), "{found:?}");
}

#[test]
fn card_without_vfs_is_the_only_problem_of_the_built_in_host() {
    let conn = Conn::open(Some("test:///default")).unwrap();
    let found = conn.diagnose(None).unwrap();
    assert!(found.len() >= 7, "{found:?}");
    let problems: Vec<&str> = found
        .iter()
        .filter(|finding| finding.severity != Severity::Note)
        .map(|finding| finding.object.as_str())
        .collect();
    assert_eq!(problems, ["pci_0000_c1_00_0"]);
}

/// A real host below a folder: the checks that read modules, nodes and units.
struct Root(tempfile::TempDir);

impl Root {
    fn new() -> Root {
        let root = Root(tempfile::tempdir().unwrap());
        let device = "sys/devices/virtual/mtty/mtty";
        let ty = format!("{device}/mdev_supported_types/mtty-1");
        root.file(&format!("{ty}/available_instances"), "4\n");
        root.file(&format!("{ty}/device_api"), "vfio-pci\n");
        root.file(&format!("{ty}/create"), "");
        root.file("sys/bus/mdev/drivers_probe", "");
        root.link("../../../../class/mtty", &format!("{device}/subsystem"));
        root.link("../../devices/virtual/mtty/mtty", "sys/class/mdev_bus/mtty");
        root.file("sys/kernel/iommu_groups/0/type", "DMA\n");
        root.file("sys/module/vfio/refcnt", "1\n");
        root.file("dev/vfio/vfio", "");
        root
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, target: &str, path: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn conn(&self) -> Conn {
        Conn::open(Some(&format!("mdev:///system?root={}", self.path().display()))).unwrap()
    }

    /// Returns the problems, without the one about the user who runs the test.
    fn problems(&self) -> Vec<Finding> {
        let mut found = self.conn().diagnose(None).unwrap();
        found.retain(|finding| finding.severity != Severity::Note && finding.object != "user");
        found
    }

    #[track_caller]
    fn has_problem(&self, object: &str, next_step: &str) {
        let found = self.problems();
        let is_it = |finding: &&Finding| finding.object.contains(object);
        let finding = found.iter().find(is_it).unwrap_or_else(|| panic!("{object}: {found:?}"));
        assert!(finding.next_step.as_ref().is_some_and(|step| step.contains(next_step)), "{finding:?}");
    }
}

#[test]
fn host_without_problems_has_only_notes() {
    assert_eq!(Root::new().problems(), []);
}

#[test]
fn missing_iommu_module_and_node_give_the_next_command() {
    let root = Root::new();
    fs::remove_dir_all(root.path().join("sys/kernel/iommu_groups/0")).unwrap();
    root.has_problem("IOMMU", "intel_iommu=on");
    fs::remove_file(root.path().join("dev/vfio/vfio")).unwrap();
    root.has_problem("VFIO", "vfio_iommu_type1");
    fs::remove_dir_all(root.path().join("sys/module/vfio")).unwrap();
    root.has_problem("VFIO", "modprobe vfio-pci");
}

#[test]
fn broken_definition_stale_record_and_disabled_autostart_are_problems() {
    let root = Root::new();
    root.file("etc/mdevctl.d/mtty/11111111-2222-4333-8444-555555555555", "{}");
    root.has_problem("11111111-2222-4333-8444-555555555555", "fix or remove the file");
    fs::remove_dir_all(root.path().join("etc/mdevctl.d")).unwrap();
    let record =
        r#"{"uuid":"11111111-2222-4333-8444-555555555556","parent":"mtty","type":"mtty-1","name":"x","mark":7}"#;
    root.file("run/libmdev/devices/11111111-2222-4333-8444-555555555556", record);
    root.has_problem("/run/libmdev/devices", "no action is needed");
    let xml = b"<device><parent>mtty</parent><capability type='mdev'><type id='mtty-1'/></capability></device>";
    root.conn().define_xml(xml, DefineFlags::AUTOSTART | DefineFlags::NO_CALLOUTS).unwrap();
    root.has_problem("autostart", "systemctl enable --now libmdev-autostart.service");
    root.file("etc/libmdev/autostart", "");
    assert!(root.problems().iter().all(|finding| finding.object != "autostart"), "{:?}", root.problems());
}

#[test]
fn rule_of_mdevctl_without_its_program_is_a_problem() {
    let root = Root::new();
    let rule = "ACTION==\"add\", SUBSYSTEM==\"pci\", RUN+=\"/usr/sbin/mdevctl start-parent-mdevs %k\"\n";
    root.file("usr/lib/udev/rules.d/60-mdevctl.rules", rule);
    root.has_problem("60-mdevctl.rules", "libmdev-autostart.service");
    root.file("usr/sbin/mdevctl", "");
    assert_eq!(root.problems(), []);
}
