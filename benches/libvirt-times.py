#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""usage: libvirt-times.py NAME URI ROUNDS | --heading

Medians, in milliseconds, of calls on one connection: a list of parents and devices; one dump of a parent, of a device; what
Nova does at each update: the names of a capability, then for each name a look-up and its XML.
"""

import statistics
import sys
import time

import libvirt

MDEV = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV
TYPES = libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV_TYPES
HEADING = ["list", "devices", "dump parent", "dump device", "Nova: types", "Nova: devices"]


def nova(conn, cap):
    return [conn.nodeDeviceLookupByName(name).XMLDesc(0) for name in conn.listDevices(cap, 0)]


def median(call, rounds):
    seen = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        seen.append(1000 * (time.perf_counter() - start))
    return statistics.median(seen)


def main():
    if sys.argv[1] == "--heading":
        print(f"{'median, ms':16}" + "".join(f"{h:>15}" for h in HEADING))
        return
    name, uri, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    libvirt.virEventRegisterDefaultImpl()
    conn = libvirt.open(uri)
    parents, devices = conn.listAllDevices(TYPES), conn.listAllDevices(MDEV)
    parent, device = parents[len(parents) // 2], devices[len(devices) // 2]
    calls = [
        lambda: conn.listAllDevices(MDEV | TYPES),
        lambda: conn.listAllDevices(MDEV),
        parent.XMLDesc,
        device.XMLDesc,
        lambda: nova(conn, "mdev_types"),
        lambda: nova(conn, "mdev"),
    ]
    print(f"{name:16}" + "".join(f"{median(call, rounds):15.3f}" for call in calls) + f"   {len(parents)} parents, {len(devices)} devices")
    conn.close()


main()
