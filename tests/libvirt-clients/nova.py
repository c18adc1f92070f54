#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: nova.py URI PARENT ADDRESS TYPE

What OpenStack Nova's libvirt driver does with mediated devices, call by call and element by element, written from how it
behaves: it lists names by capability, looks each up, reads elements of its XML, defines a device, starts it and has it
started with its parent; and branches on a few error codes.
"""

import sys
import uuid
import xml.etree.ElementTree as ET

import libvirt

import tap

uri, parent, address, type_id = sys.argv[1:5]


def error_code(call):
    try:
        call()
    except libvirt.libvirtError as e:
        return e.get_error_code()
    return None


def names(cap):
    """A host without the call is one without such devices."""
    try:
        return conn.listDevices(cap, 0)
    except libvirt.libvirtError as e:
        if e.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
            return []
        raise


def capable():
    """The parents and what each of their types has."""
    found = {}
    for name in names("mdev_types"):
        root = ET.fromstring(conn.nodeDeviceLookupByName(name).XMLDesc(0))
        for kind in root.iterfind(".//capability[@type='mdev_types']/type"):
            found.setdefault(root.findtext("name"), {})[kind.get("id")] = {
                "name": kind.findtext("name"),
                "deviceAPI": kind.findtext("deviceAPI"),
                "availableInstances": int(kind.findtext("availableInstances")),
            }
    return found


def devices():
    found = {}
    for name in names("mdev"):
        root = ET.fromstring(conn.nodeDeviceLookupByName(name).XMLDesc(0))
        cap = root.find("capability[@type='mdev']")
        # Before libvirt told the UUID, Nova took it out of the name; it still can.
        from_name = name[len("mdev_"):].replace("_", "-")[:36]
        found[cap.findtext("uuid") or from_name] = {
            "dev_id": root.findtext("name"),
            "parent": root.findtext("parent"),
            "type": cap.find("type").get("id"),
            "iommu_group": int(cap.find("iommuGroup").get("number")),
            "from_name": from_name,
        }
    return found


def create(parent, type_id, uuid):
    root = ET.Element("device")
    ET.SubElement(root, "parent").text = parent
    cap = ET.SubElement(root, "capability", type="mdev")
    ET.SubElement(cap, "type", id=type_id)
    ET.SubElement(cap, "uuid").text = uuid
    dev = conn.nodeDeviceDefineXML(ET.tostring(root, encoding="unicode"), flags=0)
    dev.create()
    dev.setAutostart(True)
    return dev


tap.event_loop()
conn = libvirt.open(uri)
before = capable()
tap.ok(type_id in before.get(parent, {}), "the parent and its type are found", before)
kind = before[parent][type_id]
tap.eq("the type speaks an interface", "vfio-pci", kind["deviceAPI"])
tap.ok(kind["availableInstances"] > 0, "and has room", kind)

mdev = str(uuid.uuid4())
dev = create(parent, type_id, mdev)
mine = devices().get(mdev)
tap.ok(mine, "the device that was created is among those that are listed", devices())
tap.eq("it is what was asked for", (tap.node_name(mdev, address), parent, type_id, mdev),
       (mine["dev_id"], mine["parent"], mine["type"], mine["from_name"]))
tap.ok(mine["iommu_group"] >= 0, "its IOMMU group is told", mine)
tap.eq("it is active, persists and is started with its parent", (1, 1, 1), (dev.isActive(), dev.isPersistent(), dev.autostart()))
tap.ok(capable()[parent][type_id]["availableInstances"] < kind["availableInstances"], "there is less room now", capable()[parent])

gone = tap.node_name(uuid.uuid4(), address)
tap.eq("a device that is no more: NO_NODE_DEVICE", libvirt.VIR_ERR_NO_NODE_DEVICE,
       error_code(lambda: conn.nodeDeviceLookupByName(gone)))
tap.eq("a parent that is not there: CONFIG_UNSUPPORTED", libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
       error_code(lambda: create("pci_ffff_ff_1f_7", type_id, str(uuid.uuid4()))))

dev.destroy()
tap.ok(mdev not in devices(), "what is destroyed is not listed among the devices", devices())
dev.undefine()
tap.eq("and is as if it had never been", libvirt.VIR_ERR_NO_NODE_DEVICE, error_code(lambda: conn.nodeDeviceLookupByName(mine["dev_id"])))
tap.eq("the room is there again", before[parent], capable()[parent])

if uri.startswith("qemu"):
    # Unplugging from a guest what it does not have is libvirt's own answer, and must not become ours.
    guest = conn.createXML("<domain type='qemu'><name>nova</name><memory unit='MiB'>64</memory><os><type machine='pc'>hvm</type></os>"
                           "</domain>", libvirt.VIR_DOMAIN_START_PAUSED)
    hostdev = f"<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='{mdev}'/></source></hostdev>"
    tap.eq("a device that the guest has not: DEVICE_MISSING", libvirt.VIR_ERR_DEVICE_MISSING,
           error_code(lambda: guest.detachDeviceFlags(hostdev, libvirt.VIR_DOMAIN_AFFECT_LIVE)))
    guest.destroy()
conn.close()
tap.done()
